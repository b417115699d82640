"""What a run says of its estimates, in which unit, and of a number that is none."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from ibsym.nn.system import System
from ibsym.spec.loading import load, loads
from ibsym.training import TrainingError
from ibsym.training.checkpoint import load_checkpoint
from ibsym.training.monitoring import fault, largest, ranges
from ibsym.training.progress import Lines, summary
from ibsym.training.train import run
from ibsym.training.units import Unit
from tests.training.helpers import compiled, trainer

SMALL = {"hidden": 16, "batch": 400}


def test_ranges() -> None:
    (line,) = ranges(load("infonce"), 64, Unit())
    assert line.startswith("I_q(Z;Y) by infonce: at most log B = 4.159 nats with 64 rows")
    (line,) = ranges(load("infonce"), 64, Unit("bits"))
    assert "at most log B = 6 bits" in line
    (line,) = ranges(load("generative-compression"), 64, Unit())
    assert "at most log 2 = 0.6931 nats" in line
    assert [text.split(" by ")[0] for text in ranges(load("bib-ae"), 64, Unit())] == ["KL(q(z)||p(z))", "KL(q(x)||p(x))"]
    assert list(ranges(load("vae"), 64, Unit())) == []


def test_units() -> None:
    bits = Unit("bits", each=True, dimensions=4)
    assert bits.value(8 * math.log(2)) == pytest.approx(2)
    assert str(bits) == "bits a dimension, of 4"
    assert Unit().term("E_q[log p(x|z)]", -3.0) == "-3"
    for text in ("I_q(X;Z)", "KL(q(z)||p(z))", "TC_q(Z)", "JS(q(x)||p(x))"):
        assert Unit().term(text, -0.5) == "-0.5 (an estimate below zero)"
        assert Unit().term(text, 0.5) == "0.5"


def test_a_run_tells_its_numbers_in_bits_a_dimension() -> None:
    spec, _, loss = compiled("vae")
    said: list[str] = []
    unit = Unit("bits", each=True)
    result = run(spec, loss, epochs=1, settings=SMALL, report=Lines(said.append, unit))
    assert (unit.dimensions, result.dimensions) == (64, 64)
    last = next(line for line in said if line.startswith("epoch 1/1"))
    name, value = next(iter(result.terms.items()))
    assert f"{name} {value / math.log(2) / 64:.4g}" in last
    assert next(summary(result, unit)).endswith("bits a dimension, of 64")
    assert next(summary(result)).endswith("held-out images")


@pytest.mark.parametrize("name", ["infonce", "generative-compression"])
def test_every_epoch_tells_what_an_estimate_is_at_most(name: str) -> None:
    """And no estimate exceeds it, in training or held out, in any unit."""
    spec, _, loss = compiled(name)
    said: list[str] = []
    unit = Unit("bits", each=True)
    result = run(spec, loss, epochs=2, settings=SMALL, report=Lines(said.append, unit))
    ((term, most),) = largest(spec, 400).items()
    assert unit.largest == {term: most}
    for epoch, entry in enumerate(result.history, 1):
        line = next(text for text in said if text.startswith(f"epoch {epoch}/2"))
        assert f"{term} {entry['held_out']['terms'][term] / math.log(2) / unit.dimensions:.4g} (" in line
        assert f"at most {most / math.log(2) / unit.dimensions:.4g})" in line
        assert max(entry[part]["terms"][term] for part in ("train", "held_out")) <= most
    assert any("at most" in line and line.strip().startswith(term) for line in summary(result, unit))


def test_a_number_that_is_none_is_told_with_its_term_row_and_input() -> None:
    text = ('name = "s"', 'objective = "minimize beta*I_q(X;Z) - I_q(Z;X)"', 'variables = { x = "binary[3]", z = "real[2]" }')
    more = (
        'joints = { q = "data(x) q(z|x)", p = "p(z) p(x|z)" }',
        "parameters = { beta = { default = 1.0, min = 0 } }",
        "[families]",
    )
    families = ('"q(z|x)" = "diagonal-normal"', '"p(z)" = "standard-normal"', '"p(x|z)" = "bernoulli"')
    system = System(loads("\n".join([*text, *more, *families])))
    batch = {"x": torch.zeros(5, 3)}
    tensors = {n: t.detach().clone() for n, t in system.wiring.tensors(system.drawn(batch)).items()}
    broken = tensors | {"z_mean": tensors["z_mean"].clone()}
    broken["z_mean"][3, 1] = torch.nan
    assert fault(system.wiring, broken, {}) == "input z_mean, row 3 of the batch, is nan"
    large = tensors | {"z_logvar": tensors["z_logvar"].clone()}
    large["z_logvar"][2, 0] = 800.0
    terms = {n: float(t) for n, t in system.wiring.loss_of(large)[1].items()}
    assert fault(system.wiring, large, terms) == "KL(q(z|x)||p(z)) is inf at row 2; its largest input there is z_logvar = 800"


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_critic_that_is_no_number_is_told_with_its_input_and_row(pieces: int) -> None:
    """A weight of the critic is none, in one batch and in one that is computed in pieces."""
    made = trainer("bib-ae", settings=SMALL)
    with torch.no_grad():
        next(p for name, ps in made.players.wiring.players().items() if name == "KL(q(z)||p(z))" for p in ps).fill_(torch.nan)
    batch = {s: {v: x.take(slice(8)) for v, x in rows.items()} for s, rows in made.binding.train.items()}
    said = r"the loss of the critic of KL\(q\(z\)\|\|p\(z\)\) is nan: input z_critic, row 0 of the batch, is nan"
    name, players = "KL(q(z)||p(z))", made.players
    step = (
        partial(players.critic_step, name, made.draws(batch))
        if pieces == 1
        else partial(players.critic_steps, name, [batch, batch])
    )
    with pytest.raises(TrainingError, match=said):
        step(0.0)


def test_a_step_on_several_batches_that_is_no_number_is_told_with_its_input_row_and_batch() -> None:
    """A row of the second of two is none."""
    made = trainer("vae", settings=SMALL)
    batch, other = ({s: {v: x.take(slice(8)) for v, x in rows.items()} for s, rows in made.binding.train.items()} for _ in "ab")
    ((_, rows),) = other.items()
    rows["x"] = replace(rows["x"], code=rows["x"].code.clone())
    rows["x"].code[5, 0] = torch.nan
    with pytest.raises(TrainingError, match=r"the loss is nan .*: input \w+, row 5 of the batch, is nan, in batch 1 of 2"):
        made.players.model_steps([batch, other])


def test_the_last_good_checkpoint_is_kept(tmp_path) -> None:
    """Parameters that are no numbers end the run before they are written."""
    spec, _, loss = compiled("vae")

    def broken(keyed, **parameters):
        out = real(keyed, **parameters)
        if epochs:
            return out[0] * torch.nan, out[1]
        return out

    epochs: list[int] = []
    names = {(i.of, i.role, i.joint): i.name for i in loss.INPUTS}
    module = loss()

    def real(keyed, **parameters):
        return tuple(module(**{names[k]: t for k, t in keyed.items()}))

    class Watch(Lines):
        def epoch(self, entry):
            epochs.append(entry["epoch"])

    options = {"settings": SMALL, "out": tmp_path, "loss": broken, "report": Watch(lambda line: None)}
    with pytest.raises(TrainingError, match="the loss is nan"):
        run(spec, loss, epochs=3, **options)
    state = load_checkpoint(tmp_path, {})
    assert len(state["history"]) == 1
    assert all(bool(torch.isfinite(t).all()) for t in state["system"].values())

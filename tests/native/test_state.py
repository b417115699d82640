"""What a loss is to the rest of a program: pickled, copied, saved and loaded, its parameters within their intervals."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from tests.native import worlds  # noqa: E402  once for all files: each program is lowered once

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {
    "z_mean": torch.zeros(2, 3),
    "z_logvar": torch.ones(2, 3),
    "x": torch.ones(2, 4),
    "x_logits": torch.full((2, 4), 0.5),
}


def elsewhere(code: str, *arguments: object) -> str:
    """What another process prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_saved_loss_loads_in_another_process(tmp_path: Path) -> None:
    """torch.save and pickle, with what the loss returns; equal values, and the compiled pass there as well."""
    loss = ibsym.compile("beta-vae")(beta=3.0)
    output = loss(**GIVEN)
    torch.save({"loss": loss, "output": output, "inputs": loss.INPUTS}, tmp_path / "saved.pt")
    (tmp_path / "pickled").write_bytes(pickle.dumps((loss, GIVEN)))
    code = (
        "import sys, pickle, torch\n"
        "saved = torch.load(sys.argv[1], weights_only=False)\n"
        "loss, given = pickle.loads(__import__('pathlib').Path(sys.argv[2]).read_bytes())\n"
        "assert type(saved['loss']) is type(loss) and loss.beta == 3.0 and saved['inputs'] == type(loss).INPUTS\n"
        "assert saved['output'].terms.keys() == loss(**given).terms.keys()\n"
        "value = float(saved['loss'](**given).loss)\n"
        "learning = {k: v.requires_grad_() for k, v in given.items()}\n"
        "print(value, 'Differentiable' in str(loss(**learning).loss.grad_fn))\n"
    )
    value, compiled = elsewhere(code, tmp_path / "saved.pt", tmp_path / "pickled").split()
    assert float(value) == float(output.loss)
    assert compiled == "True"


@pytest.mark.slow
def test_a_loss_is_sent_to_a_spawned_process() -> None:
    code = (
        "import torch, multiprocessing\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import ibsym, operator\n"
        "if __name__ == '__main__':\n"
        "    loss = ibsym.compile('vae')()\n"
        "    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:\n"
        "        back = pool.submit(copy_of := __import__('copy').copy, loss).result()\n"
        "    print(type(back) is type(loss))\n"
    )
    assert elsewhere(code) == "True"


def test_copies_of_what_lives_in_memory() -> None:
    loss = ibsym.compile("beta-vae")(beta=3.0)
    for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert type(other) is type(loss)
        assert float(other(**GIVEN).loss) == float(loss(**GIVEN).loss)
        other.beta = 4.0
        assert loss.beta == 3.0


class Derived(ibsym.compile("beta-vae")):  # type: ignore[misc]
    """A subclass of a user's."""


def test_a_subclass_pickles_as_any_class() -> None:
    loss = Derived(beta=2.0)
    assert type(pickle.loads(pickle.dumps(loss))) is Derived


WITH = [name for name in worlds.SPECS if ibsym.load(worlds.SPECS[name]).parameters]


@pytest.mark.parametrize("name", WITH)
def test_parameters_travel_with_the_state(name: str) -> None:
    """Numbers and 0-d tensors, within a model, in every module that has parameters."""
    spec = ibsym.load(worlds.SPECS[name])
    made = worlds.module(name).Loss
    changed = {}
    for k, (parameter, entry) in enumerate(spec.parameters.items()):
        low = -2.0 if entry.min is None else entry.min
        high = low + 3.0 if entry.max is None else entry.max
        changed[parameter] = low + (0.3 + 0.1 * k) * (high - low)
    for kind in (float, lambda v: torch.tensor(v, dtype=torch.float64)):
        model = torch.nn.ModuleDict({"net": torch.nn.Linear(2, 2), "loss": made(**{n: kind(v) for n, v in changed.items()})})
        state = model.state_dict()
        assert {f"loss.{n}" for n in changed} <= set(state)
        assert all(isinstance(v, torch.Tensor) and not v.requires_grad for v in state.values())
        fresh = torch.nn.ModuleDict({"net": torch.nn.Linear(2, 2), "loss": made()})
        assert not any(fresh.load_state_dict(state))
        assert {n: float(getattr(fresh["loss"], n)) for n in changed} == changed
        assert all(isinstance(getattr(fresh["loss"], n), float) for n in changed)
        tensors = {n: torch.tensor(0.0 + d.default) for n, d in spec.parameters.items()}
        same = torch.nn.ModuleDict(
            {
                "net": torch.nn.Linear(2, 2),
                "loss": made(**tensors),
            }
        )
        same.load_state_dict(state)
        assert all(isinstance(getattr(same["loss"], n), torch.Tensor) for n in changed)
    missing, _ = fresh.load_state_dict({k: v for k, v in state.items() if "loss" not in k}, strict=False)
    assert set(missing) == set() or set(missing) <= {f"loss.{n}" for n in changed}
    with pytest.raises(RuntimeError, match=next(iter(changed))):
        fresh.load_state_dict({k: v for k, v in state.items() if "loss" not in k})


@pytest.mark.parametrize("name", WITH)
def test_parameters_keep_to_their_intervals(name: str) -> None:
    spec = ibsym.load(worlds.SPECS[name])
    made = worlds.module(name).Loss
    for parameter, entry in spec.parameters.items():
        outside = [] if entry.min is None else [entry.min - 1]
        outside += [] if entry.max is None else [entry.max + 1]
        loss = made()
        for value in (*outside, float("nan")):
            with pytest.raises(ValueError, match=f"{parameter} is a number or a 0-d tensor from"):
                made(**{parameter: value})
            with pytest.raises(ValueError, match=parameter):
                setattr(loss, parameter, value)
            with pytest.raises(ValueError, match=parameter):
                setattr(loss, parameter, torch.tensor(value))
            assert getattr(loss, parameter) == entry.default
        for no_number in ("a", None, [1.0]):
            with pytest.raises(ValueError, match=f"{parameter} is a number or a 0-d tensor from"):
                setattr(loss, parameter, no_number)
        with pytest.raises(ValueError, match="0-d"):
            setattr(loss, parameter, torch.full((2,), float(entry.default)))
        for end in (entry.min, entry.max):
            if end is not None:
                setattr(loss, parameter, end)
                setattr(loss, parameter, torch.tensor(end))


def test_a_parameter_may_become_one_of_the_modules() -> None:
    """A torch.nn.Parameter is a 0-d tensor that an optimiser may hold; a number takes its place again."""
    loss = worlds.module("beta-vae").Loss()
    loss.beta = torch.nn.Parameter(torch.tensor(2.0))
    assert [n for n, _ in loss.named_parameters()] == ["beta"]
    assert loss.load_state_dict(loss.state_dict()) is not None
    assert loss(**worlds.arguments("beta-vae")).loss.requires_grad
    loss.beta = 3.0
    assert not list(loss.parameters())
    assert loss.state_dict()["beta"] == 3.0


@pytest.mark.parametrize("name", worlds.SPECS)
def test_an_empty_batch_raises_nothing_but_what_is_said(name: str) -> None:
    """NaN, as in plain torch; losses that compare rows say that they need two."""
    given = worlds.arguments(name)
    declared = worlds.module(name).Loss.INPUTS
    empty = {}
    for entry in declared:
        tensor = given[entry.name]
        shape = entry.shape[-tensor.dim() :] if tensor.dim() else ()
        empty[entry.name] = tensor[tuple(slice(0) if a.split("_")[0] == "B" else slice(None) for a in shape)]
    try:
        output = worlds.module(name).Loss()(**empty)
    except ValueError as error:
        assert "rows" in str(error) or "at least two" in str(error)
        return
    assert torch.isnan(output.loss)


@pytest.mark.parametrize("name", worlds.SPECS)
def test_inputs_made_in_inference_mode(name: str) -> None:
    """Values, which learn nothing, may come from there: what plain torch differentiates is differentiated."""
    with torch.inference_mode():
        made = worlds.arguments(name)
    values = [i.name for i in worlds.module(name).Loss.INPUTS if i.role == "value"]
    given = {n: t if n in values else t.clone() for n, t in made.items()}
    leaves = {n: t if n in values or not t.is_floating_point() else t.requires_grad_() for n, t in given.items()}
    loss = worlds.module(name).Loss()
    results = []
    for call in (lambda: loss(**leaves), lambda: loss.expression(*leaves.values())):
        try:
            torch.manual_seed(0)
            output = call()
            results.append(worlds.gradients(output.loss, leaves) if output.loss.requires_grad else None)
        except RuntimeError as error:
            assert "nference" in str(error)
            results.append("refused")
    assert (results[0] == "refused") == (results[1] == "refused")

"""Never farther from float64 than plain torch, or within 1e-6 (loss) and 2e-7 (gradients): over sizes, scales and confidence.

Where a rounding of the arguments alone moves the truth farther, the pass may be ten times as far: many roundings add up by luck.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.native import test_passes as passes  # noqa: E402
from tests.native import worlds  # noqa: E402

SIZES = [{"B": 4, "D": 1, "L": 1}, {"B": 5, "D": 700, "L": 2}, {"B": 257, "D": 5, "L": 3}, {"B": 64, "D": 40, "L": 20}]
SPREADS = (1e-3, 1.0, 10.0)
CONFIDENCE = (3.0, 7.0, 10.0, 14.0, 17.0, 30.0, 1e4)
CRITICS = ("density-ratio", "dv", "nwj", "logistic", "dual", "infonce")  # a constant, as log B, and means: near 0 they cancel
ROUNDING = 2.0**-24


def run(name, given, call):
    """Loss, terms and gradients in float64."""
    loss = worlds.module(name).Loss()
    leaves = worlds.learning(given)
    passes.settled(loss, leaves | {"_terms": [t.text for t in worlds.program(name).terms]})
    output = call(loss, leaves)
    slopes = worlds.gradients(output.loss, leaves, grad_outputs=torch.full_like(output.loss, -1.7))
    values = {"loss": output.loss.detach().double()} | {k: v.detach().double() for k, v in output.terms.items()}
    return values, {k: g.double() for k, g in slopes.items() if g is not None}


def rounded(given, seed):
    """The arguments, each moved by at most half a unit in the last place of single precision."""
    generator = torch.Generator().manual_seed(seed)
    return {
        n: t * (1 + ROUNDING * (2 * torch.rand(t.shape, generator=generator, dtype=t.dtype) - 1))
        if t.is_floating_point()
        else t
        for n, t in given.items()
    }


def expression(loss, given):
    return loss.expression(*given.values())


def check(name, given, luck=1.001, least=1e-28):
    """``luck``: the factor that two roundings of one sum may differ by; ``least``: an absolute error in nats that is none.

    Of a class that is sure by 60 nats the expression in double precision takes the logarithm to be 0, which it is but for 1e-28.
    """
    true, slopes = run(name, passes.wide(given), expression)
    if not torch.isfinite(true["loss"]):
        return
    moved = [run(name, rounded(passes.wide(given), seed), expression) for seed in range(2)]
    plain, dplain = run(name, given, expression)
    mine, dmine = run(name, given, lambda loss, g: loss(**g))
    estimators = {t.text: t.estimator for t in worlds.program(name).terms}
    for text, value in true.items():
        if not torch.isfinite(value):
            assert float(mine[text]) == float(value), text
            continue
        floor = abs(float(value)) + (1.0 if estimators.get(text, "loss") in (*CRITICS, "loss") else 0.0)
        if text == "loss" and not set(CRITICS) & set(estimators.values()):
            floor = max(abs(float(v)) for v in true.values())
        far = [abs(float(x[text] - value)) for x in (mine, plain, *(m[0] for m in moved))]
        assert far[0] <= max(luck * far[1], 1e-6 * floor, 10 * max(far[2:]), least), (text, float(mine[text]), float(value))
    tolerance = passes.GRADIENT.get(name, 2e-7)
    for argument, slope in slopes.items():
        far = [float((x[argument] - slope).norm()) for x in (dmine, dplain, *(m[1] for m in moved))]
        floor = max(tolerance * float(slope.norm()), least)
        assert far[0] <= max(luck * far[1], floor, 10 * max(far[2:])), (argument, *far)


@pytest.mark.parametrize("sizes", SIZES, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("name", passes.FUSED)
def test_sizes_and_scales(name, sizes):
    for seed, spread in enumerate(SPREADS):
        given = worlds.arguments(name, sizes=sizes, seed=seed, spread=spread)
        # Near 0 and far out, both ways lose digits alike; 1e-7 nats is none.
        check(name, given, 1.5 if spread == 1 else 2.5, 1e-7)


def sure(name, given, size):
    """Logits that are right by ``size``; critics that tell every pair apart; scores of a known pairing."""
    declared = worlds.module(name).Loss.INPUTS
    values = {i.of: given[i.name] for i in declared if i.role == "value"}
    for entry in declared:
        tensor = given[entry.name]
        observed = values.get(entry.of.split("(")[1].split("|")[0].rstrip(")")) if "(" in entry.of else None
        match entry.role:
            case "logits" if observed is None:
                made = size * tensor
            case "logits" if observed.is_floating_point():
                made = size * (2 * observed - 1)
            case "logits":
                made = size * torch.nn.functional.one_hot(observed, tensor.shape[-1])
            case "critic":
                made = size + 0.01 * tensor
            case "critic_reference":
                made = -size + 0.01 * tensor
            case "scores":
                made = size * torch.eye(tensor.shape[-1])
            case _:
                continue
        if made.shape == tensor.shape[tensor.dim() - made.dim() :]:
            yield entry.name, made.expand(tensor.shape).clone().to(tensor.dtype)


CONFIDENT = [n for n in passes.FUSED if {"logits", "critic", "scores"} & {i.role for i in worlds.module(n).Loss.INPUTS}]


@pytest.mark.parametrize("name", CONFIDENT)
def test_confidence(name):
    for size in CONFIDENCE:
        given = worlds.arguments(name, sizes={"B": 33})
        check(name, given | dict(sure(name, given, size)))


def test_an_evidence_bound_at_logit_seventeen():
    """784 bits of log(1 + e^-17) each: 3.2e-5 a row, and not 0."""
    x = (torch.rand(4, 784) > 0.5).float()
    given = {"z_mean": torch.zeros(4, 2), "z_logvar": torch.zeros(4, 2), "x": x, "x_logits": 17 * (2 * x - 1)[None]}
    found = worlds.module("vae").Loss()(**given)
    assert float(found.loss) == pytest.approx(784 * 4.139937e-08, rel=1e-6)


def test_the_critic_of_a_gan_that_is_sure():
    given = {"x_critic": torch.full((64,), 14.0), "x_critic_reference": torch.full((64,), -14.0)}
    loss = worlds.module("gan").Loss()
    names = [i.name for i in loss.INPUTS]
    found = loss(**{n: given["x_critic_reference" if n.endswith("reference") else "x_critic"] for n in names})
    want = loss.expression(*(given["x_critic_reference" if n.endswith("reference") else "x_critic"].double() for n in names))
    assert float(found.loss) == pytest.approx(float(want.loss), rel=1e-6)


@pytest.mark.parametrize("rows", [4, 33])
def test_infonce_of_a_known_pairing(rows):
    """log B at 1e4 times the identity."""
    given = worlds.arguments("infonce-rep", sizes={"B": rows}) | {"z_y_scores": 1e4 * torch.eye(rows)}
    loss = worlds.module("infonce-rep").Loss()
    for output in (loss(**given), loss.expression(*given.values())):
        assert float(output.terms["I_q(Z;Y)"]) == pytest.approx(float(torch.tensor(rows).double().log()), rel=1e-6)

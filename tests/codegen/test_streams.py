"""Products into a log-sum-exp that nobody stores: linear heads and inner-product critics, against the tables that they avoid."""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import Any

import pytest

import ibsym
from ibsym.errors import SpecError

torch = pytest.importorskip("torch")
F = torch.nn.functional

from torch.profiler import ProfilerActivity, profile  # noqa: E402

HEAD = {
    "objective": "minimize beta*I_q(X;Z) - I_q(Z;T)",
    "variables": {"x": "real[D]", "z": "real[L]", "t": "categorical[K]"},
    "joints": {"q": "data(x,t) q(z|x)", "p": "p(z) p(t|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(t|z)": {"family": "categorical", "head": "linear"}},
    "parameters": {"beta": {"default": 0.3, "min": 0}},
}
PAIRS = {
    "objective": "maximize I_q(Z1;Z2)/2 + I_q(Z2;Z1)/2",
    "variables": {"x1": "real[D1]", "x2": "real[D2]", "z1": "real[L1]", "z2": "real[L2]"},
    "joints": {"q": "data(x1,x2) q(z1|x1) q(z2|x2)"},
    "families": {"q(z1|x1)": "deterministic", "q(z2|x2)": "deterministic"},
    "estimators": {f"I_q({a})": {"estimator": "infonce", "critic": "inner-product"} for a in ("Z1;Z2", "Z2;Z1")},
}
ROWS, CLASSES, WIDTH, DRAWS = 70, 37, 5, 2  # more than a block of rows, and no multiple of one


@cache
def loss_class(kind: str) -> Any:
    made = ibsym.compile(ibsym.Spec(name=kind, **{"head": HEAD, "pairs": PAIRS}[kind]))
    sys.modules[made.__module__]._runtime().update(LEAST=32, cache=lambda: 0)  # blocks of 32 rows
    return made


def head_inputs(dtype=torch.float64, rows=ROWS, seed=0):
    torch.manual_seed(seed)
    made = {
        "z_mean": torch.randn(rows, 3, dtype=torch.float64),
        "z_logvar": torch.randn(rows, 3, dtype=torch.float64),
        "t_hidden": torch.randn(DRAWS, rows, WIDTH, dtype=torch.float64),
        "t_weight": torch.randn(CLASSES, WIDTH, dtype=torch.float64),
        "t_bias": torch.randn(CLASSES, dtype=torch.float64),
    }
    found = {n: t.to(dtype).requires_grad_() for n, t in made.items()}
    return found | {"t": torch.randint(0, CLASSES, (rows,))}


def head_by_hand(i, beta=0.3):
    """One loss a row, through the table."""
    table = F.linear(i["t_hidden"], i["t_weight"], i["t_bias"])
    picked = -F.cross_entropy(table.flatten(0, -2), i["t"].repeat(len(table)), reduction="none").reshape(table.shape[:-1])
    kl = 0.5 * (i["z_mean"] ** 2 + i["z_logvar"].exp() - 1 - i["z_logvar"]).sum(-1)
    return beta * kl - picked.mean(0)


def pair_inputs(dtype=torch.float64, rows=ROWS, seed=0):
    torch.manual_seed(seed)
    made = {
        "z1_embedding": torch.randn(rows, WIDTH, dtype=torch.float64),
        "z2_embedding": torch.randn(rows, WIDTH, dtype=torch.float64),
        "z1_z2_temperature": torch.tensor(0.7, dtype=torch.float64),
        "z2_z1_temperature": torch.tensor(1.3, dtype=torch.float64),
    }
    return {n: t.to(dtype).requires_grad_() for n, t in made.items()}


def pairs_by_hand(i):
    table = i["z1_embedding"] @ i["z2_embedding"].T
    own = torch.arange(len(table))
    first, second = F.cross_entropy(table / i["z1_z2_temperature"], own), F.cross_entropy(table.T / i["z2_z1_temperature"], own)
    return (first + second) / 2 - math.log(len(table))


INPUTS = {"head": head_inputs, "pairs": pair_inputs}
BY_HAND = {"head": lambda i: head_by_hand(i).mean(), "pairs": pairs_by_hand}
KINDS = ("head", "pairs")


def leaves(inputs):
    return {n: t for n, t in inputs.items() if t.requires_grad}


def gradients(value, inputs, **options):
    return torch.autograd.grad(value, list(leaves(inputs).values()), **options)


def test_one_direction_by_hand():
    one = {"objective": "maximize I_q(Z1;Z2)", "estimators": {"I_q(Z1;Z2)": PAIRS["estimators"]["I_q(Z1;Z2)"]}}
    inputs = pair_inputs()
    del inputs["z2_z1_temperature"]
    loss = ibsym.compile(ibsym.Spec(name="one-way", **(PAIRS | one)))()(**inputs).loss
    table = inputs["z1_embedding"] @ inputs["z2_embedding"].T / inputs["z1_z2_temperature"]
    torch.testing.assert_close(loss, F.cross_entropy(table, torch.arange(ROWS)) - math.log(ROWS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_and_gradients_are_those_of_the_table(kind, dtype):
    exact, own = INPUTS[kind](), INPUTS[kind](dtype)
    value, wanted = loss_class(kind)()(**own).loss, BY_HAND[kind](exact)
    tolerance = 1e-12 if dtype is torch.float64 else 2e-6
    assert value.item() == pytest.approx(wanted.item(), rel=tolerance, abs=tolerance)
    upstream = torch.tensor(-1.7, dtype=dtype)
    for got, right in zip(gradients(value, own, grad_outputs=upstream), gradients(-1.7 * wanted, exact), strict=True):
        torch.testing.assert_close(got.double(), right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("length", "back"),
    [(1.0, 0.7), (1.0, 1.3), (60.0, 0.7), (60.0, 1.3)],  # temperatures alike or not; scores that exponentials hold, and others
    ids=["alike", "two temperatures", "alike, wide", "two temperatures, wide"],
)
@pytest.mark.parametrize("apart", [False, True])
def test_both_directions_of_one_table(length, back, apart):
    """At scores that are far apart, a column's exponentials by the rows' largest have no digits left."""
    exact = pair_inputs() | {"z2_z1_temperature": torch.tensor(back, dtype=torch.float64, requires_grad=True)}
    with torch.no_grad():
        exact["z1_embedding"][::3] *= length
        exact["z2_embedding"][1::4] *= length / 8
        exact["z1_embedding"][-2] *= 3  # the largest of the last block is larger than what came before
    for dtype, tolerance in ((torch.float64, 1e-11), (torch.float32, 1e-4)):
        own = {n: t.detach().to(dtype).requires_grad_() for n, t in exact.items()}
        found, wanted = loss_class("pairs")()(**own), pairs_by_hand(exact)
        assert found.loss.item() == pytest.approx(wanted.item(), rel=tolerance, abs=tolerance)
        learned = own if not apart else {n: t for n, t in own.items() if "embedding" in n}
        right = torch.autograd.grad(wanted, [exact[n] for n in learned], retain_graph=True)
        for name, a, b in zip(learned, torch.autograd.grad(found.loss, list(learned.values())), right, strict=True):
            assert (a.double() - b).norm() <= tolerance * b.norm().clamp_min(1e-2), name


def test_directions_that_weigh_differently_and_one_that_is_left_out():
    inputs = pair_inputs()
    run = sys.modules[loss_class("pairs").__module__]
    given, weights = list(inputs.values()), torch.randn(2, ROWS, dtype=torch.float64)
    table = inputs["z1_embedding"] @ inputs["z2_embedding"].T
    right = [(t / h).log_softmax(-1).diagonal() for t, h in ((table, given[2]), (table.T, given[3]))]
    for chosen in ((0, 1), (0,), (1,)):
        found = run._runtime()["log_pair_shares"](run._log_pair_shares_at_once, *given)
        wanted = torch.autograd.grad(
            sum((right[k] * weights[k]).sum() for k in chosen), given, retain_graph=True, allow_unused=True
        )
        got = torch.autograd.grad(sum((found[k] * weights[k]).sum() for k in chosen), given)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b, rtol=1e-9, atol=1e-11)


def test_rows_that_are_weighted_apart():
    inputs, weights = head_inputs(), torch.randn(ROWS, dtype=torch.float64)
    rows, wanted = loss_class("head")(reduction="none")(**inputs).loss, head_by_hand(inputs)
    torch.testing.assert_close(rows, wanted, rtol=1e-12, atol=1e-12)
    again = gradients(rows, inputs, grad_outputs=weights, retain_graph=True), gradients(rows, inputs, grad_outputs=weights)
    for got in again:
        for a, b in zip(got, gradients(wanted, inputs, grad_outputs=weights, retain_graph=True), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_backward_and_one_that_edits_what_it_was_given(kind):
    inputs = INPUTS[kind]()
    value = loss_class(kind)()(**inputs).loss
    first = gradients(value, inputs, retain_graph=True)
    kept = [g.clone() for g in first]
    for g in first:
        g.zero_()
    for a, b in zip(gradients(value, inputs, grad_outputs=torch.tensor(2.0, dtype=torch.float64)), kept, strict=True):
        torch.testing.assert_close(a, 2 * b)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_those_of_the_table(kind):
    inputs = INPUTS[kind]()

    def penalty(value):
        return sum((g**2).sum() for g in gradients(value, inputs, create_graph=True)) + value

    got = gradients(penalty(loss_class(kind)()(**inputs).loss), inputs)
    for a, b in zip(got, gradients(penalty(BY_HAND[kind](inputs)), inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_differences(kind):
    inputs = INPUTS[kind](rows=3)
    if kind == "head":
        inputs["t_weight"], inputs["t_bias"] = (inputs[n].detach()[:4].requires_grad_() for n in ("t_weight", "t_bias"))
        inputs["t"] = inputs["t"] % 4
    names = list(leaves(inputs))

    def at(*tensors):
        return loss_class(kind)()(**{**inputs, **dict(zip(names, tensors, strict=True))}).loss

    assert torch.autograd.gradcheck(at, tuple(inputs[n] for n in names))


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_that_do_not_learn(kind):
    for name in leaves(INPUTS[kind]()):
        inputs = INPUTS[kind]()
        alone = {n: t if n == name else t.detach() for n, t in inputs.items()}
        (got,) = gradients(loss_class(kind)()(**alone).loss, alone)
        torch.testing.assert_close(got, gradients(BY_HAND[kind](alone), alone)[0], rtol=1e-10, atol=1e-12)
    still = {n: t.detach() for n, t in INPUTS[kind]().items()}
    assert not loss_class(kind)()(**still).loss.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind):
    inputs = INPUTS[kind](rows=0)
    value = loss_class(kind)()(**inputs).loss
    assert value.isnan()
    assert [g.shape for g in gradients(value, inputs)] == [t.shape for t in leaves(inputs).values()]


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_the_products_keep_their_digits(kind):
    inputs = INPUTS[kind](torch.float32)
    plain = loss_class(kind)()(**inputs).loss
    with torch.autocast("cpu", torch.bfloat16):
        cast = loss_class(kind)()(**inputs).loss
        assert torch.equal(cast, plain)
        assert all(map(torch.equal, gradients(cast, inputs), gradients(plain, inputs)))
        second = gradients(
            sum(g.sum() for g in gradients(loss_class(kind)()(**inputs).loss, inputs, create_graph=True)), inputs
        )
    assert all(g.isfinite().all() for g in second)


@pytest.mark.parametrize("kind", KINDS)
def test_transforms_run_the_expression(kind):
    inputs = {n: t.detach() for n, t in INPUTS[kind](rows=4).items()}
    names = [n for n, t in inputs.items() if t.is_floating_point()]

    def at(*tensors):
        return loss_class(kind)()(**{**inputs, **dict(zip(names, tensors, strict=True))}).loss

    wanted = {n: t.clone().requires_grad_(n in names) for n, t in inputs.items()}
    right = gradients(BY_HAND[kind](wanted), wanted)
    found = torch.func.grad(at, tuple(range(len(names))))(*(inputs[n] for n in names))
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    value = loss_class(kind)()(**wanted).loss
    batch = torch.tensor([1.0, -2.0], dtype=torch.float64)
    for a, b in zip(gradients(value, wanted, grad_outputs=batch, is_grads_batched=True), right, strict=True):
        torch.testing.assert_close(a, torch.stack([b, -2 * b]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("back", [0.7, 1.3])
def test_no_digit_changes_with_the_number_of_threads(back):
    inputs = pair_inputs(torch.float32, rows=300) | {"z2_z1_temperature": torch.tensor(back, requires_grad=True)}
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            value = loss_class("pairs")()(**inputs).loss
            found.append((value, *gradients(value, inputs)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_the_table_is_no_tensor():
    inputs = pair_inputs(torch.float32, rows=2000)
    loss = loss_class("pairs")()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        loss(**inputs).loss.backward()
    largest = max(e.cpu_memory_usage for e in seen.events())
    assert 0 < largest < 2000 * 2000 * 4 / 4


def test_a_class_that_is_sure_keeps_its_digits():
    """log p = -log(1 + sum of others): the sum is lost beside 1 in single precision."""
    inputs = {n: t.detach() for n, t in head_inputs(torch.float32, rows=1).items()}
    inputs |= {
        "t_weight": torch.zeros(3, WIDTH),
        "t_bias": torch.tensor([20.0, 0.0, -1.0], requires_grad=True),
        "t": torch.tensor([0]),
    }
    out = loss_class("head")()(**inputs)
    (got,) = torch.autograd.grad(out.loss, inputs["t_bias"])
    others = math.exp(-20) + math.exp(-21)
    assert out.terms["E_q[log p(t|z)]"].item() == pytest.approx(-others, rel=1e-5)
    assert float(got[0]) == pytest.approx(-others, rel=1e-5)


def test_classes_that_are_masked_do_not_count():
    inputs = head_inputs()
    inputs["t"] = inputs["t"] % 30
    with torch.no_grad():
        inputs["t_bias"][30:] = -math.inf
    value = loss_class("head")()(**inputs).loss
    assert value.item() == pytest.approx(head_by_hand(inputs).mean().item(), rel=1e-12)
    assert all(g.isfinite().all() for g in gradients(value, inputs))


def test_what_does_not_fit_is_refused_by_name():
    inputs = head_inputs()
    with pytest.raises(ValueError, match=r"t_weight: expected shape \(K, N\), got \(37, 4\); axis 1 is 4, not N = 5"):
        loss_class("head")()(**inputs | {"t_weight": inputs["t_weight"][:, :4]})
    with pytest.raises(ValueError, match=r"t_bias: expected shape \(K\)"):
        loss_class("head")()(**inputs | {"t_bias": inputs["t_bias"][:4]})
    for wrong in (-1, CLASSES):
        with pytest.raises(IndexError, match=f"classes from {wrong} to {wrong} are out of bounds: weight has {CLASSES} rows"):
            loss_class("head")()(**inputs | {"t": torch.full_like(inputs["t"], wrong)})
    half = [t.bfloat16() if t.is_floating_point() else t for t in (inputs[i.name] for i in loss_class("head").INPUTS)]
    with pytest.raises(TypeError, match=r"hidden: torch.bfloat16 has too few digits"):
        loss_class("head")().expression(*half)
    with pytest.raises(TypeError, match=r"weight: torch.float32, and hidden is torch.float64"):
        loss_class("head")()(**inputs | {"t_weight": inputs["t_weight"].float()})


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_not_above_zero_is_refused_by_name(number):
    inputs = pair_inputs() | {"z2_z1_temperature": torch.tensor(number, dtype=torch.float64)}
    with pytest.raises(ValueError, match=f"z2_z1_temperature is {number:g}, and a temperature is above 0"):
        loss_class("pairs")()(**inputs)


def test_what_a_spec_says_of_heads():
    def spec(**options):
        return ibsym.Spec(name="s", **HEAD | {"families": HEAD["families"] | {"p(t|z)": {"family": "categorical", **options}}})

    for options, match in (
        ({"head": "linear", "marginal": "enumerate"}, "takes the logits of every class"),
        ({"head": "linear", "relax": "mean"}, "takes the logits of every class"),
        ({"head": "cubic"}, "head = 'cubic' is unknown"),
        ({"features": "N"}, "features are those of a linear head"),
    ):
        with pytest.raises(SpecError, match=match):
            spec(**options)
    assert spec(head="linear", features="M").factors["p(t|z)"].family.length == "M"
    taken = HEAD | {"variables": {**HEAD["variables"], "z": "real[N]"}}
    assert ibsym.Spec(name="s", **taken).factors["p(t|z)"].family.length == "N2"


def test_an_inner_product_is_of_two_variables():
    wide = PAIRS | {
        "objective": "maximize I_q(Z1,X1;Z2)",
        "estimators": {"I_q(Z1,X1;Z2)": {"estimator": "infonce", "critic": "inner-product"}},
    }
    with pytest.raises(ibsym.IbsymError, match="of the embeddings of two variables"):
        ibsym.generate(ibsym.derive(ibsym.Spec(name="s", **wide)))

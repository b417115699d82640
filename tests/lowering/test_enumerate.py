"""E_{q(y|x)} g(y) = sum_k q(k|x) g(k): shapes, values against sums that are written out, gradients, and what is refused.

The kind: random specs with exact sums against the same specs with relaxed classes, at every one-hot code, weighted by hand.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

import ibsym
from ibsym.checking.audit import audit
from ibsym.codegen.c.source import one_pass
from ibsym.derivation.engine import derive
from ibsym.derivation.planning import samplers_of
from ibsym.errors import IbsymError
from ibsym.lowering import interpreter, lower
from ibsym.lowering.lower import merged
from ibsym.lowering.terms import plain
from tests.attack.specs import random_case

SUM = {"family": "categorical", "marginal": "enumerate"}
SOFT = {"family": "categorical", "relax": "concrete"}
SIZES = {"B": 1, "S": 1, "K": 3}
BOUND = "minimize KL(data(x)||p(x))"


def spec(objective=BOUND, q="data(x) q(y|x) q(z|x,y)", p="p(y) p(z|y) p(x|z,y)", families=None, **more):
    known = {"q(y|x)": SUM, "q(z|x,y)": "diagonal-normal", "p(y)": "categorical", "p(z|y)": "diagonal-normal"}
    known |= {"p(x|z,y)": "bernoulli", **(families or {})}
    joints = {"q": q, "p": p} | more.pop("joints", {})
    text = " ".join(joints.values())
    return ibsym.Spec(
        name="s",
        objective=objective,
        variables={"x": "binary[D]", "y": "categorical[K]", "z": "real[L]"} | more.pop("variables", {}),
        joints=joints,
        families={k: f for k, f in known.items() if k in text},
        **more,
    )


def shapes(made):
    return {(i.key.of, i.key.role): i.shape for i in lower(audit(derive(made), worlds=0)).inputs}


def test_class_axes_stand_after_the_draws_and_before_the_rows():
    assert shapes(spec()) == {
        ("q(y|x)", "logits"): ("B", "K"),
        ("p(y)", "logits"): ("K",),
        ("q(z|x,y)", "mean"): ("K", "B", "L"),
        ("q(z|x,y)", "logvar"): ("K", "B", "L"),
        ("p(z|y)", "mean"): ("K", "B", "L"),
        ("p(z|y)", "logvar"): ("K", "B", "L"),
        ("x", "value"): ("B", "D"),
        ("p(x|z,y)", "logits"): ("S", "K", "B", "D"),
    }


def test_several_class_axes_stand_in_the_order_of_declaration():
    two = spec(
        q="data(x) q(w|x) q(y|x,w)",
        p="p(y) p(w) p(x|w,y)",
        families={"q(w|x)": SUM, "q(y|x,w)": SUM, "p(w)": "uniform", "p(x|w,y)": "bernoulli"},
        variables={"w": "categorical[M]"},
    )
    found = shapes(two)
    assert found["p(x|w,y)", "logits"] == ("K", "M", "B", "D")
    assert found["q(y|x,w)", "logits"] == ("M", "B", "K")
    assert not any(of in ("y", "w") for of, _ in found)


def test_a_draw_that_no_class_changes_is_part_of_the_pass():
    """z is drawn once a row, and p(z|y) evaluated there at every class: in the pass the draw stands at each."""
    assert one_pass(lower(audit(ibsym.derive("gm-vae"), worlds=1))) is not None


def test_the_entropy_of_the_factor_is_closed():
    derivation = derive(
        spec("minimize -E_q[log p(x|y)] - E_q[log q(y|x)]", "data(x) q(y|x)", "p(x|y)", {"p(x|y)": "bernoulli"})
    )
    assert {str(b.term): b.estimator for b in derivation.bound}["E_q[log q(y|x)]"] == "closed-form"


def test_a_sum_that_is_written_out():
    """One row, one latent class: sum_k q_k [log q_k - log p_k - log p(x|k)], and the derivative of it in the logits of q."""
    torch = pytest.importorskip("torch")
    made = ibsym.compile(spec(q="data(x) q(y|x)", p="p(y) p(x|y)", families={"p(x|y)": "bernoulli"}))
    g = torch.Generator().manual_seed(2)
    a, b, d = (torch.randn(*s, generator=g, dtype=torch.float64, requires_grad=True) for s in ((5, 3), (3,), (3, 5, 4)))
    x = (torch.rand(5, 4, generator=g) > 0.5).double()
    given = {("q(y|x)", "logits"): a, ("p(y)", "logits"): b, ("p(x|y)", "logits"): d, ("x", "value"): x}
    loss = made()(**{i.name: given[i.of, i.role] for i in made.INPUTS}).loss
    q, p = a.softmax(-1), b.softmax(-1)
    fit = torch.distributions.Bernoulli(logits=d).log_prob(x).sum(-1).T
    inner = q.log() - p.log() - fit
    by_hand = (q * inner).sum(-1).mean()
    torch.testing.assert_close(loss, by_hand, rtol=1e-12, atol=0)
    mine, theirs = (torch.autograd.grad(v, (a, b, d)) for v in (loss, by_hand))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-14)
    inner = inner.detach()
    slope = q * (inner - (q * inner).sum(-1, keepdim=True)) / 5
    torch.testing.assert_close(mine[0], slope.detach(), rtol=1e-10, atol=1e-14)


def test_the_sum_is_what_draws_have_in_expectation():
    """The mean of 200 000 draws of the class, within five of its standard errors."""
    program = lower(audit(derive(spec(q="data(x) q(y|x)", p="p(y) p(x|y)", families={"p(x|y)": "bernoulli"})), worlds=0))
    rng = np.random.default_rng(4)
    arrays = values(program, {**SIZES, "D": 2, "B": 1}, rng)
    by_key = {(i.key.of, i.key.role): arrays[i.name] for i in program.inputs}
    exact = interpreter.evaluate(program, arrays).terms["E_q[log p(x|y)]"]
    logits, table, x = by_key["q(y|x)", "logits"][0], by_key["p(x|y)", "logits"][:, 0], by_key["x", "value"][0]
    fits = (x * table - np.logaddexp(0, table)).sum(-1)
    drawn = fits[rng.choice(3, 200_000, p=np.exp(logits) / np.exp(logits).sum())]
    assert abs(exact - drawn.mean()) < 5 * drawn.std() / np.sqrt(len(drawn))


def test_a_class_of_no_probability_does_not_count():
    """0 times minus infinity is 0: a masked class may be impossible under the model."""
    torch = pytest.importorskip("torch")
    made = ibsym.compile(spec(q="data(x) q(y|x)", p="p(y) p(x|y)", families={"p(x|y)": "bernoulli"}))
    a = torch.tensor([[0.3, -torch.inf, 0.1]], requires_grad=True)
    d = torch.tensor([[[0.5]], [[-torch.inf]], [[1.0]]], requires_grad=True)
    given = {
        ("q(y|x)", "logits"): a,
        ("p(y)", "logits"): torch.zeros(3),
        ("p(x|y)", "logits"): d,
        ("x", "value"): torch.ones(1, 1),
    }
    loss = made()(**{i.name: given[i.of, i.role] for i in made.INPUTS}).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(a.grad[0, [0, 2]]).all()


def values(program, sizes, rng):
    """Random arrays of the declared shapes."""
    found = {}
    for entry in program.inputs:
        shape = [sizes.get(a.split("_")[0], 2) for a in entry.shape]
        array = rng.normal(size=shape)
        found[entry.name] = (rng.integers(3, size=shape) if entry.integer else array) * (
            1 if entry.key.role != "concentration" else 0
        )
    return found


def random_pair(seed):
    """A random spec with exact sums over classes under its sources' joints, and the same with relaxed classes."""
    keys: dict[str, Any] = dict(random_case(seed).keys)
    ours = [k for k, f in keys["families"].items() if f == SOFT and k.split("(")[0] == "q"]
    if not ours:
        return None
    return tuple(ibsym.Spec(**{**keys, "families": {**keys["families"], **dict.fromkeys(ours, f)}}) for f in (SUM, SOFT))


def test_random_specs_at_every_class():
    """Each term is the sum over classes of the relaxed loss's at their codes, weighted by the softmax; two at once occur."""
    tally = Counter()
    for seed in range(140):
        try:
            pair = random_pair(seed)
            if pair is None:
                continue
            exact, relaxed = (derive(s) for s in pair)
            programs = [lower(audit(d, worlds=0)) for d in (exact, relaxed)]
        except IbsymError:
            tally["refused"] += 1
            continue
        compare(exact, programs, np.random.default_rng(seed), tally)
    assert tally["terms"] > 30, tally
    assert tally["two classes"] > 10, tally
    assert tally["of every class"] > 25, tally


CLASS_MEETS_CLASS = {
    "objective": "minimize -E_q[log p(y|z)] - E_q[log p(x|z,y)]",
    "p": "p(z) p(y|z) p(x|z,y)",
    "families": {"p(z)": "standard-normal", "p(y|z)": "categorical"},
}
LATER_IN_THE_GRAPH = {
    "q": "data(x) q(w|x) q(y|x,w)",
    "p": "p(w) p(y) p(x|w,y)",
    "families": {"q(w|x)": SUM, "q(y|x,w)": SUM, "p(w)": "uniform", "p(x|w,y)": "bernoulli"},
    "variables": {"w": "categorical[K]"},
}


@pytest.mark.parametrize("keys", [CLASS_MEETS_CLASS, LATER_IN_THE_GRAPH])
def test_sums_one_after_the_other(keys):
    """A model's density of the class at draws given that class; of two classes the later in the graph, declared first, goes first."""
    exact = derive(spec(**keys))
    families = {f: SOFT if e == SUM else e for f, e in dict(exact.spec.keys["families"]).items()}
    relaxed = ibsym.Spec(**{**exact.spec.keys, "families": families})
    programs = [lower(audit(d, worlds=0)) for d in (exact, derive(relaxed))]
    tally = Counter()
    compare(exact, programs, np.random.default_rng(7), tally)
    assert tally["of every class"] == len(exact.bound) > 1


def compare(derivation, programs, rng, tally):
    program, relaxed = programs
    arrays = values(program, SIZES, rng)
    whole = interpreter.evaluate(program, arrays, dict.fromkeys((p.name for p in program.parameters), 0.5))
    keyed = {i.key: (arrays[i.name], i.shape) for i in program.inputs}
    for item in merged(derivation.bound):
        (joint, *_) = samplers_of(plain(item))
        graph = derivation.spec.joints[joint]
        summed = [
            v for v in derivation.spec.ordered(graph.variables) if graph.by_variable.get(v) and graph.by_variable[v].enumerated
        ]
        total = 0.0
        for classes in itertools.product(range(3), repeat=len(summed)):
            chosen = dict(zip(summed, classes, strict=True))
            at = {i.name: entry(i, keyed, derivation.spec, graph, chosen, rng) for i in relaxed.inputs}
            weight = np.prod([probability(keyed, graph, derivation.spec, v, chosen) for v in summed])
            terms = interpreter.evaluate(relaxed, at, dict.fromkeys((p.name for p in relaxed.parameters), 0.5)).terms
            total += weight * terms[item.text]
        np.testing.assert_allclose(whole.terms[item.text], total, rtol=1e-9, atol=1e-9, err_msg=item.text)
        tally["terms"] += 1
        tally["two classes"] += len(summed) > 1
        tally["of every class"] += bool(summed)


def entry(declared, keyed, spec, graph, chosen, rng):
    """An input of the relaxed loss at the classes that are chosen; what is drawn is that draw's part of the exact loss's."""
    key = declared.key
    if key.joint == graph.name and key.of in chosen:
        return np.eye(3)[chosen[key.of]].reshape([1] * (len(declared.shape) - 1) + [3])
    if key not in keyed:
        return rng.normal(size=[SIZES.get(a.split("_")[0], 2) for a in declared.shape])
    array, shape = keyed[key]
    rows = next((k for k, a in enumerate(shape) if a.split("_")[0] == "B"), 0)
    above = [key.of] if key.of in spec.variables else spec.factors[key.of].given if key.of in spec.factors else []
    names = spec.ordered(spec.joints[key.joint].summed(above)) if above else ()
    for variable, axis in reversed(list(zip(names, range(rows - len(names), rows), strict=True))):
        array = array.take(chosen.get(variable, 0), axis)
    return array.reshape([SIZES.get(a.split("_")[0], 2) for a in declared.shape])


def probability(keyed, graph, spec, variable, chosen):
    """The softmax of the logits at the classes above; where the loss does not take them it does not depend on the class."""
    factor = graph.by_variable[variable]
    key = next((k for k in keyed if k == (factor.text, "logits", graph.name)), None)
    if key is None:
        return 1 / 3
    array, shape = keyed[key]
    rows = next(k for k, a in enumerate(shape) if a.split("_")[0] == "B")
    names = spec.ordered(graph.summed(factor.given))
    for above, axis in reversed(list(zip(names, range(rows - len(names), rows), strict=True))):
        array = array.take(chosen[above], axis)
    weights = np.exp(array.reshape(3) - array.max())
    return weights[chosen[variable]] / weights.sum()


@pytest.mark.parametrize("name", ["density-ratio", "dv", "nwj", "mmd", "sliced-wasserstein", "minibatch-weighted"])
def test_an_estimator_takes_draws_and_there_are_none(name):
    """Of the variable itself, and of what is drawn given it."""
    for term in ("KL(q(z)||p(z))", "KL(q(y,z)||p(y,z))"):
        keys = {"p": "p(y) p(z) p(x|z,y)", "families": {"p(z)": "standard-normal"}, "estimators": {term: name}}
        wanted = (
            r'q\(y\|x\) is summed over exactly, and \S+ of .* takes its draws\n  write: .* relax = "concrete" }, or another'
        )
        with pytest.raises(IbsymError, match=wanted):
            derive(spec(f"minimize {term} - E_q[log p(x|z,y)]", **keys))


def test_the_marginal_of_a_batch_sums_as_ever():
    made = spec(
        "minimize KL(q(y)||p(y)) - E_q[log p(x|y)]",
        "data(x) q(y|x)",
        "p(y) p(x|y)",
        {"p(x|y)": "bernoulli"},
        estimators={"KL(q(y)||p(y))": "batch-marginal"},
    )
    assert shapes(made)["q(y|x)", "logits"] == ("B", "K")


def test_several_draws_inside_a_logarithm_are_no_sum():
    with pytest.raises(IbsymError, match=r"q\(y\|x\) is summed over exactly, and iwae of .* draws it\n  write: "):
        ibsym.compile(spec("maximize E_q[log p(x)]", estimators={"E_q[log p(x)]": "iwae"}))


@pytest.mark.parametrize(
    ("factor", "entry", "wanted"),
    [
        ("q(y|x)", SUM | {"relax": "mean"}, r'nothing relaxed\n  write: marginal = "enumerate" or relax'),
        ("q(y|x)", {"family": "categorical", "marginal": "all"}, r'is unknown\n  write: one of "enumerate"'),
        (
            "q(z|x,y)",
            {"family": "diagonal-normal", "marginal": "enumerate"},
            r"unknown option of diagonal-normal: .*\n  write: leave marginal out",
        ),
        (
            "p(x|z,y)",
            {"family": "bernoulli", "marginal": "enumerate"},
            r"unknown option of bernoulli: 'marginal', which is one of categorical",
        ),
    ],
)
def test_what_cannot_be_summed(factor, entry, wanted):
    with pytest.raises(IbsymError, match=wanted):
        spec(families={factor: entry})


def test_a_class_that_weighs_and_stands_in_no_value_is_summed_too() -> None:
    """-E log p(x|y2) where y2 is drawn given y1: sum_y2 p(y2|x) log p(x|y2), p(y2|x) = sum_y1 q(y1|x) q(y2|y1)."""
    torch = pytest.importorskip("torch")
    enumerated = {"family": "categorical", "marginal": "enumerate"}
    spec = ibsym.Spec(
        name="two-states",
        objective="minimize -E_q[log p(x|y2)]",
        variables={"x": "real[D]", "y1": "categorical[K]", "y2": "categorical[M]"},
        joints={"q": "data(x) q(y1|x) q(y2|y1)", "p": "p(x|y2)"},
        families={"q(y1|x)": enumerated, "q(y2|y1)": enumerated, "p(x|y2)": "isotropic-normal"},
    )
    torch.manual_seed(0)
    loss = ibsym.compile(spec)
    sizes = {"B": 3, "K": 2, "M": 4, "D": 2}
    given = {i.name: torch.randn([sizes[a] for a in i.shape], dtype=torch.float64) for i in loss.INPUTS}
    weights = torch.einsum("bk,kbm->mb", given["y1_logits"].softmax(-1), given["y2_logits"].softmax(-1))
    density = -0.5 * ((given["x"] - given["x_mean"]) ** 2 + np.log(2 * np.pi)).sum(-1)
    torch.testing.assert_close(loss()(**given).loss, -(weights * density).sum(0).mean(), rtol=1e-12, atol=1e-12)


def test_the_table_of_a_derivation_says_what_is_summed() -> None:
    text = str(ibsym.derive("m2"))
    assert "-1  E_u[log p(x|z,c)]   sampled      exact sum over c" in text
    assert "1  KL(u(z|x,c)||p(z))  closed-form  exact sum over c" in text
    assert "1  KL(u(c|x)||p(c))    closed-form\n" in text
    assert "exact sum" not in str(ibsym.derive("vib"))

"""Each guard of the audit by itself: a forgery that nothing else would see."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
import sympy

import ibsym
from ibsym.checking.audit import Pairs, Tally, _check_rule, audit, replay, verify
from ibsym.checking.exact import Facts, check_gap, check_plan, difference, separated
from ibsym.checking.finite import FiniteWorld
from ibsym.checking.premises import check_premises, check_rule, holds
from ibsym.derivation.model import BoundTerm, Computable, Derivation, Plan, Step
from ibsym.errors import AuditError
from ibsym.facts import Relation, Side
from ibsym.rules.catalogue import EXAMPLE
from ibsym.spec.model import Spec
from ibsym.spec.spaces import Space
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    MutualInformation,
    RelativeEntropy,
    Weighted,
)
from ibsym.terms.premises import Discrete, Independent, Irrelevant, Nonnegative, Premise, SharedFactor
from ibsym.terms.vectors import Equation

SPEC = Spec(
    **{
        **EXAMPLE,
        "parameters": {"delta": {"default": 1.0}, "gamma": {"default": -1.0, "max": 0}, "beta": {"default": 1.0, "min": 0}},
    }
)  # type: ignore[arg-type]
FACTS = Facts(SPEC)
ALPHA, BETA, GAMMA, DELTA = (sympy.Symbol(n, real=True) for n in ("alpha", "beta", "gamma", "delta"))
Q, P = Density("q", ("z",)), Density("p", ("z",))
KL = RelativeEntropy(Q, (P,))
INFORMATION = MutualInformation("q", (("x",), ("z",)))
EQ, LE, GE, APPROX = Relation.EQ, Relation.LE, Relation.GE, Relation.APPROX


def plan_of(name: str) -> tuple[Facts, Plan]:
    derivation = ibsym.derive(name)
    return Facts(derivation.spec), next(p for p in derivation.plans if p.gaps)


def test_ratios_of_parameters_are_compared_exactly() -> None:
    h = Entropy("q", ("x",))
    assert FACTS.zero(Expression((Weighted(1 / (4 * ALPHA + 4), h), Weighted(-1 / (ALPHA + 1) / 4, h))))
    assert not FACTS.zero(Expression((Weighted(1 / (4 * ALPHA + 4), h), Weighted(-1 / (ALPHA + 2) / 4, h))))
    assert not FACTS.zero(Expression.of((BETA, h), (-1, h)))
    parts = (Weighted(ALPHA / (1 + ALPHA), h), Weighted(1 / (1 + ALPHA), h), Weighted(sympy.Integer(-1), h))
    assert FACTS.zero(Expression(parts))
    assert not FACTS.zero(Expression(parts[:2]))


def test_multipliers_that_cancel_are_still_looked_at() -> None:
    facts, plan = plan_of("vib")
    _, row = plan.gaps[0]
    with pytest.raises(AuditError, match="is negative"):
        check_plan(facts, replace(plan, gaps=(*plan.gaps, (Fraction(1), row), (Fraction(-1), row))))
    invented = Equation(dict(facts.coordinates.vector(Entropy("q", ("x",)))), Independent(("x",), ("z",), (), "q"))
    with pytest.raises(AuditError, match="no graph says"):
        check_plan(facts, replace(plan, equations=(*plan.equations, (Fraction(1), invented), (Fraction(-1), invented))))


def test_what_is_computed_is_what_was_counted() -> None:
    facts, plan = plan_of("vib")
    (x, item), *others = plan.computed
    other = replace(
        item,
        term=ExpectedLog("q", (Density("p", ("z",)),))
        if "c" in str(item.term)
        else ExpectedLog("q", (Density("p", ("c",), ("z",)),)),
    )
    with pytest.raises(AuditError, match="others than those that were used"):
        check_plan(facts, replace(plan, computed=((x, other), *others)))


@pytest.mark.parametrize("coefficient", [DELTA, GAMMA, -BETA, BETA - 1, sympy.Integer(-1), GAMMA + BETA])
def test_a_gap_needs_a_sign(coefficient: sympy.Expr) -> None:
    with pytest.raises(AuditError, match="may be negative"):
        check_gap(FACTS, Expression.of((coefficient, INFORMATION)), "step 1")
    check_gap(FACTS, Expression.of((BETA - GAMMA, INFORMATION)), "step 1")


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (Density("q", ("z",), ("x",)), (P,), True),
        (Density("q", ("x", "z")), (Density("q", ("x",)), Density("q", ("z",))), True),
        (Density("q", ("x", "z")), (Density("p", ("x",), ("z",)), P), True),
        (Density("q", ("z",)), (Density("q", ("z",), ("x",)),), False),  # a density of z for each x, and z depends on x
        (Density("q", ("z", "x")), (P,), False),
        (Density("q", ("z",)), (P, P), False),
        (Density("q", ("c", "z")), (Density("p", ("c",), ("z",)), Density("b", ("z",), ("c",))), False),  # a circle
        (Density("b", ("z",), ("c",)), (P,), False),  # no expectation under conditionals
    ],
)
def test_relative_entropies_are_those_of_distributions(first: Density, second: tuple[Density, ...], why: bool) -> None:
    assert bool(FACTS.nonnegative(RelativeEntropy(first, second))) is why


def test_moral_graphs_are_those_of_ancestors() -> None:
    """A collider that is not given blocks; given, it does not."""
    keys = {"x": "binary[D]", "y": "binary[E]", "z": "binary[L]", "w": "binary[M]"}
    spec = Spec(
        name="collider", objective="minimize I_q(X;Z)", variables=keys, joints={"q": "q(x) q(y) q(z|x,y) q(w|z)"},
        families=dict.fromkeys(("q(x)", "q(y)", "q(z|x,y)", "q(w|z)"), "bernoulli"),
    )  # fmt: skip
    joint = spec.joints["q"]
    assert separated(joint, ("x",), ("y",), ())
    assert not separated(joint, ("x",), ("y",), ("z",))
    assert not separated(joint, ("x",), ("y",), ("w",))
    assert separated(joint, ("x",), ("w",), ("z",))
    assert not separated(joint, ("x",), ("w",), ("y",))


def test_differences_have_a_side() -> None:
    before, after = Expression.of((1, INFORMATION), (1, KL)), Expression.of((1, INFORMATION))
    assert FACTS.zero(difference(GE, before, after, Expression.of((1, KL))))
    assert not FACTS.zero(difference(LE, before, after, Expression.of((1, KL))))
    assert FACTS.zero(difference(LE, after, before, Expression.of((1, KL))))


TERM, VALUE = Expression.of((1, KL)), Expression.of((1, Estimate(KL, "density-ratio")))
BOUND = Expression.of((1, Estimate(INFORMATION, "club")))
RULES_BROKEN: list[tuple[Step, str]] = [
    (Step("wishful thinking", EQ, TERM, TERM), "unknown rule 'wishful thinking'"),
    (Step("density-ratio", EQ, TERM, VALUE), "claims equality"),
    (Step("density-ratio", LE, TERM, VALUE, TERM), "no proved direction"),
    (Step("density-ratio", APPROX, TERM, VALUE, TERM), "and a gap"),
    (Step("density-ratio", APPROX, TERM, VALUE + TERM), "changes more"),
    (Step("density-ratio", APPROX, TERM, Expression.of((1, Estimate(KL, "mmd")))), "another estimate"),
    (Step("club", APPROX, Expression.of((1, INFORMATION)), BOUND), "side that it does not bound"),
    (Step("relaxation", EQ, TERM, TERM), "claims equality"),
    (Step("relaxation", LE, TERM, TERM, TERM), "no proved direction"),
    (Step("chain rule", APPROX, TERM, TERM), "only an estimator"),
    (Step("chain rule", LE, TERM, TERM, TERM), "and its rule ="),
    (Step("mutual information dropped", EQ, TERM, TERM), "and its rule >="),
    (Step("chain rule", EQ, TERM, TERM, TERM), "and a gap"),
    (Step("mutual information dropped", GE, TERM, TERM), "and no gap"),
]


@pytest.mark.parametrize(("step", "message"), RULES_BROKEN)
def test_a_step_is_what_its_rule_can_be(step: Step, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        _check_rule("step 1", step)


X_C = Density("q", ("z",), ("x",))
PREMISES: list[tuple[Premise, bool]] = [
    (Independent(("c",), ("z",), ("x",), "q"), True),
    (Independent(("c",), ("x",), ("z",), "q"), False),
    (Independent(("x",), ("z",), ("c",), "q"), False),
    (Independent(("c",), ("x",), ("z",), "p"), True),
    (Independent(("x",), ("c",), (), "q"), False),
    (Independent(("c",), ("z",), ("x",), "nowhere"), False),
    (Independent(("w",), ("z",), ("x",), "q"), False),
    (Irrelevant(X_C, ("c",)), True),
    (Irrelevant(Density("q", ("z",)), ("c",)), False),
    (Irrelevant(Density("p", ("z",), ("x",)), ("c",)), False),
    (SharedFactor(X_C, "u"), True),
    (SharedFactor(X_C, "p"), False),
    (SharedFactor(X_C, "nowhere"), False),
    (Nonnegative(KL), True),
    (Nonnegative(INFORMATION), False),  # not what the step drops
    (Discrete("x", SPEC.variables["x"]), True),
    (Discrete("x", Space("real", ("D",))), False),
    (Discrete("w", Space("binary", ("D",))), False),
]


@pytest.mark.parametrize(("premise", "true"), PREMISES, ids=str)
def test_premises_are_verified(premise: Premise, true: bool) -> None:
    step = Step("relative entropy dropped", GE, TERM, Expression(), TERM, premises=(premise,))
    assert holds(FACTS, step, premise) is true
    if true:
        check_premises(FACTS, step, "step 1")
    else:
        with pytest.raises(AuditError, match="does not hold"):
            check_premises(FACTS, step, "step 1")


def test_one_term_is_dropped_at_a_time() -> None:
    other = RelativeEntropy(Density("q", ("x",)), (Density("p", ("x",)),))
    both = Expression.of((1, KL), (1, other))
    step = Step("relative entropy dropped", GE, both, Expression(), both, (Nonnegative(KL), Nonnegative(other)))
    plan = Plan(KL, sympy.Integer(1), Side.LOWER, (), (), ())
    with pytest.raises(AuditError, match="its rule one term"):
        check_rule(FACTS, step, "step 1", [plan])
    one = replace(step, before=TERM, gap=TERM, premises=(Nonnegative(KL),))
    with pytest.raises(AuditError, match="no term of the objective loses"):
        check_rule(FACTS, one, "step 1", [plan])
    with pytest.raises(AuditError, match="does not say why"):
        check_rule(FACTS, replace(one, premises=()), "step 1", [plan])


def test_premises_of_continuous_variables() -> None:
    spec = Spec(
        name="apart", objective="minimize I_q(X;Z)", variables={"x": "binary[D]", "z": "real[L]"},
        joints={"q": "data(x) q(z|x)", "p": "p(x) p(z)"},
        families={"q(z|x)": "diagonal-normal", "p(x)": "bernoulli", "p(z)": "standard-normal"},
    )  # fmt: skip
    facts, step = Facts(spec), Step("chain rule", EQ, TERM, TERM)
    assert holds(facts, step, Independent(("x",), ("z",), (), "p"))
    assert not holds(facts, step, Independent(("x",), ("z",), (), "q"))
    assert not holds(facts, step, Discrete("z", spec.variables["z"]))
    for term, true in ((Entropy("q", ("x",)), True), (Entropy("q", ("z",)), False)):
        dropped = Step("entropy dropped", GE, TERM, TERM, Expression.of((1, term)))
        assert holds(facts, dropped, Nonnegative(term)) is true


def trivial(term: MutualInformation | Entropy, *, constant: bool) -> Derivation:
    """objective = objective, as if the term could be computed or were a constant."""
    text = str(term)
    spec = Spec(**{**EXAMPLE, "objective": f"minimize {text}"})  # type: ignore[arg-type]
    facts = Facts(spec)
    plan = Plan(term, sympy.Integer(1), Side.UPPER, (), ((Fraction(1), Computable(term, facts.coordinates.vector(term))),), ())
    whole = Expression.of((1, term))
    bound = () if constant else (BoundTerm(sympy.Integer(1), term, "sampled"),)
    return Derivation(spec, whole, EQ, (), bound, (), whole if constant else Expression(), (plan,), facts.coordinates)


def test_what_cannot_be_computed_is_no_bound_and_what_is_learned_no_constant() -> None:
    with pytest.raises(AuditError, match="cannot be computed"):
        audit(trivial(INFORMATION, constant=False))
    with pytest.raises(AuditError, match="learned factor"):
        audit(trivial(Entropy("q", ("z",), ("x",)), constant=True))
    audit(trivial(Entropy("q", ("x",)), constant=True))


def test_the_plans_are_the_objectives() -> None:
    """A plan of an equal term: I(Z;X) for I(X;Z)."""
    derivation = ibsym.derive("vib")
    first, *others = derivation.plans
    assert isinstance(first.term, MutualInformation)
    turned = replace(first, term=replace(first.term, groups=first.term.groups[::-1]))
    with pytest.raises(AuditError, match="not those of the objective"):
        verify(replace(derivation, plans=(turned, *others)), Side.UPPER, Facts(derivation.spec))


def changed(name: str, change: Callable[[Step], Step | None]) -> Derivation:
    """A derivation with the first step for which the change gives another."""
    derivation = ibsym.derive(name)
    for k, s in enumerate(derivation.steps):
        other = change(s)
        if other is not None:
            return replace(derivation, steps=(*derivation.steps[:k], other, *derivation.steps[k + 1 :]))
    raise AssertionError("nothing to change")


def test_premises_and_plans_are_verified() -> None:
    forged = changed("vib", lambda s: replace(s, premises=(Independent(("x",), ("z",), ("c",), "q"),)) if s.premises else None)
    with pytest.raises(AuditError, match="the premise 'X - C - Z in q'"):
        verify(forged, Side.UPPER, Facts(forged.spec))
    derivation = ibsym.derive("vib")
    first, *others = derivation.plans
    x, row = first.gaps[0]
    with pytest.raises(AuditError, match=r"the plan of .* is negative"):
        verify(
            replace(derivation, plans=(replace(first, gaps=(*first.gaps, (x, row), (-x, row))), *others)),
            Side.UPPER,
            Facts(derivation.spec),
        )


def test_a_gap_is_verified() -> None:
    """A step whose arithmetic is right and whose gap is no row: dropping E_q[log p(z)]."""
    loose = Expression.of((1, ExpectedLog("q", (P,))))
    step = Step("mutual information dropped", GE, TERM + loose, TERM, loose)
    derivation = replace(trivial(INFORMATION, constant=False), steps=(step,))
    with pytest.raises(AuditError, match="not known to be non-negative"):
        verify(derivation, Side.LOWER, FACTS)


def test_the_chain_ends_at_the_bound() -> None:
    derivation = ibsym.derive("vib")
    with pytest.raises(AuditError, match="ends at"):
        replay(replace(derivation, constants=derivation.constants.scaled(2)), Side.UPPER)


@pytest.mark.parametrize(
    ("before", "after", "gap", "message"),
    [
        ([(1.0, 2.0)], [(1.0, 1.0)], [(1.0, -1.0)], "a term of the gap"),
        ([(1.0, 2.0)], [(1.0, 1.0)], [(-1.0, 1.0)], "a term of the gap"),
        ([(1.0, 2.0)], [(1.0, 3.0)], [(1.0, 2.0), (-1.0, 1.0)], "a term of the gap"),
        ([(1.0, 2.0)], [(1.0, 3.0)], [(1.0, 0.5)], "what is left"),
        ([(1.0, 2.0)], [(1.0, 3.0)], [(1.0, 1.0 + 1e-7)], "what is left"),
        ([(1.0, 2.0)], [(1.0, float("nan"))], [(1.0, 0.5)], ""),
        ([(1.0, 2.0)], [(1.0, 3.0)], [(1.0, 1.0)], ""),
    ],
)
def test_a_stage_in_a_world(before: Pairs, after: Pairs, gap: Pairs, message: str) -> None:
    stage = Step("step 1", LE, TERM, TERM, TERM)
    if not message:
        assert Tally().stage("a world", stage, before, after, gap) is all(math.isfinite(v) for _, v in after)
        return
    with pytest.raises(AuditError, match=message):
        Tally().stage("a world", stage, before, after, gap)


def test_worlds_in_which_nothing_has_a_value_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FiniteWorld, "summands", lambda self, e: [(1.0, float("inf"))])
    with pytest.raises(AuditError, match="no world gave every term a value"):
        audit(ibsym.derive("gan"), worlds=3)


def test_cross_entropies_of_continuous_variables_are_no_rows() -> None:
    facts = Facts(
        Spec(
            **{
                **EXAMPLE,
                "variables": {"x": "binary[D]", "c": "categorical[K]", "z": "real[M]"},
                "families": {
                    **EXAMPLE["families"],
                    "q(z|x)": "diagonal-normal",
                    "p(z)": "standard-normal",
                    "b(z|c)": "diagonal-normal",
                },
            }
        )
    )  # type: ignore[arg-type, dict-item]
    assert facts.nonnegative(CrossEntropy(Density("q", ("x",)), (Density("p", ("x",)),)))
    assert not facts.nonnegative(CrossEntropy(Q, (P,)))
    assert not facts.nonnegative(Entropy("q", ("x", "z")))
    assert facts.nonnegative(Entropy("q", ("x",), ("z",)))

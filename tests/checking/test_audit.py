"""The audit passes what the engine derives, and fails when any one thing in it is changed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
import sympy

from ibsym.checking.audit import _check_rule, audit, comparisons, evaluate, replay, verify
from ibsym.checking.exact import Facts, check_computable, check_constant, check_gap, check_plan
from ibsym.checking.finite import FiniteWorld
from ibsym.checking.gaussian import GaussianWorld
from ibsym.checking.premises import check_premises, check_rule
from ibsym.derivation.engine import derive
from ibsym.derivation.model import Derivation, Plan, Step
from ibsym.errors import AuditError, SpecError
from ibsym.facts import Relation, Side
from ibsym.proving.elemental import ElementalInequality, InequalityKind
from ibsym.rules.catalogue import RULES
from ibsym.spec.loading import load, zoo_names
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Weighted,
)
from ibsym.terms.premises import Discrete, Independent
from ibsym.terms.vectors import Equation

ROOT = Path(__file__).resolve().parents[2]
NAMES = [*zoo_names(), *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("tests/specs/*.toml")))]


@cache
def derived(name: str) -> Derivation:
    return derive(load(name if name in zoo_names() else ROOT / name))


def side(derivation: Derivation) -> Side:
    return Side.of(derivation.spec.sense)


def complaint(check: Callable[[], object]) -> str:
    """What a check has to say against something, or nothing."""
    try:
        check()
    except AuditError as error:
        return str(error)
    return ""


def with_step(derivation: Derivation, number: int, step: Step) -> Derivation:
    steps = list(derivation.steps)
    steps[number] = step
    return replace(derivation, steps=tuple(steps))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_derived_passes(name: str) -> None:
    certificate = audit(derived(name), worlds=12, seed=100)
    assert certificate.derivation is derived(name)
    assert certificate.worlds >= 6  # where a divergence is infinite a world says nothing
    assert certificate.largest_error < 1e-12


def flipped(expression: Expression, term: Weighted) -> Expression:
    return expression - Expression.of((2 * term.coefficient, term.term))


def changed(expression: Expression, rng: random.Random) -> Iterator[Expression]:
    """An expression with one term's sign flipped, coefficient changed, or gone."""
    for part in expression:
        yield flipped(expression, part)
        yield expression + Expression.of((rng.choice([1, sympy.Rational(1, 3), part.coefficient]), part.term))
        yield expression - Expression.of((part.coefficient, part.term))


def mutants(derivation: Derivation) -> Iterator[tuple[str, Derivation]]:
    """Each way to get one thing wrong in a chain of steps."""
    rng = random.Random(0)
    for number, step in enumerate(derivation.steps):
        for after in changed(step.after, rng):
            yield f"after {number}", with_step(derivation, number, replace(step, after=after))
        for before in changed(step.before, rng):
            yield f"before {number}", with_step(derivation, number, replace(step, before=before))
        for gap in changed(step.gap, rng):
            yield f"gap {number}", with_step(derivation, number, replace(step, gap=gap))
        for relation in Relation:
            if relation is not step.relation:
                yield f"relation {number}", with_step(derivation, number, replace(step, relation=relation))
        yield f"rule {number}", with_step(derivation, number, replace(step, rule="wishful thinking"))
        untrue = Independent(("x",), ("x",), ("z",), "q")
        yield f"premise {number}", with_step(derivation, number, replace(step, premises=(*step.premises, untrue)))
        if len(derivation.steps) > 1 and not step.before.same(step.after):
            steps = (*derivation.steps[:number], *derivation.steps[number + 1 :])
            yield f"without {number}", replace(derivation, steps=steps)
    for relation in Relation:
        if relation is not derivation.relation:
            yield "relation", replace(derivation, relation=relation)
    for k, term in enumerate(derivation.bound):
        for coefficient in (-term.coefficient, 2 * term.coefficient):
            bound = (*derivation.bound[:k], replace(term, coefficient=coefficient), *derivation.bound[k + 1 :])
            yield f"bound {k}", replace(derivation, bound=bound)
        yield f"no bound {k}", replace(derivation, bound=(*derivation.bound[:k], *derivation.bound[k + 1 :]))
    for k, part in enumerate(derivation.gap):
        for other in (replace(part, coefficient=-part.coefficient), replace(part, closable=not part.closable)):
            yield f"gap {k}", replace(derivation, gap=(*derivation.gap[:k], other, *derivation.gap[k + 1 :]))
        yield f"no gap {k}", replace(derivation, gap=(*derivation.gap[:k], *derivation.gap[k + 1 :]))
    for constants in changed(derivation.constants, rng):
        yield "constants", replace(derivation, constants=constants)
    for objective in changed(derivation.objective, rng):
        yield "objective", replace(derivation, objective=objective)


@pytest.mark.parametrize("name", NAMES)
def test_no_change_of_the_chain_passes(name: str) -> None:
    derivation = derived(name)
    count = 0
    for what, mutant in some(mutants(derivation), 60):
        count += 1
        assert complaint(lambda m=mutant: audit(m, worlds=2)), f"{what} was changed and nobody noticed"
    assert count > 10


ONE_IDENTITY = (
    {"definition of mutual information", "insertion of a mutual information"},
    {
        "definition of relative entropy",
        "definition of relative entropy, collected",
        "insertion of a model density",
        "entropy through a model",
        "chain rule",
    },
    {"equal laws", "conditional independence", "shared factor"},
    {"relative entropy dropped", "variational rate bound"},
    {"relative entropy dropped", "variational decoder bound"},
    {"chain rule", "equal laws"},
)
"""Rules that say one thing of different sides: with the terms of other summands around, a step may be told under either."""


def reasons(facts: Facts, derivation: Derivation, step: Step) -> str:
    """What the audit has to say against the reasons of one step."""

    def check() -> None:
        _check_rule("it", step)
        check_premises(facts, step, "it")
        check_rule(facts, step, "it", derivation.plans)

    return complaint(check)


@pytest.mark.parametrize("name", NAMES)
def test_no_other_reason_passes(name: str) -> None:
    """Neither the name of another rule, nor a premise less, nor one of another kind more."""
    derivation = derived(name)
    facts = Facts(derivation.spec)
    for step in derivation.steps:
        assert not reasons(facts, derivation, step)
        for other in RULES:
            if step.rule in RULES and other != step.rule and not any({step.rule, other} <= names for names in ONE_IDENTITY):
                assert reasons(facts, derivation, replace(step, rule=other)), f"{step.rule} passes as {other}"
        for premise in step.premises:
            fewer = tuple(p for p in step.premises if p != premise)
            assert reasons(facts, derivation, replace(step, premises=fewer)), f"{step.rule} passes without {premise}"
        if step.rule in RULES and RULES[step.rule].relation is Relation.EQ:
            space = derivation.spec.variables[next(iter(derivation.spec.variables))]
            more = (*step.premises, Discrete(next(iter(derivation.spec.variables)), space))
            assert reasons(facts, derivation, replace(step, premises=more))


def test_a_joint_named_factor_is_told_by_its_own_reason() -> None:
    """The premise Z - X - C in factor is an independence, whatever the joint is called; the audit refuses the other rule."""
    spec = Spec(
        name="named", objective="minimize I_factor(Z;X|C) - I_factor(Z;C)",
        variables={"x": "real[D]", "z": "real[L]", "c": "categorical[K]"},
        joints={"factor": "data(x,c) factor(z|x)", "p": "p(z) p(c|z)"},
        families={"factor(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(c|z)": "categorical"},
    )  # fmt: skip
    derivation = derive(spec)
    told = [s for s in derivation.steps if any(isinstance(p, Independent) for p in s.premises)]
    assert told
    assert {s.rule for s in told} == {"conditional independence"}
    audit(derivation)
    facts = Facts(spec)
    for step in told:
        number = derivation.steps.index(step)
        for rule in ("shared factor", "chain rule"):
            with pytest.raises(AuditError, match=rf"step {number + 1} \({rule}\) rests on 'Z - X - C in factor'"):
                verify(with_step(derivation, number, replace(step, rule=rule)), side(derivation), facts)
        with pytest.raises(AuditError, match="by the premises that it states"):
            verify(with_step(derivation, number, replace(step, premises=())), side(derivation), facts)


Mutant = tuple[str, Derivation]


def some(found: Iterator[Mutant], most: int) -> list[Mutant]:
    """Of a long derivation's many mutants a fair sample, the same at every run: with so many systems each kind is met often."""
    everything = list(found)
    return everything if len(everything) <= most else random.Random(1).sample(everything, most)


def consistent_mutants(derivation: Derivation) -> Iterator[tuple[str, Derivation]]:
    """One step's arithmetic wrong, and everything after it carried along, so that the chain still hangs together."""
    for number, step in enumerate(derivation.steps):
        if step.relation is Relation.APPROX:
            continue
        for part in step.after:
            error = flipped(step.after, part) - step.after
            later = [replace(s, before=s.before + error, after=s.after + error) for s in derivation.steps[number + 1 :]]
            steps = (*derivation.steps[:number], replace(step, after=step.after + error), *later)
            yield f"the sign of {part.term} in step {number}", replace(derivation, steps=steps)
        for part in step.gap:
            gap = flipped(step.gap, part)
            yield f"the sign of the gap {part.term} in step {number}", with_step(derivation, number, replace(step, gap=gap))


@pytest.mark.parametrize("name", NAMES)
def test_worlds_alone_see_a_flipped_sign(name: str) -> None:
    """Without replay and without exact vectors: numbers see every flipped sign of every proved step."""
    derivation = derived(name)
    for what, mutant in some(consistent_mutants(derivation), max(4, 160 // len(derivation.steps))):
        assert "step" in complaint(lambda m=mutant: evaluate(m, side(derivation), 8, 0)), (
            f"{what} was flipped and no world noticed"
        )


@pytest.mark.parametrize("name", NAMES)
def test_exact_vectors_alone_see_a_flipped_sign(name: str) -> None:
    derivation = derived(name)
    facts = Facts(derivation.spec)
    for what, mutant in some(consistent_mutants(derivation), max(4, 160 // len(derivation.steps))):
        assert "step" in complaint(lambda m=mutant: verify(m, side(derivation), facts)), (
            f"{what} was flipped and the vectors agree"
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_graphs_alone_see_a_flipped_sign(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the premises that steps state: the independences of the graphs, found by moralisation, are enough."""
    monkeypatch.setattr("ibsym.checking.audit.check_rule", lambda *_: None)
    derivation = derived(name)
    facts = Facts(derivation.spec)
    changed = (m for m in consistent_mutants(derivation) if "of the gap" not in m[0])  # a gap's own sign is told first
    for what, mutant in some(changed, 8):
        assert "by what the graphs say" in complaint(lambda m=mutant: verify(m, side(derivation), facts)), what


@pytest.mark.parametrize("name", NAMES)
def test_replay_names_the_step(name: str) -> None:
    derivation = derived(name)
    for number, step in enumerate(derivation.steps):
        if number:
            broken = with_step(derivation, number, replace(step, before=flipped(step.before, step.before.parts[0])))
            with pytest.raises(AuditError, match=rf"step {number + 1} \({step.rule}"):
                replay(broken, side(derivation))


def plan_mutants(plan: Plan) -> Iterator[tuple[str, Plan]]:
    for field in ("gaps", "computed", "equations"):
        entries = getattr(plan, field)
        for k, (x, entry) in enumerate(entries):
            for other in (-x, x + Fraction(1, 7)):
                yield f"{field} {k}", replace(plan, **{field: (*entries[:k], (other, entry), *entries[k + 1 :])})
            yield f"no {field} {k}", replace(plan, **{field: (*entries[:k], *entries[k + 1 :])})
    if plan.gaps:
        yield "side", replace(plan, side=-plan.side)
        (x, row), *others = plan.gaps
        wrong = ElementalInequality(MutualInformation("q", (("x",), ("z",))), row.kind, row.vector)
        yield "row", replace(plan, gaps=((x, wrong), *others))
    invented = Equation({key: Fraction(1) for _, c in plan.computed for key in c.vector}, Independent(("x",), ("z",), (), "q"))
    yield "equation", replace(plan, equations=(*plan.equations, (Fraction(1), invented)))


@pytest.mark.parametrize("name", NAMES)
def test_no_change_of_a_plan_passes(name: str) -> None:
    derivation = derived(name)
    facts = Facts(derivation.spec)
    for plan in derivation.plans:
        check_plan(facts, plan)
        for what, mutant in plan_mutants(plan):
            told = complaint(lambda m=mutant: check_plan(facts, m))
            assert "the plan of" in told, f"{what} of the plan of {plan.term} was changed and nobody noticed"


def test_a_certificate_is_checked_even_if_its_error_cancels() -> None:
    """A plan whose vectors are forged to fit: the terms' own coordinates are what counts."""
    derivation = derived("vae")
    facts = Facts(derivation.spec)
    plan = next(p for p in derivation.plans if p.gaps)
    (x, row), *others = plan.gaps
    forged = replace(plan, gaps=((x, replace(row, term=Entropy("q", ("x",)), kind=InequalityKind.ENTROPY)), *others))
    with pytest.raises(AuditError, match="coordinates"):
        check_plan(facts, forged)


REAL = Spec(
    name="real", objective="minimize I_q(X;Z)", variables={"x": "real[D]", "z": "real[L]"},
    joints={"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "diagonal-normal"},
)  # fmt: skip


def test_discrete_only_gaps_are_refused_for_continuous_variables() -> None:
    facts = Facts(REAL)
    cross = CrossEntropy(Density("q", ("x",)), (Density("p", ("x",)),))
    for term in (Entropy("q", ("x",)), cross):
        with pytest.raises(AuditError, match="not known to be non-negative"):
            check_gap(facts, Expression.of((1, term)), "step 1")
    row = ElementalInequality(cross, InequalityKind.CROSS_ENTROPY, facts.coordinates.vector(cross))
    plan = derive(REAL).plans[0]
    with pytest.raises(AuditError, match="does not hold as a cross-entropy"):
        check_plan(facts, replace(plan, gaps=(*plan.gaps, (Fraction(1), row))))


def test_a_discrete_only_step_for_continuous_variables_fails_although_finite_worlds_are_content() -> None:
    """The data-space term of a real variable: the chain of the binary spec, told about a real one."""
    derivation = derived("bib-ae")
    keys = {**derivation.spec.keys, "variables": {"x": "real[D]", "z": "real[L]"}}
    keys["families"] = {**keys["families"], "p(x|z)": "isotropic-normal"}
    forged = replace(derivation, spec=Spec(**keys))
    evaluate(forged, side(forged), 4, 0)
    with pytest.raises(AuditError, match=r"cross-entropy dropped.*(discrete|non-negative)"):
        audit(forged)


def test_gaussian_worlds_see_what_finite_ones_cannot() -> None:
    """H(Z|X) >= 0 as a gap of mutual information's upper bound H(Z): true in finite worlds, false in Gaussian ones."""
    objective = Expression.of((1, MutualInformation("q", (("x",), ("z",)))))
    bound = Expression.of((1, Entropy("q", ("z",))))
    gap = Expression.of((1, Entropy("q", ("z",), ("x",))))
    gaps = [FiniteWorld.random(REAL, s).evaluate(gap) for s in range(20)]
    assert min(gaps) > 0
    worlds = [GaussianWorld.random(REAL, s) for s in range(40)]
    assert all(abs(w.evaluate(bound - objective - gap)) < 1e-9 for w in worlds)
    assert min(w.evaluate(gap) for w in worlds) < 0
    assert not GaussianWorld.reaches(REAL, objective, bound, gap)


def test_gaps_are_terms_that_are_never_negative() -> None:
    facts = Facts(derived("vib").spec)
    q, p = Density("q", ("z",), ("x",)), Density("p", ("z",))
    information = MutualInformation("q", (("x",), ("z",)))
    good = [
        RelativeEntropy(q, (p,)),
        information,
        Slack(Estimate(information, "club"), Side.UPPER),
        Slack(Estimate(information, "infonce"), Side.LOWER),
    ]
    bad = [
        ExpectedLog("q", (p,)),
        MutualInformation("q", (("x",), ("c",), ("z",))),
        RelativeEntropy(Density("q", ("c", "z")), (Density("p", ("c",), ("z",)), Density("q", ("z",), ("c",)))),
        RelativeEntropy(Density("q", ("c",)), (Density("p", ("c",), ("z",)),)),
        Slack(Estimate(information, "club"), Side.LOWER),
        Slack(Estimate(RelativeEntropy(q, (p,)), "density-ratio"), Side.LOWER),
    ]
    for term in good:
        check_gap(facts, Expression.of((1, term)), "step 1")
    for term in bad:
        with pytest.raises(AuditError, match="not known to be non-negative"):
            check_gap(facts, Expression.of((1, term)), "step 1")
    beta = sympy.Symbol("beta", real=True)
    with pytest.raises(AuditError, match="may be negative"):
        check_gap(facts, Expression.of((1 - beta, information)), "step 1")


def test_a_bound_is_made_of_what_can_be_computed() -> None:
    facts = Facts(derived("gan").spec)
    with pytest.raises(AuditError, match="is not a declared factor with a density"):
        check_computable(facts, ExpectedLog("p", (Density("p", ("x",), ("z",)),)))
    facts = Facts(derived("vae").spec)
    with pytest.raises(AuditError, match="is not a declared factor with a density"):
        check_computable(facts, RelativeEntropy(Density("q", ("z",)), (Density("p", ("z",)),)))
    with pytest.raises(AuditError, match="cannot be computed"):
        check_computable(facts, MutualInformation("q", (("x",), ("z",))))
    with pytest.raises(AuditError, match="learned factor"):
        check_constant(facts, Entropy("q", ("z",), ("x",)))
    check_constant(facts, Entropy("q", ("x",)))


def test_constraints_are_audited_too() -> None:
    derivation = derived("vdb")
    (constraint,) = derivation.constraints
    assert constraint.derivation is not None
    wrong = replace(constraint.derivation, gap=())
    with pytest.raises(AuditError, match="gaps add up"):
        audit(replace(derivation, constraints=(replace(constraint, derivation=wrong),)))


def test_both_senses_and_both_signs() -> None:
    vae = load("vae").keys
    up = derive(Spec(**{**vae, "objective": "maximize I_q(Z;X) - I_q(X;Z)"}))
    assert up.relation is Relation.GE
    audit(up)
    down = derived("vae")
    with pytest.raises(AuditError, match="wrong side"):
        replay(down, Side.LOWER)
    with pytest.raises(AuditError):
        audit(replace(down, spec=up.spec))


def test_the_whole_is_compared_with_estimates_at_their_best() -> None:
    derivation = derived("semi-supervised-ib")
    *_, whole = comparisons(derivation, Side.UPPER)
    assert whole.rule == "bound - objective"
    assert not any(isinstance(w.term, Estimate) for w in whole.after)
    proved = derived("tests/specs/infonce-rep.toml")
    *_, whole = comparisons(proved, Side.UPPER)
    assert any(isinstance(w.term, Estimate) for w in whole.after)


def test_a_one_sided_estimate_is_no_stand_in() -> None:
    """Turned into ~ on the side that it does not bound, it is refused: by the engine, and by the audit if the engine is not asked."""
    derivation = derived("tests/specs/infonce-rep.toml")
    number = next(k for k, s in enumerate(derivation.steps) if s.rule == "infonce")
    loose = replace(derivation.steps[number], relation=Relation.APPROX, gap=Expression())
    kept = tuple(g for g in derivation.gap if not isinstance(g.term, Slack))
    forged = replace(with_step(derivation, number, loose), relation=Relation.APPROX, gap=kept)
    with pytest.raises(AuditError, match="side that it does not bound"):
        audit(forged)
    keys = {**REAL.keys, "objective": "minimize E_q[log p(x|z)]", "estimators": {"E_q[log p(x|z)]": "iwae"}}
    with pytest.raises(SpecError, match="from below"):
        derive(Spec(**keys))
    keys["objective"], keys["estimators"] = "maximize E_q[log p(x|z)p(z)]", {"E_q[log p(x|z)p(z)]": "iwae"}
    with pytest.raises(SpecError, match="does not estimate"):
        derive(Spec(**keys))


def test_only_the_audit_makes_certificates() -> None:
    """Lowering takes nothing else, so a certificate that is made by hand, in a test too, goes round the audit."""
    made = re.compile(r"(?<!case )\bCertificate\(")
    making = [p for folder in ("ibsym", "tests") for p in (ROOT / folder).rglob("*.py") if made.search(p.read_text("utf-8"))]
    assert [str(p.relative_to(ROOT)) for p in making] == ["ibsym/checking/audit.py"]

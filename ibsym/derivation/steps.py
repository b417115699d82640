"""Proof steps: the certificate of one term's bound as a chain of textbook steps.

term = entropies and cross-entropies (definition) = the same with models inserted = what can be computed and the gaps (chain rule,
conditional independences) = relative entropies and expected log-densities (collected), then each gap is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from ibsym.derivation.model import Computable, Note, Plan, Step
from ibsym.errors import AuditError
from ibsym.facts import Relation
from ibsym.rules import catalogue
from ibsym.rules.catalogue import Rule
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
    Term,
    TotalCorrelation,
)
from ibsym.terms.premises import Irrelevant, Nonnegative, Premise
from ibsym.terms.reading import density
from ibsym.terms.vectors import Coordinates, Span, Vector, combine


@dataclass(frozen=True)
class Gap:
    """A dropped term with its multiplier, after relative entropies of the same pair of joints are joined by the chain rule."""

    multiplier: Fraction
    term: Term


def step(
    rule: Rule,
    before: Expression,
    after: Expression,
    *,
    gap: Expression | None = None,
    premises: Iterable[Premise] = (),
    relation: Relation | None = None,
    note: Note = Note(),  # noqa: B008  a frozen value
) -> Step:
    """A step under a rule, whose relation and sources it takes."""
    return Step(rule.name, relation or rule.relation, before, after, gap or Expression(), tuple(premises), rule.sources, note)


class ProofSteps:
    """The proof steps of one spec's plans."""

    def __init__(self, coordinates: Coordinates):
        self.coordinates, self.spec = coordinates, coordinates.spec

    def of(self, plan: Plan) -> tuple[list[Step], Expression]:
        """Steps from the term to its bound (weight 1, estimators not yet applied), and that bound."""
        start = Expression.of((1, plan.term))
        sign = plan.side.sign
        gaps = join_gaps(self.spec, ((x, r.term) for x, r in plan.gaps if not isinstance(r.term, Slack)))
        dropped = Expression.of(*((-sign * g.multiplier, g.term) for g in gaps))
        atoms = Expression.of(*(pair for x, c in plan.computed for pair in self.atoms(x, c)))
        collected = self.collect(atoms)
        if not gaps and collected.same(start):
            return [], start
        steps: list[Step] = []
        if (
            not gaps
            and len(collected) == 1
            and collected.parts[0].coefficient == 1
            and type(collected.parts[0].term) is type(plan.term)
        ):
            premises = self.planned(plan, start, collected)
            return [step(catalogue.equal_laws, start, collected, premises=premises)], collected
        state = start
        kept = [(x, self.kept(c)) for x, c in plan.computed if c.estimated]
        if not (len(kept) == 1 and kept[0][1] == plan.term):
            state, steps = self.expand(plan, state, steps)
            for coefficient, node in kept:
                state = self.insert(state, coefficient, node, steps)
        for gap in gaps:
            state = self.insert(state, -sign * gap.multiplier, gap.term, steps)
        target = atoms + dropped
        if state.same(target):
            target = state
        else:
            premises = self.planned(plan, state, target)
            steps.append(step(catalogue.rearrangement(premises), state, target, premises=premises))
        final = collected + dropped
        if final.same(target):
            final = target
        else:
            premises = self.completed(self.conditions(collected), target, final)
            steps.append(step(catalogue.collection, target, final, premises=premises))
        for gap in gaps:
            before, final = final, final - Expression.of((-sign * gap.multiplier, gap.term))
            rule = catalogue.dropping(plan.side, plan.term, gap.term)
            steps.append(
                step(
                    rule,
                    before,
                    final,
                    gap=Expression.of((gap.multiplier, gap.term)),
                    premises=(Nonnegative(gap.term),),
                    relation=plan.side.relation,
                )
            )
        return steps, final

    def total(self, expression: Expression) -> Vector:
        """The coordinates of a sum with rational coefficients."""
        return combine(*((Fraction(str(w.coefficient)), self.coordinates.vector(w.term)) for w in expression))

    def kept(self, item: Computable) -> Term:
        """The term that an estimator stands for, else the item's own."""
        return item.term.term if isinstance(item.term, Estimate) else item.term

    def atoms(self, x: Fraction, item: Computable) -> Iterator[tuple[Fraction, Term]]:
        """A computable term as entropies of the sampler and cross-entropies to models."""
        if item.estimated or not isinstance(item.term, ExpectedLog):
            yield x, self.kept(item)
            return
        joint, (model,) = item.term.joint, item.term.second
        first = density(self.spec, joint, model.of, model.given)
        own = self.spec.joints[joint].factor_of(model.of)
        if own is not None and str(own) == str(model):
            yield -x, Entropy(joint, self.spec.ordered(model.of), self.spec.ordered(model.given))
        else:
            yield -x, CrossEntropy(first, (model,))

    def expand(self, plan: Plan, state: Expression, steps: list[Step]) -> tuple[Expression, list[Step]]:
        """The term by its definition."""
        match plan.term:
            case MutualInformation(joint, groups, given):
                pairs = list(self._information(joint, groups, given))
                rule = catalogue.definition_of_mutual_information
            case RelativeEntropy(first, second):
                pairs = [
                    *((1, CrossEntropy(density(self.spec, first.head, d.of, d.given), (d,))) for d in second),
                    (-1, self.entropy(first)),
                ]
                rule = catalogue.definition_of_relative_entropy
            case TotalCorrelation(joint, groups, given) if not plan.term.coordinatewise:
                everything = self.spec.ordered(v for g in groups for v in g)
                pairs = [*((1, Entropy(joint, g, given)) for g in groups), (-1, Entropy(joint, everything, given))]
                rule = catalogue.definition_of_total_correlation
            case _:
                return state, steps
        after = Expression.of(*pairs)
        return after, [*steps, step(rule, state, after)]

    def _information(
        self, joint: str, groups: tuple[tuple[str, ...], ...], given: tuple[str, ...]
    ) -> Iterator[tuple[int, Term]]:
        if len(groups) == 2:
            yield 1, Entropy(joint, groups[1], given)
            yield -1, Entropy(joint, groups[1], self.spec.ordered((*groups[0], *given)))
            return
        yield from self._information(joint, groups[:-1], given)
        for sign, term in self._information(joint, groups[:-1], self.spec.ordered((*given, *groups[-1]))):
            yield -sign, term

    def entropy(self, d: Density) -> Entropy:
        """H_j(A|B) of a density j(a|b)."""
        return Entropy(d.head, self.spec.ordered(d.of), self.spec.ordered(d.given))

    def insert(self, state: Expression, coefficient: Fraction, node: Term, steps: list[Step]) -> Expression:
        """Adds coefficient * (node - its definition), which is zero."""
        parts: list[tuple[Fraction, Term]]
        match node:
            case RelativeEntropy(first, second):
                parts = [
                    *((-coefficient, CrossEntropy(density(self.spec, first.head, d.of, d.given), (d,))) for d in second),
                    (coefficient, self.entropy(first)),
                ]
                rule = catalogue.insertion_of_a_model
            case MutualInformation(joint, groups, given):
                parts = [(-coefficient * sign, term) for sign, term in self._information(joint, groups, given)]
                rule = catalogue.insertion_of_an_information
            case TotalCorrelation(joint, groups, given) if not node.coordinatewise:
                everything = self.spec.ordered(v for g in groups for v in g)
                parts = [(-coefficient, Entropy(joint, g, given)) for g in groups]
                parts.append((coefficient, Entropy(joint, everything, given)))
                rule = catalogue.insertion_of_a_total_correlation
            case _:
                return state
        after = state.replaced(parts[-1][1], *parts, (coefficient, node))
        steps.append(step(rule, state, after))
        return after

    def completed(self, premises: Iterable[Premise], before: Expression, after: Expression) -> tuple[Premise, ...]:
        """The premises once each, and what else before = after rests on: that a density is a joint's declared factor."""
        found = list(dict.fromkeys(premises))
        rest = combine((1, self.total(before)), (-1, self.total(after)))

        def open_with(more: Iterable[Premise]) -> bool:
            return bool(Span(v for p in (*found, *more) for v in self.coordinates.consequences(p)).reduce(rest))

        if not open_with(()):
            return tuple(found)
        more = self.coordinates.shared_factors()
        if open_with(more):
            raise AuditError(f"{before} is not {after}, by what was planned")
        for premise in list(more):
            others = [p for p in more if p != premise]
            more = more if open_with(others) else others
        return (*found, *more)

    def planned(self, plan: Plan, before: Expression, after: Expression) -> tuple[Premise, ...]:
        """Of the premises of a plan's equations those that before = after does not do without, and what else it rests on."""
        found = list(self.completed([e.premise for _, e in plan.equations], before, after))
        rest = combine((1, self.total(before)), (-1, self.total(after)))
        for premise in list(found):
            others = [p for p in found if p != premise]
            if not Span(v for p in others for v in self.coordinates.consequences(p)).reduce(rest):
                found = others
        return tuple(found)

    def collect(self, atoms: Expression) -> Expression:
        """Pairs -H_J(A|B) + CE(J(A|.)||R(A|.)) into KL(J(A|B)||R(A|.)); the rest as expected log-densities."""
        rest = list(atoms)
        found: list[tuple[object, Term]] = []
        for part in atoms:
            if not isinstance(part.term, Entropy) or part not in rest or self.constant(part.term):
                continue
            h = part.term
            own = self.spec.joints[h.joint].factor_of(h.of)
            partner = next(
                (
                    w
                    for w in rest
                    if isinstance(w.term, CrossEntropy) and w.coefficient == -part.coefficient and self.pairs(h, w.term)
                ),
                None,
            )
            if own is None or frozenset(own.given) != frozenset(h.given):
                continue
            if partner is not None and isinstance(partner.term, CrossEntropy):
                rest.remove(part)
                rest.remove(partner)
                found.append(
                    (partner.coefficient, RelativeEntropy(density(self.spec, h.joint, own.of, own.given), partner.term.second))
                )
            else:
                rest[rest.index(part)] = replace(
                    part, coefficient=-part.coefficient, term=ExpectedLog(h.joint, (Density.factor(own),))
                )
        for part in rest:
            if isinstance(part.term, CrossEntropy):
                found.append((-part.coefficient, ExpectedLog(part.term.first.head, part.term.second)))
            else:
                found.append((part.coefficient, part.term))
        return Expression.of(*found)

    def constant(self, entropy: Entropy) -> bool:
        """Whether no learned factor touches an entropy."""
        parts = self.coordinates.samplers(entropy.joint)
        return not any(f.learned for _, j in parts for f in j.ancestral_factors((*entropy.of, *entropy.given)))

    def pairs(self, entropy: Entropy, cross: CrossEntropy) -> bool:
        """Whether the two make a relative entropy: same sampler and variables, and no further dependence of the variables."""
        (model,) = cross.second
        if cross.first.head != entropy.joint or frozenset(model.of) != frozenset(entropy.of):
            return False
        return self.spec.joints[entropy.joint].independent(entropy.of, model.given, entropy.given)

    def conditions(self, collected: Expression) -> tuple[Premise, ...]:
        """The independences that let a relative entropy have conditioners its first argument lacks."""
        found: list[Premise] = []
        for part in collected:
            if isinstance(part.term, RelativeEntropy):
                first, (second, *_) = part.term.first, part.term.second
                extra = self.spec.ordered(frozenset(second.given) - frozenset(first.given))
                found += [Irrelevant(first, (e,)) for e in extra]
        return tuple(found)


def join_gaps(spec: Spec, rows: Iterable[tuple[Fraction, Term]]) -> list[Gap]:
    """Relative entropies of one multiplier and one pair of joints, joined where the chain rule allows.

    KL(j(a|b)||r(a|b)) + KL(j(c|a,b)||r(c|a,b)) = KL(j(a,c|b)||r(a,c|b)).
    """
    gaps = [Gap(*row) for row in rows]
    changed = True
    while changed:
        changed = False
        for i, inner in enumerate(gaps):
            for k, outer in enumerate(gaps):
                joined = _joined(spec, inner, outer) if i != k else None
                if joined is not None:
                    gaps = [g for n, g in enumerate(gaps) if n not in (i, k)]
                    gaps.insert(min(i, k), joined)
                    changed = True
                    break
            if changed:
                break
    return gaps


def _joined(spec: Spec, inner: Gap, outer: Gap) -> Gap | None:
    a, b = inner.term, outer.term
    if not isinstance(a, RelativeEntropy) or not isinstance(b, RelativeEntropy) or inner.multiplier != outer.multiplier:
        return None
    (r,), (s,) = a.second, b.second
    if a.first.head != b.first.head or r.head != s.head or not spec.joints[r.head].external <= set(r.given):
        return None
    if frozenset(s.given) != frozenset(r.given) | frozenset(r.of) or frozenset(b.first.given) != frozenset(
        a.first.given
    ) | frozenset(a.first.of):
        return None
    of, given = (*r.of, *s.of), r.given
    second = density(spec, r.head, of, given)
    return replace(inner, term=RelativeEntropy(density(spec, a.first.head, of, a.first.given), (second,)))

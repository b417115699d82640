"""The derivation of a spec: each term planned and told, constants expanded, estimators applied, nothing left that cannot be computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy

from ibsym.derivation.advice import no_bound, no_sign, unused_estimator
from ibsym.derivation.critics import model_side, said
from ibsym.derivation.fitted import constant, refuse_shared
from ibsym.derivation.model import BoundTerm, Constraint, Derivation, GapTerm, ModelSide, Note, Plan, Step
from ibsym.derivation.planning import Planner, estimates
from ibsym.derivation.quantisation import surrogate_steps, surrogates
from ibsym.derivation.sampling import estimator_of, refuse_undrawn, relaxations
from ibsym.derivation.steps import ProofSteps, step
from ibsym.derivation.unopposed import unopposed
from ibsym.derivation.unused import unused
from ibsym.errors import DerivationError, Edit, IbsymError, PlacedError, Remedy, SpecError, Way
from ibsym.estimators import ESTIMATORS, ONE_SIDED
from ibsym.facts import Relation, Side, Sign
from ibsym.proving.elemental import closable
from ibsym.rules import catalogue
from ibsym.rules.catalogue import RELAXATION
from ibsym.spec.grammar import DensitySyntax, QuantitySyntax
from ibsym.spec.model import CriticUse, EstimatorUse, Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    RelativeEntropy,
    Slack,
    Term,
    Weighted,
)
from ibsym.terms.premises import Discrete
from ibsym.terms.reading import Reader, read_objective
from ibsym.terms.signs import sign


def derive(spec: Spec) -> Derivation:
    """The bound of a spec's objective that code can compute, with its steps, gap and certificate.

    Each term is bounded on its own, in the direction that its coefficient needs, by the cheapest computable bound. Raises
    :class:`~ibsym.errors.DerivationError` with the factor to declare where no useful bound exists, and
    :class:`~ibsym.errors.SpecError` where the spec asks for what cannot be.
    """
    try:
        return _derived(_Engine(spec))
    except PlacedError as error:
        raise spec.located(error) from None


def _derived(engine: _Engine) -> Derivation:
    objective = read_objective(engine.spec)
    refuse_shared((w.term for w in objective), engine.planner.fitted)
    constraints = tuple(engine.constraint(c) for c in engine.spec.critics)
    return engine.derive(objective, Side.of(engine.spec.sense), constraints, whole=True)


class _Unbounded(DerivationError):
    """A term of a trial that has no useful bound."""

    def __init__(self, term: Term):
        super().__init__(f"no useful bound of {term}")
        self.term = term


class _Engine:
    """One run: the expression as it stands and the steps so far. ``trial``: of a spec that a remedy made, whose refusal needs none."""

    def __init__(self, spec: Spec, trial: bool = False):
        self.spec, self.trial = spec, trial
        self.planner = Planner(spec)
        self.proof = ProofSteps(self.planner.coordinates)
        self.used: set[Term] = set()
        self.models: dict[Term, ModelSide] = {}

    def derive(self, objective: Expression, side: Side, constraints: tuple[Constraint, ...], *, whole: bool) -> Derivation:
        """The bound of an expression from one side; ``whole``: of the objective, with the spec's expansions."""
        plans, steps, state = self.terms(objective, side)
        if whole:
            for quantity, density in self.spec.expansions:
                steps += self.expand(state, quantity, density, side)
                state = steps[-1].after
        constants = Expression(tuple(w for w in state if self.constant(w.term)))
        estimates = self.estimate(state, side, constraints)
        steps, state = [*steps, *estimates], estimates[-1].after if estimates else state
        items = tuple(self.bound_term(w) for w in state if w not in constants.parts)
        refuse_undrawn(self.spec, self.planner.coordinates, items)
        for factor, reason in relaxations(self.spec, self.planner.coordinates, items):
            how = factor.family.option("relax") if factor.family else ""
            note = Note(("draws of ", Density.factor(factor), f" ({how}) carry the gradient of ", reason))
            steps.append(Step(RELAXATION.name, Relation.APPROX, state, state, cite=RELAXATION.sources, note=note))
        added = surrogates(self.spec, self.planner.coordinates, items) if whole else ()
        steps += surrogate_steps(added, state)
        if whole:
            for use, wanted in self.planner.requested:
                if wanted not in self.used:
                    told = [e for s in steps for e in (s.before, s.after, s.gap)]
                    terms = [w.term for e in ([state] if ESTIMATORS[use.estimator].plain else [objective, *told]) for w in e]
                    raise unused_estimator(self.planner, use, wanted, objective, terms)
        relation = Relation.EQ
        for s in steps:
            relation = relation & s.relation
        gap = sum((s.gap for s in steps), Expression())
        gaps = tuple(GapTerm(w.coefficient, w.term, closable(self.planner.coordinates, w.term)) for w in gap)
        return Derivation(
            self.spec,
            objective,
            relation,
            tuple(steps),
            items,
            gaps,
            constants + Expression.of(*((i.coefficient, i.left_out) for i in items if i.left_out is not None)),
            plans,
            self.planner.coordinates,
            constraints,
            unused(self.spec, items, constraints) if whole else (),
            added,
            unopposed(self.spec, items, added) if whole else (),
        )

    def sign(self, coefficient: sympy.Expr) -> Sign:
        return sign(coefficient, self.spec.intervals)

    def helps(self, term: Term, way: Way) -> bool:
        """Whether a term has a bound once these changes are made, whatever those after it lack."""
        keys: Mapping[str, Any] = self.spec.keys
        for edit in way:
            keys = edit.applied(keys)
        try:
            _derived(_Engine(Spec(**keys), trial=True))
        except _Unbounded as error:
            order = [w.term for w in read_objective(self.spec)]
            return error.term in order and term in order and order.index(error.term) > order.index(term)
        except SpecError as error:
            return error.key.startswith("families.")  # what else the change needs is the next thing to be said
        except IbsymError:
            return False
        return True

    def constant(self, term: Term) -> bool:
        """Whether no learned factor touches a term: an entropy, or the cross-entropy of such a law to fixed densities."""
        match term:
            case Entropy():
                return self.proof.constant(term)
            case ExpectedLog(joint, second):
                evaluated = [self.spec.joints[d.head].factor_of(d.of, d.given) for d in second]
                fixed = all(f is not None and f.evaluated and not f.learned for f in evaluated)
                return fixed and not self.planner.learned_law(joint, {v for d in second for v in d.scope})
        return False

    def terms(self, objective: Expression, side: Side) -> tuple[tuple[Plan, ...], list[Step], Expression]:
        """Every term planned and told, its steps lifted to the whole expression."""
        plans: list[Plan] = []
        steps: list[Step] = []
        done = Expression()
        pending = list(objective)
        while pending:
            part = pending.pop(0)
            plan = self.plan(part, side)
            plans.append(plan)
            local, final = self.proof.of(plan)
            rest = Expression(tuple(pending))
            flipped = self.sign(part.coefficient) is Sign.NONPOSITIVE
            for s in local:
                before, after = (done + e.scaled(part.coefficient) + rest for e in (s.before, s.after))
                gap = s.gap.scaled(-part.coefficient if flipped else part.coefficient)
                relation = -s.relation if flipped else s.relation
                steps.append(Step(s.rule, relation, before, after, gap, s.premises, s.cite, s.note))
            done = done + final.scaled(part.coefficient)
        return tuple(plans), steps, done

    def plan(self, part: Weighted, side: Side) -> Plan:
        direction = self.sign(part.coefficient)
        if direction is Sign.UNKNOWN:
            plan = self.planner.plan(part.term, part.coefficient, None)
            if plan is None:
                raise no_sign(self.spec, part.coefficient, part.term)
            return plan
        wanted = side.times(direction)
        plan = self.planner.plan(part.term, part.coefficient, wanted)
        if plan is None or (plan.gaps and not any(c.learned for _, c in plan.computed)):
            if self.trial:
                raise _Unbounded(part.term)
            raise no_bound(self.planner, part.term, part.coefficient, wanted, plan, self.helps)
        return plan

    def expand(self, state: Expression, quantity: QuantitySyntax, density: DensitySyntax, side: Side) -> tuple[Step, Step]:
        """``H_j(A) with r(a)``: the constant through a model, its cross-entropy dropped, its relative entropy kept."""
        key = "derivation.expand"
        reader = Reader(self.spec, key)
        entropy, model = reader.term(quantity), reader.density(density)
        text = f"{entropy} with {model}"
        if not isinstance(entropy, Entropy) or entropy.given or frozenset(model.of) != frozenset(entropy.of) or model.given:
            raise SpecError(
                f"{text!r} does not expand an entropy through a model",
                key=key,
                remedy='an entropy, and a density of the same variables, as in "H_q(X) with p(x)"',
            )
        coefficient = state.coefficient(entropy)
        if coefficient == 0:
            left = ", ".join(str(w.term) for w in state if isinstance(w.term, Entropy))
            written = zip(self.spec.expansions, self.spec.keys["derivation"]["expand"], strict=True)
            without = (Edit(("derivation", "expand"), [t for e, t in written if e != (quantity, density)]),)
            told = f"leave the expansion out, {f'or one of its constants: {left}' if left else 'as the bound has no constant'}"
            raise SpecError(f"{entropy} is not a constant of the bound", key=key, remedy=Remedy(told, without))
        first = reader.density(DensitySyntax(entropy.joint, entropy.of))
        cross, relative = CrossEntropy(first, (model,)), RelativeEntropy(first, (model,))
        vector = self.planner.coordinates.vector(relative)
        kept = next((t for u, t in self.planner.requested if self.planner.coordinates.vector(t) == vector), None)
        if kept is None:
            raise SpecError(
                f"{relative} is kept by {text!r} and has no estimator",
                key=key,
                remedy=Remedy.of((Edit(("estimators", str(relative)), "density-ratio"),)),
            )
        after = state + Expression.of((-coefficient, entropy), (coefficient, cross), (-coefficient, kept))
        continuous = [v for v in entropy.of if not self.spec.discrete(v)]
        if continuous:
            spaces = ", ".join(f"{v} is {self.spec.variables[v]}" for v in continuous)
            raise SpecError(
                f"the step '{catalogue.cross_entropy_dropped.name}' of {text!r} drops {cross} >= 0, "
                f"which holds for discrete variables only: {spaces}",
                key=key,
                remedy='a discrete space such as "binary[D]", or leave the expansion out',
            )
        if self.sign(coefficient) is not (Sign.NONPOSITIVE if side is Side.UPPER else Sign.NONNEGATIVE):
            raise SpecError(
                f"{cross} enters with weight {coefficient}, so dropping it would turn the bound round",
                key=key,
                remedy="leave the expansion out",
            )
        final = after - Expression.of((coefficient, cross))
        gap = -side.sign * coefficient
        premises = [Discrete(v, self.spec.variables[v]) for v in entropy.of]
        note = Note(("for a continuous variable a density may exceed 1, and this step does not hold",))
        dropped = step(
            catalogue.cross_entropy_dropped,
            after,
            final,
            gap=Expression.of((gap, cross)),
            premises=premises,
            relation=side.relation,
            note=note,
        )
        return step(catalogue.expansion_of_entropy, state, after), dropped

    def estimate(self, state: Expression, side: Side, constraints: Iterable[Constraint]) -> list[Step]:
        """Every kept term that the spec names an estimator for, replaced by it; a bound only where its direction is right."""
        steps: list[Step] = []
        for use, wanted in self.planner.requested:
            coefficient = state.coefficient(wanted)
            if coefficient == 0:
                continue
            self.used.add(wanted)
            if ESTIMATORS[use.estimator].plain:
                continue
            rule = ESTIMATORS[use.estimator]
            density = self.planner.fitted.get(wanted)
            estimate = Estimate(wanted, use.estimator, density)
            after = Expression.of(*((w.coefficient, estimate if w.term == wanted else w.term) for w in state))
            direction = self.sign(coefficient)
            relation, gap = Relation.APPROX, Expression()
            # An upper bound needs est >= term where the weight is positive, est <= term where it is negative; a lower one the reverse.
            proved = direction is not Sign.UNKNOWN and rule.side is side.times(direction)
            if use.estimator in ONE_SIDED and direction is Sign.UNKNOWN:
                raise no_sign(self.spec, coefficient, wanted, (side, rule.side))
            if use.estimator in ONE_SIDED and not proved:
                raise unused_estimator(self.planner, use, wanted, state, ())
            proved = proved and (density is None or rule.player)
            model = self.model_side(use, wanted, coefficient, side, proved)
            if proved and (model is None or model.bounds):
                relation = side.relation
                size = coefficient if direction is Sign.NONNEGATIVE else -coefficient
                gap = Expression.of((size, Slack(estimate, side.times(direction))))
            notes: list[str | Density] = [rule.known]
            if density is not None:
                notes += ["; ", density, " is fitted by a player of its own, to draws that are cut from the model"]
                notes += (
                    [] if proved else ["; no bound of the objective" if rule.player else ", and not known to be it: no bound"]
                )
            if rule.side is not None and model is not None and not model.bounds:
                notes.append("; no bound of the objective")
            for c in constraints:
                if c.divergence == str(wanted):
                    notes += ["; the critic sees its samples through ", Density.factor(c.critic.through)]
            if model is not None:
                notes.append(f"; {said(model, use)}")
                self.models[wanted] = model
            steps.append(Step(rule.name, relation, state, after, gap, cite=rule.sources, note=Note(tuple(notes))))
            state = after
        return steps

    def model_side(self, use: EstimatorUse, term: Term, coefficient: sympy.Expr, side: Side, bounds: bool) -> ModelSide | None:
        """What the loss has for the term, by the sign of its weight in what is minimised."""
        weight = self.sign(coefficient if side is Side.UPPER else -coefficient)
        return model_side(self.planner.coordinates, use, term, weight, bounds)

    def bound_term(self, part: Weighted) -> BoundTerm:
        if isinstance(part.term, Estimate):
            wanted = part.term.term
            use = next(u for u, t in self.planner.requested if t == wanted)
            density = part.term.density
            left_out = constant(wanted, density) if density is not None and ESTIMATORS[use.estimator].player else None
            return BoundTerm(part.coefficient, part.term, use.estimator, self.models.get(wanted), use.options, left_out)
        requested = next((u.estimator for u, t in self.planner.requested if t == part.term), None)
        return BoundTerm(part.coefficient, part.term, requested or estimator_of(self.spec, part.term))

    def constraint(self, critic: CriticUse) -> Constraint:
        """The critic's information term bounded from above, its budget, and the divergence it belongs to."""
        key = f'critics."{critic.key}"'
        reader = Reader(self.spec, key)
        wanted = reader.term(critic.term)
        if wanted not in [t for u, t in self.planner.requested if ESTIMATORS[u.estimator].critic is not None]:
            raise SpecError(
                f"{wanted} has no estimator with a critic",
                key=key,
                remedy=Remedy.of(
                    *((Edit(("estimators", str(wanted)), e),) for e in ("logistic", "density-ratio") if estimates(e, wanted))
                ),
            )
        if critic.constraint is None:
            return Constraint(critic, str(wanted), None, sympy.Integer(0))
        left = Reader(self.spec, f"{key}.subject_to").expression(critic.constraint.left)
        budget = Reader(self.spec, f"{key}.subject_to").coefficient(critic.constraint.right)
        return Constraint(critic, str(wanted), self.derive(left, Side.UPPER, (), whole=False), budget)

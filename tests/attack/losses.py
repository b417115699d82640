"""Emitted losses of critics in random worlds: what the program minimises, as exact expectations, at random critics and at the best one.

The program's own nodes are evaluated, means weighted by P or Q, in worlds that are written apart from ibsym.checking. What the
interface promises is read off the worlds: which side moves with the learned factors, whether Q is the product of P's marginals.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import numpy as np
import sympy

from ibsym.checking.audit import audit
from ibsym.derivation.engine import derive
from ibsym.derivation.model import BoundTerm, Derivation
from ibsym.errors import AuditError, DerivationError, EmissionError, SpecError
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Relation
from ibsym.lowering import LossProgram, lower
from ibsym.lowering.numeric import value as formula
from ibsym.lowering.program import Elementwise, Load, LogMeanExp, Mean, Node, OverDraws, Ref, TermValue
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    Estimate,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)
from ibsym.terms.reading import GENERATORS, Reader
from tests.attack.batches import SLOPES, Array, FiniteBatch, coefficient
from tests.attack.bounds import Tally
from tests.attack.specs import NEGATIVE, PARAMETERS, POSITIVE, UNKNOWN
from tests.checking.random_specs import random_keys

STEP, TOLERANCE, SLOPE = 1e-4, 1e-9, 2e-6
CRITICS = {name: e.critic for name, e in ESTIMATORS.items() if e.critic is not None}
RELATIVE = tuple(name for name in CRITICS if "KL" in ESTIMATORS[name].estimates)


def random_loss(seed: int) -> dict[str, object]:
    """The keys of a spec whose objective has one or two divergences by critics, of every kind, sign and model side."""
    rng = random.Random(seed * 104729 + 7)
    keys = random_keys(seed, most=rng.choice((3, 3, 4)))
    families = keys["families"]
    assert isinstance(families, dict)
    for text in families:
        if families[text] != "empirical" and rng.random() < 0.3:
            families[text] = "implicit"
    spec = Spec(**keys, objective="minimize I_q(X;Y)")  # type: ignore[arg-type]
    parts, asked = [], {}
    sense, bounding = rng.choice(("minimize", "maximize")), rng.random() < 0.4
    for _ in range(rng.choice((1, 1, 2))):
        text, names = _term(spec, rng)
        if text in asked:
            continue
        if bounding:
            entry = {"estimator": names[-1]}
            sign, coefficient = "-" if sense == "minimize" else "+", rng.choice(POSITIVE)
        else:
            entry = {"estimator": rng.choice(names)}
            sign, coefficient = rng.choice("+-"), rng.choice(rng.choice((POSITIVE, POSITIVE, NEGATIVE, UNKNOWN)))
        if rng.random() < 0.25:
            entry["model"] = rng.choice(("value", "saturating", "non-saturating", "nwj"))
        asked[text] = entry
        parts.append(f"{sign} {coefficient}{text}")
    return {**keys, "objective": f"{sense} {' '.join(parts).removeprefix('+ ')}", "parameters": PARAMETERS, "estimators": asked}


def _term(spec: Spec, rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """A divergence of two joints, or of a joint and the product of its marginals, with the estimators that it may have."""
    relative = ("density-ratio", *RELATIVE, "nwj")
    q = list(spec.joints["q"].variables)
    if rng.random() < 0.25 and (text := _conditional(spec, rng, q)) is not None:
        return text, relative
    if rng.random() < 0.35:
        if rng.random() < 0.3:
            return f"TC_q({';'.join(v.upper() for v in rng.sample(q, rng.randint(2, len(q))))})", relative
        a, b = rng.sample(q, 2)
        if rng.random() < 0.5:
            return f"I_q({a.upper()};{b.upper()})", relative
        arguments = f"q({a},{b})||q({a})q({b})"
    else:
        first, second = rng.sample([n for n in ("q", "p", "u") if n in spec.joints], 2)
        common = [v for v in spec.joints[first].variables if v in spec.joints[second].variables]
        of = rng.sample(common, rng.randint(1, min(2, len(common))))
        arguments = f"{first}({','.join(of)})||{second}({','.join(of)})"
        if len(of) == 2 and rng.random() < 0.3:
            arguments = f"{first}({','.join(of)})||{first}({of[0]}){second}({of[1]})"
    match rng.randrange(3):
        case 0:
            return f"JS({arguments})", ("logistic",)
        case 1:
            return f"F[{rng.choice(GENERATORS)}]({arguments})", ("dual",)
    return f"KL({arguments})", relative


def _conditional(spec: Spec, rng: random.Random, q: list[str]) -> str | None:
    """I(A;B|C) with a discrete C, or KL of a conditional or marginal of q from a declared factor, drawn at the rows' own values."""
    given = [v for v in q if spec.discrete(v)]
    if given and len(q) > 2 and rng.random() < 0.5:
        c = rng.choice(given)
        a, b = rng.sample([v for v in q if v != c], 2)
        return f"I_q({a.upper()};{b.upper()}|{c.upper()})"
    declared = [f for f in spec.factors.values() if f.given and f.head != "q" and {*f.of, *f.given} <= {*q}]
    if declared:
        factor = rng.choice(declared)
        return f"KL(q({','.join(factor.of)}|{','.join(factor.given)})||{factor.text})"
    own = [f for f in spec.joints["q"].factors if f.given and f.of[0] in spec.joints["p"].variables]
    roots = [f.of[0] for f in spec.joints["p"].factors if not f.given]
    chosen = [f for f in own if f.of[0] in roots]
    return f"KL({rng.choice(chosen).text}||p({chosen[0].of[0]}))" if len(chosen) == 1 else None


@dataclass(frozen=True)
class Sides:
    """P and Q of a term in every world, which of them move with the learned factors, and whether Q is made of P's marginals."""

    p: Array
    q: Array
    first: bool
    second: bool
    own: bool


def attack_loss(seed: int, worlds: int = 12) -> Tally:
    """One random spec with critics: refused by ibsym's own error, or what its loss is and claims holds in every world."""
    tally, keys = Tally(), random_loss(seed)
    about = f"loss {seed}"
    try:
        derivation = derive(Spec(**keys))
        certificate = audit(derivation, worlds=2, seed=seed)
        program = lower(certificate)
    except (DerivationError, SpecError, EmissionError) as refusal:
        tally.refused[type(refusal).__name__] += 1
        return tally
    except AuditError as error:
        tally.violations.append(f"{about}: the audit says {error}")
        return tally
    tally.derivations[str(derivation.relation)] += 1
    judge_loss(derivation, program, seed, worlds, tally, about)
    return tally


def judge_loss(derivation: Derivation, program: LossProgram, seed: int, worlds: int, tally: Tally, about: str) -> None:
    """Every critic's term of a program, and the whole loss where it claims a bound."""
    batch = smooth(FiniteBatch(derivation.spec, seed, worlds, "dense"))
    rng = np.random.default_rng((seed, 41))
    values = {t.text: t for t in program.terms}
    losses: list[tuple[sympy.Expr, Array]] = []
    for item in derivation.bound:
        if item.estimator not in CRITICS:
            losses.append((item.coefficient, batch.value(item.term)))
            continue
        wanted = item.term.term if isinstance(item.term, Estimate) else item.term
        sides, term = compared(batch, wanted, rng), values[item.text]
        best = np.log(sides.p) - np.log(sides.q)
        f = best * rng.uniform(size=(worlds, 1)) + rng.choice([0.1, 1.0, 3.0]) * rng.normal(size=best.shape)
        losses.append((item.coefficient, minimised(program, term, sides.p, sides.q, f)))
        g = best + rng.normal(size=best.shape)
        got = losses[-1][1] - minimised(program, term, sides.p, sides.q, g)
        form = promised(derivation, item, sides, batch)
        expected = spelled(form, item, wanted, sides, f) - spelled(form, item, wanted, sides, g)
        if (np.abs(got - expected) > TOLERANCE * (1 + np.abs(expected))).any():
            tally.violations.append(f"{about}: {item.text} by {item.estimator}: the loss is not its {form} form")
        one_sided = form == "value" and item.estimator == "density-ratio" and sides.second and not sides.own
        if form != "non-saturating" and not one_sided and (form != "value" or CRITICS[item.estimator].exact):
            slopes(batch, program, term, wanted, best, rng, tally, f"{about}: {item.text} by {item.estimator} ({form})")
        tally.pairs["critics in worlds"] += worlds
    if derivation.relation in (Relation.LE, Relation.GE):
        rest = [*losses, *batch.summands(derivation.apart)]
        total = sum((_weight(c, batch) * v for c, v in rest), np.zeros(worlds))
        objective = sum((c * v for c, v in batch.summands(derivation.objective)), np.zeros(worlds))
        difference = total - objective if derivation.relation is Relation.LE else objective - total
        scale = 1 + sum((np.abs(_weight(c, batch) * v) for c, v in rest), np.zeros(worlds))
        if (difference < -TOLERANCE * scale).any():
            tally.violations.append(f"{about}: {derivation.line}: the loss does not bound the objective at a random critic")
        tally.pairs["losses that bound"] += worlds


def _weight(c: object, batch: FiniteBatch) -> Array | float:
    return coefficient(c, batch.drawn) if isinstance(c, sympy.Basic) else c  # type: ignore[return-value]


def smooth(batch: FiniteBatch) -> FiniteBatch:
    """The batch with every table mixed with the uniform one, so that log P/Q is bounded."""
    tables = {}
    for text, table in batch.tables.items():
        states = batch.count(batch.spec.factors[text].of)
        tables[text] = 0.8 * table + 0.2 / states
    return changed(batch, tables)


def changed(batch: FiniteBatch, tables: dict[str, Array]) -> FiniteBatch:
    other = copy.copy(batch)
    other.tables, other.memory = tables, {}
    return other


def moved(batch: FiniteBatch, directions: dict[str, Array]) -> FiniteBatch:
    """The logits of some tables changed."""
    tables = dict(batch.tables)
    for text, change in directions.items():
        weights = tables[text] * np.exp(change)
        over = tuple(batch.axis[v] for v in batch.spec.factors[text].of)
        tables[text] = weights / weights.sum(axis=over, keepdims=True)
    return changed(batch, tables)


def compared(batch: FiniteBatch, term: Term, rng: np.random.Generator) -> Sides:
    learned = {f.text: rng.normal(size=batch.tables[f.text].shape) for f in batch.spec.factors.values() if f.learned}
    other = moved(batch, learned)
    p, q = pair(batch, term)
    first = float(np.abs(p - pair(other, term)[0]).max()) > 1e-12
    if isinstance(term, MutualInformation | TotalCorrelation):
        second, own = first, True
    else:
        densities = term.second  # type: ignore[union-attr]
        second = any(float(np.abs(batch.density(d) - other.density(d)).max()) > 1e-12 for d in densities)
        product = np.ones(1)
        for d in densities:
            product = product * batch.margin(batch.joint(term.first.head), d.of)  # type: ignore[union-attr]
        own = len(densities) > 1 and np.allclose(pair_of(batch, product, term), q, atol=1e-12)
    kl = not isinstance(term, JensenShannon | FDivergence)
    return Sides(p, q, first, second, own and kl)


def pair(batch: FiniteBatch, term: Term) -> tuple[Array, Array]:
    """P and Q over the same states, in the variables' order; at given values, these have the law that P gives them."""
    match term:
        case MutualInformation(joint, groups, given) | TotalCorrelation(joint, groups, given):
            p = batch.margin(batch.joint(joint), scope(term))
            common = batch.margin(p, given)
            q = common
            for group in groups:
                q = q * batch.margin(p, (*group, *given)) / common
        case RelativeEntropy(first, second) | JensenShannon(first, second) | FDivergence(_, first, second):
            p = batch.margin(batch.joint(first.head), scope(term))
            q = batch.margin(p, scope(term) - {*first.of})
            for d in second:
                q = q * batch.density(d)
        case _:
            raise AssertionError(term)
    return pair_of(batch, p, term), pair_of(batch, q, term)


def scope(term: Term) -> set[str]:
    match term:
        case MutualInformation(_, groups, given) | TotalCorrelation(_, groups, given):
            return {v for g in (*groups, given) for v in g}
        case RelativeEntropy(first, second) | JensenShannon(first, second) | FDivergence(_, first, second):
            return {v for d in (first, *second) for v in d.scope}
    raise AssertionError(term)


def pair_of(batch: FiniteBatch, table: Array, term: Term) -> Array:
    names = scope(term)
    shape = [batch.size, *(batch.count([v]) if v in names else 1 for v in batch.axis)]
    return np.broadcast_to(table, shape).reshape(batch.size, -1)


def minimised(program: LossProgram, term: TermValue, p: Array, q: Array, f: Array) -> Array:
    """The program's own expression for a term, its means as expectations under P or Q."""

    def run(node: Node) -> Array:
        match node:
            case Ref(index):
                return run(program.steps[index].node)
            case Load():
                return f
            case Mean(operand) | OverDraws("mean", operand):
                inner = run(operand)
                weights = side(operand)
                return inner if weights is None or inner.ndim == 1 else (weights * inner).sum(axis=1)
            case LogMeanExp(operand):
                return np.log((side(operand) * np.exp(run(operand))).sum(axis=1))
            case Elementwise(expression, operands):
                found = formula(expression, {name: run(n) for name, n in operands})
                return np.asarray(found, dtype=float) * np.ones(1)
        raise AssertionError(node)

    def side(node: Node) -> Array | None:
        match node:
            case Ref(index):
                return side(program.steps[index].node)
            case Load(key):
                return p if key.role == "critic" else q
            case Elementwise(_, operands):
                return next((s for _, n in operands for s in [side(n)] if s is not None), None)
        return None

    result = run(term.value if term.surrogate is None else term.surrogate)
    return (p * result).sum(axis=1) if result.ndim == 2 else result


def promised(derivation: Derivation, item: BoundTerm, sides: Sides, batch: FiniteBatch) -> str:
    """The model side that the interface promises, or that the spec asks for."""
    spec = derivation.spec
    use = next(u for u in spec.estimators if str(Reader(spec, u.key).term(u.term)) == item.text)
    if use.estimator == "dv":
        return "value"
    if use.model is not None:
        return "value" if use.model == "saturating" else use.model
    sign = 1 if derivation.spec.sense == "minimize" else -1
    weights = sign * np.asarray(coefficient(item.coefficient, batch.drawn)) * np.ones(1)
    entry = derivation.bound[list(derivation.bound).index(item)].model_side
    unknown = entry is not None and entry.weight.value == "?"
    if not sides.second or sides.own:
        return "value"
    if not unknown and (weights >= 0).all():
        return "non-saturating"
    return "nwj" if use.estimator == "density-ratio" else "value"


@dataclass
class Tables:
    """The words of a critic's value over finite tables."""

    p: Array
    q: Array
    f: Array
    item: BoundTerm
    exp, log, abs = np.exp, np.log, np.abs

    def P(self, h: Array) -> Array:
        return (self.p * h).sum(axis=1)

    def Q(self, h: Array) -> Array:
        return (self.q * h).sum(axis=1)

    def option(self, name: str) -> float:
        return float(next(o.default for o in ESTIMATORS[self.item.estimator].options if o.name == name))


def spelled(form: str, item: BoundTerm, term: Term, sides: Sides, f: Array) -> Array:
    """The form as the interface spells it, up to a constant."""
    p, q = sides.p, sides.q

    def under(weights: Array, inner: Array) -> Array:
        return (weights * inner).sum(axis=1)

    soft = np.logaddexp
    generator = "jensen-shannon" if isinstance(term, JensenShannon) else getattr(term, "generator", "kl")
    if form == "nwj":
        return -under(q, np.exp(f)) + (under(p, f) if sides.first else 0)
    if form == "non-saturating":
        if generator == "kl":
            return under(q, soft(0, -f)) + (under(p, f) if sides.first else 0)
        if generator == "jensen-shannon":
            return under(q, soft(0, -f)) / 2 + (under(p, soft(0, f)) / 2 if sides.first else 0)
        slope = SLOPES[generator](np.exp(f))
        return -under(q, slope) + (under(p, slope) if sides.first else 0)
    match item.estimator:
        case "density-ratio":
            return under(p, f)
        case "dv":
            return under(p, f) - np.log(under(q, np.exp(f)))
        case "nwj":
            return under(p, f) - under(q, np.exp(f))
        case "logistic":
            return -0.5 * under(p, soft(0, -f)) - 0.5 * under(q, soft(0, f))
        case name if (written := CRITICS[name].value) is not None:  # its own formula, which its own test holds against another
            return written(Tables(p, q, f, item))
    u = np.exp(f)
    g = {
        "kl": u * np.log(u),
        "reverse-kl": -np.log(u),
        "pearson": (u - 1) ** 2,
        "neyman": (1 - u) ** 2 / u,
        "squared-hellinger": (np.sqrt(u) - 1) ** 2,
        "jensen-shannon": (u * np.log(u) - (1 + u) * np.log((1 + u) / 2)) / 2,
        "jeffreys": (u - 1) * np.log(u),
    }[generator]
    slope = SLOPES[generator](u)
    return under(p, slope) - under(q, u * slope - g)


def slopes(
    batch: FiniteBatch,
    program: LossProgram,
    term: TermValue,
    exact: Term,
    best: Array,
    rng: np.random.Generator,
    tally: Tally,
    about: str,
) -> None:
    """At the best critic the loss changes with every learned factor as the exact divergence does."""
    for factor in batch.spec.factors.values():
        if not factor.learned or factor.components:
            continue
        change = rng.normal(size=batch.tables[factor.text].shape)
        ahead, behind = (moved(batch, {factor.text: s * change}) for s in (STEP, -STEP))
        got, wanted = (
            (a - b) / (2 * STEP)
            for a, b in (
                [minimised(program, term, *pair(w, exact), best) for w in (ahead, behind)],
                [w.value(exact) for w in (ahead, behind)],
            )
        )
        if (np.abs(got - wanted) > SLOPE * (1 + np.abs(wanted))).any():
            tally.violations.append(f"{about}: at the best critic the gradient in {factor} is not the divergence's")
        tally.pairs["gradients"] += batch.size

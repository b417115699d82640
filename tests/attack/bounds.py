"""Derived bounds in random worlds: objective <= bound, the gap is the difference, every step holds, nothing discrete slips through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ibsym.checking.audit import audit
from ibsym.derivation.engine import derive
from ibsym.derivation.model import Derivation
from ibsym.errors import AuditError, DerivationError, SpecError
from ibsym.facts import Relation
from ibsym.proving.elemental import InequalityKind
from ibsym.spec.model import Spec
from ibsym.terms.measures import CrossEntropy, Entropy, Estimate, Expression, Term
from tests.attack.batches import STYLES, Batch, FiniteBatch, GaussianBatch
from tests.attack.specs import random_case, with_expansion

TOLERANCE = 1e-8


@dataclass
class Tally:
    """What an attack counts."""

    derivations: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Tally:
        for name in ("derivations", "refused", "pairs", "claims"):
            getattr(self, name).update(getattr(other, name))
        self.largest = max(self.largest, other.largest)
        self.violations += other.violations
        return self

    @property
    def total(self) -> int:
        """(derivation, world) pairs in which everything had a finite value."""
        return self.pairs["finite"] + self.pairs["Gaussian"]


@dataclass(frozen=True)
class Stage:
    """before (relation) after with a gap, estimates without a direction standing for their terms."""

    name: str
    relation: Relation
    before: Expression
    after: Expression
    gap: Expression


def stages(derivation: Derivation) -> Iterator[Stage]:
    """Every proved step, and the whole: objective against bound and constants."""
    loose: set[Term] = set()
    for s in derivation.steps:
        if s.relation is Relation.APPROX:
            known = {w.term for w in s.before}
            loose |= {w.term for w in s.after if isinstance(w.term, Estimate) and w.term not in known}

    def at_best(expression: Expression) -> Expression:
        """Loose estimates at the value of what they estimate."""
        return Expression.of(
            *((w.coefficient, w.term.term if isinstance(w.term, Estimate) and w.term in loose else w.term) for w in expression)
        )

    for number, s in enumerate(derivation.steps, 1):
        if s.relation is not Relation.APPROX:
            yield Stage(f"step {number} ({s.rule})", s.relation, at_best(s.before), at_best(s.after), s.gap)
    side = Relation.LE if derivation.spec.sense == "minimize" else Relation.GE
    gap = Expression.of(*((g.coefficient, g.term) for g in derivation.gap))
    bound = Expression.of(*((b.coefficient, b.term) for b in derivation.bound)) + derivation.apart
    yield Stage("the bound", side, derivation.objective, at_best(bound), gap)


def judge(batch: Batch, kind: str, found: list[Stage], tally: Tally, about: str) -> None:
    """Every stage in every world of a batch; worlds where the bound has no finite value are counted apart."""
    for stage in found:
        before, after, gap = (batch.summands(e) for e in (stage.before, stage.after, stage.gap))
        every = [*before, *after, *gap]
        with np.errstate(all="ignore"):
            # A zero coefficient removes its term, whatever its value.
            sizes = [np.where(np.equal(c, 0), 0.0, c * v) for c, v in every]
            defined = np.isfinite(sizes).all(axis=0) if sizes else np.ones(batch.size, bool)
            scale = 1 + np.abs(sizes).sum(axis=0) if sizes else np.ones(batch.size)
            low = sum(sizes[: len(before)], np.zeros(batch.size))
            high = sum(sizes[len(before) : len(before) + len(after)], np.zeros(batch.size))
            extra = sum(sizes[len(before) + len(after) :], np.zeros(batch.size))
            difference = low - high if stage.relation is Relation.GE else high - low
            error = np.where(defined, np.abs(difference - extra) / scale, 0.0)
            least = np.where(defined, np.min([np.minimum(c, v) for c, v in gap], axis=0) if gap else 0.0, 0.0) / scale
            # Infinite on one side: the inequality must hold all the same where both sides are defined.
            wrong = (difference < -TOLERANCE * scale) & ~np.isnan(low) & ~np.isnan(high)
        tally.largest = max(tally.largest, float(error.max(initial=0.0)))
        for what, bad in (
            ("difference and gap disagree", error > TOLERANCE),
            ("negative gap", least < -TOLERANCE),
            ("wrong side", wrong),
        ):
            if bad.any():
                world = int(np.flatnonzero(bad)[0])
                tally.violations.append(
                    f"{about}: {stage.name}: {what} in {kind} world {world}: {stage.before} {stage.relation} {stage.after}"
                )
        if stage.name == "the bound":
            tally.pairs[kind] += int(defined.sum())
            tally.pairs["infinite or undefined"] += int((~defined).sum())


def discrete_only(derivation: Derivation) -> list[str]:
    """Rows and gaps that hold for discrete variables only, used for one that is not."""
    spec = derivation.spec
    kinds = (InequalityKind.ENTROPY, InequalityKind.CROSS_ENTROPY)
    rows = [r.term for p in derivation.plans for _, r in p.gaps if r.kind in kinds]
    found = []
    for term in (*rows, *(g.term for g in derivation.gap)):
        of: Iterable[str] = ()
        if isinstance(term, Entropy):
            of = term.of
        elif isinstance(term, CrossEntropy):
            of = [v for d in term.second for v in d.of]
        found += [str(term) for v in of if not spec.discrete(v)]
    return found


def attack_derivation(derivation: Derivation, seed: int, worlds: int, tally: Tally, about: str) -> None:
    tally.derivations[str(derivation.relation)] += 1
    tally.violations += [f"{about}: {term} >= 0 used for a continuous variable" for term in discrete_only(derivation)]
    found = list(stages(derivation))
    share = max(1, worlds // (len(STYLES) + 2))
    for style in STYLES:
        judge(FiniteBatch(derivation.spec, seed, share, style), "finite", found, tally, about)
    plain = not any(isinstance(w.term, Entropy | CrossEntropy) for s in found for w in s.gap)
    if plain and GaussianBatch.reaches(derivation.spec, [e for s in found for e in (s.before, s.after, s.gap)]):
        judge(GaussianBatch(derivation.spec, seed, 2 * share), "Gaussian", found, tally, about)


def attack_seed(seed: int, worlds: int = 35) -> Tally:
    """One random spec: refused by ibsym's own error, or derived, audited now and then, and evaluated in random worlds."""
    tally = Tally()
    case = random_case(seed)
    derived = _attempt(case.keys, f"seed {seed}", tally)
    if derived is None and case.keys["estimators"]:
        derived = _attempt({**case.keys, "estimators": {}}, f"seed {seed} without estimators", tally)
    if derived is None:
        return tally
    attack_derivation(derived, seed, worlds, tally, f"seed {seed}")
    if seed % 8 == 0:
        try:
            audit(derived, worlds=2, seed=seed)
        except AuditError as error:
            tally.violations.append(f"seed {seed}: the audit says {error}")
    constants = [(w.term.joint, w.term.of) for w in derived.constants if isinstance(w.term, Entropy) and not w.term.given]
    wider = with_expansion(case, derived.spec, constants, seed)
    if wider is not None:
        expanded = _attempt(wider.keys, f"seed {seed} expanded", tally)
        if expanded is not None:
            attack_derivation(expanded, seed + 1, worlds, tally, f"seed {seed} expanded")
    return tally


def _attempt(keys: dict[str, object], about: str, tally: Tally) -> Derivation | None:
    try:
        return derive(Spec(**keys))
    except (DerivationError, SpecError) as refusal:
        tally.refused[type(refusal).__name__] += 1
    except Exception as error:  # anything else is a bug of the engine's
        tally.violations.append(f"{about}: {type(error).__name__}: {error}")
    return None

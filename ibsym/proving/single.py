"""Claims about one joint, in entropy space."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from ibsym.errors import SpecError
from ibsym.proving import entropic
from ibsym.proving.claims import Statement, linear, terms_of
from ibsym.proving.entropic import Elemental, Fact, Mask, Reduction, bits, h, mask_of
from ibsym.proving.problem import Item, Problem, Proof, differences, signed_sum, text_of
from ibsym.proving.program import Column, LimitError, solve
from ibsym.spec.grammar import QuantitySyntax
from ibsym.terms.vectors import Vector, combine

FAMILY = 48
"""How many sets the first attempts look at."""
MAX_ROWS = 100_000
MAX_GROUPS = 10


class Single:
    """Claims about one joint, in entropy space."""

    def __init__(self, problem: Problem, continuous: bool, axioms: Sequence[str]):
        self.names = problem.variables
        self.place = {n.casefold(): i for i, n in enumerate(self.names)}
        self.continuous, self.axioms = continuous, axioms
        independences: list[tuple[Mask, Mask, Mask, str]] = []
        dependences: list[tuple[Mask, Mask, str]] = []
        self.premises: list[tuple[Vector, str, bool]] = []
        for chain in problem.chains:
            groups = [self.mask(g) for g in chain.groups]
            independences += [
                (_union(groups[:i]), _union(groups[i + 1 :]), groups[i], chain.text) for i in range(1, len(groups) - 1)
            ]
        for statement in problem.premises:
            shape = _zero_quantity(statement)
            sets = [self.mask(g) for g in (*shape.groups, shape.given)] if shape is not None else []
            if shape is not None and shape.kind == "I" and len(shape.groups) == 2 and disjoint(sets):
                independences.append((*sets, statement.text))  # type: ignore[arg-type]
            elif shape is not None and shape.kind == "H":
                dependences.append((self.mask(shape.given), self.mask(shape.groups[0]), statement.text))
            else:
                zero = statement.syntax.relation == "="
                self.premises += [(self.vector(d), statement.text, zero) for d in differences(statement)[:1]]
        self.reduction = Reduction(independences, dependences)
        self.atoms = self._atoms(problem)

    def mask(self, names: Iterable[str]) -> Mask:
        return _union(1 << self.place[n.casefold()] for n in names)

    def _atoms(self, problem: Problem) -> list[Mask]:
        """The finest sets of variables that the claim and the premises tell apart: the rest of the proof need not split them."""
        told = [self.mask(g) for q in terms_of((problem.claim, *problem.premises)) for g in (*q.groups, q.given)]
        told += [self.mask(g) for c in problem.chains for g in c.groups]
        classes: dict[tuple[bool, ...], Mask] = {}
        for i in range(len(self.names)):
            key = tuple(bool(m >> i & 1) for m in told)
            classes[key] = classes.get(key, 0) | 1 << i
        return list(classes.values())

    def text(self, mask: Mask) -> str:
        return ",".join(self.names[i] for i in bits(mask))

    def show(self, e: Elemental) -> str:
        given = f"|{self.text(e.c)}" if e.c else ""
        return f"I({self.text(e.a)};{self.text(e.b)}{given})" if e.b else f"H({self.text(e.a)}{given})"

    def vector(self, terms: Iterable[tuple[Fraction, QuantitySyntax]]) -> Vector:
        return combine(*((x, self.quantity(q)) for x, q in terms))

    def quantity(self, q: QuantitySyntax) -> Vector:
        groups, c = [self.mask(g) for g in q.groups], self.mask(q.given)
        match q.kind:
            case "H":
                return combine((1, h(groups[0] | c)), (-1, h(c)))
            case "TC":
                every = _union(groups)
                return combine(*((1, combine((1, h(g | c)), (-1, h(c)))) for g in groups), (-1, h(every | c)), (1, h(c)))
            case "I":
                return self.interaction(groups, c)
        raise SpecError(f"{q.kind} needs joints by name", key="claim", remedy="KL(q(z)||p(z))", column=q.column)

    def interaction(self, groups: Sequence[Mask], c: Mask) -> Vector:
        """I(A;B;...;Z|C) = I(A;B;...|C) - I(A;B;...|Z,C)."""
        if len(groups) < 2:
            raise SpecError("mutual information needs two arguments", key="claim", remedy="I(X;Y)")
        if len(groups) > MAX_GROUPS:
            message = f"an interaction of {len(groups)} arguments has 2^{len(groups)} parts"
            raise SpecError(message, key="claim", remedy=f"at most {MAX_GROUPS} arguments")
        if len(groups) == 2:
            return entropic.information(groups[0], groups[1], c)
        return combine((1, self.interaction(groups[:-1], c)), (-1, self.interaction(groups[:-1], c | groups[-1])))

    def prove(self, terms: list[tuple[Fraction, QuantitySyntax]], deadline: float) -> Proof | None:
        """First among the sets that occur, where a textbook would look, then with every elemental inequality."""
        target = self.vector(terms)
        claimed = [mask_of(k) for k in target]
        extra: list[tuple[str, Vector]] = []
        if "zhang-yeung" in self.axioms:
            named = ((", ".join(map(self.text, sets)), v) for sets, v in entropic.zhang_yeung(tuple(self.atoms)))
            extra = [(f"Zhang-Yeung({names})", v) for names, v in named]
        reduce = self.reduction.apply
        rest = combine((-1, reduce(target)))
        families = [self.family(claimed), self.family([*claimed, *self.premised()])]
        for sets in (*unique(families), None):
            if sets is None:
                cone, sets = self.elementals(deadline), list(_unions(self.atoms))
            else:
                cone = self.among(sets)
            equations = self.equations(sets, deadline)
            columns = [Column(v, 1.0 + 0.01 * e.size) for e, v in cone]
            columns += [Column(reduce(v), 2.0) for _, v in extra]
            columns += [Column(reduce(v), 0.5, free=zero) for v, _, zero in self.premises]
            columns += [Column(v, 0.01, free=True) for v, _ in equations]
            answer = solve(rest, columns, time_limit=max(0.01, deadline - time.monotonic()))
            if answer is not None:
                return self._proof(target, terms, cone, extra, equations, answer)
        return None

    def premised(self) -> list[Mask]:
        """The sets that the premises speak of."""
        sets = [mask_of(k) for v, _, _ in self.premises for k in v]
        for a, b, c, _ in self.reduction.independences:
            sets += [a | c, b | c, c, a | b | c]
        for a, b, _ in self.reduction.dependences:
            sets += [a, a | b]
        return sets

    def family(self, sets: Iterable[Mask]) -> list[Mask]:
        """The sets with their unions and intersections while there are few; else with the unions of those before each."""
        given = list(dict.fromkeys(m for m in sets if m))
        found = dict.fromkeys((0, *given))
        pending = list(given)
        while pending and len(found) <= FAMILY:
            m = pending.pop(0)
            new = [k for other in list(found) for k in (m & other, m | other) if k not in found]
            found.update(dict.fromkeys(new))
            pending += new
        if len(found) > FAMILY:
            totals = [_union(given[: i + 1]) for i in range(len(given))]
            met = [total & other for total in totals for other in given]
            found = dict.fromkeys([0, *given, *totals, *met][: 2 * FAMILY])
        return sorted(found, key=lambda m: (m.bit_count(), m))

    def among(self, sets: Sequence[Mask]) -> list[tuple[Elemental, Vector]]:
        """I(A;B|C) for two sets that overlap in C, H(B|A) for one inside the other."""
        found = []
        for i, a in enumerate(sets):
            for b in sets[i + 1 :]:
                if a & ~b and b & ~a:
                    found.append(Elemental(a & ~b, b & ~a, a & b))
                elif not a & ~b and not self.continuous:
                    found.append(Elemental(b & ~a, 0, a))
        return self._unique((e, e.vector) for e in found)

    def elementals(self, deadline: float) -> list[tuple[Elemental, Vector]]:
        """Every elemental inequality, as far as there is time and room."""
        return self._unique(entropic.elementals(tuple(self.atoms), not self.continuous), deadline)

    def _unique(
        self, rows: Iterable[tuple[Elemental, Vector]], deadline: float = float("inf")
    ) -> list[tuple[Elemental, Vector]]:
        """Rows in the coordinates that are left, each once."""
        found: dict[object, tuple[Elemental, Vector]] = {}
        trivial = self.reduction.trivial
        for k, (e, vector) in enumerate(rows):
            if k % 512 == 511 and (time.monotonic() > deadline or len(found) > MAX_ROWS):
                raise LimitError(f"more than {len(found)} inequalities")
            small = vector if trivial else self.reduction.apply(vector)
            if small:
                found.setdefault(e if trivial else frozenset(small.items()), (e, small))
        return list(found.values())

    def equations(self, sets: Iterable[Mask], deadline: float) -> list[tuple[Vector, Fact]]:
        """What the rewriting of a set by one fact leaves unsaid of its others: further zero vectors."""
        if self.reduction.trivial:
            return []
        found: dict[frozenset[object], tuple[Vector, Fact]] = {}
        for mask in sets:
            for fact in self.reduction.facts(mask):
                rest = self.reduction.apply(fact.quantity.vector)
                if rest:
                    found.setdefault(frozenset(rest.items()), (rest, fact))
            if time.monotonic() > deadline:
                raise LimitError
        return list(found.values())

    def _proof(
        self,
        target: Vector,
        terms: list[tuple[Fraction, QuantitySyntax]],
        cone: list[tuple[Elemental, Vector]],
        extra: list[tuple[str, Vector]],
        equations: list[tuple[Vector, Fact]],
        answer: list[Fraction],
    ) -> Proof:
        """The multipliers as lines of a proof, the facts behind every rewriting included; verified in the full space."""
        parts = iter(answer)
        used = entropic.join((x, e) for (e, _), x in zip(cone, parts, strict=False) if x)
        used_axioms = [(x, *a) for a, x in zip(extra, parts, strict=False) if x]
        premises = [(x, p) for p, x in zip(self.premises, parts, strict=False) if x]
        direct = [(x, f) for (_, f), x in zip(equations, parts, strict=False) if x]
        rest = combine(
            (1, target),
            *((-x, e.vector) for x, e in used),
            *((-x, v) for x, _, v in used_axioms),
            *((-x, p[0]) for x, p in premises),
        )
        rest = combine((1, rest), *((-x, f.quantity.vector) for x, f in direct))
        left, rewritten = self.reduction.explain(rest)
        if left:
            raise AssertionError(f"the proof leaves {left}")
        total: dict[Fact, Fraction] = {}
        for x, f in (*rewritten, *direct):
            total[f] = total.get(f, Fraction(0)) + x
        facts = [(x, f) for f, x in total.items() if x]
        items = [Item(x, self.show(f.quantity), f"is 0 by {f.premise}", zero=True) for x, f in facts]
        items += [Item(x, text, "premise", zero=zero) for x, (_, text, zero) in premises]
        items += [Item(x, text, "non-Shannon axiom") for x, text, _ in used_axioms]
        items += [Item(x, self.show(e), "mutual information" if e.b else "entropy of discrete variables") for x, e in used]
        expanded = signed_sum((v, f"H({self.text(mask_of(k))})") for k, v in target.items())
        return Proof(signed_sum((x, text_of(q)) for x, q in terms), expanded, tuple(items))


def _zero_quantity(statement: Statement) -> QuantitySyntax | None:
    """The quantity q of a premise ``q = 0`` (also ``q <= 0``, since it is never negative)."""
    left, right = linear(statement.syntax.left), linear(statement.syntax.right)
    if statement.syntax.relation == ">=":
        left, right = right, left
    if not right and len(left) == 1 and left[0][0] > 0:
        return left[0][1]
    if not left and len(right) == 1 and right[0][0] > 0 and statement.syntax.relation == "=":
        return right[0][1]
    return None


def disjoint(masks: Sequence[Mask]) -> bool:
    """Whether no two sets meet."""
    return sum(m.bit_count() for m in masks) == _union(masks).bit_count()


def unique(families: Iterable[list[Mask]]) -> list[list[Mask]]:
    """Each family once."""
    return [list(f) for f in dict.fromkeys(map(tuple, families))]


def _union(masks: Iterable[Mask]) -> Mask:
    total = 0
    for mask in masks:
        total |= mask
    return total


def _unions(atoms: Sequence[Mask]) -> Iterable[Mask]:
    for size in range(1, len(atoms) + 1):
        for chosen in combinations(atoms, size):
            yield _union(chosen)

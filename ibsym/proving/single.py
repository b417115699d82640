"""Claims about one joint, in entropy space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from ibsym.errors import SpecError
from ibsym.proving import axioms as catalogue
from ibsym.proving import entropic
from ibsym.proving.attempts import Attempt, Premise
from ibsym.proving.claims import Statement, linear, terms_of
from ibsym.proving.entropic import Elemental, Mask, Reduction, bits, h, mask_of
from ibsym.proving.problem import Problem, Proof, differences
from ibsym.proving.writing import proof
from ibsym.spec.grammar import QuantitySyntax
from ibsym.terms.vectors import Vector, combine

MAX_GROUPS = 10


class Single:
    """Claims about one joint, in entropy space."""

    def __init__(self, problem: Problem, continuous: bool, axioms: Sequence[str]):
        self.names = problem.variables
        self.place = {n.casefold(): i for i, n in enumerate(self.names)}
        self.continuous, self.axioms = continuous, catalogue.axioms(axioms)
        independences: list[tuple[Mask, Mask, Mask, str]] = []
        dependences: list[tuple[Mask, Mask, str]] = []
        self.premises: list[Premise] = []
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
                self.premises += [Premise(self.vector(d), statement.text, zero) for d in differences(statement)[:1]]
        self.reduction = Reduction(independences, dependences)
        self.atoms = self._atoms(problem)

    def mask(self, names: Iterable[str]) -> Mask:
        """The set of the named variables, as bits."""
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
        """A set of variables by their names."""
        return ",".join(self.names[i] for i in bits(mask))

    def show(self, e: Elemental) -> str:
        """An elemental quantity as it is printed."""
        given = f"|{self.text(e.c)}" if e.c else ""
        return f"I({self.text(e.a)};{self.text(e.b)}{given})" if e.b else f"H({self.text(e.a)}{given})"

    def vector(self, terms: Iterable[tuple[Fraction, QuantitySyntax]]) -> Vector:
        """A sum of terms as joint entropies."""
        return combine(*((x, self.quantity(q)) for x, q in terms))

    def quantity(self, q: QuantitySyntax) -> Vector:
        """One term as joint entropies, by the chain rule."""
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

    def prove(self, terms: list[tuple[Fraction, QuantitySyntax]], deadline: float, thorough: bool = True) -> Proof | None:
        """0 <= the sum of the terms, or None where it is not of Shannon type."""
        target = self.vector(terms)
        used = Attempt(self, target, deadline, thorough).multipliers()
        return None if used is None else proof(self, terms, target, used)

    def premised(self) -> list[Mask]:
        """The sets that the premises speak of."""
        sets = [mask_of(k) for p in self.premises for k in p.vector]
        for a, b, c, _ in self.reduction.independences:
            sets += [a | c, b | c, c, a | b | c]
        for a, b, _ in self.reduction.dependences:
            sets += [a, a | b]
        return sets


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


def _union(masks: Iterable[Mask]) -> Mask:
    total = 0
    for mask in masks:
        total |= mask
    return total

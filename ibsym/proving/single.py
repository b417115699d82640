"""Claims about one joint, in entropy space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ibsym.errors import SpecError
from ibsym.proving import axioms as catalogue
from ibsym.proving import constants, entropic
from ibsym.proving.attempts import Attempt, Premise
from ibsym.proving.claims import Atom, Constant, Linear, terms_of
from ibsym.proving.entropic import Elemental, Mask, Reduction, bits, h, mask_of
from ibsym.proving.problem import Problem, Proof, written
from ibsym.proving.writing import proof
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
        for function in problem.functions:
            dependences.append((self.mask(function.by), self.mask(function.of), function.text))
        for statement in problem.premises:
            self.premises.append(Premise(self.vector(statement.form), statement.text, statement.zero))
        self.reduction = Reduction(independences, dependences)
        self.atoms = self._atoms(problem)

    def mask(self, names: Iterable[str]) -> Mask:
        """The set of the named variables, as bits."""
        return _union(1 << self.place[n.casefold()] for n in names)

    def _atoms(self, problem: Problem) -> list[Mask]:
        """The finest sets of variables that the claim and the premises tell apart: the rest of the proof need not split them."""
        told = [self.mask(g) for q in terms_of((*problem.claims, *problem.premises)) for g in (*q.groups, q.given)]
        told += [self.mask(g) for c in problem.chains for g in c.groups]
        told += [self.mask(g) for f in problem.functions for g in (f.of, f.by)]
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

    def vector(self, terms: Linear) -> Vector:
        """A sum of terms in coordinates."""
        return combine(*((x, self.quantity(q)) for x, q in terms))

    def quantity(self, q: Atom) -> Vector:
        """One term in coordinates."""
        if isinstance(q, Constant):
            return constants.vector(q)
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

    def prove(self, terms: Linear, deadline: float, thorough: bool = True, otherwise: Sequence[Linear] = ()) -> Proof | None:
        """0 <= the sum of the terms unless one of the others is positive, or None where that is not of Shannon type."""
        target = self.vector(terms)
        cases = [
            Premise(self.vector([(-x, q) for x, q in form]), f"{written(form)} <= 0", False, "the other case")
            for form in otherwise
        ]
        used = Attempt(self, target, deadline, thorough, cases).multipliers()
        return None if used is None else proof(self, terms, target, used)

    def contradiction(self, deadline: float) -> bool:
        """Whether the premises have it that 1 <= 0."""
        if not any(constants.is_constant(key) for p in self.premises for key in p.vector):
            return False
        return Attempt(self, {constants.ONE: -1}, deadline).multipliers() is not None

    def premised(self) -> list[Mask]:
        """The sets that the premises speak of."""
        sets = [mask_of(k) for p in self.premises for k in p.vector if k[0] == "H"]
        for a, b, c, _ in self.reduction.independences:
            sets += [a | c, b | c, c, a | b | c]
        for a, b, _ in self.reduction.dependences:
            sets += [a, a | b]
        return sets


def _union(masks: Iterable[Mask]) -> Mask:
    total = 0
    for mask in masks:
        total |= mask
    return total

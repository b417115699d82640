"""Claims and premises as linear forms: clauses of sums of entropies, informations, relative entropies and constants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, TypeAlias

from sympy import factorint

from ibsym.errors import SpecError, shown
from ibsym.proving.notation import Chain, Function, Piecewise, Relation, links, read
from ibsym.proving.plain import Sum, ordinary
from ibsym.spec.grammar import Arithmetic, QuantitySyntax

MAX_VARIABLES = 32
MAX_FORMS = 64
REMEDY = "H(X), I(X;Y|Z), TC(X;Y;Z), KL(q(z)||p(z)), numbers, log 2"


@dataclass(frozen=True, slots=True)
class Constant:
    """log of a prime, or the number 1 where ``prime`` is 0, in nats."""

    prime: int

    def __str__(self) -> str:
        return f"log {self.prime}" if self.prime else "1"


Atom: TypeAlias = QuantitySyntax | Constant
Linear: TypeAlias = list[tuple[Fraction, Atom]]
Lattice: TypeAlias = list[list[Linear]]
"""The least, over clauses, of the largest of each clause."""


@dataclass(frozen=True)
class Statement:
    """What is non-negative: for every clause one of its forms; ``zero`` where the only form is zero."""

    clauses: tuple[tuple[tuple[tuple[Fraction, Atom], ...], ...], ...]
    text: str
    zero: bool = False

    @property
    def form(self) -> Linear:
        """The only form."""
        ((form,),) = self.clauses
        return list(form)

    def atoms(self) -> Iterator[Atom]:
        """Every quantity and constant, in order of appearance."""
        for clause in self.clauses:
            for form in clause:
                yield from (atom for _, atom in form)


def read_claim(text: str, unit: str = "nats") -> tuple[Statement, ...]:
    """Relations, a chain, an independence, a function: statements that together are the claim."""
    return tuple(s for link in links(text) for s in _read_claim(link, unit))


def _read_claim(text: str, unit: str) -> tuple[Statement, ...]:
    found = read(text, "claim")
    if isinstance(found, Relation):
        up = lattice(found.right, unit, "claim", found.left)
        if found.comparison == "<=":
            return (_statement(up, text),)
        down = lattice(found.left, unit, "claim", found.right)
        return (_statement(down, text),) if found.comparison == ">=" else (_statement(up, text), _statement(down, text))
    quantities = [zero_quantity(found)] if isinstance(found, Function) else [q for c in found for q in chain_quantities(c)]
    return tuple(_statement([[[(Fraction(-1), q)]]], text) for q in quantities)


def read_premise(text: str, unit: str = "nats") -> tuple[Chain | Function | Statement, ...]:
    """What is assumed; a relation that says that an information or an entropy is zero is a chain or a function."""
    return tuple(s for link in links(text) for s in _read_premise(link, unit))


def _read_premise(text: str, unit: str) -> tuple[Chain | Function | Statement, ...]:
    found = read(text, "given")
    if isinstance(found, Function):
        return (found,)
    if not isinstance(found, Relation):
        return found
    left, right = found.left, found.right
    if found.comparison == ">=":
        left, right = right, left
    forms = lattice(right, unit, "given", left)
    if any(len(clause) > 1 for clause in forms):
        raise SpecError(
            f"{shown(text, 120)!r} holds if one of several relations does, which is not a convex premise",
            key="given",
            remedy="one of them in each run",
        )
    if found.comparison == "=" and len(forms) > 1:
        raise SpecError(f"{shown(text, 120)!r} is not a convex premise", key="given", remedy="sums of quantities on both sides")
    if len(forms) == 1:
        known = _known_zero(forms[0][0], found.comparison == "=", text.strip())
        if known is not None:
            return known
    zero = found.comparison == "="
    return tuple(_statement([clause], text, zero) for clause in forms)


def _known_zero(form: Linear, equal: bool, text: str) -> tuple[Chain | Function, ...] | None:
    """The chains or the function that q = 0, or q <= 0, means for a single quantity q that is never negative."""
    form = [(x, a) for x, a in form if x]
    if len(form) != 1 or not isinstance(form[0][1], QuantitySyntax) or (form[0][0] > 0 and not equal):
        return None
    q = form[0][1]
    names = [n.casefold() for g in (*q.groups, q.given) for n in g]
    if q.kind == "H" and not {n.casefold() for n in q.groups[0]} & {n.casefold() for n in q.given}:
        return (Function(q.groups[0], q.given, q.joint, text),)
    if len(set(names)) < len(names) or len(q.groups) < 2:
        return None
    if q.kind == "TC" or (q.kind == "I" and len(q.groups) == 2):
        groups = q.groups
        return tuple(Chain((sum(groups[:k], ()), q.given, groups[k]), q.joint, text) for k in range(1, len(groups)))
    return None


def chain_quantities(chain: Chain) -> Iterator[QuantitySyntax]:
    """I(A;C|B) for every middle group of a chain: what is zero."""
    groups = chain.groups
    for m in range(1, len(groups) - 1):
        before, after = sum(groups[:m], ()), sum(groups[m + 1 :], ())
        yield QuantitySyntax("I", chain.joint, (before, after), groups[m])


def zero_quantity(function: Function) -> QuantitySyntax:
    """H(of|by): what is zero."""
    return QuantitySyntax("H", function.joint, (function.of,), function.by)


def _statement(forms: Lattice, text: str, zero: bool = False) -> Statement:
    for clause in forms:
        for form in clause:
            for x, _ in form:
                if x and not ordinary(x):
                    raise SpecError("a coefficient is not between 1e-6 and 1e6", key="claim", remedy="numbers of ordinary size")
    return Statement(tuple(tuple(tuple(f) for f in clause) for clause in forms), text.strip(), zero)


def lattice(high: Any, unit: str, key: str, low: Any = None) -> Lattice:
    """``high - low`` as the least of largests of linear forms."""
    return _collected(_Forms(unit, key).difference(high, low))


def _collected(forms: Lattice) -> Lattice:
    return [[_sum(form) for form in clause] for clause in forms]


def _sum(form: Linear) -> Linear:
    """Each quantity once, in the order of appearance; zeros stay, so that every variable is known."""
    total: dict[Atom, Fraction] = {}
    for x, atom in form:
        total[atom] = total.get(atom, Fraction(0)) + x
    return [(x, a) for a, x in total.items() if x or isinstance(a, QuantitySyntax)]


@dataclass(frozen=True)
class _Forms:
    """Evaluates expressions to lattices of linear forms. A scalar has no quantity: the form of a number, times :class:`Constant`."""

    unit: str
    key: str

    def difference(self, high: Any, low: Any) -> Lattice:
        found = self.read(high)
        return found if low is None else self._plus(found, self._negative(self.read(low)))

    def read(self, syntax: Any) -> Lattice:
        if isinstance(syntax, QuantitySyntax):
            return [[[(Fraction(1), syntax)]]]
        if isinstance(syntax, Piecewise):
            return self._piecewise(syntax)
        if isinstance(syntax, Sum):
            return [[list(syntax.terms)]]
        match syntax.operator:
            case "number":
                value = self._number(syntax.value, syntax.column)
                return [[[(value, Constant(2 if self.unit == "bits" else 0))]]]
            case "parameter":
                raise SpecError(
                    f"{syntax.value!r} is neither a number nor a quantity", key=self.key, remedy=REMEDY, column=syntax.column
                )
            case "neg":
                return self._negative(self.read(syntax.arguments[0]))
            case "+":
                return self._plus(self.read(syntax.arguments[0]), self.read(syntax.arguments[1]))
            case "-":
                return self._plus(self.read(syntax.arguments[0]), self._negative(self.read(syntax.arguments[1])))
            case "*":
                for scale, other in (syntax.arguments, syntax.arguments[::-1]):
                    factor = self._scalar(scale)
                    if factor is not None:
                        return self._scaled(factor, self.read(other))
            case "/":
                factor = self._scalar(syntax.arguments[1])
                if factor:
                    return self._scaled(1 / factor, self.read(syntax.arguments[0]))
        raise SpecError(
            "only sums of multiples of information quantities are linear",
            key=self.key,
            remedy='"2*H(X) <= H(X,Y) + H(X,Z)"',
            column=syntax.column,
        )

    def _scalar(self, syntax: Any) -> Fraction | None:
        """A number, by arithmetic in numbers; None for what has a quantity in it."""
        if not isinstance(syntax, Arithmetic):
            return None
        if syntax.operator == "number":
            return self._number(syntax.value, syntax.column)
        parts = [self._scalar(a) for a in syntax.arguments]
        if not parts or any(p is None for p in parts):
            return None
        a, b = parts[0], parts[-1]
        assert a is not None
        assert b is not None
        match syntax.operator:
            case "neg":
                return -a
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "/" if b:
                return a / b
        return None

    def _number(self, text: str, column: int) -> Fraction:
        """A number of ordinary size: the program that decides a claim is solved in floating point first."""
        above, _, below = text.partition("/")
        value = Fraction(above) / (Fraction(below or 1) or 1)
        if (below and not Fraction(below)) or (value and not ordinary(value)):
            message = f"the number {shown(text, 40)} is not between 1e-6 and 1e6"
            raise SpecError(message, key=self.key, remedy="numbers of ordinary size", column=column)
        return value

    def _piecewise(self, syntax: Piecewise) -> Lattice:
        if syntax.function == "log":
            return [[self._logarithm(syntax)]]
        parts = [self.read(a) for a in syntax.arguments]
        if syntax.function == "abs":
            if len(parts) != 1:
                raise SpecError("abs takes one argument", key=self.key, remedy="abs(H(X) - H(Y))", column=syntax.column)
            parts.append(self._negative(parts[0]))
        if syntax.function == "min":
            return self._few([clause for part in parts for clause in part])
        return self._few([[f for clause in chosen for f in clause] for chosen in self._choices(parts)])

    def _logarithm(self, syntax: Piecewise) -> Linear:
        value = self._number(syntax.arguments[0], syntax.column)
        if value <= 0:
            raise SpecError("the logarithm of 0", key=self.key, remedy="log 2", column=syntax.column)
        total: Linear = []
        for number, sign in ((value.numerator, 1), (value.denominator, -1)):
            total += [(Fraction(sign * k), Constant(p)) for p, k in factors(number)]
        return total

    def _plus(self, a: Lattice, b: Lattice) -> Lattice:
        return self._few([[f + g for f in c for g in d] for c in a for d in b], len(a) * len(b))

    def _negative(self, a: Lattice) -> Lattice:
        """-min max = max min = min max again: one form of every clause."""
        return self._few([[[(-x, t) for x, t in f] for f in chosen] for chosen in self._choices(a)])

    def _scaled(self, factor: Fraction, a: Lattice) -> Lattice:
        if factor < 0:
            return self._scaled(-factor, self._negative(a))
        return [[[(factor * x, t) for x, t in f] for f in clause] for clause in a]

    def _choices(self, a: list[Any]) -> list[tuple[Any, ...]]:
        size = 1
        for part in a:
            size *= len(part)
            if size > MAX_FORMS:
                break
        if size > MAX_FORMS:
            self._few([[[]]], size)
        return list(product(*a))

    def _few(self, forms: Lattice, count: int = 0) -> Lattice:
        if max(count, sum(map(len, forms))) > MAX_FORMS:
            raise SpecError(f"min, max and abs make more than {MAX_FORMS} cases", key=self.key, remedy="fewer of them")
        return forms


def factors(n: int) -> tuple[tuple[int, int], ...]:
    """The primes of n with their exponents.

    >>> factors(12), factors(1)
    (((2, 2), (3, 1)), ())
    """
    return tuple(factorint(n).items())


def terms_of(statements: Iterable[Statement]) -> Iterator[QuantitySyntax]:
    """Every quantity, in order of appearance."""
    for statement in statements:
        yield from (a for a in statement.atoms() if isinstance(a, QuantitySyntax))


def names_of(statements: Iterable[Statement], forms: Iterable[Chain | Function]) -> list[str]:
    """The variables in order of appearance: a density's ``z`` is a value of ``Z``; other names that differ only by case are refused."""
    found: dict[str, str] = {}
    random: dict[str, str] = {}
    values: dict[str, str] = {}

    def record(name: str, same: dict[str, str], others: dict[str, str]) -> None:
        """One spelling for each variable, and one for its value, which may begin with a small letter instead."""
        key = name.casefold()
        own, other = same.setdefault(key, name), others.get(key)
        if own != name or (other is not None and other[1:] != name[1:]):
            clash = own if own != name else other
            raise SpecError(f"{name!r} and {clash!r} differ only by case", key="claim", remedy="another name")
        found.setdefault(key, name)

    for quantity in terms_of(statements):
        for name in (v for g in (*quantity.groups, quantity.given) for v in g):
            record(name, random, values)
        for density in (quantity.first, *quantity.second):
            for name in () if density is None else (*density.of, *density.given):
                record(name, values, random)
    for form in forms:
        groups = form.groups if isinstance(form, Chain) else (form.of, form.by)
        for name in (n for g in groups for n in g):
            if values.get(name.casefold()) != name:
                record(name, random, values)
    if len(found) > MAX_VARIABLES:
        raise SpecError(
            f"{len(found)} variables are more than {MAX_VARIABLES}", key="claim", remedy="a claim about fewer variables"
        )
    return list(found.values())

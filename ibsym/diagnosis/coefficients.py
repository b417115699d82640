"""c(sizes, parameters) as r * prod size^k * prod parameter^k, r rational or with one logarithm: exact coefficients from numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import sympy
from numpy.typing import NDArray

TOLERANCE = 3e-7
DENOMINATORS = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    12,
    16,
    20,
    25,
    32,
    50,
    64,
    100,
    128,
    256,
    784,
    1000,
    1024,
    3072,
    4096,
    10000,
    50000,
    60000,
)


class Coefficient(str):
    """A coefficient in ASCII, ``1/L``, that compares with text, numbers and SymPy expressions alike.

    >>> Coefficient(1 / sympy.Symbol("L")) == "1/L", Coefficient(sympy.Integer(2)) == 2
    (True, True)
    """

    __slots__ = ("exact", "value")
    value: sympy.Expr
    exact: bool

    def __new__(cls, value: sympy.Expr, exact: bool = True) -> Coefficient:
        """The coefficient, and whether it was found exactly."""
        made = super().__new__(cls, ascii_text(value))
        made.value, made.exact = value, exact
        return made

    def __getnewargs__(self) -> tuple[sympy.Expr, bool]:  # type: ignore[override]
        return self.value, self.exact

    def _sympy_(self) -> sympy.Expr:
        return self.value

    def __float__(self) -> float:
        return float(self.value)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return str.__eq__(self, other) or (
                not isinstance(other, Coefficient) and str(self).replace(" ", "") == other.replace(" ", "")
            )
        if isinstance(other, int | float | Fraction):
            return bool(self.value.is_number) and math.isclose(float(self.value), float(other), rel_tol=1e-6, abs_tol=1e-9)
        if isinstance(other, sympy.Basic):
            return bool(sympy.simplify(self.value - _named(other, self.value)) == 0)
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        found = self.__eq__(other)
        return found if found is NotImplemented else not found

    __hash__ = str.__hash__


def _named(other: sympy.Basic, value: sympy.Expr) -> sympy.Basic:
    """Symbols of one name are one symbol, whatever is assumed of them."""
    ours = {s.name: s for s in value.free_symbols}
    return other.xreplace({s: ours[s.name] for s in other.free_symbols if s.name in ours})


def ascii_text(value: sympy.Expr) -> str:
    """The expression as ``-beta/L``, numbers with at most six digits.

    >>> L, beta = sympy.symbols("L beta")
    >>> ascii_text(-beta / L), ascii_text(sympy.Float(0.333331)), ascii_text(1 / sympy.log(2))
    ('-beta/L', '0.333331', '1/log(2)')
    """
    rounded = value.xreplace({n: sympy.Float(f"{float(n):.6g}", 6) for n in value.atoms(sympy.Float)})
    text = sympy.sstr(rounded, full_prec=False)
    return text.replace("**", "^") if not any(ord(c) > 127 for c in text) else repr(rounded)


@dataclass(frozen=True)
class Observation:
    """A coefficient at one setting."""

    sizes: Mapping[str, int]
    parameters: Mapping[str, float]
    value: float


def symbol(name: str) -> sympy.Symbol:
    """A size or a parameter."""
    return sympy.Symbol(name)


def exact(
    start: Observation,
    varied: Mapping[str, list[Observation]],
    known: list[sympy.Expr],
    fixed: Mapping[str, int],
    loose: float = TOLERANCE,
) -> Coefficient:
    """The coefficient as an expression; ``varied`` holds observations that differ from the first in one size or parameter.

    ``known`` are the coefficients that the spec itself has, tried first as functions of the parameters; ``fixed`` sizes could not
    be varied, so that 784 may be D.
    """
    if abs(start.value) < 1e-12:
        return Coefficient(sympy.Integer(0))
    factors: list[sympy.Expr] = []
    parameters = {n: v for n, v in varied.items() if n in start.parameters}
    sizes = {n: v for n, v in varied.items() if n not in start.parameters}
    whole = True
    for name, others in sizes.items():
        found = _of_size(name, start, others, loose)
        if found is None:
            whole = False
            break
        factors.append(found)
    shape = _of_parameters(start, parameters, known, loose) if parameters else sympy.Integer(1)
    if not whole or shape is None:
        summed = _affine(start, varied, loose)
        return Coefficient(summed) if summed is not None else Coefficient(sympy.Float(start.value), False)
    product = sympy.Mul(*factors) * shape
    rest = start.value / _number(product, start)
    constant, sure = number(rest, loose, fixed)
    return Coefficient(sympy.nsimplify(constant) * product if constant.is_Rational else constant * product, sure)


def joined(found: Coefficient, splits: Sequence[tuple[str, tuple[str, ...]]]) -> Coefficient:
    """1/(C*H*W) as 1/D where D is read as C,H,W."""
    value = found.value
    for name, parts in splits:
        letters = [symbol(p) for p in parts if not p.isdigit()]
        number = math.prod(int(p) for p in parts if p.isdigit())
        powers = value.as_powers_dict()
        if letters and all(powers.get(a, 0) == powers.get(letters[0], 0) != 0 for a in letters):
            k = powers[letters[0]]
            value = value / sympy.Mul(*(a**k for a in letters)) * (symbol(name) / number) ** k
    return Coefficient(value, found.exact) if value is not found.value else found


def _number(expression: sympy.Expr, at: Observation) -> float:
    return float(expression.subs({**dict(at.sizes), **dict(at.parameters)}))


def _of_size(name: str, start: Observation, others: list[Observation], loose: float) -> sympy.Expr | None:
    """n^k, (n - 1)^k or n^k (n - 1)^j: how the coefficient follows one size."""
    n = symbol(name)
    forms = [
        sympy.Integer(1),
        1 / n,
        n,
        1 / n**2,
        n**2,
        n - 1,
        1 / (n - 1),
        (n - 1) / n,
        n / (n - 1),
        1 / (n * (n - 1)),
        n * (n - 1),
    ]
    forms += [sympy.sqrt(n), 1 / sympy.sqrt(n), 1 / n**3, (n - 1) / n**2, sympy.log(n), 1 / sympy.log(n), n + 1, 1 / (n + 1)]
    for form in forms:
        at = float(form.subs(n, start.sizes[name]))
        if all(
            math.isclose(o.value / start.value, float(form.subs(n, o.sizes[name])) / at, rel_tol=4 * loose, abs_tol=0)
            for o in others
        ):
            return form
    return None


def _of_parameters(
    start: Observation, varied: Mapping[str, list[Observation]], known: list[sympy.Expr], loose: float
) -> sympy.Expr | None:
    """A function of the parameters: one that the spec has, or a product of powers, or one affine in a parameter."""
    observations = [o for others in varied.values() for o in others]

    def fits(form: sympy.Expr) -> bool:
        at = _number(form, start)
        if at == 0:
            return False
        return all(
            math.isclose(o.value * at, _number(form, o) * start.value, rel_tol=4 * loose, abs_tol=1e-300) for o in observations
        )

    for form in [sympy.Integer(1), *known, *(1 / k for k in known)]:
        if fits(form):
            return form
    product: sympy.Expr = sympy.Integer(1)
    for name, others in varied.items():
        one = _of_parameter(name, start, others, loose)
        if one is None:
            return None
        product *= one
    return product


def _of_parameter(name: str, start: Observation, others: list[Observation], loose: float) -> sympy.Expr | None:
    p = symbol(name)
    forms = [sympy.Integer(1), p, 1 / p, p**2, 1 / p**2, 1 - p, 1 + p, p - 1, 1 / (1 + p), sympy.sqrt(p), 1 / (1 - p)]
    values = [(start.parameters[name], start.value), *((o.parameters[name], o.value) for o in others)]
    for form in forms:
        at = complex(form.subs(p, values[0][0])).real
        if at and all(
            math.isclose(v * at, complex(form.subs(p, x)).real * values[0][1], rel_tol=4 * loose) for x, v in values[1:]
        ):
            return form
    (x0, y0), (x1, y1), (x2, y2) = values[:3]
    slope = (y1 - y0) / (x1 - x0)
    if math.isclose(y0 + slope * (x2 - x0), y2, rel_tol=4 * loose, abs_tol=1e-12) and slope:
        ratio, sure = number((y0 - slope * x0) / slope, 10 * loose, {})
        return p + ratio if sure else None
    return None


def _affine(start: Observation, varied: Mapping[str, list[Observation]], loose: float) -> sympy.Expr | None:
    """a + b g, g one monomial: the coefficient of a sum such as 1 + 1/L."""
    observations = [start, *(o for others in varied.values() for o in others)]
    names = [
        n for n, others in varied.items() if any(not math.isclose(o.value, start.value, rel_tol=4 * loose) for o in others)
    ]
    for form in _monomials(names):
        points = [(_number(form, o), o.value) for o in observations]
        (x0, y0) = points[0]
        other = next(((x, y) for x, y in points if not math.isclose(x, x0)), None)
        if other is None:
            continue
        slope = (other[1] - y0) / (other[0] - x0)
        if slope and all(math.isclose(y0 + slope * (x - x0), y, rel_tol=10 * loose, abs_tol=1e-10) for x, y in points):
            a, sure_a = number(y0 - slope * x0, 100 * loose, {})
            b, sure_b = number(slope, 100 * loose, {})
            return a + b * form if sure_a and sure_b else None
    return None


def _monomials(names: list[str]) -> Iterator[sympy.Expr]:
    symbols = [symbol(n) for n in names[:2]]
    if len(symbols) == 1:
        yield from (symbols[0], 1 / symbols[0])
    if len(symbols) == 2:
        a, b = symbols
        yield from (a * b, a / b, b / a, 1 / (a * b))


LOGS: tuple[sympy.Expr, ...] = (
    sympy.Integer(1),
    1 / sympy.log(2),
    sympy.log(2),
    1 / sympy.log(10),
    sympy.log(2 * sympy.pi),
    sympy.pi,
    1 / sympy.pi,
    sympy.sqrt(2),
)


def number(value: float, loose: float, fixed: Mapping[str, int]) -> tuple[sympy.Expr, bool]:
    """A number as a rational of small denominator, times a fixed size or one of a few logarithms; else as it is.

    >>> number(-0.5, 1e-9, {})[0], number(1.4426950408889634, 1e-9, {})[0], number(1 / 784, 1e-9, {"D": 784})[0]
    (-1/2, 1/log(2), 1/D)
    """
    if value == 0:
        return sympy.Integer(0), True
    plain = _rational(value, loose, 12)
    for name, size in fixed.items():
        n = symbol(name)
        for form, at in ((1 / n, 1 / size), (n, float(size))):
            found = _rational(value / at, loose, 4)
            if found is not None and size > 12 and (plain is None or abs(found) <= 2):
                return found * form, True
    if plain is not None:
        return plain, True
    for log in LOGS[1:]:
        found = _rational(value / float(log), loose, 12)
        if found is not None and abs(found) < 100:
            return found * log, True
    for denominator in DENOMINATORS:
        numerator = round(value * denominator)
        if numerator and abs(numerator) < 100_000 and math.isclose(numerator / denominator, value, rel_tol=loose):
            return sympy.Rational(numerator, denominator), True
    if 0 < abs(1 / value) < 1e7 and math.isclose(1 / value, round(1 / value), rel_tol=loose) and round(1 / value):
        return sympy.Rational(1, round(1 / value)), True
    return sympy.Float(value), False


def _rational(value: float, loose: float, greatest: int) -> sympy.Expr | None:
    found = Fraction(value).limit_denominator(greatest)
    return (
        sympy.Rational(found.numerator, found.denominator)
        if found and math.isclose(float(found), value, rel_tol=loose)
        else None
    )


Atom = tuple[sympy.Expr, Callable[[Mapping[str, int]], float]]


def constant(
    observations: Sequence[Observation], sizes: Sequence[str], known: Sequence[sympy.Expr], slack: float
) -> Coefficient:
    """An additive constant as a sum of at most three of 1, L, D, log B, D log 2 pi, ..., with rational weights, times a known weight."""
    values = np.array([o.value for o in observations])
    if np.all(np.abs(values) <= max(slack, 1e-6)):
        return Coefficient(sympy.Integer(0))
    atoms = list(_atoms(sizes))
    table = np.array([[at(o.sizes) for _, at in atoms] for o in observations])
    shapes = [sympy.Integer(1), *(k for k in known if k.free_symbols)]
    for shape in shapes:
        weights = np.array([_number(shape, o) for o in observations])
        if np.all(weights != 0) and (found := _sum_of(atoms, table, values / weights, slack)) is not None:
            return Coefficient(sympy.expand(found) * shape if found.is_number else sympy.Mul(shape, found))
    return Coefficient(sympy.Float(float(values[0])), False)


def _sum_of(atoms: list[Atom], table: NDArray[np.float64], values: NDArray[np.float64], slack: float) -> sympy.Expr | None:
    count = len(atoms)
    single = [(k,) for k in range(count)]
    pairs = [(i, j) for j in range(count) for i in range(j)]
    triples = [(0, i, j) for j in range(1, count) for i in range(1, j)]
    for support in (*single, *pairs, *triples):
        if len(support) >= len(values):
            continue
        chosen = table[:, support]
        found, *_ = np.linalg.lstsq(chosen, values, rcond=None)
        if np.all(np.abs(chosen @ found - values) <= slack + 1e-8 * np.abs(values)):
            terms = [number(float(c), max(1e-6, slack), {}) for c in found]
            if all(sure and c.is_rational and sympy.denom(c) <= 64 for c, sure in terms):
                return sympy.Add(*(c * atoms[k][0] for (c, _), k in zip(terms, support, strict=True)))
    return None


def _atoms(sizes: Sequence[str]) -> Iterator[Atom]:
    """What constants of losses are made of."""

    def of(name: str) -> Callable[[Mapping[str, int]], float]:
        return lambda s: float(s[name])

    def times(a: Callable[[Mapping[str, int]], float], factor: float) -> Callable[[Mapping[str, int]], float]:
        return lambda s: factor * a(s)

    def log(name: str, less: int = 0) -> Callable[[Mapping[str, int]], float]:
        return lambda s: math.log(s[name] - less)

    batches = [s for s in sizes if s in ("B", "N") or s.startswith("B_")]
    events = [s for s in sizes if s not in batches and s != "S"]
    yield sympy.Integer(1), lambda s: 1.0
    for e in events:
        yield symbol(e), of(e)
        yield symbol(e) * sympy.log(2 * sympy.pi), times(of(e), math.log(2 * math.pi))
    for name in sizes:
        yield sympy.log(symbol(name)), log(name)
    yield sympy.log(2), lambda s: math.log(2)
    yield sympy.log(2 * sympy.pi), lambda s: math.log(2 * math.pi)
    for e in events:
        yield symbol(e) * sympy.log(2), times(of(e), math.log(2))
        for b in batches:
            yield symbol(e) * sympy.log(symbol(b)), lambda s, e=e, b=b: s[e] * math.log(s[b])  # type: ignore[misc]
    if "B" in sizes:
        yield sympy.log(symbol("B") - 1), log("B", 1)
        yield 1 / symbol("B"), lambda s: 1 / s["B"]
    for b in batches:
        yield symbol(b), of(b)
    for i, d in enumerate(events):
        yield 1 / symbol(d), lambda s, d=d: 1 / s[d]  # type: ignore[misc]
        for e in events[:i]:
            yield symbol(d) * symbol(e), lambda s, d=d, e=e: float(s[d] * s[e])  # type: ignore[misc]
            yield symbol(d) / symbol(e), lambda s, d=d, e=e: s[d] / s[e]  # type: ignore[misc]
            yield symbol(e) / symbol(d), lambda s, d=d, e=e: s[e] / s[d]  # type: ignore[misc]

"""Syntax to terms: every name resolved, every conditional checked against the graphs, coefficients as SymPy."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import comb, prod
from typing import assert_never

import sympy

from ibsym.errors import Edit, Remedy, SpecError, Way, nearest, unknown
from ibsym.spec.families import USUAL
from ibsym.spec.grammar import Arithmetic, DensitySyntax, ExpressionSyntax, QuantitySyntax
from ibsym.spec.graphs import Joint
from ibsym.spec.model import Spec
from ibsym.spec.names import identifier
from ibsym.spec.schema import allowed
from ibsym.spec.variables import capitalised
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)

MAX_EXPONENT = 16
MAX_SUMMANDS = 64
MAX_DIGITS = 300
LINEAR = "a sum of terms, each with a weight of numbers and parameters"
GENERATORS = ("kl", "reverse-kl", "pearson", "neyman", "squared-hellinger", "jensen-shannon", "jeffreys")


@cache
def parameter(name: str) -> sympy.Symbol:
    """The SymPy symbol of a spec's parameter."""
    return sympy.Symbol(name, real=True)


def density(spec: Spec, head: str, of: tuple[str, ...], given: tuple[str, ...] = ()) -> Density:
    """A density in canonical order: as its factor was declared, else variables in the order of declaration."""
    factor = spec.joints[head].factor_of(of, given)
    return Density(head, spec.ordered(of), spec.ordered(given)) if factor is None else Density(head, factor.of, factor.given)


def extent(syntax: ExpressionSyntax) -> tuple[int, int]:
    """At most how many summands an expression has when it is multiplied out, and how many digits its numbers.

    >>> from ibsym.spec.grammar import parse
    >>> extent(parse("2*(a + b)^3 <= 0", "claim").left)
    (4, 7)
    """
    if isinstance(syntax, QuantitySyntax) or syntax.operator == "parameter":
        return 1, 1
    if syntax.operator == "number":
        mantissa, _, exponent = syntax.value.lower().partition("e")
        return 1, len(mantissa) + abs(int(exponent or 0))
    parts = [extent(a) for a in syntax.arguments]
    match syntax.operator:
        case "+" | "-":
            summands, digits = sum(s for s, _ in parts), max(d for _, d in parts) + 1
        case "^":
            (summands, digits), n = parts[0], _exponent(syntax.arguments[1])
            summands, digits = comb(summands + n - 1, n), digits * n
        case _:
            summands, digits = prod(s for s, _ in parts), sum(d for _, d in parts)
    return min(summands, MAX_SUMMANDS + 1), min(digits, MAX_DIGITS + 1)


def _exponent(syntax: ExpressionSyntax) -> int:
    """The size of a literal exponent, at least 1; the largest that is allowed for any other."""
    match syntax:
        case Arithmetic("neg", (inner,)):
            return _exponent(inner)
        case Arithmetic("number", value=value) if value.isdigit():
            return max(1, min(MAX_EXPONENT, int(value[:4])))
    return MAX_EXPONENT


def vanishes(scalar: sympy.Expr) -> bool:
    """Whether a rational function of the parameters is zero, or nowhere defined: by its value at a point that no one writes.

    >>> b = parameter("beta")
    >>> vanishes((b + 1) ** 2 - b**2 - 2 * b - 1), vanishes(b - 1)
    (True, False)
    """
    point = {s: sympy.Rational(10**9 + 7 + k, 998_244_353) for k, s in enumerate(sorted(scalar.free_symbols, key=str))}
    value = scalar.subs(point)
    return not value.is_finite or bool(value == 0)


def _names(variables: tuple[str, ...]) -> str:
    """Variables as a term has them."""
    return ",".join(map(capitalised, variables))


def _two(joint: str, of: tuple[str, ...], given: tuple[str, ...]) -> str:
    """What an information of one argument may be meant for."""
    rest = f"|{_names(given)}" if given else ""
    entropy = f"H_{joint}({_names(of)}{rest})"
    if len(of) > 1:
        return f"I_{joint}({_names(of[:1])};{_names(of[1:])}{rest})"
    return (
        f"I_{joint}({_names(of)};{_names(given)}), or {entropy}"
        if given
        else f"{entropy}, or a second argument, after a semicolon"
    )


class Reader:
    """Turns a spec's syntax into terms, with errors that name the place."""

    def __init__(self, spec: Spec, key: str):
        self.spec, self.key = spec, key

    def _instead(self, column: int, old: str, new: str) -> tuple[Way, ...]:
        """The objective with other words at a place, if it is the objective that is read and the words are there."""
        text, at = self.spec.objective_text, column - 1
        if self.key != "objective" or not column or not text.startswith(old, at):
            return ()
        return ((Edit(("objective",), text[:at] + new + text[at + len(old) :]),),)

    def fail(self, message: str, remedy: str, column: int = 0) -> SpecError:
        """The error at this reader's key; to be raised."""
        return SpecError(message, key=self.key, remedy=remedy, column=column or None)

    def expression(self, syntax: ExpressionSyntax) -> Expression:
        """A sum of weighted terms. Raises :class:`SpecError` where a constant or a product of terms is left."""
        scalar, linear = self._read(syntax)
        if scalar != 0:
            raise self.fail(f"the constant {scalar} stands alone", "leave it out: constants do not train anything")
        return linear

    def coefficient(self, syntax: ExpressionSyntax) -> sympy.Expr:
        """A scalar over the parameters. Raises :class:`SpecError` where a term stands in it."""
        scalar, linear = self._read(syntax)
        if len(linear):
            raise self.fail(
                f"{linear} stands where a number or parameter is needed", "a coefficient", getattr(syntax, "column", 0)
            )
        return scalar

    def _read(self, syntax: ExpressionSyntax) -> tuple[sympy.Expr, Expression]:
        """A scalar and a sum of terms, added; what multiplies out to a long sum or a long number is refused before it is."""
        summands, digits = extent(syntax)
        if summands > MAX_SUMMANDS:
            raise self.fail(f"this multiplies out to more than {MAX_SUMMANDS} summands", "a shorter sum")
        if digits > MAX_DIGITS:
            raise self.fail("a number is beyond the range of floating point", "a number of ordinary size")
        return self._linear(syntax)

    def _linear(self, syntax: ExpressionSyntax) -> tuple[sympy.Expr, Expression]:
        zero = sympy.Integer(0)
        if isinstance(syntax, QuantitySyntax):
            return zero, Expression.of((1, self.term(syntax)))
        operator = syntax.operator
        match operator:
            case "number":
                return sympy.Rational(Fraction(syntax.value)), Expression()
            case "parameter":
                return self._parameter(syntax), Expression()
            case "neg":
                scalar, linear = self._linear(syntax.arguments[0])
                return -scalar, linear.scaled(-1)
        (a, p), (b, r) = (self._linear(x) for x in syntax.arguments)
        match operator:
            case "+":
                return a + b, p + r
            case "-":
                return a - b, p - r
            case "*":
                if len(p) and len(r):
                    raise self.fail("a product of two information terms is not linear", LINEAR, syntax.column)
                return a * b, p.scaled(b) + r.scaled(a)
            case "/":
                if len(r) or vanishes(b):
                    raise self.fail(
                        "division by zero or by a term", "divide by a number or a parameter that is not zero", syntax.column
                    )
                return a / b, p.scaled(1 / b)
            case "^":
                if len(p) or len(r):
                    raise self.fail("a power of an information term is not linear", LINEAR, syntax.column)
                if not b.is_Integer or abs(int(b)) > MAX_EXPONENT or (b < 0 and vanishes(a)):
                    raise self.fail(
                        f"the exponent {b} is to be a whole number of at most {MAX_EXPONENT}",
                        f"such as {a if a.is_Symbol or a.is_Integer else f'({a})'}^2",
                        syntax.column,
                    )
                return a**b, Expression()
        assert_never(operator)

    def _parameter(self, syntax: Arithmetic) -> sympy.Expr:
        if syntax.value not in self.spec.parameters:
            close = nearest(syntax.value, self.spec.parameters)
            name = syntax.value if allowed(syntax.value) else identifier(syntax.value)
            way = (Edit(("parameters", name), {"default": 1.0, "min": 0}),)
            if name != syntax.value:  # a name that no parameter may have
                renamed = self._instead(syntax.column, syntax.value, name)
                remedy = Remedy(f"{name} in its place, and {way[0]}", *((*w, *way) for w in renamed))
            else:
                remedy = Remedy(f"{close!r}, or declare it: {way[0]}" if close else str(way[0]), way)
            what = f"unknown parameter {syntax.value!r}" + (f", did you mean {close!r}?" if close else "")
            raise self.fail(what, remedy, syntax.column)
        return parameter(syntax.value)

    def term(self, syntax: QuantitySyntax) -> Term:
        """One term, its joint, variables and densities resolved."""
        match syntax.kind:
            case "I" | "H" | "TC":
                return self._information(syntax)
            case "E":
                return self._expectation(syntax)
        return self._divergence(syntax)

    def _information(self, syntax: QuantitySyntax) -> Term:
        groups = tuple(self._variables(g, syntax) for g in syntax.groups)
        given = self._variables(syntax.given, syntax)
        everything = [v for g in groups for v in g] + list(given)
        if len(set(everything)) < len(everything):
            raise self.fail("a variable occurs twice in one term", "disjoint arguments", syntax.column)
        joint = self._joint(syntax.kind, syntax.joint, set(everything), syntax.column)
        if syntax.kind == "H":
            return Entropy(joint.name, groups[0], given)
        if syntax.kind == "TC":
            if len(groups) == 1 and len(groups[0]) > 1:
                raise self.fail(
                    "several variables need semicolons in TC",
                    f"TC_{joint.name}({';'.join(v.capitalize() for v in groups[0])})",
                    syntax.column,
                )
            if len(groups) == 1 and given:
                split = f"TC_{joint.name}(Z1;Z2|{_names(given)})"
                what = "a conditional total correlation over coordinates is not supported"
                raise self.fail(what, f"a variable for each coordinate, and {split}", syntax.column)
            symbols = [v for v in groups[0] if len(groups) == 1 and self.spec.variables[v].kind == "categorical"]
            if symbols:
                what = f"{symbols[0]} is {self.spec.variables[symbols[0]]}, whose classes are not coordinates"
                raise self.fail(what, f"a variable for each symbol, and TC_{joint.name}(Z1;Z2)", syntax.column)
            return TotalCorrelation(joint.name, groups, given)
        if len(groups) < 2:
            raise self.fail("mutual information needs two arguments", _two(joint.name, groups[0], given), syntax.column)
        return MutualInformation(joint.name, groups, given)

    def _variables(self, names: tuple[str, ...], syntax: QuantitySyntax) -> tuple[str, ...]:
        return self.spec.ordered(self.spec.resolve(n, self.key, syntax.column, capital=True) for n in names)

    def _ambiguous(self, kind: str, scope: set[str], fitting: list[str], column: int) -> SpecError:
        """Several joints that a term may be of, or none."""
        variables = ", ".join(self.spec.ordered(scope))
        if not fitting:
            return self.fail(f"no joint has {variables}", f"a joint with {variables}", column)
        ways = [way for j in fitting for way in self._instead(column, kind, f"{kind}_{j}")]
        brackets = "[...]" if kind == "E" else "(...)"
        remedy = "a subscript: " + " or ".join(f"{kind}_{j}{brackets}" for j in fitting)
        return self.fail(f"which joint of {variables}? ({', '.join(fitting)})", Remedy(remedy, *ways), column)

    def _joint(self, kind: str, name: str | None, scope: set[str], column: int) -> Joint:
        """The named joint, or the only one that has these variables."""
        rooted = {n: j for n, j in self.spec.joints.items() if j.rooted}
        if name is None:
            fitting = [j for n, j in rooted.items() if scope <= set(j.variables) and n not in self.spec.sources] or [
                j for j in rooted.values() if scope <= set(j.variables)
            ]
            if len(fitting) != 1:
                raise self._ambiguous(kind, scope, [j.name for j in fitting], column)
            return fitting[0]
        if name not in self.spec.joints:
            raise unknown("joint", name, rooted, key=self.key, column=column)
        if name not in rooted:
            raise self._without_law(self.spec.joints[name], column)
        missing = scope - set(rooted[name].variables)
        if missing:
            others = [n for n, j in rooted.items() if scope <= {*j.variables} and n not in self.spec.sources]
            brackets = "[...]" if kind == "E" else "(...)"
            hint = "; ".join(f"{n} has: {kind}_{n}{brackets}" for n in others)
            raise self._lacks(rooted[name], missing, column, hint)
        return rooted[name]

    def _lacks(self, joint: Joint, missing: set[str] | frozenset[str], column: int, hint: str = "") -> SpecError:
        """Variables that a joint does not have: more of its source, or a factor for each that sees what the joint has.

        ``hint``: what else may have been meant, which is another quantity.
        """
        names = self.spec.ordered(missing)
        text = " ".join(map(str, joint.factors))
        source = next((f for f in joint.factors if f.head in self.spec.sources), None)
        if joint.name in self.spec.sources:
            remedy = Remedy(
                f"{joint.name} with {', '.join(names)} in a joint: {joint.name}({','.join((*joint.variables, *names))})"
            )
        elif source is not None:
            wider = f"{source.head}({','.join((*source.of, *names))})"
            way: Way = (Edit(("joints", joint.name), text.replace(str(source), wider)),)
            remedy = Remedy(f"{way[0]}, if it is observed, or a factor for it", way)
        else:
            seen, way = list(joint.variables), ()
            for v in names:
                factor = f"{joint.name}({v}|{','.join(seen)})"
                seen.append(v)
                way += (
                    Edit(("joints", joint.name), factor, more=True),
                    Edit(("families", factor), USUAL[self.spec.variables[v].kind]),
                )
            remedy = Remedy(f"{'; '.join(map(str, way))}, or another factor for it", way)
        what = f"the joint {joint.name} has no variable {', '.join(names)}"
        return self.fail(f"{what} ({hint})" if hint else what, remedy, column)

    def density(self, syntax: DensitySyntax) -> Density:
        """A density that its joint has.

        Of a distribution it is any marginal or conditional; of a joint that conditions on E those given E, those that do not
        depend on E, and its declared factors.
        """
        of = tuple(self.spec.resolve(v, self.key, syntax.column, capital=False) for v in syntax.of)
        given = tuple(self.spec.resolve(v, self.key, syntax.column, capital=False) for v in syntax.given)
        if len({*of, *given}) < len(of) + len(given):
            raise self.fail(f"a variable occurs twice in {syntax}", "each variable once", syntax.column)
        joint = self.spec.joints.get(syntax.head)
        if joint is None:
            raise unknown("joint or source", syntax.head, self.spec.joints, key=self.key, column=syntax.column or None)
        found = density(self.spec, syntax.head, of, given)
        missing = found.scope - set(joint.variables)
        if missing:
            raise self._lacks(joint, missing, syntax.column)
        if not joint.exists(of, given):
            outside = ",".join(self.spec.ordered(joint.external))
            inside = [v for v in found.of if v not in joint.external]
            conditions = self.spec.ordered({*found.given, *joint.external})
            remedy = (
                f"{joint.name}({','.join(inside)}|{','.join(conditions)})" if inside else ", ".join(map(str, joint.factors))
            )
            raise self.fail(f"{joint.name} conditions on {outside} and has no law of it, so no {found}", remedy, syntax.column)
        return found

    def _without_law(self, joint: Joint, column: int) -> SpecError:
        """The error where an expectation is asked for under a joint that conditions on what it does not generate."""
        outside = self.spec.ordered(joint.external)
        source = next((s for s in self.spec.sources.values() if set(outside) <= set(s.of)), None)
        roots = [f"{source.head}({','.join(outside)})"] if source is not None else [f"{joint.name}({v})" for v in outside]
        way: list[Edit] = [Edit(("joints", joint.name), " ".join((*roots, *map(str, joint.factors))))]
        if source is None:
            way += [Edit(("families", r), USUAL[self.spec.variables[v].kind]) for r, v in zip(roots, outside, strict=True)]
        rooted = ", ".join(n for n, j in self.spec.joints.items() if j.rooted)
        return self.fail(
            f"{joint.name} conditions on {','.join(outside)} and has no law of it: no expectation can be taken under it",
            Remedy(f"one of {rooted}, or a law for it: {Remedy.of(tuple(way))}", tuple(way)),
            column,
        )

    def _reachable(self, d: Density, joint: Joint, column: int) -> None:
        """A density that is no factor, of a joint that conditions on E, is evaluated where E is."""
        model = self.spec.joints[d.head]
        missing = model.conditioned(d.scope) - set(joint.variables)
        if missing and model.factor_of(d.of, d.given) is None:
            outside = ", ".join(self.spec.ordered(missing))
            message = f"{d} is made of factors that see {outside}, and the joint {joint.name} has no {outside}"
            raise self.fail(message, "a declared factor", column)

    def _expectation(self, syntax: QuantitySyntax) -> ExpectedLog:
        second = tuple(self.density(d) for d in syntax.second)
        joint = self._joint("E", syntax.joint, {v for d in second for v in d.scope}, syntax.column)
        for d in second:
            self._reachable(d, joint, syntax.column)
        return ExpectedLog(joint.name, second)

    def _divergence(self, syntax: QuantitySyntax) -> Term:
        assert syntax.first is not None
        first, second = self.density(syntax.first), tuple(self.density(d) for d in syntax.second)
        joint = self.spec.joints[first.head]
        if not joint.rooted:
            raise self._without_law(joint, syntax.column)
        covered = [v for d in second for v in d.of]
        if sorted(covered) != sorted(first.of):
            raise self.fail(
                f"the arguments of {syntax.kind} are densities of different variables",
                f"densities of {', '.join(first.of)}",
                syntax.column,
            )
        for d in second:
            self._reachable(d, joint, syntax.column)
            extra = frozenset(d.given) - first.scope
            if not extra <= set(joint.variables):
                what = f"the joint {joint.name} has no variable {', '.join(self.spec.ordered(extra))}"
                turned = self.spec.joints[d.head]
                if len(second) == 1 and turned.rooted and {*first.scope} <= {*turned.variables}:
                    what += f"; {turned.name} has, in the other order: {syntax.kind}({d}||{first})"
                raise self.fail(
                    what, f"a second density that sees only what {joint.name} has: {', '.join(joint.variables)}", syntax.column
                )
            if extra and not joint.independent(first.of, extra, first.given):
                raise self.fail(
                    f"{d} depends on {', '.join(sorted(extra))}, and {first} is not independent of it",
                    f"{first.head}({','.join(first.of)}|...) with the same conditioners",
                    syntax.column,
                )
        match syntax.kind:
            case "KL":
                return RelativeEntropy(first, second)
            case "CE":
                return CrossEntropy(first, second)
        if first.given or any(d.given and len(second) == 1 for d in second):
            raise self.fail(
                f"a conditional {syntax.kind} is not supported", f"{syntax.kind} of the joint densities", syntax.column
            )
        if syntax.kind == "JS":
            return JensenShannon(first, second)
        if syntax.generator not in GENERATORS:
            raise unknown("generator", syntax.generator, GENERATORS, key=self.key, column=syntax.column or None)
        return FDivergence(syntax.generator, first, second)


def read_objective(spec: Spec) -> Expression:
    """The objective as a sum of weighted terms, in the order in which it was written.

    Terms are not merged with others of equal value: each is bounded on its own.
    """
    expression = Reader(spec, "objective").expression(spec.objective.expression)
    if not len(expression):
        raise SpecError("the objective has no term left", key="objective", remedy="at least one information term")
    return expression

"""c_k against e_k: equal weights, one positive scale, values of free parameters, or what is wrong, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sympy

from ibsym.diagnosis.coefficients import Coefficient, ascii_text, symbol
from ibsym.diagnosis.features import Feature, logarithm, relative
from ibsym.diagnosis.report import NOTE, Finding

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject, Term

ONE = sympy.Integer(1)


@dataclass
class Verdict:
    """Coefficients by term, those of deformations, the scale where there is one, and what is wrong."""

    weights: dict[str, sympy.Expr]
    others: list[tuple[Feature, sympy.Expr]]
    findings: list[Finding] = field(default_factory=list)
    scale: sympy.Expr | None = None
    solved: dict[str, sympy.Expr] = field(default_factory=dict)


def merged(
    subject: Subject, found: Sequence[tuple[Feature, Coefficient]]
) -> tuple[dict[str, sympy.Expr], list[tuple[Feature, sympy.Expr]], list[Finding]]:
    """Weights by term, where a divergence's two logarithms at one draw count as the divergence; the rest; notes."""
    weights: dict[str, sympy.Expr] = {t.text: sympy.Integer(0) for t in subject.terms}
    others: list[tuple[Feature, sympy.Expr]] = []
    notes: list[Finding] = []
    sampled: dict[tuple[str, str], dict[str, tuple[Feature, sympy.Expr]]] = {}
    for feature, coefficient in found:
        if feature.plain:
            weights[feature.term] += coefficient.value
        elif feature.kind == "sampled":
            density, _, place = feature.name.removeprefix("log ").partition(" at ")
            sampled.setdefault((feature.term, place), {})[density] = (feature, coefficient.value)
        else:
            others.append((feature, coefficient.value))
    for (term, _), parts in sampled.items():
        first, second = relative(term) or ("", "")
        if first in parts and second in parts:
            common = parts[first][1]
            weights[term] += common
            rest = sympy.simplify(parts[second][1] + common)
            notes.append(
                Finding(
                    "sampled",
                    f"{term} is sampled: log {first} - log {second} at the draw, in place of its closed form",
                    term,
                    NOTE,
                )
            )
            if rest != 0:
                others.append((parts[second][0], rest))
        else:
            others += list(parts.values())
    return weights, others, notes


def free_parameters(subject: Subject, mapped: set[str]) -> list[str]:
    """Parameters that no argument of the user's function depends on: a closure may hold their values."""
    return [p for p in subject.spec.parameters if p not in mapped]


def judge(
    subject: Subject, found: Sequence[tuple[Feature, Coefficient]], mapped: set[str], pinned: Mapping[str, float]
) -> Verdict:
    """The verdict on weights; constants, gradients and extremes are others' affair."""
    weights, others, notes = merged(subject, found)
    verdict = Verdict(weights, others, notes)
    expected = {t.text: t.coefficient.subs(dict(pinned)) for t in subject.terms}
    free = [p for p in free_parameters(subject, mapped) if p not in pinned]
    if not others and all(weights[t] != 0 for t in expected):
        solution = _solved(subject, weights, expected, free)
        if solution is not None:
            verdict.scale, verdict.solved = solution
            verdict.findings += list(_notes(verdict, subject))
            if not _scale_is_right(subject, verdict.scale):
                verdict.findings += list(_scale_words(subject, verdict.scale))
            return verdict
    ratios = _ratios(subject, weights, expected, free)
    reference = _reference(subject, ratios)
    for feature, coefficient in others:
        verdict.findings.append(_other(subject, feature, coefficient, expected, weights))
    touched = {f.term for f, _ in others}
    for term in subject.terms:
        ratio = ratios.get(term.text)
        if weights[term.text] == 0 and expected[term.text] != 0:
            if term.text not in touched:
                verdict.findings.append(
                    Finding(
                        "missing",
                        f"{term.text} is missing: the loss does not depend on it",
                        term.text,
                        remedy=f"add {ascii_text(expected[term.text])} times it",
                    )
                )
        elif ratio is not None and sympy.simplify(ratio - reference) != 0:
            verdict.findings.append(
                _weight(subject, term, sympy.simplify(ratio / reference), weights[term.text], expected[term.text])
            )
    return verdict


def _solved(
    subject: Subject, weights: Mapping[str, sympy.Expr], expected: Mapping[str, sympy.Expr], free: Sequence[str]
) -> tuple[sympy.Expr, dict[str, sympy.Expr]] | None:
    """A scale and values of the free parameters at which all weights are the spec's; the scale 1 first."""
    names = [symbol(p) for p in free if any(e.has(symbol(p)) for e in expected.values())]
    if not names:
        ratios = [sympy.simplify(weights[t] / e) for t, e in expected.items() if e != 0]
        same = all(sympy.simplify(r - ratios[0]) == 0 or _nearly(r, ratios[0]) for r in ratios)
        return (ratios[0], {}) if ratios and same else None
    for scale in (ONE, None):
        unknown = sympy.Symbol("_scale")
        equations = [(e * (unknown if scale is None else scale)) - weights[t] for t, e in expected.items()]
        unknowns = [*names, *([unknown] if scale is None else [])]
        try:
            solutions = sympy.solve(equations, unknowns, dict=True)
        except NotImplementedError:
            solutions = []
        for solution in solutions:
            values = {s.name: solution[s] for s in names if s in solution}
            if len(values) == len(names) and all(_allowed(subject, n, v) for n, v in values.items()):
                return (solution.get(unknown, ONE) if scale is None else ONE), values
    return None


def _nearly(a: sympy.Expr, b: sympy.Expr) -> bool:
    return bool(a.is_number and b.is_number and abs(float(a) - float(b)) < 2e-6 * abs(float(b)))


def _allowed(subject: Subject, name: str, value: sympy.Expr) -> bool:
    if not value.is_number or not value.is_real:
        return False
    _, low, high = subject.interval(name)
    return low <= float(value) <= high


def _scale_is_right(subject: Subject, scale: sympy.Expr) -> bool:
    """Positive; free of sizes, but for the sum over the batch, the size of the data, and a value per dimension of what is observed."""
    symbols = {s.name for s in scale.free_symbols}
    parameters = set(subject.spec.parameters)
    sizes = symbols - parameters
    at = {symbol(p): 0.5 * sum(_inside(subject, p)) for p in parameters}
    number = scale.subs({**at, **{symbol(s): 7 for s in sizes}})
    if not number.is_number or float(number) <= 0:
        return False
    rest = sympy.simplify(scale.subs({symbol(p): 1 for p in parameters}))
    if not sizes:
        return True
    allowed = [symbol("B"), symbol("N"), symbol("N") / symbol("B")] + [1 / symbol(d) for d in _data_dimensions(subject)]
    return any(not sympy.simplify(rest / form).free_symbols for form in allowed)


def _inside(subject: Subject, name: str) -> tuple[float, float]:
    _, low, high = subject.interval(name)
    low = low if low > -1e9 else -1.0
    return low + 0.1, min(high, low + 4.1)


def _data_dimensions(subject: Subject) -> list[str]:
    observed = {i.of for i in subject.inputs if i.role == "value"}
    return [str(d) for v in observed for d in subject.spec.variables[v].dims if len(subject.spec.variables[v].dims) == 1]


def _notes(verdict: Verdict, subject: Subject) -> Iterator[Finding]:
    if verdict.solved:
        said = ", ".join(f"{n} = {ascii_text(v)}" for n, v in verdict.solved.items())
        yield Finding("parameter", f"equal at {said}", severity=NOTE)
    scale = verdict.scale
    if scale is not None and scale != 1 and _scale_is_right(subject, scale):
        unit = " (in bits)" if scale.has(sympy.log(2)) and sympy.simplify(scale * sympy.log(2)).is_rational else ""
        yield Finding("scale", f"the whole loss is {ascii_text(scale)} times the spec's{unit}", severity=NOTE)


def _scale_words(subject: Subject, scale: sympy.Expr) -> Iterator[Finding]:
    if scale.is_number and float(scale) < 0:
        yield Finding(
            "sign", "the whole loss has the wrong sign: it is maximised where it should be minimised", remedy="minus the loss"
        )
        return
    kind, words, remedy = _factor_words(subject, scale, "the whole loss", ())
    yield Finding(kind, words, remedy=remedy)


def _ratios(
    subject: Subject, weights: Mapping[str, sympy.Expr], expected: Mapping[str, sympy.Expr], free: Sequence[str]
) -> dict[str, sympy.Expr]:
    """c/e by term; a free parameter stands at the spec's default, unless the weight has no other."""
    default = {symbol(p): sympy.nsimplify(subject.interval(p)[0]) for p in free}
    return {
        t: sympy.simplify(weights[t] / e.subs(default)) for t, e in expected.items() if weights[t] != 0 and e.subs(default) != 0
    }


def _reference(subject: Subject, ratios: Mapping[str, sympy.Expr]) -> sympy.Expr:
    """The scale that the other weights are told against: 1 where one term has it, else that of what is kept of the data."""
    values = list(ratios.values())
    if not values or ONE in values:
        return ONE
    best = max(values, key=lambda v: (sum(sympy.simplify(v - w) == 0 for w in values), v.is_number))
    if sum(sympy.simplify(best - w) == 0 for w in values) > 1 and _scale_is_right(subject, best):
        return best
    for text, value in ratios.items():
        if logarithm(text) and _scale_is_right(subject, value) and value.free_symbols <= {symbol("B"), symbol("N")}:
            return value
    return ONE


def _weight(subject: Subject, term: Term, ratio: sympy.Expr, weight: sympy.Expr, expected: sympy.Expr) -> Finding:
    divergence, density = relative(term.text), logarithm(term.text)
    own = divergence[0] if divergence else density
    of = subject.spec.factors[own].of if own in subject.spec.factors else ()
    dims = tuple(str(d) for v in of for d in subject.spec.variables[v].dims)
    kind, words, remedy = _factor_words(subject, ratio, term.text, dims)
    said = f"{words} (weight {ascii_text(weight)} in place of {ascii_text(expected)})"
    return Finding(kind, said, term.text, remedy=remedy or f"{ascii_text(expected)} times {term.text}")


def _factor_words(subject: Subject, ratio: sympy.Expr, what: str, dims: Sequence[str]) -> tuple[str, str, str]:
    """Kind, words and remedy for a term that is ``ratio`` times what it should be."""
    powers = ratio.as_powers_dict()
    kinds: list[str] = []
    words: list[str] = []
    remedies: list[str] = []
    number = ONE
    for base, power in powers.items():
        if base.is_number:
            number *= base**power
            continue
        name = str(base)
        if {s.name for s in base.free_symbols} <= set(subject.spec.parameters) and not base.is_Symbol:
            kinds.append("parameter")
            words.append(
                f"{ascii_text(base)} does not weigh it" if power == -1 else f"weighed by {ascii_text(base**power)} besides"
            )
        elif name in subject.spec.parameters:
            kinds.append("parameter")
            words.append(
                f"{name} does not weigh it"
                if power == -1
                else f"{name} weighs it"
                if power == 1
                else f"weighed by {name}^{power}"
            )
        elif name == "B" or name.startswith("B_"):
            kinds.append("batch")
            words.append(
                "summed over the batch instead of averaged"
                if power == 1
                else f"divided by the batch size {'once more' if power == -1 else 'too often'}"
            )
            remedies.append("the mean over rows")
        elif name == "S":
            kinds.append("draws")
            words.append(
                "summed over the draws instead of averaged" if power == 1 else "divided by the number of draws once more"
            )
            remedies.append("the mean over draws")
        elif name == "N":
            kinds.append("dataset")
            words.append("multiplied by the size of the data" if power == 1 else "divided by the size of the data")
        elif power == -1:
            whose = "its" if name in dims else "the"
            kinds.append("mean")
            words.append(f"averaged over {whose} {name} {_coordinates(subject, name)} instead of summed")
            remedies.append("sum over them, mean over rows")
        else:
            kinds.append("size")
            words.append(f"multiplied by {ascii_text(base**power)}")
    if number.is_number and float(number) < 0:
        kinds.insert(0, "sign")
        words.insert(0, "its sign is turned round")
        remedies.append("the other sign")
        number = -number
    if (
        number != 1
        and kinds[:1] == ["batch"]
        and (1 / number).is_integer
        and "summed over the batch instead of averaged" in words
    ):
        place = words.index("summed over the batch instead of averaged")
        words[place] = f"summed and divided by {1 / number} whatever the size of the batch: off for a last short one"
    elif number != 1:
        kinds.append("bits" if number in (1 / sympy.log(2), sympy.log(2)) else "weight")
        words.append(_number_words(number))
    return kinds[0] if kinds else "weight", f"{what}: " + ", ".join(words), "; ".join(remedies)


def _number_words(number: sympy.Expr) -> str:
    if number == 2:
        return "twice what it should be: a factor 1/2 is missing"
    if number == sympy.Rational(1, 2):
        return "half of what it should be"
    if number == 1 / sympy.log(2):
        return "in bits, the rest in nats"
    return f"{ascii_text(number)} times what it should be"


def _coordinates(subject: Subject, dimension: str) -> str:
    for name, space in subject.spec.variables.items():
        if dimension in map(str, space.dims):
            latent = not any(i.of == name and i.role == "value" for i in subject.inputs)
            return "latent dimensions" if latent else "coordinates" if space.kind != "categorical" else "classes"
    return "entries"


def _other(
    subject: Subject,
    feature: Feature,
    coefficient: sympy.Expr,
    expected: Mapping[str, sympy.Expr],
    weights: Mapping[str, sympy.Expr],
) -> Finding:
    """What a deformed term says: with a squared error, the variance that its weight implies."""
    weight = ascii_text(coefficient)
    words = feature.words
    if feature.kind in ("piece", "sampled", "critic", "kernel"):
        words = f"of {feature.term} there is {feature.words}, with weight {weight}"
    elif feature.kind == "squared error" and coefficient != 0:
        variance = sympy.simplify(abs(expected.get(feature.term, ONE)) / (2 * coefficient))
        words += f", with weight {weight}: it implies the variance {ascii_text(variance)}"
    elif feature.kind == "turned round" and relative(feature.term):
        words += f" (weight {weight})"
    else:
        words += f" (weight {weight})"
    return Finding(
        feature.kind, words, feature.term, remedy=f"{ascii_text(expected.get(feature.term, ONE))} times {feature.term}"
    )

"""loss = sum c_k F_k + const, found by evaluation alone: what a user's loss is, against a spec."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
import torch

from ibsym.diagnosis import extremes, gradients, objectives
from ibsym.diagnosis.calling import Called, readings
from ibsym.diagnosis.coefficients import TOLERANCE, Coefficient, Observation, ascii_text, constant, exact, joined, symbol
from ibsym.diagnosis.design import Sampler
from ibsym.diagnosis.failures import DiagnosisError
from ibsym.diagnosis.features import Feature, deformations, plain_features
from ibsym.diagnosis.fitting import EXACT, GUARDED, NEAR, Fit, pruned, search, solve
from ibsym.diagnosis.judging import judge
from ibsym.diagnosis.report import NOTE, WRONG, Finding, Report
from ibsym.diagnosis.subject import Subject
from ibsym.diagnosis.subject import gradients as derivatives
from ibsym.diagnosis.worlds import Layout, Setting, World, base, draw, is_batch, variations

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation

HELD_OUT = 5000


def diagnose(
    function: Callable[..., Any],
    derivation: Derivation,
    loss_class: type[Any],
    inputs: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Report:
    """What ``function`` is in terms of a spec: its own parts and their usual deformations, exact in the sizes.

    ``inputs`` maps arguments to formulas in the spec's inputs; what is left out is guessed from names. ``output`` picks among
    several returned values, ``parameters`` holds parameters of the spec at values.
    """
    subject = Subject(derivation, loss_class)
    for name in parameters or {}:
        if name not in subject.spec.parameters:
            raise DiagnosisError(
                f"{subject.spec.name} has no parameter {name!r}\n  write: one of {', '.join(subject.spec.parameters) or 'none'}"
            )
    ways = readings(function, subject, dict(inputs or {}), output)
    reports: list[Report] = []
    failure: Exception | None = None
    for called in ways:
        for layout in layouts(subject, called):
            try:
                _tried(subject, called, layout)
            except DiagnosisError:
                raise
            except Exception as error:  # whatever the user's code raises: another layout of its arguments may suit it
                failure = failure or error
                continue
            report = Diagnosis(subject, called, layout, dict(parameters or {})).report()
            reports.append(report)
            if report.equal:
                return report
            break
    if not reports:
        assert failure is not None
        raise DiagnosisError(_failed(function, failure, ways[0], subject)) from failure
    return min(reports, key=lambda r: (not r.explained, sum(f.severity == WRONG for f in r.findings)))


def _failed(function: Callable[..., Any], error: Exception, called: Called, subject: Subject) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    said = ", ".join(f"{f.argument} = {f.text}" for f in called.formulas)
    shapes = ", ".join(f"{i.name} ({','.join(map(str, i.shape))})" for i in subject.inputs)
    return (
        f"{name} fails on {said}: {type(error).__name__}: {str(error)[:300]}\n"
        f"  the inputs have shapes {shapes}; S may be left out\n"
        f'  write: what an argument is, with its axes if need be: "x(B,1,28,28)", "x_logits(S,B,D)", "one_hot(c)", "softmax(c_logits)"'
    )


def _tried(subject: Subject, called: Called, layout: Layout) -> None:
    """One call at a small world; raises what the user's code raises."""
    value = called.value(draw(subject, base(subject, layout), layout, 1))
    if value.numel() != 1:
        raise DiagnosisError("the function returns no scalar")


def layouts(subject: Subject, called: Called) -> Iterator[Layout]:
    """Layouts of the user's tensors, the plainest first: flat, with draws, batches of one size, images, sizes that the code names."""
    asked = any(f.asks_for_draws() for f in called.formulas)
    splits = tuple(dict(s for f in called.formulas for s in f.splits(subject)).items())
    draws = asked or couples_draws(subject)
    has_draws = any("S" in map(str, i.shape) for i in subject.inputs)
    base_layout = Layout(draws=draws, splits=splits)
    yield base_layout
    if has_draws and not asked:
        yield Layout(draws=not draws, splits=splits)
    if any(str(a).startswith("B_") for i in subject.inputs for a in i.shape):
        yield Layout(draws=draws, tied=True, splits=splits)
    dims = event_dimensions(subject)
    numbers = sorted({n for n in numbers_in(called.function) if 2 <= n <= 4096 and n not in (255, 256, 1000)}, reverse=True)[:8]
    yield from (Layout(draws=draws, splits=splits, fixed=((d, n),)) for n in numbers for d in dims)
    for first, second in itertools.permutations(dims, 2):
        yield from (Layout(draws, False, splits, ((first, m), (second, n))) for m, n in itertools.permutations(numbers[:4], 2))
    if not splits:
        flat = [d for d in dims if any(d in map(str, i.shape) for i in subject.inputs if i.role == "value")]
        for d in flat:
            for axes in (
                ("1", "H", "W"),
                ("C", "H", "W"),
                ("3", "H", "W"),
                ("1", "28", "28"),
                ("H", "W"),
                ("3", "32", "32"),
                ("1", "8", "8"),
            ):
                yield Layout(draws, False, ((d, axes),), (), True)


def event_dimensions(subject: Subject) -> list[str]:
    """The names of axes that are no batches and no draws."""
    names = [str(a) for i in subject.inputs for a in i.shape]
    return [n for n in dict.fromkeys(names) if not n.isdigit() and not is_batch(n) and n != "S"]


def numbers_in(function: Callable[..., Any]) -> set[int]:
    """Whole numbers that the function's code names, those of its globals and closures included."""
    target = inspect.unwrap(function.forward if isinstance(function, torch.nn.Module) else function)
    target = getattr(target, "__func__", target)
    code = getattr(target, "__code__", None)
    found: set[int] = set()
    if not isinstance(code, types.CodeType):
        return found
    scope = getattr(target, "__globals__", {})
    stack = [code]
    while stack:
        one = stack.pop()
        stack += [c for c in one.co_consts if isinstance(c, types.CodeType)]
        found |= {c for c in one.co_consts if type(c) is int}
        found |= {n for c in one.co_consts if isinstance(c, tuple) for n in c if type(n) is int}
        found |= {scope[n] for n in one.co_names if type(scope.get(n)) is int}
    for cell in getattr(target, "__closure__", None) or ():
        if type(cell.cell_contents) is int:
            found.add(cell.cell_contents)
    return found


def couples_draws(subject: Subject) -> bool:
    """Whether the spec's own loss is something else than its mean over draws."""
    if not any("S" in map(str, i.shape) for i in subject.inputs):
        return False
    many = Layout(draws=True)
    world = draw(subject, base(subject, many), many, 3)
    whole = float(subject.loss(world).detach())
    parts = []
    for s in range(world.sizes["S"]):
        inputs = {i.name: world.inputs[i.name][s] if "S" in map(str, i.shape) else world.inputs[i.name] for i in subject.inputs}
        single = draw(subject, base(subject, Layout()), Layout(), 3)
        single.inputs.update({n: t.detach() for n, t in inputs.items()})
        parts.append(float(subject.loss(single).detach()))
    return not math.isclose(whole, sum(parts) / len(parts), rel_tol=1e-9, abs_tol=1e-9)


@dataclass
class Diagnosis:
    """One way of reading a function's arguments, looked into."""

    subject: Subject
    called: Called
    layout: Layout
    pinned: dict[str, float]

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.subject, self.called, self.layout)
        start = base(self.subject, self.layout)
        self.start = Setting(start.sizes, {**start.parameters, **self.pinned})
        parts = self.subject.parts([draw(self.subject, self.start, self.layout, s) for s in (901, 902)])
        self.plain = plain_features(self.subject, parts)
        self.mapped = {n for f in self.called.formulas for n in f.names() if n in self.subject.spec.parameters}

    def report(self) -> Report:
        """The whole diagnosis."""
        worlds = self.sampler.worlds(self.start, len(self.plain) + 9)
        values = self.sampler.values(worlds)
        if not np.isfinite(values).all():
            return self._not_finite(values)
        self.spread = float(np.std(values))
        fit, features = self._explanation(worlds, values)
        if fit is None:
            fit, features = self._near(0.25)
        if fit is None:
            fit, features = self._near(0.04)
        if fit is None:
            return self._unexplained(worlds, values)
        chosen = [features[k] for k in fit.support]
        found, offset, loose, failures = self._exact(chosen, fit)
        if failures:
            return self._unexplained(worlds, values, list(zip(chosen, found, strict=True)), failures)
        return self._told(chosen, found, offset, loose, fit)

    def _near(self, scale: float) -> tuple[Fit | None, list[Feature]]:
        """An explanation of small inputs alone: a clamp or a floor may hide it from others."""
        near, old = Sampler(self.subject, self.called, self.layout, scale), self.sampler
        small = near.worlds(self.start, len(self.plain) + 9)
        self.sampler = near
        table, values = near.columns(self.plain, small), near.values(small)
        fit = solve(table, values, tuple(range(len(self.plain)))) if np.isfinite(values).all() else None
        if fit is None or fit.residual > GUARDED:
            self.sampler = old
            return None, self.plain
        return pruned(table, values, fit, [f.cost for f in self.plain]), self.plain

    def _explanation(self, worlds: Sequence[Any], values: Any) -> tuple[Fit | None, list[Feature]]:
        table = self.sampler.columns(self.plain, worlds)
        everything = tuple(range(len(self.plain)))
        fit = solve(table, values, everything)
        if fit.explained:
            shares = [abs(c) * float(np.std(table[:, k])) for k, c in enumerate(fit.coefficients)]
            kept = tuple(k for k in everything if shares[k] > max(1e-8, 30 * fit.residual) * (float(np.std(values)) or 1.0))
            return solve(table, values, kept), self.plain
        features = [*self.plain, *deformations(self.subject)]
        worlds = self.sampler.worlds(self.start, min(2 * len(features), len(features) + 40), 300)
        values = self.sampler.values(worlds)
        if not np.isfinite(values).all():
            return None, self.plain
        table = self.sampler.columns(features, worlds)
        found = search(table, values, [f.cost for f in features], everything)
        if found is None:
            return None, self.plain
        held = self.sampler.fit([features[k] for k in found.support], self.start, HELD_OUT)
        return (found, features) if held.explained else (None, self.plain)

    def _exact(self, chosen: list[Feature], fit: Fit) -> tuple[list[Coefficient], Coefficient, float, list[str]]:
        """Coefficients as expressions in the sizes, from one setting for each size and parameter that varies."""
        first = self.sampler.fit(chosen, self.start, 40)
        loose = TOLERANCE if first.residual < EXACT else min(3e-3, max(TOLERANCE, 40 * first.residual))
        settings: dict[str, list[tuple[Setting, Fit]]] = {}
        failures = []
        for name, values in variations(self.subject, self.start, self.layout):
            if name == "N" and not any("N" in f.names() for f in self.called.formulas):
                continue
            for value in [] if name in self.pinned else values:
                setting = self.start.varied(name, value, self.layout)
                try:
                    one = self.sampler.fit(chosen, setting, 70 + 13 * len(settings))
                except (RuntimeError, ValueError, IndexError, AssertionError, TypeError):
                    break
                if one.residual > max(NEAR, 30 * first.residual):
                    failures.append(f"{name} = {value:g}")
                settings.setdefault(name, []).append((setting, one))
        split = [d for d, _ in self.layout.splits]
        fixed = {
            **dict(self.layout.fixed),
            **{n: self.start.sizes[n] for n in event_dimensions(self.subject) if n not in settings and n not in split},
        }
        known = [t.coefficient for t in self.subject.terms]
        coefficients = []
        for k, _ in enumerate(chosen):
            start = Observation(self.start.sizes, self.start.parameters, first.coefficients[k])
            varied = {
                n: [Observation(s.sizes, s.parameters, f.coefficients[k]) for s, f in found] for n, found in settings.items()
            }
            coefficients.append(joined(exact(start, varied, known, fixed, loose), self.layout.splits))
        settled = [(self.start, first), *(pair for found in settings.values() for pair in found)]
        constants = [Observation(s.sizes, s.parameters, f.constant) for s, f in settled]
        varied_sizes = [n for n in self.start.sizes if n in settings]
        offset = constant(constants, varied_sizes, known, 1e-7 + 300 * first.residual * self.spread)
        return coefficients, offset, loose, failures

    def _told(self, chosen: list[Feature], found: list[Coefficient], offset: Coefficient, loose: float, fit: Fit) -> Report:
        verdict = judge(self.subject, list(zip(chosen, found, strict=True)), self.mapped, self.pinned)
        findings = [self._floor(f) for f in verdict.findings]
        findings += list(self._constant(offset, verdict.scale, bool(verdict.others)))
        worlds = self.sampler.worlds(self.start, 3, 60)
        tolerance = 1e-6 if loose <= TOLERANCE else min(0.05, 300 * loose)
        numbers = self.sampler.fit(chosen, self.start, 40).coefficients
        differences, chosen = gradients.compared(self.subject, self.called, chosen, numbers, worlds, tolerance)
        findings += differences
        if all(f.kind in ("term", "sampled") for f in chosen) and not any(f.severity == WRONG for f in differences):
            with contextlib.suppress(RuntimeError, ValueError, TypeError):  # what the user's code raises of float32, say
                findings += extremes.compared(self.sampler, chosen, numbers, self.start)
        if any(f.kind == "floor" for f in findings):  # what holds a term constant is also its constant and its clamp
            findings = [f for f in findings if f.kind not in ("constant", "clamp")]
        equal = not any(f.severity == WRONG for f in findings)
        coefficients = {t: Coefficient(c) for t, c in verdict.weights.items()}
        coefficients |= {f.name: Coefficient(c) for f, c in verdict.others}
        return self._report(equal, coefficients, findings, offset, fit.residual, verdict.scale)

    def _floor(self, finding: Finding) -> Finding:
        """What is missing near zero alone is held constant there."""
        if finding.kind != "missing" or self.sampler.scale == 1.0:
            return finding
        words = f"near its minimum {finding.where} is held constant: a floor (free bits) or a clamp, and no gradient below it"
        return Finding("floor", words, finding.where, remedy=finding.remedy.replace("add ", ""))

    def _constant(self, offset: Coefficient, scale: sympy.Expr | None, others: bool) -> Iterator[Finding]:
        """A constant that is off: of an estimator's own convention a note, else wrong."""
        if offset.value == 0 or (others and scale is None):
            return
        value = offset.value
        estimated = any(t.estimator not in ("closed-form", "sampled") for t in self.subject.terms)
        batch = {symbol(n) for n in self.start.sizes if n == "N" or is_batch(n)}
        logs = list(value.atoms(sympy.log))
        of_estimator = estimated and bool(logs) and all(a.free_symbols <= batch and a.args[0].is_polynomial() for a in logs)
        of_estimator = of_estimator and sympy.simplify(value.subs(dict.fromkeys(logs, 0))) == 0
        words = f"the value is off by the constant {ascii_text(value)}, every gradient is right"
        if of_estimator:
            yield Finding(
                "constant",
                f"the value is shifted by {ascii_text(value)}, a constant of the estimator that some leave out",
                severity=NOTE,
            )
        else:
            yield Finding("constant", words, remedy=f"subtract {ascii_text(value)}")

    def _not_finite(self, values: Any) -> Report:
        share = float(np.mean(~np.isfinite(values)))
        words = (
            f"the loss is not finite on {100 * share:.0f} % of ordinary inputs: a logarithm or a root of what may be negative"
        )
        return self._report(
            False,
            {t.text: Coefficient(sympy.nan) for t in self.subject.terms},
            [Finding("not finite", words)],
            Coefficient(sympy.Integer(0)),
            math.nan,
            None,
        )

    def _unexplained(
        self,
        worlds: Sequence[Any],
        values: Any,
        found: list[tuple[Feature, Coefficient]] | None = None,
        failures: Sequence[str] = (),
    ) -> Report:
        """The nearest sum of the spec's own terms, and the inputs on which the loss differs most from it."""
        table = self.sampler.columns(self.plain, worlds)
        fit = solve(table, values, tuple(range(len(self.plain))))
        spec = np.array([float(self.subject.loss(w).detach()) for w in worlds])
        worst = int(np.argmax(np.abs(values - spec)))
        share = min(1.0, fit.residual)
        where = f"most at seed {worlds[worst].seed}, where the loss is {values[worst]:.6g} and the spec's {spec[worst]:.6g}"
        sizes = f"; what fits at one size fails at {', '.join(failures)}" if failures else ""
        words = (
            f"{100 * share:.3g} % of the loss's variation is not a sum of the spec's terms and their deformations; it differs "
        )
        words += where + sizes
        coefficients = {
            f.term: Coefficient(sympy.Float(c, 6), False) for f, c in zip(self.plain, fit.coefficients, strict=True)
        }
        findings = [Finding("unexplained", words), *self._random(worlds[0]), *self._inputs_that_differ()]
        return self._report(False, coefficients, findings, Coefficient(sympy.Integer(0)), fit.residual, None)

    def _random(self, world: World) -> Iterator[Finding]:
        """Whether the function draws numbers that are not its arguments'."""
        if float(self.called.value(world).detach()) != float(self.called.value(world, shake=1).detach()):
            words = "the function draws random numbers of its own: its value differs from call to call on the same inputs"
            yield Finding("random", words, remedy="what it draws as an argument, such as noise")

    def _inputs_that_differ(self) -> Iterator[Finding]:
        """The inputs whose gradients are the spec's, those whose are not, and the entry where they differ most."""
        world = draw(self.subject, self.start, self.layout, 77)
        names = list(world.leaves)
        user = self.called.gradients(world, self.called.value(world))
        world = draw(self.subject, self.start, self.layout, 77)
        spec = derivatives(self.subject.loss(world), list(world.leaves.values()))
        gaps = {n: (a - b).abs() for n, a, b in zip(names, user, spec, strict=True)}
        off = [n for n, a, b in zip(names, user, spec, strict=True) if not torch.allclose(a, b, rtol=1e-5, atol=1e-9)]
        if not off:
            return
        worst = max(off, key=lambda n: float(gaps[n].nan_to_num(nan=math.inf).max()))
        flat = int(gaps[worst].nan_to_num(nan=math.inf).argmax())
        index = [int(k) for k in np.unravel_index(flat, tuple(gaps[worst].shape))]
        mine, theirs = (float(g[names.index(worst)].flatten()[flat]) for g in (user, spec))
        value = float(world.leaves[worst].detach().flatten()[flat])
        place = f"{worst}[{','.join(map(str, index))}] = {value:.4g}"
        others = "; the gradients in the other inputs are the spec's" if len(off) < len(names) else ""
        words = f"its gradient differs in {', '.join(off)}, most at {place}: {mine:.4g} in place of {theirs:.4g}{others}"
        yield Finding("gradient", words, ", ".join(off), NOTE)

    def _report(
        self,
        equal: bool,
        coefficients: dict[str, Coefficient],
        findings: list[Finding],
        offset: Coefficient,
        residual: float,
        scale: Any,
    ) -> Report:
        shown = (
            " ".join(objectives.signed(c, t, k == 0) for k, (t, c) in enumerate(coefficients.items()) if c.value != 0)
            or "a constant"
        )
        shift = "" if offset.value == 0 or offset.value is sympy.nan else " " + objectives.signed(offset, "", False)
        return Report(
            spec=self.subject.spec.name,
            equal=equal,
            coefficients=coefficients,
            findings=sorted(findings, key=lambda f: f.severity == NOTE),
            objective=self._objective(coefficients),
            identified="" if equal else objectives.identified(self.subject, coefficients),
            sentence=f"your loss is {shown}{shift}",
            constant=offset,
            residual=float(residual),
            scale=None if scale is None else Coefficient(scale),
            inputs={f.argument: f.text for f in self.called.formulas},
            layout=str(self.layout),
            players=self.subject.players,
        )

    def _objective(self, coefficients: Mapping[str, Coefficient]) -> str:
        """What the loss does bound: the spec's information terms at the weights that were found, else the computed terms."""
        terms = [
            t.text for t in self.subject.terms if t.text in coefficients and coefficients[t.text].value not in (0, sympy.nan)
        ]
        if (
            not terms
            or len(terms) != sum(c.value != 0 for c in coefficients.values())
            or any(not coefficients[t].exact for t in terms)
        ):
            return ""
        return objectives.bounded(self.subject, coefficients) or objectives.spelled([(coefficients[t].value, t) for t in terms])

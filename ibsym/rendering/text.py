"""A derivation for a terminal or a pipe: terms in the spec's own notation, relations as ≤ ≥ ≈, as wide as is asked for, no colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ibsym.derivation.model import Constraint, Derivation, Plan, Step
from ibsym.facts import Relation, Side
from ibsym.rendering import outline
from ibsym.terms.measures import Expression, Term, Weighted

WIDTH, NARROWEST = 100, 40
SIGNS = {Relation.EQ: "=", Relation.LE: "≤", Relation.GE: "≥", Relation.APPROX: "≈"}


def term(item: Term) -> str:
    """A term in the spec's own notation."""
    return str(item)


def expression(item: Expression) -> str:
    """A sum of terms in the spec's own notation."""
    return str(item)


def text(derivation: Derivation, width: int = WIDTH) -> str:
    """Title, objective, numbered steps; then bound, gap, constants, conditions, certificate and sources."""
    return "\n".join(line.rstrip() for line in Sheet(max(width, NARROWEST)).lines(derivation)) + "\n"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of so many columns."""

    width: int

    def lines(self, derivation: Derivation) -> Iterator[str]:
        """The whole derivation."""
        spec = derivation.spec
        yield from self.wrapped(_plain(spec.title) + ("" if spec.title == spec.name else f" ({spec.name})"))
        if spec.cite:
            yield from self.wrapped("; ".join(map(_plain, spec.cite)))
        if spec.notes:
            yield ""
            yield from self.wrapped(_plain(spec.notes))
        yield ""
        yield from self.sum(f"{spec.sense}  ", derivation.objective)
        yield ""
        yield from self.steps(derivation)
        yield from self.wrapped(outline.verdict(derivation))
        for constraint in derivation.constraints:
            yield from self.constraint(constraint)
        yield from self.section(f"Bound ({SIGNS[derivation.relation]}): what the loss computes")
        rows = [
            (str(b.coefficient), b.text, outline.estimator(b), outline.remark(derivation.spec, b)) for b in derivation.bound
        ]
        rows += [(str(s.coefficient), s.text, "surrogate", known) for s, known in outline.surrogates(derivation)]
        yield from self.table(rows)
        yield from self.section(f"Gap: {outline.gap_lead(derivation)}")
        yield from self.table([(str(g.coefficient), str(g.term), outline.closable(g)) for g in derivation.gap])
        if len(derivation.constants):
            yield from self.section("Constants, left out of the loss")
            yield from self.sum("  ", derivation.constants)
        conditions = outline.conditions(derivation)
        if conditions:
            yield from self.section("Conditions")
            for condition in conditions:
                yield from self.wrapped(_plain(outline.said(condition)), "  ")
        plans = outline.plans(derivation)
        if plans:
            yield from self.section("Certificate: each term as an exact combination")
        for plan in plans:
            yield from self.certificate(plan)
        yield from self.section("Sources")
        yield from self.wrapped("; ".join(map(_plain, outline.sources(derivation))), "  ")

    def steps(self, derivation: Derivation) -> Iterator[str]:
        """The numbered steps, each with its reason, its gap and what it rests on."""
        for number, step in enumerate(derivation.steps, 1):
            opening = f"{number:>3} {SIGNS[step.relation]} "
            if outline.still(step):
                yield opening + "the same"
            else:
                yield from self.sum(opening, step.after)
            yield from self.reason(step)
            yield ""

    def reason(self, step: Step) -> Iterator[str]:
        """Rule, source, premises and note of a step; what it dropped."""
        cited = f" [{'; '.join(map(_plain, step.cite))}]" if step.cite else ""
        said = [step.rule + cited, *(_plain(outline.said(p)) for p in outline.premises(step))]
        said += [_plain(str(step.note))] if step.note else []
        yield from self.wrapped("; ".join(said), " " * 10)
        if len(step.gap):
            yield from self.sum("          dropped: ", step.gap, " ≥ 0")

    def certificate(self, plan: Plan) -> Iterator[str]:
        """term + sum lambda g = sum t c, and the facts of the graphs under which it holds."""
        sign = "+" if plan.side is Side.UPPER else "-"
        yield f"  {plan.term}"
        yield from self.table(
            [(f"{sign} {x}", str(row.term), f"{row.kind.value}, never negative") for x, row in plan.gaps], "    "
        )
        signs = [f"= {x}" if i == 0 else _signed(x) for i, (x, _) in enumerate(plan.computed)]
        items = [(s, str(c.term), "constant" if c.constant else "") for s, (_, c) in zip(signs, plan.computed, strict=True)]
        yield from self.table(items, "    ")
        for premise in outline.unique(e.premise for _, e in plan.equations):
            yield from self.wrapped(f"since {premise}", "    ")

    def constraint(self, constraint: Constraint) -> Iterator[str]:
        """What a critic that looks through a factor is held to."""
        through = constraint.critic.through
        yield from self.section(f"The critic of {constraint.divergence} sees its samples through {through}")
        if constraint.derivation is not None:
            constrained = f"{constraint.derivation.objective} ≤ {constraint.budget}"
            yield from self.wrapped(f"held to {constrained} by the multiplier {constraint.critic.multiplier}", "  ")
            yield from self.sum("      ", constraint.derivation.objective)
            yield from self.steps(constraint.derivation)

    def section(self, title: str) -> Iterator[str]:
        """A heading under an empty line."""
        yield ""
        yield from self.wrapped(title)

    def wrapped(self, words: str, indent: str = "") -> list[str]:
        """Words folded to the width."""
        return textwrap.wrap(
            words, self.width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]

    def sum(self, opening: str, item: Expression, ending: str = "") -> Iterator[str]:
        """A sum broken between its terms, lines after the first set in."""
        line, started = opening, False
        for i, piece in enumerate(_pieces(item)):
            last = ending if i == max(len(item), 1) - 1 else ""
            if started and len(line) + len(piece) + len(last) > self.width:
                yield line
                line, piece = " " * (len(opening) + 2), piece.lstrip()
            line, started = line + piece + last, True
        yield line

    def table(self, rows: Iterable[tuple[str, ...]], indent: str = "  ") -> Iterator[str]:
        """Rows in columns; the last column is folded, and goes to a line of its own where there is no room beside."""
        items = [tuple(map(_plain, row)) for row in rows]
        if not items:
            return
        count = len(items[0])
        widths = [max(len(row[i]) for row in items) for i in range(count - 1)]
        for row in items:
            start = indent + "".join(
                f"{cell:>{w}}  " if i == 0 else f"{cell:<{w}}  " for i, (cell, w) in enumerate(zip(row, widths, strict=False))
            )
            room = self.width - len(start)
            folded = textwrap.wrap(row[-1], max(room, 24), break_on_hyphens=False) or [""]
            if room >= 24:
                yield start + folded[0]
                yield from (" " * len(start) + line for line in folded[1:])
            else:
                yield start
                yield from self.wrapped(row[-1], indent + "    ")


def _signed(x: Fraction) -> str:
    return f"{'-' if x < 0 else '+'} {abs(x)}"


def _plain(words: str) -> str:
    """One line of text without control characters."""
    return "".join(c for c in " ".join(words.split()) if c.isprintable())


def _pieces(item: Expression) -> Sequence[str]:
    if not len(item):
        return ["0"]
    found = []
    for i, part in enumerate(item):
        alone = str(Expression((Weighted(part.coefficient, part.term),)))
        negative = part.split()[0]
        found.append(alone if i == 0 else f" - {alone[1:]}" if negative else f" + {alone}")
    return found

"""What papers are written with, whatever spells it: sums in lines, reasons, terms in running text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, assert_never

from ibsym.derivation.model import Constraint, Derivation, Step
from ibsym.rendering import notation, outline
from ibsym.rendering.boxes import Box, Mark, loose, row, width
from ibsym.rendering.forms import Form
from ibsym.rendering.notation import Phrase
from ibsym.terms.measures import Expression, Term

SHORT = 8.0  # em: what need not be broken in running text


@dataclass(frozen=True, slots=True)
class Writer(ABC):
    """What is written into lines of ``limit`` em."""

    limit: float
    between: ClassVar[str] = "; "

    @abstractmethod
    def math(self, box: Box) -> str:
        """Mathematics without its dollars."""

    @abstractmethod
    def words(self, text: str) -> str:
        """Running text on one line, everything escaped."""

    @abstractmethod
    def cited(self, sources: tuple[str, ...]) -> str:
        """Sources as this page refers to them."""

    def inline(self, box: Box) -> str:
        """Mathematics in running text; what is long may be broken."""
        return f"${self.math(loose(box) if width(box) > SHORT else box)}$"

    def said(self, items: Phrase) -> str:
        """Running text with mathematics in it."""
        return "".join(self.kept(i) if isinstance(i, str) else self.inline(i) for i in items)

    def kept(self, text: str) -> str:
        """Running text whose spaces at the ends count."""
        return (" " if text[:1] == " " else "") + self.words(text) + (" " if text[-1:] == " " and text.strip() else "")

    def sums(self, item: Expression, limit: float) -> list[str]:
        """A sum in lines."""
        return [self.math(row(*line)) for line in outline.folded(notation.pieces(item), limit)]

    def about(self, step: Step) -> str:
        """Rule and source, premises and note of a step."""
        found = [" ".join(part for part in (self.words(step.rule), self.cited(step.cite)) if part)]
        found += [self.said(notation.premise(p)) for p in outline.premises(step)]
        return self.between.join([*found, *([self.said(notation.note(step.note))] if step.note else [])])

    def weighted(self, coefficient: object, item: Term) -> str:
        """A term with its coefficient in running text."""
        return self.inline(notation.expression(Expression.of((coefficient, item))))

    def bound(self, derivation: Derivation) -> list[tuple[str, str]]:
        """Each term that the loss computes, and how."""
        return [
            (
                self.weighted(b.coefficient, b.term),
                self.words("; ".join(filter(None, (outline.treatment(b), outline.remark(derivation.spec, b))))),
            )
            for b in derivation.bound
        ] + [(self.inline(notation.surrogate(s)), self.words(known)) for s, known in outline.surrogates(derivation)]

    def gap(self, derivation: Derivation) -> list[tuple[str, str]]:
        """What was dropped, and whether training can close it."""
        return [(self.weighted(g.coefficient, g.term), self.words(outline.closable(g))) for g in derivation.gap]

    def conditions(self, derivation: Derivation) -> list[str]:
        """What the steps rest on."""
        return [self.said(notation.premise(c)) for c in outline.conditions(derivation)]

    def held(self, constraint: Constraint) -> str:
        """Through what a critic sees its samples, and what it is held to."""
        through = f"The critic sees its samples through {self.inline(notation.density(constraint.critic.through))}"
        if constraint.derivation is None:
            return f"{through}."
        terms = (notation.expression(constraint.derivation.objective), Mark.LE, notation.coefficient(constraint.budget))
        multiplier = self.inline(notation.name(constraint.critic.multiplier or ""))
        return f"{through} and is held to {self.inline(row(*terms))} by the multiplier {multiplier}:"


class AtLength(ABC):
    """What is written at the length that is asked for."""

    __slots__ = ()

    @abstractmethod
    def body(self, derivation: Derivation) -> str:
        """The whole derivation, step by step, and what goes with it."""

    @abstractmethod
    def theorem(self, derivation: Derivation) -> str:
        """The bound as a theorem, its steps as the proof."""

    @abstractmethod
    def chain(self, start: Expression, links: list[outline.Link], *, continued: bool = False) -> str:
        """The lines of a chain, from an expression on."""

    def told(self, derivation: Derivation, steps: Form) -> str:
        """The derivation at the length that is asked for."""
        match steps:
            case Form.FULL:
                return self.body(derivation)
            case Form.SHORT:
                return self.chain(derivation.objective, outline.inequalities(derivation))
            case Form.THEOREM:
                return self.theorem(derivation)
        assert_never(steps)

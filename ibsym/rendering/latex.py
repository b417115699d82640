r"""A derivation as LaTeX: a term, a chain for a notebook, a fragment to ``\input``, a document that stands alone.

A fragment needs amsmath, amssymb and mathtools, in one column or two: sums break at their signs, and a term that is wider than
a column where it may. What a journal may want otherwise is a command (``\ibsymKL``, ``\ibsymreason``, ...) that is given only where it
has no meaning yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ibsym.derivation.model import Constraint, Derivation, Plan, Step
from ibsym.rendering import notation, outline
from ibsym.rendering.bibliography import keys, listed
from ibsym.rendering.boxes import Box, Mark, row
from ibsym.rendering.forms import Form
from ibsym.rendering.templating import render
from ibsym.rendering.tex import NAMED, PLAIN, PROVIDED, beside, citation, tex, words
from ibsym.rendering.writer import AtLength, Writer
from ibsym.terms.measures import Expression, Term

NARROW, WIDE = 27.5, 35.0  # em: article's own text width at 10 pt, and the document's
COLUMN = 17.5  # em: a column of two
INFINITY = r"\infty"
CHARACTERS = 2.5  # of small text in an em of mathematics
COMMANDS = (*PROVIDED, r"\providecommand{\ibsymcite}[1]{\cite{#1}}", r"\providecommand{\ibsymreason}[1]{\text{\small #1}}")
COMMANDS = (*COMMANDS, r"\providecommand{\ibsymheading}[1]{\paragraph{#1}}")


class Line(NamedTuple):
    """A line of a table or list in a template: plain strings."""

    head: str
    body: str


def term(item: Term) -> str:
    r"""A term as LaTeX mathematics.

    >>> from ibsym.terms.measures import MutualInformation
    >>> term(MutualInformation("q", (("x",), ("z",))))
    'I_{q}(X;Z)'
    """
    return tex(notation.term(item)).strip()


def expression(item: Expression) -> str:
    """A sum of terms as LaTeX mathematics."""
    return tex(notation.expression(item)).strip()


def fragment(derivation: Derivation, columns: int = 1, steps: Form = Form.FULL) -> str:
    r"""What ``\input`` takes: the chain with gap, constants, conditions and sources, the chain alone, or theorem and proof."""
    page = Paper(NARROW if columns == 1 else COLUMN)
    return render(
        "fragment.tex.j2", {"name": _comment(derivation.spec.name), "commands": COMMANDS, "body": page.told(derivation, steps)}
    )


def document(derivation: Derivation, columns: int = 1, steps: Form = Form.FULL) -> str:
    """The derivation with the spec that it came from, and the references, as an article that stands alone."""
    spec = derivation.spec
    page = Paper(WIDE if columns == 1 else COLUMN)
    joints = [page.math(j) for j in outline.written(derivation)]
    context: dict[str, object] = {
        "name": _comment(spec.name),
        "layout": "11pt,a4paper" if columns == 1 else "10pt,a4paper,twocolumn",
        "margin": "2.5cm" if columns == 1 else "2cm",
        "commands": COMMANDS,
        "title": words(spec.title),
        "cite": page.cited(tuple(spec.cite)),
        "notes": words(spec.notes),
        "objective": page.objective(derivation),
        "variables": [page.inline(row(notation.value(v), Mark.IN, notation.space(s))) for v, s in spec.variables.items()],
        "joints": joints,
        "running": [f"${breakable(j)}$" for j in joints] if columns == 2 or any(_printed(j) > WIDEST for j in joints) else [],
        "families": [
            Line(page.inline(notation.density(f)), words(outline.family(f.family)))
            for f in outline.factors(derivation)
            if f.family is not None
        ],
        "parameters": [Line(page.parameter(p), p.default) for p in outline.parameters(derivation)],
        "body": page.told(derivation, steps),
        "certificate": [page.identity(p) for p in outline.plans(derivation)],
        "references": [Line(*entry) for entry in listed(outline.sources(derivation))],
    }
    return render("document.tex.j2", context)


WIDEST = 80
"""Characters of a joint that a line of one column has room for."""


def breakable(formula: str) -> str:
    r"""The formula with places where a line may end: after a factor, and after a comma.

    >>> breakable(r"q(x,z) = q(x)\,q(z)")
    'q(x,\\allowbreak z) = q(x)\\,\\allowbreak q(z)'
    """
    return re.sub(r"(\\,|(?<!\\),)", r"\1\\allowbreak ", formula)


def _printed(formula: str) -> int:
    """About how many characters are seen."""
    return len(re.sub(r"\\[a-zA-Z]+|[{}\\]", "", formula))


def chain(derivation: Derivation) -> str:
    """The steps for a notebook, in what MathJax 2 and 3 and KaTeX have in common."""
    return Notebook(NARROW).displayed(derivation)


def step(item: Step) -> str:
    """A step for a notebook: its relation, what follows it, and its reason."""
    page = Notebook(NARROW)
    return page.aligned(page.link(outline.Link(item.relation, item.after, item, 0, outline.still(item))))


def _comment(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True, slots=True)
class Latex(Writer):
    """LaTeX, without a way to cite."""

    marks: ClassVar[Mapping[Mark, str]] = NAMED

    def math(self, box: Box) -> str:
        """Mathematics without its dollars."""
        return tex(box, self.marks).strip()

    def words(self, text: str) -> str:
        """Running text."""
        return words(text)

    def cited(self, sources: tuple[str, ...]) -> str:
        """Sources by their names."""
        return f"[{'; '.join(map(citation, sources))}]" if sources else ""

    def reason(self, step: Step) -> list[str]:
        """The reason of a step, folded into lines of text with mathematics in them, and what was dropped."""
        dropped = self.sums(step.gap, self.limit - 6.0) if len(step.gap) else []
        ends = [*[""] * (len(dropped) - 1), r" \ge 0"]
        opened = ["dropped: ", *[""] * len(dropped)]
        lines = [f"{a}${b}{c}$" for a, b, c in zip(opened, dropped, ends, strict=False)]
        return filled(self.about(step), self.limit) + lines

    def running(self, item: Expression) -> str:
        """A sum in running text, which may break before a sign."""
        pieces = [self.inline(piece) for piece in notation.pieces(item)]
        return " ".join([pieces[0], *(piece.replace("$", "${}", 1) for piece in pieces[1:])])

    def parameter(self, item: outline.Parameter) -> str:
        """A parameter and its interval."""
        return f"${self.math(notation.name(item.name))} \\in {item.interval.replace('inf', INFINITY)}$"


DISPLAY = 4000
"""Characters of one display: MathJax 2 takes some 5,000, and KaTeX expands so many macros."""


@dataclass(frozen=True, slots=True)
class Notebook(Latex):
    r"""An ``aligned`` in dollars, or several: no star, no ``\notag``, numbers of our own."""

    marks: ClassVar[Mapping[Mark, str]] = PLAIN

    def inline(self, box: Box) -> str:
        r"""Mathematics in a ``\text``, where no line ends."""
        return f"${self.math(box)}$"

    def displayed(self, derivation: Derivation) -> str:
        """The whole chain, in as many displays as it takes."""
        parts = [self.rows(rf"{self.math(Mark.OBJECTIVE)} &= ", self.sums(derivation.objective, self.limit))]
        for link in outline.links(derivation):
            lines = self.link(link)
            if sum(map(len, (*parts[-1], *lines))) > DISPLAY:
                parts.append([])
            parts[-1] += lines
        return "\n".join(map(self.aligned, parts))

    def link(self, link: outline.Link) -> list[str]:
        """A line of the chain with its number, where it has one, and its reason."""
        lines = [r"\text{the same}"] if link.same else self.sums(link.after, self.limit)
        first, *others = self.rows(rf"&{self.math(notation.RELATIONS[link.relation])} ", lines)
        numbered = rf"{first} && \text{{({link.number})}}" if link.number else first
        why = self.reason(link.step) if link.step is not None else []
        return [numbered, *others, *(rf"&\qquad\text{{{line}}}" for line in why)]

    def aligned(self, rows: list[str]) -> str:
        """Rows as one display."""
        return "$$\n\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}\n$$"

    def rows(self, opening: str, lines: list[str]) -> list[str]:
        """Lines of a sum as rows."""
        return [beside(opening, lines[0]), *(rf"&\qquad{{}} {line}" for line in lines[1:])]


@dataclass(frozen=True, slots=True)
class Paper(AtLength, Latex):
    r"""An ``align`` whose pages break between steps, and text around it, with ``\cite``."""

    def cited(self, sources: tuple[str, ...]) -> str:
        """One command for all."""
        found = keys(sources)
        return rf"\ibsymcite{{{','.join(found)}}}" if found else ""

    def body(self, derivation: Derivation) -> str:
        """The chain, what the loss computes, gap, constants, constraints, conditions, sources."""
        constants = derivation.constants
        context: dict[str, object] = {
            "chain": self.chain(derivation.objective, outline.links(derivation)),
            "verdict": words(outline.verdict(derivation)),
            "bound": [Line(*item) for item in self.bound(derivation)],
            "gap_lead": words(outline.gap_lead(derivation)).capitalize(),
            "gap": [Line(*item) for item in self.gap(derivation)],
            "constants": self.running(constants) if len(constants) else "",
            "constraints": [self.constraint(c) for c in derivation.constraints],
            "conditions": self.conditions(derivation),
            "sources": self.cited(outline.sources(derivation)),
        }
        return render("body.tex.j2", context)

    def theorem(self, derivation: Derivation) -> str:
        """What is proved, of which joints and parameters; its proof; what the loss computes of it."""
        claim = outline.claim(derivation)
        count, links = len(claim.steps), outline.links(derivation)
        context: dict[str, object] = {
            "title": words(derivation.spec.title),
            "cite": self.cited(tuple(derivation.spec.cite)),
            "joints": [self.inline(j) for j in outline.written(derivation)],
            "conditions": self.conditions(derivation),
            "parameters": [self.parameter(p) for p in outline.parameters(derivation)],
            "claim": self.align(
                [
                    self.rows("&", self.sums(derivation.objective, self.limit - 1), "\\notag \\\\\n"),
                    self.rows(
                        rf"&\quad{self.math(notation.RELATIONS[claim.relation])} ",
                        self.sums(claim.reached, self.limit - 3),
                        "\\notag \\\\\n",
                    ),
                ],
                r" \notag \\" + "\n",
            ),
            "gap": self.running(claim.gap) if len(claim.gap) else "",
            "sides": outline.SIDES[claim.relation],
            "proof": self.chain(derivation.objective, links[:count]) if count else "",
            "estimates": self.chain(claim.reached, links[count:], continued=bool(count)) if links[count:] else "",
            "bound": [Line(*item) for item in self.bound(derivation)],
            "constants": self.running(derivation.constants) if len(derivation.constants) else "",
        }
        return render("theorem.tex.j2", context)

    def chain(self, start: Expression, links: list[outline.Link], *, continued: bool = False) -> str:
        """A chain of lines, each with its number, and under it its reason."""
        opening = "&" if continued else rf"{self.math(Mark.OBJECTIVE)} &= "
        blocks = [self.rows(opening, self.sums(start, self.limit), " \\notag \\\\*\n") + r" \notag"]
        for link in links:
            relation = rf"&{self.math(notation.RELATIONS[link.relation])} "
            lines = [r"\text{the same}"] if link.same else self.sums(link.after, self.limit)
            block = self.rows(relation, lines, " \\notag \\\\*\n")
            why = self.reason(link.step) if link.step is not None else []
            blocks.append(block + "".join(f" \\\\*[-0.4ex]\n&\\qquad\\ibsymreason{{{line}}} \\notag" for line in why))
        return self.align([" \\\\*[0.8ex]\n".join(blocks[:2]), *blocks[2:]], " \\\\[0.8ex]\n")

    def align(self, blocks: list[str], ending: str) -> str:
        """Blocks that pages may break between."""
        return "{\\allowdisplaybreaks\n\\begin{align}\n" + ending.join(blocks) + "\n\\end{align}}"

    def rows(self, opening: str, lines: list[str], ending: str) -> str:
        r"""Lines of a sum as rows of an align; a line that goes on is set in by a \quad."""
        return ending.join([beside(opening, lines[0]), *(rf"&\qquad{{}} {line}" for line in lines[1:])])

    def objective(self, derivation: Derivation) -> str:
        """min or max of the objective."""
        sense = {"minimize": r"\min", "maximize": r"\max"}[derivation.spec.sense]
        return self.rows(rf"&{sense}\quad ", self.sums(derivation.objective, self.limit - 4.0), " \\\\\n")

    def constraint(self, constraint: Constraint) -> Line:
        """A critic's constraint: what it is held to, through which code, and the bound that code computes for it."""
        inner = constraint.derivation
        return Line(
            self.held(constraint), "" if inner is None else self.chain(inner.objective, outline.links(inner), continued=True)
        )

    def identity(self, plan: Plan) -> Line:
        """term + sum lambda g = sum t c: the certificate as an identity, and the facts of the graphs that it rests on."""
        left, right = (self.sums(side, self.limit - 2.0) for side in outline.identity(plan))
        facts = (self.said(notation.premise(p)) for p in outline.unique(e.premise for _, e in plan.equations))
        since = filled("since " + "; ".join(facts), self.limit - 4.0) if plan.equations else []
        reason = "} \\\\*[-0.4ex]\n&\\qquad\\ibsymreason{".join(since)
        return Line(self.rows("&", left, " \\\\\n") + " \\\\\n" + self.rows("&= ", right, " \\\\\n"), reason)


def filled(text: str, limit: float) -> list[str]:
    """Text cut at spaces outside of mathematics into lines of about the limit."""
    lines: list[str] = []
    room, inside = 0.0, False
    for word in text.split(" "):
        size = len(word) + 1 if "\\" not in word or "cite" in word else 0.6 * len(word)
        if not lines or (size > room and not inside):
            lines.append(word)
            room = limit * CHARACTERS - size
        else:
            lines[-1] += " " + word
            room -= size
        inside ^= word.replace(r"\$", "").count("$") % 2 == 1
    return lines

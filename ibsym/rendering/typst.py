"""A derivation as Typst: a fragment to ``#include``, in one column or two, or a document that stands alone.

A fragment cites by ``@key``, so the document that includes it has a ``#bibliography`` (``ibsym cite`` writes one). What a paper may want
otherwise is a ``#let`` in the first lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, assert_never

from ibsym.derivation.model import Constraint, Derivation
from ibsym.rendering import notation, outline
from ibsym.rendering.bibliography import cited, keys
from ibsym.rendering.boxes import (
    Accent,
    Box,
    Bracket,
    Fence,
    Hat,
    Letter,
    Mark,
    Number,
    Quotient,
    Row,
    Script,
    Style,
    Word,
    row,
)
from ibsym.rendering.forms import Form
from ibsym.rendering.templating import render
from ibsym.rendering.writer import AtLength, Writer
from ibsym.terms.measures import Expression

NARROW, COLUMN = 32.0, 17.5  # em: a page of one column, a column of two
MACROS = {
    Mark.EXPECTATION: ("ibsymE", "bb(E)"),
    Mark.ENTROPY: ("ibsymH", "H"),
    Mark.INFORMATION: ("ibsymI", "I"),
    Mark.DIVERGENCE: ("ibsymD", "D"),
    Mark.KL: ("ibsymKL", 'upright("KL")'),
    Mark.CE: ("ibsymCE", 'upright("CE")'),
    Mark.TC: ("ibsymTC", 'upright("TC")'),
    Mark.JS: ("ibsymJS", 'upright("JS")'),
    Mark.GIVEN: ("ibsymgiven", 'class("relation", bar.v)'),
    Mark.AGAINST: ("ibsymagainst", 'class("relation", parallel)'),
    Mark.OBJECTIVE: ("ibsymobjective", "cal(L)"),
}
_MARKS = {
    Mark.EQ: "=",
    Mark.LE: "<=",
    Mark.GE: ">=",
    Mark.APPROX: "approx",
    Mark.PLUS: "+",
    Mark.MINUS: "-",
    Mark.NEGATIVE: "-",
    Mark.COMMA: ",",
    Mark.SEMICOLON: ";",
    Mark.IN: "in",
    Mark.CHAIN: "arrow.l.r",
    Mark.TIMES: "times",
    Mark.THIN: "thin",
    Mark.LOG: "log",
    Mark.REALS: "RR",
    Mark.COUNTS: "NN",
    Mark.SPHERE: "bb(S)",
    Mark.SIMPLEX: "Delta",
    Mark.INFINITY: "infinity",
    Mark.DOTS: "dots",
    Mark.QUAD: "quad",
    Mark.BREAK: "",
    **{mark: name for mark, (name, _) in MACROS.items()},
}
_STYLES = {Style.UPRIGHT: "upright", Style.ITALIC: "italic"}
_HATS = {Hat.HAT: "hat", Hat.WIDE: "hat", Hat.TILDE: "tilde", Hat.BAR: "macron"}


def typst(box: Box) -> str:
    """A box as Typst mathematics.

    >>> from ibsym.terms.measures import MutualInformation
    >>> typst(notation.term(MutualInformation("q", (("x",), ("z1",)))))
    'ibsymI_(q) ( X ; Z_(1) )'
    """
    match box:
        case Letter(text) | Number(text):
            return text
        case Word(text, style):
            return _string(text) if style is Style.TEXT else f"{_STYLES[style]}({_string(text)})"
        case Mark():
            return _MARKS[box]
        case Fence(brackets, body):
            return f"{brackets[0]} {typst(body)} {brackets[1]}"
        case Bracket(text):
            return f"\\{text}"
        case Script(base, sub, sup):
            scripts = "".join(f"{mark}({typst(b)})" for mark, b in (("_", sub), ("^", sup)) if b is not None)
            return typst(base) + scripts
        case Accent(hat, base):
            return f"{_HATS[hat]}({typst(base)})"
        case Quotient(over, under):
            return f"frac({typst(over)}, {typst(under)})"
        case Row(items):
            return " ".join(filter(None, map(typst, items)))
    assert_never(box)


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def words(text: str) -> str:
    r"""Running text: what Typst would read as markup is escaped.

    >>> print(words("100% of #a_b & [c]"))
    100% of \#a\_b & \[c\]
    """
    plain = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return re.sub(r"[\\#$*_`<>@\[\]~]|//|/\*|^[-+=/]|--|\.\.\.", lambda m: "".join("\\" + c for c in m[0]), plain)


def fragment(derivation: Derivation, columns: int = 1, steps: Form = Form.FULL) -> str:
    """What ``#include`` takes."""
    page = Typst(NARROW if columns == 1 else COLUMN)
    return render(
        "fragment.typ.j2", {"name": derivation.spec.name, "commands": _commands(), "body": page.told(derivation, steps)}
    )


def document(derivation: Derivation, columns: int = 1, steps: Form = Form.FULL) -> str:
    """The derivation with its title and references."""
    spec = derivation.spec
    page = Typst(NARROW if columns == 1 else COLUMN)
    sources = cited(derivation)
    context: dict[str, object] = {
        "name": spec.name,
        "commands": _commands(),
        "columns": columns,
        "title": words(spec.title),
        "cite": page.cited(tuple(spec.cite)),
        "notes": words(spec.notes),
        "variables": [page.inline(row(notation.value(v), Mark.IN, notation.space(s))) for v, s in spec.variables.items()],
        "joints": [page.inline(j) for j in outline.written(derivation)],
        "families": [
            (page.inline(notation.density(f)), words(outline.family(f.family)))
            for f in outline.factors(derivation)
            if f.family is not None
        ],
        "parameters": [page.parameter(p) for p in outline.parameters(derivation)],
        "body": page.told(derivation, steps),
        "bibliography": _string(sources) if sources else "",
    }
    return render("document.typ.j2", context)


def _commands() -> list[tuple[str, str]]:
    return list(MACROS.values())


@dataclass(frozen=True, slots=True)
class Typst(AtLength, Writer):
    """A grid of steps: number, relation, the sum in lines with its reason below."""

    between: ClassVar[str] = "\\; "  # a semicolon after a command ends the command, and is not printed

    def math(self, box: Box) -> str:
        """Mathematics without its dollars."""
        return typst(box)

    def words(self, text: str) -> str:
        """Running text."""
        return words(text)

    def cited(self, sources: tuple[str, ...]) -> str:
        """References to the bibliography's entries."""
        return " ".join(f"#cite(<{k}>)" for k in keys(sources))

    def chain(self, start: Expression, links: list[outline.Link], *, continued: bool = False) -> str:
        """The lines of a chain, from an expression on."""
        opening = ("", "") if continued else (f"${typst(Mark.OBJECTIVE)}$", "$=$")
        rows: list[tuple[str, str, list[str], str, list[str]]] = [(*opening, self.lines(start), "", [])]
        for link in links:
            lines = ["the same"] if link.same else self.lines(link.after)
            why, dropped = "", []
            if link.step is not None:
                why = self.about(link.step)
                dropped = self.sums(link.step.gap, self.limit - 6.0) if len(link.step.gap) else []
                dropped = [f"#box[${line}{' >= 0' if i == len(dropped) else ''}$]" for i, line in enumerate(dropped, 1)]
            rows.append((f"({link.number})", f"${typst(notation.RELATIONS[link.relation])}$", lines, why, dropped))
        return render("chain.typ.j2", {"rows": rows})

    def lines(self, item: Expression) -> list[str]:
        """A sum in lines, each of which stays whole."""
        return [f"#box[${line}$]" for line in self.sums(item, self.limit)]

    def running(self, item: Expression) -> str:
        """A sum in running text."""
        return " ".join(map(self.inline, notation.pieces(item)))

    def parameter(self, item: outline.Parameter) -> str:
        """A parameter and its interval."""
        left, inside, right = item.interval[0], item.interval[1:-1].replace("inf", "infinity"), item.interval[-1]
        return f"${typst(notation.name(item.name))} in \\{left} {inside} \\{right}$"

    def body(self, derivation: Derivation) -> str:
        """The chain, and what is to be said of it."""
        context: dict[str, object] = {
            "chain": self.chain(derivation.objective, outline.links(derivation)),
            "verdict": words(outline.verdict(derivation)),
            "bound": self.bound(derivation),
            "gap_lead": words(outline.gap_lead(derivation)).capitalize(),
            "gap": self.gap(derivation),
            "constants": self.running(derivation.constants) if len(derivation.constants) else "",
            "constraints": [self.constraint(c) for c in derivation.constraints],
            "conditions": self.conditions(derivation),
            "sources": self.cited(outline.sources(derivation)),
        }
        return render("body.typ.j2", context)

    def constraint(self, constraint: Constraint) -> tuple[str, str]:
        """What a critic is held to, and the bound that code computes for it."""
        inner = constraint.derivation
        return self.held(constraint), "" if inner is None else self.chain(inner.objective, outline.links(inner), continued=True)

    def theorem(self, derivation: Derivation) -> str:
        """What is proved, its proof, what the loss computes."""
        claim = outline.claim(derivation)
        count, links = len(claim.steps), outline.links(derivation)
        context: dict[str, object] = {
            "title": words(derivation.spec.title),
            "cite": self.cited(tuple(derivation.spec.cite)),
            "joints": [self.inline(j) for j in outline.written(derivation)],
            "conditions": self.conditions(derivation),
            "parameters": [self.parameter(p) for p in outline.parameters(derivation)],
            "left": self.lines(derivation.objective),
            "relation": f"${typst(notation.RELATIONS[claim.relation])}$",
            "right": self.lines(claim.reached),
            "gap": self.running(claim.gap) if len(claim.gap) else "",
            "sides": outline.SIDES[claim.relation],
            "proof": self.chain(derivation.objective, links[:count]) if count else "",
            "estimates": self.chain(claim.reached, links[count:], continued=bool(count)) if links[count:] else "",
            "bound": self.bound(derivation),
            "constants": self.running(derivation.constants) if len(derivation.constants) else "",
        }
        return render("theorem.typ.j2", context)

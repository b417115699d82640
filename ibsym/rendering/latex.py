r"""A derivation as LaTeX: a term, an expression, the chain for a notebook, a fragment to ``\input``, a document that stands alone.

The chain is one ``align``: every line has its relation, the whole expression and its number, and under it the rule with its source,
its premises and what was dropped. Only amsmath and amssymb are needed.
"""

from __future__ import annotations

from typing import NamedTuple

from ibsym.derivation.model import Constraint, Derivation, Plan, Step
from ibsym.rendering import notation, outline
from ibsym.rendering.boxes import Box, Mark, row
from ibsym.rendering.templating import render
from ibsym.rendering.tex import beside, citation, phrase, tex, words
from ibsym.terms.measures import Expression, Term

NARROW, WIDE = 27.5, 35.0  # em: article's own text width at 10 pt, and the document's
COLUMN = 16.0  # em: a column of two
INFINITY = r"\infty"
BROKEN, CONTINUED, REASON = " \\\\\n", " \\notag \\\\*\n", " \\\\*[-0.4ex]\n"
CHARACTERS = 2.5  # of small text in an em of mathematics


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


def chain(derivation: Derivation) -> str:
    """The steps as an ``align`` block; MathJax reads it, so a notebook shows it."""
    return _chain(derivation, NARROW, "", rf"{tex(Mark.OBJECTIVE)} &= ")


def fragment(derivation: Derivation, columns: int = 1) -> str:
    r"""The chain, the gap, constants, conditions and sources, to be ``\input`` into a paper that loads amsmath and amssymb.

    ``columns`` is 2 for lines broken to a column of a two-column article; a single term that is wider stays whole.
    """
    body = _body(derivation, NARROW if columns == 1 else COLUMN)
    return render("fragment.tex.j2", {"name": _comment(derivation.spec.name), "body": body})


def document(derivation: Derivation) -> str:
    """The derivation with the spec that it came from, as an article that stands alone."""
    spec = derivation.spec
    context: dict[str, object] = {
        "name": _comment(spec.name),
        "title": words(spec.title),
        "cite": "; ".join(map(citation, spec.cite)),
        "notes": words(spec.notes),
        "objective": _objective(derivation),
        "variables": [f"${tex(row(notation.value(v), Mark.IN, notation.space(s)))}$" for v, s in spec.variables.items()],
        "joints": [tex(notation.joint(j.name, j.variables, j.factors, j.rooted)).strip() for j in outline.joints(derivation)],
        "families": [
            Line(f"${tex(notation.density(f))}$", words(outline.family(f.family)))
            for f in outline.factors(derivation)
            if f.family is not None
        ],
        "parameters": [
            Line(f"${tex(notation.name(p.name))} \\in {p.interval.replace('inf', INFINITY)}$", p.default)
            for p in outline.parameters(derivation)
        ],
        "body": _body(derivation, WIDE),
        "certificate": [_identity(p) for p in outline.plans(derivation)],
    }
    return render("document.tex.j2", context)


def _body(derivation: Derivation, limit: float) -> str:
    """What the fragment and the document share."""
    context: dict[str, object] = {
        "chain": _chain(derivation, limit, r"\small ", rf"{tex(Mark.OBJECTIVE)} &= "),
        "verdict": words(outline.verdict(derivation)),
        "bound": [
            Line(
                f"${_weighted(b.coefficient, b.term)}$",
                words("; ".join(filter(None, (outline.treatment(b), outline.remark(b))))),
            )
            for b in derivation.bound
        ],
        "gap_lead": words(outline.gap_lead(derivation)).capitalize(),
        "gap": [Line(f"${_weighted(g.coefficient, g.term)}$", words(outline.closable(g))) for g in derivation.gap],
        "constants": _running(derivation.constants) if len(derivation.constants) else "",
        "constraints": [_constraint(c, limit) for c in derivation.constraints],
        "conditions": [phrase(notation.premise(c)) for c in outline.conditions(derivation)],
        "sources": "; ".join(map(citation, outline.sources(derivation))),
    }
    return render("body.tex.j2", context)


def _objective(derivation: Derivation) -> str:
    lines = outline.folded(notation.pieces(derivation.objective), WIDE - 4.0)
    sense = {"minimize": r"\min", "maximize": r"\max"}[derivation.spec.sense]
    return _rows(rf"&{sense}\quad ", lines, BROKEN)


def _weighted(coefficient: object, item: Term) -> str:
    return expression(Expression.of((coefficient, item)))


def _running(item: Expression) -> str:
    """A sum in running text, which may break before a sign."""
    return " ".join(("${}" if i else "$") + tex(piece).rstrip() + "$" for i, piece in enumerate(notation.pieces(item)))


def _comment(text: str) -> str:
    return " ".join(text.split())


def _rows(opening: str, lines: list[tuple[Box, ...]], ending: str) -> str:
    r"""Lines of a sum as rows of an align; a line that goes on is set in by a \quad."""
    printed = [tex(row(*line)).strip() for line in lines]
    return ending.join([beside(opening, printed[0]), *(rf"&\qquad{{}} {line}" for line in printed[1:])])


def _chain(derivation: Derivation, limit: float, size: str, opening: str) -> str:
    """``size`` is the command that makes reasons small, where the reader knows one; numbers are those of the steps."""
    start = outline.folded(notation.pieces(derivation.objective), limit)
    blocks = [_rows(opening, start, CONTINUED) + r" \notag"]
    for step in derivation.steps:
        relation = tex(notation.RELATIONS[step.relation]).strip()
        if outline.still(step):
            block = rf"&{relation} \text{{the same}}"
        else:
            block = _rows(rf"&{relation} ", outline.folded(notation.pieces(step.after), limit), CONTINUED)
        blocks.append("".join([block, *(REASON + rf"&\qquad\text{{{size}{line}}} \notag" for line in _reason(step, limit))]))
    return (
        "\\begin{align}\n"
        + " \\\\*[0.8ex]\n".join([blocks[0], " \\\\[0.8ex]\n".join(blocks[1:])] if blocks[1:] else blocks)
        + "\n\\end{align}"
    )


def _reason(step: Step, limit: float) -> list[str]:
    """The reason of a step, folded into lines of text with mathematics in them: rule and source, premises and note, the gap."""
    about = [f"{words(step.rule)} [{'; '.join(map(citation, step.cite))}]" if step.cite else words(step.rule)]
    about += [phrase(notation.premise(p)) for p in outline.premises(step)]
    about += [phrase(notation.note(step.note))] if step.note else []
    dropped = outline.folded(notation.pieces(step.gap), limit - 5.0) if len(step.gap) else []
    printed = [tex(row(*line)).strip() for line in dropped]
    ends = ["", *[""] * (len(printed) - 1)]
    ends[-1] = r" \ge 0"
    opened = ["dropped: ", *[""] * len(printed)]
    return _filled("; ".join(about), limit) + [f"{a}${b}{c}$" for a, b, c in zip(opened, printed, ends, strict=False)]


def _filled(text: str, limit: float) -> list[str]:
    """Text cut at spaces outside of mathematics into lines of about the limit."""
    lines: list[str] = []
    room, inside = 0.0, False
    for word in text.split(" "):
        size = len(word) + 1 if "\\" not in word else 0.6 * len(word)
        if not lines or (size > room and not inside):
            lines.append(word)
            room = limit * CHARACTERS - size
        else:
            lines[-1] += " " + word
            room -= size
        inside ^= word.replace(r"\$", "").count("$") % 2 == 1
    return lines


def _constraint(constraint: Constraint, limit: float) -> Line:
    """A critic's constraint: what it is held to, through which code, and the bound that code computes for it."""
    through = f"${tex(notation.density(constraint.critic.through))}$"
    if constraint.derivation is None:
        return Line(f"The critic sees its samples through {through}.", "")
    inner = constraint.derivation
    constrained = f"${expression(inner.objective)} \\le {tex(notation.coefficient(constraint.budget))}$"
    multiplier = f"${tex(notation.name(constraint.critic.multiplier or ''))}$"
    said = f"The critic sees its samples through {through} and is held to {constrained} by the multiplier {multiplier}:"
    return Line(said, _chain(inner, limit, r"\small ", "&"))


def _identity(plan: Plan) -> Line:
    """term + sum lambda g = sum t c: the certificate as an identity, and the facts of the graphs that it rests on."""
    left, right = (outline.folded(notation.pieces(side), WIDE) for side in outline.identity(plan))
    facts = (phrase(notation.premise(p)) for p in outline.unique(e.premise for _, e in plan.equations))
    since = _filled("since " + "; ".join(facts), WIDE - 4.0) if plan.equations else []
    reason = f"}}{REASON}&\\qquad\\text{{\\small ".join(since)
    return Line(_rows("&", left, BROKEN) + BROKEN + _rows("&= ", right, BROKEN), reason)

"""Answers as text, JSON, LaTeX and HTML: a proof is a chain that ends in 0, every step shown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ibsym.checking.answers import Answer
from ibsym.checking.counterexamples import Counterexample
from ibsym.proving.notation import plain_text
from ibsym.proving.problem import Item, Proof, signed_sum
from ibsym.rendering.tex import words


@dataclass(frozen=True)
class Line:
    """A step of a proof: its relation to the line before, what it says, why; of the reason every other part is a formula."""

    relation: str
    expression: str
    why: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return "".join(self.why)


def answer_text(answer: Answer) -> str:
    """The answer for a terminal."""
    lines = [answer.claim, *(f"  given {p}" for p in answer.premises), "", *verdict(answer)]
    if answer.proved:
        for proof in answer.proofs:
            lines += ["", *proof_lines(proof)]
    elif answer.counterexample is not None:
        lines += ["", *counterexample_lines(answer.counterexample)]
    if answer.sufficient is not None:
        lines += ["", *sufficient_lines(answer.sufficient)]
    return "\n".join(lines) + "\n"


def verdict(answer: Answer) -> list[str]:
    """The answer in a line or two."""
    if answer.proved:
        return ["proved"]
    if answer.counterexample is not None:
        return ["refuted by a distribution (premises exact, violation strict)"]
    if answer.status.startswith("not provable"):
        return [answer.status, "(no counterexample was found either: this is not a refutation)"]
    return [answer.status]


def sufficient_lines(sets: tuple[tuple[str, ...], ...]) -> list[str]:
    """Sets of independences, smallest first."""
    if not sets:
        return ["no set of a few independences of these variables is sufficient"]
    return ["it holds under"] + [f"  {' and '.join(s) if s else 'no further premise'}" for s in sets]


def steps(proof: Proof) -> list[Line]:
    """difference = entropies = zero and non-negative parts >= 0, one part at a time."""

    def show(items: tuple[Item, ...]) -> str:
        return signed_sum((i.multiplier, i.quantity if "=" not in i.quantity else f"[{i.quantity}]") for i in items)

    items = tuple(sorted(proof.items, key=lambda i: not i.zero))
    if not items:
        return [Line("=", "0", ("definitions",))]
    found = [Line("=", proof.expanded, ("definitions",)), Line("=", show(items), ("chain rule",))]
    while items:
        first, items = items[0], items[1:]
        if first.reason.startswith("is 0 by "):
            why: tuple[str, ...] = ("", first.quantity, " is 0 by ", first.reason.removeprefix("is 0 by "))
        elif first.zero or first.reason in ("premise", "the other case"):
            why = (f"{first.reason} ", first.quantity)
        else:
            why = ("", f"{first.quantity} >= 0", f", {first.reason}")
        found.append(Line("=" if first.zero else ">=", show(items), why))
    return found


def proof_lines(proof: Proof) -> Iterator[str]:
    """The steps for a terminal."""
    lines = steps(proof)
    yield f"  {proof.difference}"
    width = min(64, max(len(line.expression) for line in lines) + 2)
    for line in lines:
        yield f"    {line.relation:<2} {line.expression:<{width}} [{line.reason}]"


def counterexample_lines(example: Counterexample) -> Iterator[str]:
    """The tables, a row for each point of positive probability, and the difference."""
    for joint, table in example.tables.items():
        names = ",".join(example.variables)
        yield f"  {joint or 'p'}({names})"
        for values, p in table.items():
            yield f"    {' '.join(map(str, values))}   {p}"
    yield f"  right - left = {example.difference:.6g} nats"


def answer_json(answer: Answer) -> str:
    """``proved``, ``certificate`` and ``counterexample``, with the claim, its premises and the status."""
    record = {
        "claim": answer.claim,
        "given": list(answer.premises),
        "proved": answer.proved,
        "status": answer.status,
        "certificate": answer.certificate,
        "counterexample": None if answer.counterexample is None else answer.counterexample.record(),
    }
    if answer.sufficient is not None:
        record["sufficient"] = [list(s) for s in answer.sufficient]
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


_TOKEN = re.compile(
    r"(?P<words>\([a-z]+ lemma\)| in (?=[A-Za-z]\w*$)|(?:[A-Z][a-z]+(?:-[A-Z][a-z]+)+(?: \d+)?|Matus \d+)(?=\())"
    r"|(?P<prose>(?<=\w)(?:\s+(?:and|is|are|independent|of|given)\b(?!\s*[,;)]))+)"
    r"|(?P<sign><->|<=|>=|->|<-|_\|_|\|\||\||;|\*|\{|\})|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<fraction>\d+/\d+)|(?P<other>.)"
)
_SIGNS = {
    "<=": r"\le ",
    ">=": r"\ge ",
    "->": r"\to ",
    "<-": r"\leftarrow ",
    "<->": r"\leftrightarrow ",
    "_|_": r"\perp ",
    "||": r" \,\|\, ",
    "|": r" \mid ",
    ";": ";",
    "*": r"\,",
}
_SIGNS |= {"{": r"\{", "}": r"\}"}


def formula(text: str) -> str:
    r"""A claim, a sum of quantities or a premise in LaTeX's mathematics.

    >>> formula("1/2 I(X1;Y|Z) <= log 2")
    '\\tfrac{1}{2} I(X_{1};Y \\mid Z) \\le  \\log 2'
    >>> formula("X ⊥⊥ Y | Z"), formula("X and Y independent")
    ('X \\perp  Y  \\mid  Z', 'X\\text{ and } Y\\text{ independent }')
    """

    def token(found: re.Match[str]) -> str:
        match found.lastgroup:
            case "words":
                return rf"\text{{{_spaced(found[0])}}}"
            case "prose":
                return rf"\text{{ {found[0].strip()} }}"
            case "name":
                return _name(found[0])
            case "fraction":
                above, _, below = found[0].partition("/")
                return rf"\tfrac{{{above}}}{{{below}}}"
            case "sign":
                return _SIGNS[found[0]]
        return found[0] if found[0].isspace() else words(found[0])

    return _TOKEN.sub(token, plain_text(text))


def _name(text: str) -> str:
    if text in ("log", "min", "max"):
        return rf"\{text}"
    head, _, tail = text.partition("_")
    letters = re.fullmatch(r"([A-Za-z]+?)(\d*)", head)
    if letters is None:
        return rf"\mathrm{{{words(text)}}}"
    stem = letters[1] if len(letters[1]) == 1 else rf"\mathrm{{{letters[1]}}}"
    below = ",".join(p for p in (letters[2], words(tail)) if p)
    return f"{stem}_{{{below}}}" if below else stem


def _spaced(text: str) -> str:
    """Words with the spaces around them."""
    return re.sub(r"\S(.*\S)?", lambda inside: words(inside[0]), text)


def _why(line: Line) -> str:
    """A reason with its formulas as mathematics."""
    return "".join(f"${formula(part)}$" if k % 2 else _spaced(part) for k, part in enumerate(line.why))


def answer_latex(answer: Answer) -> str:
    r"""A fragment for ``\input`` that needs amsmath: the claim, then every proof as an ``align*``."""
    lines = [rf"\[ {formula(answer.claim)} \]"]
    if answer.premises:
        lines.append("given " + ", ".join(f"${formula(p)}$" for p in answer.premises) + ".")
    lines.append("%\n" + words(" ".join(verdict(answer))) + ".")
    for proof in answer.proofs:
        lines.append(r"\begin{align*}")
        lines.append(rf"& {formula(proof.difference)} \\")
        body = [
            rf"&\quad {'=' if s.relation == '=' else chr(92) + 'ge '} {formula(s.expression)} && \text{{{_why(s)}}}"
            for s in steps(proof)
        ]
        lines.append(" \\\\\n".join(body))
        lines.append(r"\end{align*}")
    if answer.counterexample is not None:
        lines += [r"\begin{verbatim}", *counterexample_lines(answer.counterexample), r"\end{verbatim}"]
    if answer.sufficient is not None:
        lines += [words("; ".join(sufficient_lines(answer.sufficient))) + "."]
    return "\n".join(lines) + "\n"


def answer_html(answer: Answer) -> str:
    """A fragment for a page or a notebook: the claim, then every proof as a table."""
    escape = html.escape
    lines = [f'<div class="ibsym-answer"><p><code>{escape(answer.claim)}</code></p>']
    if answer.premises:
        lines.append("<ul>" + "".join(f"<li>given <code>{escape(p)}</code></li>" for p in answer.premises) + "</ul>")
    lines.append(f"<p><strong>{escape(' '.join(verdict(answer)))}</strong></p>")
    for proof in answer.proofs:
        rows = [f'<tr><td></td><td colspan="2"><code>{escape(proof.difference)}</code></td></tr>']
        for s in steps(proof):
            sign = "=" if s.relation == "=" else "&ge;"
            rows.append(f"<tr><td>{sign}</td><td><code>{escape(s.expression)}</code></td><td>{escape(s.reason)}</td></tr>")
        lines.append("<table>" + "".join(rows) + "</table>")
    if answer.counterexample is not None:
        lines.append(f"<pre>{escape(chr(10).join(counterexample_lines(answer.counterexample)))}</pre>")
    if answer.sufficient is not None:
        lines.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in sufficient_lines(answer.sufficient)) + "</ul>")
    return "\n".join((*lines, "</div>")) + "\n"

"""Derivations and answers in every format, as :class:`ibsym.shown.Shown` asks for it."""

from __future__ import annotations

import textwrap
from json import dumps

from ibsym.checking.answers import Answer
from ibsym.derivation.model import Derivation, Step
from ibsym.rendering import notation, typst
from ibsym.rendering.boxes import row
from ibsym.rendering.forms import Form
from ibsym.rendering.html import page, preformatted
from ibsym.rendering.json import json_text, step_record
from ibsym.rendering.latex import chain, fragment, step
from ibsym.rendering.outline import still
from ibsym.rendering.proofs import answer_html, answer_json, answer_latex, answer_text
from ibsym.rendering.text import SIGNS, Sheet, text


class DerivationViews:
    """Text, LaTeX, HTML and JSON of a derivation; in a notebook its chain of steps."""

    def text(self, value: Derivation, width: int) -> str:
        """Lines of at most ``width`` characters."""
        return text(value, width)

    def latex(self, value: Derivation, columns: int, steps: str) -> str:
        """A fragment for an article of one column or two."""
        return fragment(value, columns, Form(steps))

    def typst(self, value: Derivation, columns: int, steps: str) -> str:
        """The same for Typst."""
        return typst.fragment(value, columns, Form(steps))

    def html(self, value: Derivation) -> str:
        """A page."""
        return page(value)

    def json(self, value: Derivation) -> str:
        """The record of ``derive --format json``."""
        return json_text(value)

    def notebook(self, value: Derivation) -> dict[str, str]:
        """The steps, for MathJax and KaTeX."""
        return {"text/latex": chain(value)}


class StepViews:
    """A step: its relation and what follows it, why, and what was dropped."""

    def text(self, value: Step, width: int) -> str:
        """Lines of at most ``width`` characters."""
        sheet = Sheet(width)
        first = [f"{SIGNS[value.relation]} the same"] if still(value) else sheet.sum(f"{SIGNS[value.relation]} ", value.after)
        return "\n".join([*first, *sheet.reason(value)]) + "\n"

    def latex(self, value: Step, columns: int, steps: str) -> str:
        """One display."""
        return step(value)

    def typst(self, value: Step, columns: int, steps: str) -> str:
        """One display."""
        page = typst.Typst(typst.NARROW)
        formula = page.math(row(notation.RELATIONS[value.relation], notation.expression(value.after)))
        return f"$ {formula} $ {page.words(value.rule)}\n"

    def html(self, value: Step) -> str:
        """The step in preformatted text."""
        return preformatted(self.text(value, 100))

    def json(self, value: Step) -> str:
        """The record that a derivation's JSON has for it."""
        return dumps(step_record(value), indent=2, ensure_ascii=False) + "\n"

    def notebook(self, value: Step) -> dict[str, str]:
        """The step, for MathJax and KaTeX."""
        return {"text/latex": step(value)}


class AnswerViews:
    """Text, LaTeX, HTML and JSON of what is known of a claim."""

    def text(self, value: Answer, width: int) -> str:
        """The proof or the counterexample, lines folded at spaces."""
        folded = (
            textwrap.wrap(line, min(width, 10_000), subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False)
            or [""]
            for line in answer_text(value).splitlines()
        )
        return "\n".join(line for lines in folded for line in lines) + "\n"

    def latex(self, value: Answer, columns: int, steps: str) -> str:
        """The proof as a fragment: a line is an identity, in one column and in two."""
        return answer_latex(value)

    def typst(self, value: Answer, columns: int, steps: str) -> str:
        """The proof as it is printed."""
        return f"```\n{answer_text(value)}```\n"

    def html(self, value: Answer) -> str:
        """The answer as HTML."""
        return answer_html(value)

    def json(self, value: Answer) -> str:
        """The record of ``prove --format json``."""
        return answer_json(value)

    def notebook(self, value: Answer) -> dict[str, str]:
        """The proof as tables."""
        return {"text/html": answer_html(value)}

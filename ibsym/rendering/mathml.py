"""Boxes and running text spelled as MathML Core and HTML, everything escaped."""

from __future__ import annotations

from typing import assert_never

from markupsafe import Markup, escape

from ibsym.rendering.boxes import Accent, Box, Bracket, Fence, Hat, Letter, Mark, Number, Quotient, Row, Script, Style, Word
from ibsym.rendering.notation import Phrase

_LETTERS = (
    *(Mark.ENTROPY, Mark.INFORMATION, Mark.DIVERGENCE),
    *(Mark.EXPECTATION, Mark.OBJECTIVE, Mark.REALS, Mark.COUNTS, Mark.SPHERE, Mark.SIMPLEX, Mark.INFINITY),
)
_UPRIGHT = (Mark.KL, Mark.CE, Mark.TC, Mark.JS)
_HATS = {Hat.HAT: "^", Hat.WIDE: "^", Hat.TILDE: "~", Hat.BAR: "¯"}
_WORDS = {
    Style.UPRIGHT: Markup('<mi mathvariant="normal">{}</mi>'),
    Style.ITALIC: Markup('<mi class="name">{}</mi>'),
    Style.TEXT: Markup("<mtext>{}</mtext>"),
}
_OPERATOR = Markup("<mo>{}</mo>")


_SPACES = {
    Mark.GIVEN: Markup('<mo stretchy="false" lspace="0.16em" rspace="0.16em">{}</mo>'),
    Mark.AGAINST: Markup('<mo stretchy="false" lspace="0.22em" rspace="0.22em">{}</mo>'),
    Mark.NEGATIVE: Markup('<mo form="prefix" lspace="0" rspace="0.05em">{}</mo>'),
    Mark.COMMA: Markup('<mo separator="true" lspace="0" rspace="0.16em">{}</mo>'),
    Mark.SEMICOLON: Markup('<mo separator="true" lspace="0" rspace="0.2em">{}</mo>'),
    Mark.CHAIN: Markup('<mo stretchy="false" lspace="0.28em" rspace="0.28em">{}</mo>'),
    **dict.fromkeys((Mark.PLUS, Mark.MINUS, Mark.TIMES), Markup('<mo form="infix" lspace="0.22em" rspace="0.22em">{}</mo>')),
}


def mathml(box: Box) -> Markup:
    """A box as the inside of a ``math`` element."""
    match box:
        case Letter(text):
            return Markup("<mi>{}</mi>").format(text)
        case Word(text, style):
            return _WORDS[style].format(text)
        case Number(text):
            return Markup("<mn>{}</mn>").format(text)
        case Mark.THIN:
            return Markup('<mspace width="0.17em"></mspace>')
        case Mark.LOG:
            return Markup('<mi mathvariant="normal">log</mi><mspace width="0.17em"></mspace>')
        case Mark.NEGATIVE:
            return _SPACES[box].format("−")
        case Mark.QUAD:
            return Markup('<mspace width="1em"></mspace>')
        case Mark.BREAK:
            return Markup("")  # a browser finds its own
        case Mark() if box in _UPRIGHT:
            return _WORDS[Style.UPRIGHT].format(box.value)
        case Mark():
            return Markup("<mi>{}</mi>").format(box.value) if box in _LETTERS else _SPACES.get(box, _OPERATOR).format(box.value)
        case Fence(brackets, body):
            edge = Markup('<mo stretchy="false" form="{}">{}</mo>')
            left, right = edge.format("prefix", brackets[0]), edge.format("postfix", brackets[1])
            return Markup("<mrow>{}{}{}</mrow>").format(left, mathml(body), right)
        case Bracket(text):
            return Markup('<mo stretchy="false">{}</mo>').format(text)
        case Script(base, sub, sup):
            inside = [_single(b) for b in (base, sub, sup) if b is not None]
            tag = "msubsup" if len(inside) == 3 else "msub" if sub is not None else "msup"
            return inside[0] if len(inside) == 1 else Markup("<{0}>{1}</{0}>").format(tag, Markup("").join(inside))
        case Accent(hat, base):
            above = Markup('<mo stretchy="{}">{}</mo>').format("true" if hat is Hat.WIDE else "false", _HATS[hat])
            return Markup('<mover accent="true">{}{}</mover>').format(_single(base), above)
        case Quotient(over, under):
            return Markup("<mfrac>{}{}</mfrac>").format(_single(over), _single(under))
        case Row(items):
            return Markup("").join(map(mathml, items))
    assert_never(box)


def _single(box: Box) -> Markup:
    """A box as exactly one element."""
    several = isinstance(box, Row) or box is Mark.LOG
    return Markup("<mrow>{}</mrow>").format(mathml(box)) if several else mathml(box)


def math(box: Box) -> Markup:
    """A box as inline mathematics."""
    return Markup("<math>{}</math>").format(mathml(box))


def phrase(items: Phrase) -> Markup:
    """Running text with mathematics in it."""
    return Markup("").join(escape(i) if isinstance(i, str) else math(i) for i in items)

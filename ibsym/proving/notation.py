"""The notation of claims and premises: relations, chains, independences, functions; as ibsym prints them and as others write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from lark import Lark
from lark.exceptions import UnexpectedInput, UnexpectedToken

from ibsym.errors import SpecError, shown
from ibsym.proving import plain as sums
from ibsym.spec.grammar import GRAMMAR, Arithmetic, ExpressionSyntax, _Reader, refuse_deep
from ibsym.spec.schema import check_name

MAX_LENGTH = 20_000
MAX_OPERATORS = 2000
RULES = r"""
statement: sum COMPARISON sum
%extend atom: FUNCTION "(" sum ("," sum)* ")" -> function
            | LOG NUMBER -> logarithm
            | LOG "(" NUMBER ")" -> logarithm
            | (NUMBER | FRACTION) LOG NUMBER -> multiple_logarithm
            | (NUMBER | FRACTION) LOG "(" NUMBER ")" -> multiple_logarithm
            | FRACTION quantity -> multiply_number
            | FRACTION "(" sum ")" -> multiply_number
            | NUMBER "(" sum ")" -> multiply_number
FUNCTION.6: /(min|max|abs)(?=\s*\()/
LOG.6: /(log|ln)(?=\s*\(?\s*\d)/
FRACTION.7: /\d+\s*\/\s*\d+(?=\s*(\(|log|ln|(H|I|TC|E)(_[A-Za-z][A-Za-z0-9_]*)?\s*[(\[]|(KL|CE)\s*\())/
COMPARISON.7: /<=|>=|==|=|<|>/
"""
SIGNS = str.maketrans(
    {
        "≤": "<=",
        "≥": ">=",
        "⩽": "<=",
        "⩾": ">=",
        "−": "-",
        "–": "-",
        "·": "*",
        "×": "*",
        "→": "->",
        "⟶": "->",
        "←": "<-",
        "⟵": "<-",
        "↔": "<->",
        "⟷": "<->",
        "⊸": "-o-",
        "∣": "|",
        "‖": "||",
        "⊥": "_|_",
        "⟂": "_|_",
        "⫫": "_|_",
        "\t": " ",
        "\r": " ",
        "\n": " ",
        "½": "1/2 ",
        "∞": "inf",
    }
)
_WORDS = {
    "le": "<=",
    "leq": "<=",
    "leqslant": "<=",
    "ge": ">=",
    "geq": ">=",
    "geqslant": ">=",
    "to": "->",
    "rightarrow": "->",
    "leftarrow": "<-",
    "leftrightarrow": "<->",
    "multimap": "-o-",
    "mid": "|",
    "perp": "_|_",
    "bot": "_|_",
    "indep": "_|_",
    "cdot": "*",
    "min": "min",
    "max": "max",
    "log": "log",
    "ln": "ln",
}
"""What LaTeX calls the signs."""
_SPELLINGS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (
        re.compile(r"\\(" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")(?![A-Za-z])"),
        lambda found: f" {_WORDS[found[1]]} ",
    ),
    (re.compile(r"_\|_(?:\s*_\|_)+"), "_|_"),
    (re.compile(r"-[o◦∘]-|−[◦∘]−"), "->"),
    (re.compile(r"=<(?![=-])"), "<="),
    (re.compile(r"(?<=\()[^()]*(?=\))"), lambda found: _separated(found)),
]


def _separated(found: re.Match[str]) -> str:
    """``I(X:Y)`` and ``I(X&Y)`` are ``I(X;Y)``."""
    informed = re.search(r"(?<![A-Za-z0-9_])(I|TC)(_[A-Za-z][A-Za-z0-9_]*)?\s*$", found.string[: found.start() - 1])
    return re.sub("[:&]", ";", found[0]) if informed else found[0]


def plain_text(text: str) -> str:
    r"""The claim in the signs of the grammar: those that are printed, LaTeX's and other provers' have one spelling each.

    >>> plain_text(r"I(X:Y|Z) \le H(X)"), plain_text("X ⊥⊥ Y")
    ('I(X;Y|Z)  <=  H(X)', 'X _|_ Y')
    """
    plain = text.translate(SIGNS)
    for pattern, instead in _SPELLINGS:
        plain = pattern.sub(instead, plain)
    return plain.strip()


@dataclass(frozen=True, slots=True)
class Piecewise:
    """``min(...)``, ``max(...)``, ``abs(...)`` or ``log 2``, as written."""

    function: str
    arguments: tuple[Any, ...]
    column: int = 0


@dataclass(frozen=True)
class Relation:
    """``left <= right``, ``>=`` or ``=``."""

    left: Any
    comparison: str
    right: Any


@dataclass(frozen=True)
class Chain:
    """A Markov chain: each group is independent of those further left given the one between, which may be empty."""

    groups: tuple[tuple[str, ...], ...]
    joint: str | None
    text: str


@dataclass(frozen=True)
class Function:
    """Variables that are functions of others: H(of|by) = 0."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    joint: str | None
    text: str


class _Claims(_Reader):
    """The reader of objectives, with what only claims have."""

    def function(self, items: Any) -> Any:
        return Piecewise(str(items[0]), tuple(items[1:]), items[0].column)

    def logarithm(self, items: Any) -> Any:
        return Piecewise("log", (str(items[1]),), items[0].column)

    def multiple_logarithm(self, items: Any) -> Any:
        return self.multiply_number([items[0], self.logarithm(items[1:])])

    def multiply_number(self, items: Any) -> Any:
        number = Arithmetic("number", value=re.sub(r"\s", "", str(items[0])), column=items[0].column)
        return Arithmetic("*", (number, items[1]), column=items[0].column)

    def statement(self, items: Any) -> Any:
        return Relation(items[0], _sign(str(items[1])), items[2])


def _sign(comparison: str) -> str:
    return "=" if comparison == "==" else comparison


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR + RULES, parser="lalr", start="statement", maybe_placeholders=True, transformer=_Claims())


NAME = r"[A-Za-z_][A-Za-z0-9_]*"
NAMES = rf"{NAME}(?:\s*,\s*{NAME})*"
_IN = rf"(?:\s+in\s+(?P<joint>{NAME}))?"
_FORMS = {
    "chain": re.compile(rf"(?P<groups>{NAMES}(?:\s*(?:<->|<-|->)\s*{NAMES})+){_IN}"),
    "line": re.compile(rf"(?P<groups>{NAMES}(?:\s*-{{1,3}}\s*{NAMES}){{2,}}){_IN}"),
    "markov": re.compile(rf"markov\s*\(\s*(?P<groups>{NAMES}(?:\s*;\s*{NAMES})*)\s*\){_IN}"),
    "slash": re.compile(rf"(?P<groups>{NAMES}(?:\s*/\s*{NAMES})+){_IN}"),
    "dot": re.compile(rf"(?P<groups>{NAMES}(?:\s*\.\s*{NAMES})+){_IN}"),
    "apart": re.compile(rf"(?P<groups>{NAMES}(?:\s*(?:_\|_|\|\|)\s*{NAMES})+)(?:\s*\|\s*(?P<given>{NAMES}))?{_IN}"),
    "independent": re.compile(
        rf"(?:independent|indep)\s*\(\s*(?P<groups>{NAMES}(?:\s*;\s*{NAMES})*)\s*(?:\|\s*(?P<given>{NAMES})\s*)?\){_IN}"
    ),
    "words": re.compile(
        rf"(?P<groups>{NAMES}\s+and\s+{NAMES})\s+(?:are\s+)?independent(?:\s+given\s+(?P<given>{NAMES}))?{_IN}"
    ),
    "of": re.compile(rf"(?P<groups>{NAMES}\s+(?:is\s+)?independent\s+of\s+{NAMES})(?:\s+given\s+(?P<given>{NAMES}))?{_IN}"),
    "colon": re.compile(rf"(?P<of>{NAMES})\s*:\s*(?P<by>{NAMES}){_IN}"),
    "function": re.compile(rf"(?P<of>{NAMES})\s*=\s*(?!(?:H|I|TC|KL|CE)\s*\(){NAME}\s*\(\s*(?P<by>{NAMES})\s*\){_IN}"),
}
_BETWEEN = {
    "chain": r"<->|<-|->",
    "line": "-{1,3}",
    "markov": ";",
    "slash": "/",
    "dot": r"\.",
    "apart": r"_\|_|\|\|",
    "independent": ";",
    "words": r"\sand\s",
    "of": r"\s(?:is\s+)?independent\s+of\s",
}


def read(text: str, key: str) -> Relation | tuple[Chain, ...] | Function:
    """One claim or premise; an independence of several groups is a few chains without a middle.

    >>> read("X _|_ Y | Z", "claim")[0].groups
    (('X',), ('Z',), ('Y',))
    """
    if len(text) > MAX_LENGTH:
        raise SpecError(f"a {_what(key)} has {len(text)} characters, more than {MAX_LENGTH}", key=key, remedy="a shorter one")
    plain = plain_text(text)
    for form, pattern in _FORMS.items():
        found = pattern.fullmatch(plain)
        if found:
            return _form(form, found, text.strip(), key)
    if "->" in plain or "_|_" in plain:
        raise SpecError(
            f"{shown(text, 120)!r} is neither a Markov chain nor an independence",
            key=key,
            remedy='"X -> Y -> Z", "X _|_ Y | Z"',
        )
    return _relation(plain, text, key)


def _what(key: str) -> str:
    return "premise" if key == "given" else "claim"


def _names(text: str, key: str) -> tuple[str, ...]:
    names = tuple(n.strip() for n in text.split(","))
    for name in names:
        check_name(name, key, "variable")
    return names


def _form(form: str, found: re.Match[str], text: str, key: str) -> tuple[Chain, ...] | Function:
    joint = found["joint"]
    if joint is not None:
        check_name(joint, key, "joint")
    if form in ("colon", "function"):
        function = Function(_names(found["of"], key), _names(found["by"], key), joint, text)
        _once((*function.of, *function.by), text, key)
        return function
    groups = tuple(_names(g, key) for g in re.split(_BETWEEN[form], found["groups"]))
    given = _names(found["given"], key) if "given" in found.groupdict() and found["given"] else ()
    if form in ("independent", "markov") and len(groups) == 1:
        groups = tuple((n,) for n in groups[0])
    _once((*(n for g in groups for n in g), *given), text, key)
    if form in ("chain", "line", "slash", "markov"):
        _refuse_meeting(found["groups"], groups, text, key)
        if len(groups) < 3:
            raise SpecError(f"{text!r} has two groups, which says nothing", key=key, remedy='"X -> Y -> Z"')
        return (Chain(groups, joint, text),)
    if len(groups) < 2:
        raise SpecError(f"{text!r} has one group, which says nothing", key=key, remedy='"independent(X, Y)"')
    return tuple(Chain((sum(groups[:k], ()), given, groups[k]), joint, text) for k in range(1, len(groups)))


def _refuse_meeting(line: str, groups: tuple[tuple[str, ...], ...], text: str, key: str) -> None:
    """Where two arrows meet the outer ones are independent, not given the middle."""
    arrows = re.findall("<->|<-|->", line)
    for k, (one, other) in enumerate(pairwise(arrows)):
        if one == "->" and other == "<-":
            left, middle, right = (",".join(g) for g in groups[k : k + 3])
            raise SpecError(
                f"{text!r} is not a Markov chain: its arrows meet at {middle}",
                key=key,
                remedy=f'"{left} _|_ {right}", or "{left} -> {middle} -> {right}"',
            )


def _once(names: tuple[str, ...], text: str, key: str) -> None:
    if len({n.casefold() for n in names}) < len(names):
        raise SpecError(f"a variable occurs twice in {text!r}", key=key, remedy="each variable once")


def links(text: str) -> list[str]:
    """``A <= B <= C`` as its relations ``A <= B`` and ``B <= C``; ``A = B = C`` as ``A = C`` and ``B = C``.

    >>> links("I(X;Y) <= H(X) <= H(X,Y)")
    ['I(X;Y) <= H(X)', 'H(X) <= H(X,Y)']
    """
    plain = plain_text(text)
    parts = re.split(r"(<=|>=|==|=|<|>)", plain)
    sums_, signs = [p.strip() for p in parts[::2]], parts[1::2]
    if len(signs) < 2 or not all(sums_) or any(p.fullmatch(plain) for p in _FORMS.values()) or "->" in plain or "<-" in plain:
        return [text]
    if all(_sign(s) == "=" for s in signs):
        return [f"{s} = {sums_[-1]}" for s in sums_[:-1]]
    return [f"{a} {sign} {b}" for (a, b), sign in zip(pairwise(sums_), signs, strict=True)]


def _relation(plain: str, text: str, key: str) -> Relation:
    refuse_deep(plain, f"a {_what(key)}", key, MAX_OPERATORS)
    simple = sums.relation(plain)
    try:
        relation: Relation = Relation(simple[0], _sign(simple[1]), simple[2]) if simple else _parser().parse(plain)  # type: ignore[assignment]
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        place = len(plain) if ended or error.pos_in_stream is None else error.pos_in_stream
        rest = plain[place : place + 12]
        found = f"does not fit at {rest!r}" if rest else "ends too early"
        raise SpecError(
            f"{shown(text, 120)!r} {found}: this is to be a {_what(key)}",
            key=key,
            remedy=_meant(plain),
            column=place + 1,
        ) from None
    if relation.comparison in ("<", ">"):
        raise SpecError(
            f"{shown(text, 120)!r} is strict: where all variables are constant every entropy is 0, so no strict relation holds throughout",
            key=key,
            remedy=f'"{relation.comparison}=" in its place',
        )
    return relation


_HINTS = [
    (
        re.compile(r"(?<![A-Za-z0-9_])(?:H|I|TC)(?:_\w+)?\s*\([^()]*\+"),
        '"H(X,Y)" for X and Y together; their sum by a name, "S = f(X,Y)"',
    ),
    (re.compile(r"(?<![A-Za-z0-9_])H(?:_\w+)?\s*\([^()]*;"), '"H(X,Y)", with a comma; "I(X;Y)" is an information'),
    (re.compile(r"(?<![A-Za-z0-9_])(?:H|I|TC)(?:_\w+)?\s*\["), '"H(X)", "I(X;Y)", with round brackets'),
    (re.compile(r"(?<![A-Za-z0-9_])(?:h|i|tc|kl)\s*\("), '"H(X)", "I(X;Y)", "TC(X;Y;Z)", "KL(q(z)||p(z))", in capitals'),
    (re.compile(r"(?<![A-Za-z0-9_])(?:H|I|TC)(?:_\w+)?\s*\([^()]*\("), '"H(Y)" with "Y = f(X)"'),
    (re.compile(r"log_\s*2|log2|\blb\b"), '"log 3", with the unit bits where it is to base 2'),
    (re.compile(r"log\s*_?\s*\|"), 'a number of values: "log 8"'),
    (re.compile(r"=>"), '">=", or what implies the claim as a premise'),
    (
        re.compile(r"!=|=/|≠|<>"),
        '"<=", ">=" or "=": that two quantities differ is strict, and fails where all variables are constant',
    ),
    (re.compile(r"\band\b|&&|\bor\b"), "each claim in a run of its own"),
    (re.compile(r"^\s*\|[^|]*\|\s*[<>=]|[<>=]\s*\|"), '"abs(H(X) - H(Y))"'),
]
"""What people write that the grammar has not, and what they mean."""


def _meant(plain: str) -> str:
    """What to write in place of a claim that does not fit."""
    example = 'for example "I(X;Z) <= I(X;Y)", "X -> Y -> Z", "X _|_ Y | Z", "Y = f(X)"'
    return next((hint for pattern, hint in _HINTS if pattern.search(plain)), example)


def is_quantity(syntax: ExpressionSyntax | Piecewise) -> bool:
    """Whether it is a single quantity, no sum."""
    return not isinstance(syntax, Arithmetic | Piecewise)

"""Every node type prints in every renderer, and different terms print differently."""

from __future__ import annotations

import html as stdlib_html
import re
import typing
from html.parser import HTMLParser

import pytest
import sympy
from pylatexenc.latexwalker import LatexWalker

from ibsym.derivation.model import Derivation, Note
from ibsym.facts import Side
from ibsym.rendering import html, json, latex, notation, text
from ibsym.rendering.boxes import Box, Letter, Script, width
from ibsym.rendering.mathml import mathml
from ibsym.rendering.tex import phrase, tex, words
from ibsym.spec.model import Spec
from ibsym.spec.spaces import Space
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Term,
    TotalCorrelation,
)
from ibsym.terms.premises import Discrete, Independent, Irrelevant, Nonnegative, Premise, SharedFactor

Q, P = Density("q", ("z",), ("x",)), Density("p", ("z",))
RATE = RelativeEntropy(Q, (P,))
PAIR = MutualInformation("q", (("x",), ("z1",)))
EXAMPLES: dict[Term, str] = {
    Entropy("q", ("x",), ("z",)): r"H_{q}(X\mid Z)",
    PAIR: r"I_{q}(X;Z_{1})",
    MutualInformation("u", (("x",), ("z",)), ("c", "s")): r"I_{u}(X;Z\mid C,S)",
    TotalCorrelation("q", (("z",),)): r"\mathrm{TC}_{q}(Z)",
    RATE: r"\mathbb{E}_{q(x)}\,D_{\mathrm{KL}}(q(z\mid x)\,\|\,p(z))",
    RelativeEntropy(Density("q", ("z1", "z2")), (Density("q", ("z1",)), Density("q", ("z2",)))): (
        r"D_{\mathrm{KL}}(q(z_{1},z_{2})\,\|\,q(z_{1})\,q(z_{2}))"
    ),
    RelativeEntropy(Q, (Density("b", ("z",), ("c",)),)): r"\mathbb{E}_{q(x,c)}\,D_{\mathrm{KL}}(q(z\mid x)\,\|\,b(z\mid c))",
    CrossEntropy(Density("data", ("x",)), (Density("p", ("x",)),)): r"\mathrm{CE}(p_{\mathrm{data}}(x)\,\|\,p(x))",
    ExpectedLog("q", (Density("p", ("x",), ("z",)),)): r"\mathbb{E}_{q}[\log p(x\mid z)]",
    JensenShannon(P, (Density("r", ("z",)),)): r"\mathrm{JS}(p(z)\,\|\,r(z))",
    FDivergence("pearson", P, (Density("r", ("z",)),)): r"D_{\text{pearson}}(p(z)\,\|\,r(z))",
    Estimate(
        RATE, "density-ratio"
    ): r"\mathbb{E}_{q(x)}\,\widehat{D}_{\mathrm{KL}}^{\text{density-ratio}}(q(z\mid x)\,\|\,p(z))",
    Slack(Estimate(PAIR, "infonce"), Side.LOWER): r"(I_{q}(X;Z_{1}) - \widehat{I}_{q}^{\text{infonce}}(X;Z_{1}))",
    Slack(Estimate(PAIR, "club"), Side.UPPER): r"(\widehat{I}_{q}^{\text{club}}(X;Z_{1}) - I_{q}(X;Z_{1}))",
}


class Balanced(HTMLParser):
    """Fails on a tag that is not closed in its turn; remembers tags and attributes."""

    VOID = frozenset({"meta", "br", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(source: str) -> Balanced:
    parser = Balanced()
    parser.feed(source)
    parser.close()
    assert parser.open == []
    return parser


def test_every_node_type_has_an_example() -> None:
    assert {type(t) for t in EXAMPLES} == set(typing.get_args(Term))


@pytest.mark.parametrize("item", EXAMPLES, ids=str)
def test_every_node_prints_everywhere(item: Term) -> None:
    assert latex.term(item) == EXAMPLES[item]
    LatexWalker(latex.term(item), tolerant_parsing=False).get_latex_nodes()
    assert text.term(item) == json.term(item) == str(item)
    assert parsed(html.term(item)).seen[0] == ("math", {})
    assert width(notation.term(item)) > 2


def test_different_terms_differ(derivations: dict[str, Derivation]) -> None:
    found = {w.term for d in derivations.values() for s in d.steps for e in (s.before, s.after, s.gap) for w in e} | set(
        EXAMPLES
    )
    for printed in (latex.term, html.term):
        assert len({printed(t) for t in found}) == len(found)


B, A, L = sympy.symbols("beta alpha lam", real=True)


@pytest.mark.parametrize(
    ("coefficient", "expected"),
    [
        (B, r"\beta\,"),
        (-B, r"-\beta\,"),
        (sympy.Rational(1, 2), r"\tfrac{1}{2}\,"),
        (1 - A, r"(1 - \alpha)\,"),
        (A + L - 1, r"(\alpha + \lambda - 1)\,"),
        (-A - L, r"-(\alpha + \lambda)\,"),
        (B**2 / 3, r"\tfrac{1}{3}\,\beta^{2}\,"),
        (A / B, r"\tfrac{\alpha}{\beta}\,"),
        ((1 - A) ** 2, None),
        (1 / B, r"\tfrac{1}{\beta}\,"),
        (A * (1 - B), None),
        (sympy.Symbol("Ic", real=True), r"\mathit{Ic}\,"),
        (sympy.Symbol("beta_c", real=True), r"\beta_{c}\,"),
        (2 * B, r"2\,\beta\,"),
        (sympy.Float(0.5), None),
    ],
    ids=str,
)
def test_coefficients(coefficient: sympy.Expr, expected: str | None) -> None:
    item = Expression.of((coefficient, Entropy("q", ("z",))))
    printed = latex.expression(item)
    LatexWalker(printed, tolerant_parsing=False).get_latex_nodes()
    parsed(html.expression(item))
    if expected is not None:
        assert printed == expected + "H_{q}(Z)"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("z", "z"),
        ("z1", "z_{1}"),
        ("z12", "z_{12}"),
        ("theta", r"\theta"),
        ("zhat", r"\hat{z}"),
        ("beta_c_2", r"\beta_{c,2}"),
        ("code", r"\mathit{code}"),
        ("a__b", r"\mathit{a\_\_b}"),
        ("x_", r"\mathit{x\_}"),
        ("view1", r"\mathit{view1}"),
        ("z1_a", r"z_{1,\mathrm{a}}".replace(r"\mathrm{a}", "a")),
    ],
)
def test_names(name: str, expected: str) -> None:
    box: Box = notation.name(name)
    assert tex(box) == expected
    parsed(str(mathml(box)))


def test_an_empty_sum_is_zero() -> None:
    assert latex.expression(Expression()) == "0"
    assert notation.pieces(Expression())


PREMISES: dict[Premise, tuple[str, str]] = {
    Independent(("c",), ("z",), ("x",), "q"): ("C - X - Z in q", r"$C \leftrightarrow X \leftrightarrow Z$ in $q$"),
    Independent(("x1",), ("x2",), ("z", "c"), "data"): (
        "X1 - Z,C - X2 in data",
        r"$X_{1} \leftrightarrow Z,C \leftrightarrow X_{2}$ in $p_{\mathrm{data}}$",
    ),
    Independent(("a",), ("b",), (), "q"): ("A and B independent in q", "$A$ and $B$ independent in $q$"),
    Irrelevant(Q, ("c",)): ("z independent of c given x in q", "$z$ independent of $c$ given $x$ in $q$"),
    Irrelevant(P, ("c",)): ("z independent of c in p", "$z$ independent of $c$ in $p$"),
    SharedFactor(Q, "u"): ("q(z|x) is a factor of u", r"$q(z\mid x)$ is a factor of $u$"),
    Nonnegative(RATE): ("KL(q(z|x)||p(z)) >= 0", rf"${EXAMPLES[RATE]} \ge 0$"),
    Nonnegative(Entropy("q", ("x",))): ("H_q(X) >= 0 (discrete)", "its variables discrete"),
    Discrete("x", Space("binary", ("D",))): ("X is discrete (binary[D])", "$X$ is discrete (binary[D])"),
}


def test_every_kind_of_premise_has_an_example() -> None:
    assert {type(p) for p in PREMISES} == set(typing.get_args(Premise))


@pytest.mark.parametrize("item", PREMISES, ids=str)
def test_premises_are_set_as_mathematics(item: Premise) -> None:
    said, printed = PREMISES[item]
    assert str(item) == said
    assert phrase(notation.premise(item)) == printed


def test_notes_are_set_as_mathematics() -> None:
    note = Note(("100% of _it_ by ", RATE, ", through ", Q))
    assert phrase(notation.note(note)) == rf"100$\%$ of $\_$it$\_$ by ${EXAMPLES[RATE]}$, through $q(z\mid x)$"


def test_every_premise_and_note_keeps_its_words(derivations: dict[str, Derivation]) -> None:
    """Nothing is lost between what is said and what HTML shows of it, but for the spelling of formulas."""
    from ibsym.rendering.mathml import phrase as shown

    for d in derivations.values():
        for s in d.steps:
            for said in (*map(notation.premise, s.premises), notation.note(s.note)):
                plain = stdlib_html.unescape(re.sub(r"<math>.*?</math>", "", str(shown(said))))
                assert "".join(p for p in said if isinstance(p, str)) == plain


@pytest.mark.parametrize("char", [chr(i) for i in range(32, 127)])
def test_every_printable_character_is_escaped(char: str) -> None:
    printed = words(f"a{char}b")
    LatexWalker(printed, tolerant_parsing=False).get_latex_nodes()
    assert re.sub(r"\$[^$]*\$|\\[${}]", "", printed).count("%") == 0


def test_notation_of_spaces() -> None:
    spec = Spec(
        name="spaces",
        objective="minimize I_q(X;Z)",
        variables={"x": "real[C,H,28]", "z": "sphere[L]", "y": "unit[D]", "c": "categorical[10]"},
        joints={"q": "data(x) q(z|x)"},
        families={"q(z|x)": "von-mises-fisher"},
    )
    printed = [tex(notation.space(s)) for s in spec.variables.values()]
    assert printed == [r"\mathbb{R}^{C \times H \times 28}", r"\mathbb{S}^{L - 1}", r"[0,1]^{D}", r"\{1,\dots,10\}"]


def test_a_script_without_indices_is_its_base() -> None:
    assert tex(Script(Letter("x"))) == "x"
    assert str(mathml(Script(Letter("x")))) == "<mi>x</mi>"

"""What people write by habit is refused with the same said in the language of specs."""

from __future__ import annotations

import random
import re

import pytest

import ibsym
from ibsym.errors import SpecError
from ibsym.spec.grammar import parse

SPEC = {
    "name": "habit",
    "variables": {"x": "real[D]", "c": "categorical[K]", "z": "real[L]"},
    "joints": {"q": "data(x,c) q(z|x)", "p": "p(z) p(c|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(c|z)": "categorical"},
    "parameters": {"beta": {"default": 1.0, "min": 0}},
}
SAID = {
    "min I_q(X;Z)": "minimize I_q(X;Z)",
    "max: -I_q(X;Z)": "maximize -I_q(X;Z)",
    "minimise I_q(X;Z) - beta*I_q(Z;C)": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    "min_q I_q(X;Z)": "minimize I_q(X;Z)",
    "minimize D_KL(q(z|x)||p(z))": "minimize KL(q(z|x)||p(z))",
    "minimize KL_q(q(z|x)||p(z))": "minimize KL(q(z|x)||p(z))",
    "minimize KL(q(z|x), p(z))": "minimize KL(q(z|x)||p(z))",
    "minimize KL(q(z|x);p(z))": "minimize KL(q(z|x)||p(z))",
    "minimize KL(q(z|x)∥p(z))": "minimize KL(q(z|x)||p(z))",
    r"minimize D_{\mathrm{KL}}(q(z\mid x)\,\|\,p(z))": "minimize KL(q(z|x)||p(z))",
    "minimize I_q(X;Z) - beta I_q(Z;C)": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    "minimize I_q(X;Z) - (beta + 1) I_q(Z;C)": "minimize I_q(X;Z) - (beta + 1)*I_q(Z;C)",
    "minimize I_q(X;Z) − β·I_q(Z;C)": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    r"\min I_{q}(X;Z) - \beta I_{q}(Z;C)": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    "minimize MI_q(X;Z)": "minimize I_q(X;Z)",
    "minimize"[:5] + "ze I_q(X;Z)": "minimize I_q(X;Z)",
    "minimize KL[q(z|x)||p(z)]": "minimize KL(q(z|x)||p(z))",
    "minimize I_q[X;Z]": "minimize I_q(X;Z)",
    "minimize -E_q[ln p(c|z)]": "minimize -E_q[log p(c|z)]",
    "minimize I_q(X;Z": "minimize I_q(X;Z)",
    "minimize -E_q(log p(c|z))": "minimize -E_q[log p(c|z)]",
    "minimize -E_q[log(p(c|z))]": "minimize -E_q[log p(c|z)]",
    r"\min_{\phi,\theta} I_q(X;Z) - \beta\,\mathrm{I}_q(Z;C)": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    r"minimize D_{KL}(q_\phi(z \mid x) \| p(z))": "minimize KL(q(z|x)||p(z))",
    r"minimize -\mathbb{E}_{q_\phi(z|x)}[\log p_\theta(c|z)]": "minimize -E_q[log p(c|z)]",
    r"minimize \mathcal{L} = I_q(X;Z) - \frac{1}{2} I_q(Z;C)": "minimize I_q(X;Z) - 1/2*I_q(Z;C)",
    "loss = I_q(X;Z) - beta*I_q(Z;C).": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    "minimize -E_{z~q(z|x)}[log p(c|z)]": "minimize -E_q[log p(c|z)]",
    "minimize -E_q log p(c|z)": "minimize -E_q[log p(c|z)]",
    "minimize 𝔼_q[−log p(c∣z)]": "minimize -E_q[log p(c|z)]",
    "minimize E_q[log q(z|x) - log p(z)]": "minimize (E_q[log q(z|x)] - E_q[log p(z)])",
    "minimize E_q[log q(z|x)/p(z)]": "minimize (E_q[log q(z|x)] - E_q[log p(z)])",
    "minimize cross_entropy(q(c|z), p(c|z))": "minimize CE(q(c|z)||p(c|z))",
    "minimize D(q(z|x)||p(z))": "minimize KL(q(z|x)||p(z))",
    "minimize Iq(X;Z) - beta.I_q(Z;C)": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    "minimize I(X;Z)_q - 1/2 I_{q(z,c)}(Z;C)": "minimize I_q(X;Z) - 1/2*I_q(Z;C)",
    "minimize I_q(X:Z) - beta^2 I_q(Z;C)": "minimize I_q(X;Z) - beta^2*I_q(Z;C)",
    "minimize I_q(X;Z) − β² I_q(Z;C)": "minimize I_q(X;Z) - beta^2*I_q(Z;C)",
    "minimize I_q(X;Z) - 2 beta I_q(Z;C))": "minimize I_q(X;Z) - 2*beta*I_q(Z;C)",
    "minimize 2(I_q(X;Z) - beta (I_q(Z;C)))": "minimize 2*(I_q(X;Z) - beta*(I_q(Z;C)))",
    "minimize I_q(X;Z) - \beta I_q(Z;C)": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    "minimize I_q(X;Z) - \frac{1}{2} I_q(Z;C)": "minimize I_q(X;Z) - 1/2*I_q(Z;C)",
}


@pytest.mark.parametrize("written", SAID, ids=lambda text: text.replace("\\", "/"))
def test_a_habit_is_answered_with_the_same_in_this_language(written: str) -> None:
    with pytest.raises(SpecError) as refused:
        ibsym.Spec(objective=written, **SPEC)
    assert refused.value.remedy == f'"{SAID[written]}"'
    assert ibsym.derive(ibsym.Spec(objective=SAID[written], **SPEC)).steps is not None


@pytest.mark.parametrize(
    ("key", "name", "written", "meant"),
    [
        ("families", "q(z|x)", "gaussian", "diagonal-normal"),
        ("families", "q(z|x)", "Multivariate Normal", "full-normal"),
        ("families", "p(c|z)", "softmax", "categorical"),
        ("variables", "z", "R^L", "real[L]"),
        ("variables", "z", "real(L)", "real[L]"),
        ("variables", "c", "discrete[K]", "categorical[K]"),
        ("variables", "x", "reel[D]", "real[D]"),
    ],
)
def test_what_others_call_so_is_meant(key: str, name: str, written: str, meant: str) -> None:
    """And the spec with what is meant derives."""
    spec = {**SPEC, "objective": "minimize I_q(X;Z) - beta*I_q(Z;C)"}
    with pytest.raises(SpecError, match=f"did you mean '{re.escape(meant)}'") as refused:
        ibsym.Spec(**{**spec, key: {**spec[key], name: written}})
    assert refused.value.remedy == meant
    assert ibsym.derive(ibsym.Spec(**{**spec, key: {**spec[key], name: meant}})).steps


@pytest.mark.parametrize("written", ["minimize foo bar", "", "I", "minimize ))", "minimize I_q(X;Z) I_q(Z;X)"])
def test_what_is_no_habit_gets_an_example(written: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(written, "objective")
    assert refused.value.remedy.startswith("for example")


def test_random_texts_are_refused_in_time_and_what_is_proposed_parses() -> None:
    chance = random.Random(0)
    pieces = [
        "min",
        "minimize ",
        "I_q",
        "(",
        ")",
        "[",
        "]",
        "X",
        ";",
        "Z",
        "|",
        "||",
        "β",
        "\\beta",
        " ",
        "  ",
        "E",
        "log",
        "KL",
        "q(z|x)",
        "*",
        "-",
        "2",
    ]
    for _ in range(3000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 14)))
        try:
            parse(text, "objective")
        except SpecError as refused:
            if refused.remedy.startswith('"'):
                for proposed in refused.remedy[1:-1].split('", or "'):
                    parse(proposed, "objective")
    for long in ("a" + " " * 3990, "(" * 39 + "a " * 1900, "β" * 3999):
        with pytest.raises(SpecError):
            parse(long, "objective")


def test_the_line_is_shown_with_a_caret(tmp_path, capsys) -> None:
    from ibsym.cli import guarded

    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\nobjective = "minimize I_q(X;Z) - beta I_q(Z;C)"\n[variables]\nx = "real[D]"\n', encoding="utf-8"
    )
    assert guarded(lambda: ibsym.load(file)) == 2
    *_, line, caret = capsys.readouterr().err.rstrip("\n").split("\n")
    assert line.strip() == 'objective = "minimize I_q(X;Z) - beta I_q(Z;C)"'
    assert line[caret.index("^") :].startswith("I_q(Z;C)")

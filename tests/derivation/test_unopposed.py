"""A density that gains without end by becoming wrong is named, and one that anything holds is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import ibsym
from ibsym.cli import main

ROOT = Path(__file__).resolve().parents[2]
FILES = [p for folder in ("ibsym/zoo", "tests/specs") for p in sorted((ROOT / folder).glob("*.toml"))]
FAMILIES = {
    "q(z|x)": "diagonal-normal",
    "p(z)": "standard-normal",
    "p(c|z)": "categorical",
    "p(x|z)": "isotropic-normal",
    "r(z|c)": "diagonal-normal",
}


def spec(objective: str) -> ibsym.Spec:
    return ibsym.Spec(
        name="unopposed",
        objective=objective,
        variables={"x": "real[D]", "c": "categorical[K]", "z": "real[L]"},
        joints={"q": "data(x,c) q(z|x)", "p": "p(z) p(x|z) p(c|z)", "r": "r(z|c)"},
        families=FAMILIES,
        parameters={"beta": {"default": 1.0, "min": 0}, "w": {"default": 1.0}},
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_system_opposes_what_it_learns(path: Path) -> None:
    assert ibsym.derive(ibsym.load(path)).unopposed == ()


@pytest.mark.parametrize(
    ("objective", "named"),
    [
        ("minimize I_q(X;Z) + beta*E_q[log p(c|z)]", ("p(c|z)",)),
        ("maximize E_q[log p(c|z)] - I_q(X;Z)", ()),
        ("maximize -E_q[log p(c|z)] - I_q(X;Z)", ("p(c|z)",)),
        ("minimize I_q(X;Z) - beta*CE(q(c|z)||p(c|z))", ("p(c|z)",)),
        ("minimize I_q(X;Z) - KL(q(z|x)||r(z|c))", ("r(z|c)",)),
        ("maximize KL(q(z|x)||r(z|c)) - I_q(X;Z)", ("r(z|c)",)),
        ("minimize I_q(X;Z) + E_q[log p(c|z)] + E_q[log p(x|z)]", ("p(c|z)", "p(x|z)")),
        ("minimize KL(q(z|x)||r(z|c)) + I_q(X;Z)", ()),
        ("minimize I_q(X;Z) + w*E_q[log p(c|z)]", ()),  # of either sign
        ("minimize E_q[log p(z)]", ()),  # nothing of p(z) is learned; the encoder's business
        ("minimize I_q(X;Z) + E_q[log r(z|c)] + KL(q(z|x)||r(z|c))", ()),  # what one term gains another loses
    ],
)
def test_what_gains_without_end_is_named(objective: str, named: tuple[str, ...]) -> None:
    assert ibsym.derive(spec(objective)).unopposed == named


def test_what_is_named_has_no_minimum() -> None:
    """inf of E_q[log p(c|z)] over the decoder: the loss is below any number once the logits are wrong enough."""
    torch = pytest.importorskip("torch")
    loss = ibsym.compile(spec("minimize I_q(X;Z) + beta*E_q[log p(c|z)]"))()
    rows, classes = 8, 3
    c = torch.arange(rows) % classes
    state = {"z_mean": torch.zeros(rows, 2), "z_logvar": torch.zeros(rows, 2), "c": c}
    wrong = -torch.nn.functional.one_hot(c, classes).float()
    values = [float(loss(**state, c_logits=scale * wrong).loss) for scale in (0.0, 1e2, 1e4, 1e6)]
    assert values[-1] < -9e5
    assert values == sorted(values, reverse=True)


def test_derive_and_check_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong-sign.toml"
    text = (ROOT / "ibsym/zoo/vib.toml").read_text(encoding="utf-8")
    file.write_text(text.replace("- beta*I_q(Z;C)", "+ beta*E_q[log p(c|z)]"), encoding="utf-8")
    for command in ("derive", "check"):
        with pytest.raises(SystemExit) as leave:
            main([command, str(file)])
        assert leave.value.code == 0
        assert "p(c|z) learns to be as wrong as can be" in " ".join(capsys.readouterr().out.split()), command

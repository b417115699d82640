"""Declared in vain: a factor or a parameter that nothing in the loss touches is named, and nothing else is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import ibsym
from ibsym.cli import main
from ibsym.cli.specs import rendered

ROOT = Path(__file__).resolve().parents[2]
FILES = [p for folder in ("ibsym/zoo", "tests/specs") for p in sorted((ROOT / folder).glob("*.toml"))]
IDLE = {"two-view-joint": ("p(x2|z)",)}


def keys(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_nothing_else_is_named(path: Path) -> None:
    """Every spec uses what it declares; one more factor and one more parameter are found."""
    found = keys(path)
    assert ibsym.derive(ibsym.Spec(**found)).unused == IDLE.get(path.stem, ())
    variable = next(iter(found["variables"]))
    other = next(v for v in found["variables"] if v != variable) if len(found["variables"]) > 1 else None
    factor = f"spare({variable}|{other})" if other else f"spare({variable})"
    more = {
        **found,
        "joints": {**found.get("joints", {}), "spare": factor},
        "families": {**found.get("families", {}), factor: "implicit"},
        "parameters": {**found.get("parameters", {}), "slack": {"default": 1.0}},
    }
    assert ibsym.derive(ibsym.Spec(**more)).unused == (*IDLE.get(path.stem, ()), factor, "slack")


def test_what_a_critic_sees_its_samples_through_is_used() -> None:
    """Without a limit on what it sees, too."""
    found = keys(ROOT / "ibsym/zoo/vdb.toml")
    found["critics"] = {"JS(data(x)||p(x))": {"through": "e(t|x)"}}
    found["joints"].pop("r"), found["families"].pop("r(t)"), found.pop("parameters")
    assert ibsym.derive(ibsym.Spec(**found)).unused == ()


SPEC = """
name = "in-vain"
objective = "minimize I_q(X;Z)"
variables = { x = "real[D]", z = "real[L]" }
joints = { q = "data(x) q(z|x)", p = "p(z) p(x|z)" }
families = { "q(z|x)" = "diagonal-normal", "p(z)" = "standard-normal", "p(x|z)" = "isotropic-normal" }
parameters = { beta_x = { default = 1.0, min = 0 } }
"""


def test_weights_inside_a_logarithm_use_their_factors() -> None:
    """Of a model that conditions on c as of one that draws it; what no weight has is named."""
    z = {"q(z|x)": "diagonal-normal", "q(w|z)": "diagonal-normal", "p(w|c)": "diagonal-normal", "p(z|w)": "diagonal-normal"}
    for root in ("", "data(c)"):
        made = ibsym.Spec(
            name="weights",
            objective="maximize E_q[log p(x|c)]",
            variables={"x": "real[D]", "c": "real[C]", "z": "real[L]", "w": "real[M]", "v": "real[N]"},
            joints={"q": "data(x,c) q(z|x) q(w|z)", "p": f"{root} p(w|c) p(z|w) p(x|z,c) p(v|x)"},
            families={**z, "p(x|z,c)": "isotropic-normal", "p(v|x)": "diagonal-normal"},
            estimators={"E_q[log p(x|c)]": "iwae"},
        )
        assert ibsym.derive(made).unused == ("p(v|x)",), root


def test_every_format_and_check_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in-vain.toml"
    file.write_text(SPEC, encoding="utf-8")
    derivation = ibsym.derive(ibsym.load(file))
    assert derivation.unused == ("p(x|z)", "beta_x")
    for form in ("text", "latex", "html", "json"):
        text = rendered(derivation, form, 1, "full", True)
        assert "p(x|z)" in text if form != "latex" else r"p(x$|$z), beta$\_$x" in text, form
        assert "touched" in text or '"unused"' in text
    assert "touched by nothing in the loss" in " ".join(ibsym.generate(derivation).split())
    with pytest.raises(SystemExit) as leave:
        main(["check", str(file)])
    assert leave.value.code == 0
    assert "note: Declared, and touched by nothing in the loss: p(x|z), beta_x." in capsys.readouterr().out


def test_parameters_that_multiply_constants_only_are_named() -> None:
    found = {**tomllib.loads(SPEC), "objective": "minimize I_q(X;Z) + beta_x*H_q(X)"}
    assert ibsym.derive(ibsym.Spec(**found)).unused == ("p(x|z)", "beta_x")

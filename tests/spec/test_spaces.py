"""Every kind of space: one table, and a value of it wherever values are made up, drawn or read off images."""

from __future__ import annotations

import pytest

from ibsym.errors import SpecError
from ibsym.facts import Fact
from ibsym.families.facts import FAMILIES
from ibsym.rendering import notation
from ibsym.rendering.mathml import mathml
from ibsym.rendering.tex import tex
from ibsym.spec.spaces import KINDS, SETS, WHOLE, Space

INSIDE = {
    "real": lambda v: v.isfinite().all(),
    "positive": lambda v: (v > 0).all(),
    "unit": lambda v: ((v >= 0) & (v <= 1)).all(),
    "simplex": lambda v: (v >= 0).all() and (v.sum(-1) - 1).abs().max() < 1e-5,
    "sphere": lambda v: (v.square().sum(-1) - 1).abs().max() < 1e-5,
    "binary": lambda v: ((v >= 0) & (v <= 1)).all(),
    "count": lambda v: (v >= 0).all(),
    "categorical": lambda v: (v >= 0).all() and (v.sum(-1) - 1).abs().max() < 1e-5,
}


def test_one_table():
    assert list(KINDS) == list(SETS) == list(INSIDE)
    assert {k for k in KINDS if Space.parse(f"{k}[3]").discrete is Fact.TRUE} == {"binary", "count", "categorical"}
    for kind in KINDS:
        assert any(kind in f.spaces and f.evaluated for f in FAMILIES.values()), kind


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_written(kind):
    space = Space.parse(f"{kind}[D]")
    assert str(space) == f"{kind}[D]"
    assert "D" in tex(notation.space(space))
    assert "D" in mathml(notation.space(space))
    if kind in WHOLE:
        with pytest.raises(SpecError, match=rf"{kind} has one dimension, '{kind}\[D,E\]' has 2") as error:
            Space.parse(f"{kind}[D,E]")
        assert (error.value.remedy or "").startswith(f'"{kind}[K]"')
    else:
        assert Space.parse(f"{kind}[D,E]").event == ("D", "E")


@pytest.mark.parametrize("kind", KINDS)
def test_values_lie_in_it(kind):
    torch = pytest.importorskip("torch")
    from ibsym.conformance import on_space
    from ibsym.nn import networks, sizes
    from ibsym.training import binding

    raw = 3 * torch.randn(50, 4)
    observed = on_space(raw, kind, True, [4])
    assert INSIDE["real" if kind == "categorical" else kind](observed)
    assert kind not in ("count", "binary") or (observed == observed.round()).all()
    assert INSIDE[kind](on_space(raw, kind, False, [4]))
    assert INSIDE[kind](networks.on_space(raw, (4,), kind).code)
    assert kind in sizes.DEFAULT_SIZES
    if kind in binding.PIXELS:
        pixels = binding.PIXELS[kind][0](torch.rand(5, 2, 3)).flatten(1)
        assert INSIDE[kind](pixels)
        assert kind != "count" or (pixels == pixels.round()).all()

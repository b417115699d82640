"""``from ibsym.losses import VaeLoss``: every emitted class, declared for editors as it is."""

from __future__ import annotations

import ast
import inspect
import pickle
from pathlib import Path

import pytest

pytest.importorskip("torch")

import ibsym
from ibsym import losses

ROOT = Path(__file__).resolve().parents[1]
STUB = {n.name: n for n in ast.parse((ROOT / "ibsym/losses/__init__.pyi").read_text()).body if isinstance(n, ast.ClassDef)}


@pytest.mark.parametrize("name", ibsym.zoo())
def test_a_loss_by_its_name(name: str) -> None:
    spec = ibsym.load(name)
    found = getattr(losses, spec.class_name)
    assert found.__name__ == spec.class_name
    assert found.__module__ == f"ibsym.losses.{spec.module_name}"
    assert spec.class_name in dir(losses)
    methods = {m.name: m for m in STUB[spec.class_name].body if isinstance(m, ast.FunctionDef)}
    for method in ("__init__", "forward", "expression"):
        declared = methods[method].args
        assert [a.arg for a in (*declared.args, *declared.kwonlyargs)] == list(
            inspect.signature(getattr(found, method)).parameters
        )
    assert pickle.loads(pickle.dumps(found())).reduction == "mean"


def test_an_unknown_loss() -> None:
    with pytest.raises(ImportError, match="NoLoss"):
        from ibsym.losses import NoLoss  # type: ignore[attr-defined]  # noqa: F401


def test_it_runs_compiled_where_its_neighbours_are() -> None:
    from ibsym.losses import VaeLoss

    assert inspect.getmodule(VaeLoss)._one_pass() is not None  # type: ignore[union-attr]

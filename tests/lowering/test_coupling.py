"""Which terms couple rows: what a program says is what its estimators say, and what moving rows about says."""

from __future__ import annotations

from pathlib import Path

import pytest
import sympy

import ibsym
from ibsym.lowering.coupling import Coupling, coupled, couples
from ibsym.lowering.lower import _program
from ibsym.lowering.program import Elementwise, InputKey, Load, LogMeanExp, Mean, Ref, Step, TermValue

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted([*ROOT.glob("ibsym/zoo/*.toml"), *ROOT.glob("tests/specs/*.toml")])
A, B = sympy.symbols("a b", real=True)
ROW = Load(InputKey("z", "value", "q"), ("S", "B"))


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_programs_couple_rows_where_estimators_do(path):
    derivation = ibsym.derive(path)
    assert set(coupled(_program(derivation))) == {b.text for b in derivation.bound if b.coupled}


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (Mean(ROW), False),
        (Elementwise(2 * A - B, (("a", Mean(ROW)), ("b", Mean(Elementwise(A**2, (("a", ROW),)))))), False),
        (Elementwise(A**2, (("a", Mean(ROW)),)), True),
        (Elementwise(A * B, (("a", Mean(ROW)), ("b", Mean(ROW)))), True),
        (LogMeanExp(ROW), True),
        (Mean(Elementwise(A - B, (("a", ROW), ("b", Mean(ROW))))), True),
    ],
    ids=["mean", "sum of means", "square of a mean", "product of means", "log mean exp", "centred"],
)
def test_only_weighted_sums_of_averages_do_not(node, found):
    steps = [Step("value", node)]
    assert couples(steps, TermValue("T", "sampled", sympy.Integer(1), Ref(0, ()))) is found


def test_what_depends_on_a_mean_of_rows_is_of_all_rows():
    centred = Elementwise(A - B, (("a", ROW), ("b", Ref(0, ()))))
    coupling = Coupling([Step("mean", Mean(ROW)), Step("centred", centred)])
    assert coupling.whole(centred)
    assert not coupling.whole(ROW)

"""A target is a folder: the NumPy one prints most of the zoo, and its values are the interpreter's."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ibsym
from ibsym.codegen.target import Target
from ibsym.errors import EmissionError
from ibsym.lowering import lower
from ibsym.lowering.interpreter import evaluate

_spec = importlib.util.spec_from_file_location("numpy_target", Path(__file__).parent / "numpy" / "target.py")
assert _spec is not None
assert _spec.loader is not None
target = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(target)

PRINTED = ("vae", "beta-vae", "vib", "aae", "gan", "bigan", "bib-ae", "vae-gan", "infogan", "infonce")
SIZES = {"S": 2, "B": 5, "L": 3, "D": 4, "K": 3}


def inputs(program: Any) -> dict[str, Any]:
    """Random arrays of the declared shapes."""
    random = np.random.default_rng(0)
    found = {}
    for entry in program.inputs:
        shape = [SIZES.get(axis, 4) for axis in entry.shape]
        index = entry.integer
        found[entry.name] = random.integers(0, 3, shape) if index else random.normal(size=shape)
        if entry.key.role == "value" and not index:
            found[entry.name] = (found[entry.name] > 0).astype(float)
    return found


@pytest.mark.parametrize("name", PRINTED)
def test_its_values_are_the_interpreters(name: str) -> None:
    numpy: Target = target.NumPy()
    program = lower(ibsym.audit(name, worlds=1))
    ((file, text),) = numpy.files(program).items()
    space: dict[str, Any] = {}
    exec(compile(text, file, "exec"), space)  # noqa: S102
    given = inputs(program)
    loss, terms = space[name.replace("-", "_")](**given)
    wanted = evaluate(program, given)
    assert float(loss) == pytest.approx(float(wanted.loss), rel=1e-12)
    assert {t: float(v) for t, v in terms.items()} == pytest.approx(wanted.terms, rel=1e-12)
    assert numpy.files(program) == {file: text}


def test_what_it_has_no_words_for_is_refused_by_name() -> None:
    with pytest.raises(EmissionError, match="NumPy has no words for Points"):
        target.NumPy().files(lower(ibsym.audit("infovae", worlds=1)))


def test_its_own_words_are_refused() -> None:
    spec = ibsym.load("beta-vae")
    text = (Path(ibsym.__file__).parent / "zoo/beta-vae.toml").read_text(encoding="utf-8")
    renamed = ibsym.loads(re.sub(r"\bbeta\b(?!-)", "weighted", text))
    assert set(renamed.parameters) == {"weighted"} != set(spec.parameters)
    with pytest.raises(EmissionError, match="'weighted' means something else in numpy"):
        target.NumPy().files(lower(ibsym.audit(renamed, worlds=1)))


def test_a_target_is_one_folder() -> None:
    """It is one file, which knows the package; nothing of the package knows it."""
    root = Path(__file__).resolve().parents[2]
    assert [p.name for p in (root / "tests/targets/numpy").glob("*.py")] == ["target.py"]
    assert [p for p in (root / "ibsym").rglob("*.py") if "NumPyPrinter" in p.read_text(encoding="utf-8")] == []

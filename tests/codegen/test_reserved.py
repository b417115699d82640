"""No parameter has a name that means something in its loss: the page of names against PyTorch and against every emitted class."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ibsym
from ibsym.codegen.emit import PyTorch
from ibsym.lowering import lower
from ibsym.spec.reserved import by_target, reserved

RESERVED = reserved().parameters
ROOT = Path(__file__).resolve().parents[2]
PATHS = [*sorted((ROOT / "ibsym/zoo").glob("*.toml")), *sorted((ROOT / "tests/specs").glob("*.toml"))]
SPEC = """
name = "case"
objective = "minimize I_q(X;Z) - NAME*I_q(Z;X)"
[variables]
x = "binary[D]"
z = "real[L]"
[joints]
q = "data(x) q(z|x)"
p = "p(z) p(x|z)"
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(x|z)" = "bernoulli"
[parameters]
NAME = { default = 1.0, min = 0 }
"""


def public(names: object) -> set[str]:
    return {name for name in names if not name.startswith("_")}  # type: ignore[attr-defined]


def test_the_attributes_of_a_module() -> None:
    assert public(dir(torch.nn.Module())) - RESERVED == set()


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_the_attributes_of_an_emitted_class(path: Path) -> None:
    spec = ibsym.load(path)
    loss = ibsym.compile(spec)
    own = public(dir(loss())) | set(inspect.signature(loss).parameters)
    assert own - set(spec.parameters) - RESERVED == set()


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_a_reserved_name_is_refused(word: str) -> None:
    with pytest.raises(ibsym.SpecError, match=rf"parameters\.{word}: .*(taken in the emitted module|cannot be the name)"):
        ibsym.loads(SPEC.replace("NAME", word))


@pytest.mark.parametrize("word", ["x", "z", "z_mean", "z_logvar", "x_logits"])
def test_an_inputs_name_is_refused(word: str) -> None:
    with pytest.raises(ibsym.SpecError, match="taken in the emitted module"):
        ibsym.loads(SPEC.replace("NAME", word))


OTHERS = [
    "weights",
    "given",
    "values",
    "scale",
    "rows",
    "kl_z",
    "log_p_x",
    "print",
    "sum",
    "isinstance",
    "draws",
    "ctx",
    "D",
    "B",
    "size",
    "e",
    "pi",
]


@pytest.mark.parametrize("word", OTHERS)
def test_any_other_name_works(word: str) -> None:
    loss = ibsym.compile(ibsym.loads(SPEC.replace("NAME", word)))(**{word: 2.0})
    torch.manual_seed(0)
    given = {"z_mean": torch.randn(3, 2), "z_logvar": torch.randn(3, 2), "x": torch.ones(3, 4), "x_logits": torch.randn(3, 4)}
    leaves = {k: v.requires_grad_() for k, v in given.items() if k != "x"}
    output = loss(**given)
    output.loss.backward()
    rate, fit = output.terms.values()
    assert torch.allclose(output.loss.detach(), rate - 2 * fit)
    assert all(v.grad is not None for v in leaves.values())
    setattr(loss, word, 3.0)
    assert torch.allclose(loss.double()(**{k: v.detach().double() for k, v in given.items()}).loss, (rate - 3 * fit).double())
    loss.state_dict()


def test_a_targets_words_are_in_its_folder() -> None:
    """No page of words is kept elsewhere, and every folder that has one is asked."""
    assert sorted(by_target()) == sorted(p.parent.name for p in (ROOT / "ibsym/codegen").glob("*/reserved.toml"))
    assert PyTorch.reserved == by_target()["torch"]
    assert {"torch", "self"} <= PyTorch.reserved.names & PyTorch.reserved.parameters
    text = (ROOT / "ibsym/spec/reserved.py").read_text(encoding="utf-8")
    assert [word for word in ("state_dict", "torch", "nn.Module") if word in text] == []


@pytest.mark.parametrize("kind", ["parameters", "inputs", "steps"])
def test_a_target_refuses_its_own_words(kind: str) -> None:
    """A program that did not come from a spec, or a target whose page lacks a word."""
    program = lower(ibsym.audit("beta-vae", worlds=1))
    (first, *others) = getattr(program, kind)
    renamed = replace(program, **{kind: (replace(first, name="self"), *others)})
    with pytest.raises(
        ibsym.EmissionError, match="'self' means something else in torch\n  write: another name for the " + kind[:-1]
    ):
        PyTorch().files(renamed)

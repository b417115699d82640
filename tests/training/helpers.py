"""What the tests of training share: trainers on the bundled digits, references by name."""

import importlib.util
from functools import cache
from importlib import import_module
from pathlib import Path

import torch

import ibsym
from ibsym.lowering import lower
from ibsym.sources import class_of
from ibsym.training.binding import bind
from ibsym.training.data import load
from ibsym.training.settings import sort_out
from ibsym.training.trainer import DTYPES, Trainer

ROOT = Path(__file__).resolve().parents[2]
ZOO = [path.stem for path in sorted((ROOT / "ibsym/zoo").glob("*.toml"))]
SPECS = sorted((ROOT / "tests/specs").glob("*.toml"))


@cache
def compiled(name):
    """The spec, its derivation and its emitted class: the committed one; elsewhere audited in one world, as bounds are tested elsewhere."""
    derivation = ibsym.derive(name)
    if name in ZOO:
        return derivation.spec, derivation, import_module(f"ibsym.losses.{derivation.spec.module_name}").Loss
    return derivation.spec, derivation, class_of(lower(ibsym.audit(derivation, worlds=1)))


@cache
def digits():
    return load("digits")


def trainer(name, *, seed=0, dtype="float32", settings=None, labelled=None, loss=None, engine=None):
    spec, _, loss_class = compiled(name)
    choices = sort_out(spec, settings or {})
    binding = bind(spec, digits(), sizes=choices.sizes, labelled=labelled, seed=seed, dtype=DTYPES[dtype])
    return Trainer(spec, loss_class, binding, choices, {}, seed=seed, dtype=dtype, loss=loss, engine=engine)


def reference(name):
    stem = name.replace("-", "_")
    found = importlib.util.spec_from_file_location(f"reference_{stem}", ROOT / f"tests/references/{stem}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.loss


def numbers(group):
    return torch.tensor(list(group.values()))

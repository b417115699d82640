"""Systems for the tests of emission: emitted, compiled, with random inputs and their hand-written references."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from ibsym.checking.audit import audit  # noqa: E402
from ibsym.codegen import emit  # noqa: E402
from ibsym.conformance import constraint_of, in_domain  # noqa: E402
from ibsym.derivation.engine import derive  # noqa: E402
from ibsym.lowering import LossProgram, lower  # noqa: E402
from ibsym.sources import load_module  # noqa: E402
from ibsym.spec.loading import load  # noqa: E402
from ibsym.spec.model import Spec  # noqa: E402

TESTS = Path(__file__).resolve().parents[1]
SPECS = {p.stem: p for folder in ("ibsym/zoo", "tests/specs") for p in sorted((TESTS.parent / folder).glob("*.toml"))}
SIZES = (5, 3, 4, 2, 6, 7, 3, 2)


@dataclass(frozen=True)
class Emitted:
    spec: Spec
    program: LossProgram
    source: str
    module: ModuleType

    def loss(self, **settings):
        return self.module.Loss(**settings)

    def parameters(self):
        """Values away from the defaults, inside of the declared intervals."""
        values = {}
        for k, (name, entry) in enumerate(self.spec.parameters.items()):
            low = -2.0 if entry.min is None else entry.min
            high = low + 3.0 if entry.max is None else entry.max
            values[name] = low + (0.3 + 0.2 * (k % 3)) * (high - low)
        return values

    def inputs(self, draws=3, seed=0, dtype=torch.float64, sizes=None):
        """Random tensors of the declared shapes; ``draws`` is the length of the axis S, None for none."""
        return tensors(self.spec, self.module.Loss.INPUTS, draws, seed, dtype, sizes)

    def critic_inputs(self, name, draws=3, seed=1):
        codes = [i for i in self.module.Loss.CRITIC_INPUTS.get(name, ()) if not i.role.startswith("critic")]
        return tensors(self.spec, codes, draws, seed)


def tensors(spec, declared, draws=3, seed=0, dtype=torch.float64, sizes=None):
    known = dict(sizes or {})
    generator = torch.Generator().manual_seed(seed)
    result = {}
    for entry in declared:
        shape = []
        for axis in entry.shape:
            if axis == "S":
                shape += [] if draws is None else [draws]
            elif axis.isdigit():
                shape.append(int(axis))
            else:
                shape.append(known.setdefault(axis, SIZES[len(known) % len(SIZES)]))
        result[entry.name] = tensor(spec, entry, shape, known, generator, dtype)
    return result


def tensor(spec, entry, shape, known, generator, dtype):
    kind = spec.variables[entry.of].kind if entry.of in spec.variables else None
    if kind == "categorical" and entry.role == "value":
        dim = spec.variables[entry.of].dims[0]
        size = int(dim) if dim.isdigit() else known.setdefault(dim, SIZES[len(known) % len(SIZES)])
        return torch.randint(size, shape, generator=generator)
    real = 1.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    if kind == "binary" and entry.role == "value":
        real = (real > 0).double()
    elif kind in ("binary", "unit"):
        real = torch.sigmoid(real)
    elif kind == "positive":
        real = real.exp()
    elif kind == "count":
        real = (3 * real.abs()).floor()
    elif kind in ("categorical", "simplex"):
        real = real.softmax(-1)
    elif kind == "sphere":
        real = real / real.norm(dim=-1, keepdim=True)
    return in_domain(constraint_of(spec, entry), real).to(dtype)


def emitted(spec):
    program = lower(audit(derive(spec), worlds=0))
    source = emit(program)
    return Emitted(spec, program, source, load_module(emit(program, "bundle"), spec.module_name))


@cache
def system(name):
    return emitted(load(SPECS[name]))


@cache
def reference(name):
    path = TESTS / "references" / f"{name.replace('-', '_')}.py"
    spec = importlib.util.spec_from_file_location(f"_reference_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", list(SPECS))


@pytest.fixture
def made(name):
    return system(name)


@pytest.fixture
def written(name):
    return reference(name)


@pytest.fixture
def build():
    """Builds the loss of a spec's keys."""
    return lambda **keys: emitted(Spec(**{"name": "test", **keys}))

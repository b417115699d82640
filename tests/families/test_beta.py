"""The Beta family: against torch, where SciPy's own relative entropies are known, drawn with gradients, in one file."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.codegen.runtime import text as header  # noqa: E402
from ibsym.families.facts import FAMILIES, FamilyUse  # noqa: E402
from ibsym.nn import distributions as laws  # noqa: E402
from tests.training.helpers import numbers  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
COMPILER = shutil.which("cc") or shutil.which("gcc")
KEYS = {
    "name": "shares",
    "objective": "minimize I_q(X;Z) - I_q(Z;X)",
    "variables": {"x": "unit[D]", "z": "unit[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "beta", "p(z)": "uniform", "p(x|z)": "beta"},
}
BETA = torch.distributions.Beta


def test_it_has_one_file():
    """A family touches its file and its tests: outside of the families, nothing names its parameters."""
    files = [path for path in (ROOT / "ibsym").rglob("*") if path.suffix in (".py", ".h", ".j2")]
    named = [path.relative_to(ROOT) for path in files if "concentration1" in path.read_text(encoding="utf-8")]
    assert Path("ibsym/families/beta.py") in named
    assert [path for path in named if path.parts[1] != "families"] == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_is_that_of_torch(dtype):
    torch.manual_seed(0)
    loss = ibsym.compile(ibsym.Spec(**KEYS))()
    shapes = {
        "z_concentration1": (6, 3),
        "z_concentration0": (6, 3),
        "x_concentration1": (2, 6, 5),
        "x_concentration0": (2, 6, 5),
    }
    given = {n: (2 * torch.randn(s, dtype=torch.float64)).exp() for n, s in shapes.items()} | {
        "x": torch.rand(6, 5, dtype=torch.float64).clamp(1e-3, 1 - 1e-3)
    }
    encoder, decoder = (
        BETA(given["z_concentration1"], given["z_concentration0"]),
        BETA(given["x_concentration1"], given["x_concentration0"]),
    )
    rate = torch.distributions.kl_divergence(
        encoder, torch.distributions.Uniform(0.0, torch.ones((), dtype=torch.float64))
    ).sum(-1)
    want = (rate - decoder.log_prob(given["x"]).sum(-1).mean(0)).mean()
    leaves = {n: t.to(dtype).requires_grad_() for n, t in given.items()}
    found = loss(**{i.name: leaves[i.name] for i in loss.INPUTS}).loss
    assert float(found.detach()) == pytest.approx(float(want), rel=1e-10 if dtype is torch.float64 else 1e-6)
    slopes = torch.autograd.grad(found, list(leaves.values()))
    assert all(s.isfinite().all() for s in slopes)


def test_draws_carry_the_gradient_of_their_mean():
    """E z = a / (a + b), and d E z / d a = b / (a + b)^2."""
    torch.manual_seed(0)
    a, b = (torch.full((40_000, 1), x, dtype=torch.float64, requires_grad=True) for x in (2.0, 3.0))
    law = laws.LawOf(FamilyUse(FAMILIES["beta"]), "unit")(
        (1,),
        {"concentration1": a, "concentration0": b},
        (40_000,),
        torch.zeros((), dtype=torch.float64),
    )
    mean = laws.draw(FamilyUse(FAMILIES["beta"]), "unit", 1, law, "exact").code.mean()
    assert float(mean.detach()) == pytest.approx(0.4, abs=5e-3)
    (slope,) = torch.autograd.grad(mean, a)
    assert float(slope.sum()) == pytest.approx(3 / 25, abs=5e-3)


def test_it_trains():
    """As a code; pixels are 0 and 1 as well, where a Beta density is 0 or infinite."""
    spec = ibsym.Spec(**{**KEYS, "families": KEYS["families"] | {"p(x|z)": "continuous-bernoulli"}})
    result = ibsym.train(spec, epochs=1, settings={"hidden": 16})
    assert torch.isfinite(numbers(result.terms)).all()


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize(("real", "tolerance"), [("float", 1e-7), ("double", 1e-12)])
def test_gamma_functions_in_c(real, tolerance, tmp_path):
    """Within a rounding of the result (of 1 near the zeros), from 1e-8 to 1e8."""
    special = pytest.importorskip("scipy.special")
    want = {"log_gamma": special.gammaln, "digamma": special.psi, "trigamma": lambda t: special.polygamma(1, t)}
    loops = "".join(
        f"void run_{n}(const REAL *x, REAL *y, int64_t n) {{ for (int64_t i = 0; i < n; i++) y[i] = {n}(x[i]); }}\n"
        for n in want
    )
    (tmp_path / "gamma.c").write_text(header("prelude.h") + header("gamma.h") + loops, encoding="utf-8")
    flags = ["-O3", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fPIC", "-shared", f"-DREAL={real}"]
    flags += ["-DDOUBLE"] if real == "double" else []
    subprocess.run([COMPILER, *flags, str(tmp_path / "gamma.c"), "-o", str(tmp_path / "gamma.so"), "-lm"], check=True)
    library = ctypes.CDLL(str(tmp_path / "gamma.so"))
    x = np.exp(np.random.default_rng(0).uniform(np.log(1e-8), np.log(1e8), 20_000)).astype(
        np.float32 if real == "float" else np.float64
    )
    for name, function in want.items():
        y = np.empty_like(x)
        library[f"run_{name}"](ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int64(x.size))
        true = function(x.astype(np.float64))
        assert np.max(np.abs(y - true) / np.maximum(np.abs(true), 1 if name != "trigamma" else 0)) <= tolerance, name

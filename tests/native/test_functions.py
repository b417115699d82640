"""The elementary functions of the compiled pass against numpy in more precision, over all that they take."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler")

FUNCTIONS = {
    "exponential": np.exp,
    "exponential_of_negative": np.exp,
    "exponential_of_difference": np.exp,
    "exponential_minus_one": np.expm1,
    "logarithm": np.log,
    "log_one_plus": np.log1p,
}
# The largest error in units in the last place, as docs/numerics.md has it.
ULP = {
    "exponential": 1.1,
    "exponential_of_negative": 1.1,
    "exponential_of_difference": 1.1,
    "exponential_minus_one": 2.0,
    "logarithm": 1.0,
    "log_one_plus": 1.3,
}
EXTENT = {"float": (-103.0, 88.7, -86.9, 87.0), "double": (-744.0, 709.7, -707.0, 708.0)}
TYPES = {"float": (np.float32, np.float64), "double": (np.float64, np.longdouble)}


@pytest.fixture(scope="module", params=["float", "double"])
def library(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions")
    prelude = (ROOT / "ibsym/runtime/prelude.h").read_text(encoding="utf-8")
    loops = "".join(
        f"void run_{f}(const REAL *restrict x, REAL *restrict y, int64_t n) {{ LOOP for (int64_t i = 0; i < n; i++) y[i] = {f}(x[i]); }}\n"
        for f in FUNCTIONS
    )
    source, built = folder / "functions.c", folder / "functions.so"
    source.write_text(prelude + loops, encoding="utf-8")
    flags = ["-O3", "-march=native", "-fopenmp-simd", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared"]
    flags += ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function", f"-DREAL={request.param}"]
    flags += ["-DDOUBLE"] if request.param == "double" else []
    subprocess.run([COMPILER, *flags, str(source), "-o", str(built), "-lm"], check=True)
    loaded = ctypes.CDLL(str(built))
    narrow, _ = TYPES[request.param]

    def run(name, x):
        x = np.ascontiguousarray(x, dtype=narrow)
        y = np.empty_like(x)
        loaded[f"run_{name}"](ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int64(x.size))
        return x, y

    return request.param, run


def points(real, name):
    low, high, least, most = EXTENT[real]
    random = np.random.default_rng(0)
    near = random.uniform(-1e-3, 1e-3, 100_000)
    match name:
        case "exponential":
            return np.concatenate([random.uniform(low, high, 400_000), random.uniform(-1, 1, 100_000), near])
        case "exponential_of_negative" | "exponential_of_difference":
            return np.concatenate([random.uniform(least, 0, 400_000), -np.abs(near)])
        case "exponential_minus_one":
            return np.concatenate([random.uniform(-40, high, 300_000), random.uniform(-2, 2, 200_000), near, near * 1e-6])
        case "logarithm":
            return np.concatenate([np.exp(random.uniform(low, most, 300_000)), random.uniform(0.5, 2, 200_000), 1 + near])
    return np.concatenate([random.uniform(0, 1, 300_000), np.abs(near), np.abs(near) * 1e-6])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error(library, name):
    real, run = library
    narrow, wide = TYPES[real]
    x, y = run(name, points(real, name))
    true = FUNCTIONS[name](x.astype(wide))
    unit = np.spacing(np.abs(true).astype(narrow)).astype(wide)
    assert float(np.max(np.abs(y.astype(wide) - true) / unit)) <= ULP[name]


def test_edges(library):
    _, run = library
    edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan])
    with np.errstate(all="ignore"):
        for name in ("exponential", "exponential_minus_one", "logarithm"):
            x, y = run(name, edges)
            np.testing.assert_array_equal(y, FUNCTIONS[name](x))
    _, y = run("exponential_of_difference", np.array([0.0, -np.inf, -1e4, np.nan]))
    np.testing.assert_array_equal(y, [1, 0, 0, np.nan])
    _, y = run("exponential", np.array([1e4, -1e4]))
    np.testing.assert_array_equal(y, [np.inf, 0])
    _, y = run("exponential_of_negative", np.array([-1e4, np.nan]))
    assert 0 < y[0] < 1e-37
    assert np.isnan(y[1])

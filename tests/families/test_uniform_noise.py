"""Uniform noise: cells against integrals of the densities themselves, their slopes, the same in C; what it refuses."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from itertools import pairwise, product

import numpy as np
import pytest
import sympy

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.codegen.runtime import text as header  # noqa: E402
from ibsym.errors import IbsymError  # noqa: E402
from ibsym.families import base  # noqa: E402
from ibsym.families.base import Law  # noqa: E402
from ibsym.lowering import numeric  # noqa: E402
from ibsym.runtime import functions as runtime  # noqa: E402
from tests.families.test_families import USES, at, numbers, space  # noqa: E402

COMPILER = shutil.which("cc") or shutil.which("gcc")
KEYS = {
    "name": "noisy",
    "objective": "minimize I_q(X;Z) - I_q(Z;X)",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "uniform-noise", "p(z)": "diagonal-normal", "p(x|z)": "isotropic-normal"},
}
CELLS = [label for label, use in USES.items() if use.name in base.LOG_MASSES]


def spec(noise="uniform-noise", prior="diagonal-normal", **more):
    families = KEYS["families"] | {"q(z|x)": noise, "p(z)": prior}
    return ibsym.Spec(**{**KEYS, "families": families, **more})


@pytest.mark.parametrize("label", CELLS)
def test_a_cell_is_the_integral_of_the_density(label):
    """Where coordinates part, one at a time; a mixture of several is a product in each component."""
    (kind,) = USES[label].facts.spaces
    one = 1
    use, law = USES[label], Law(USES[label], space(kind))
    own = {k: v[..., :one] if v.ndim > 1 and k != "logits" else v for k, v in numbers(use, kind, 3).items()}
    value, half = np.array([[0.3], [-1.2], [2.5]]), sympy.Rational(3, 10)
    places, weights = np.polynomial.legendre.leggauss(200)
    inside = 0.0
    centres = own.get("mean", np.zeros((3, 1)))
    for row in range(3):
        mine = {k: v[row : row + 1] for k, v in own.items()}
        cuts = np.clip(np.unique(np.append(np.ravel(centres[row]), [])), value[row, 0] - 0.3, value[row, 0] + 0.3)
        edges = np.unique([value[row, 0] - 0.3, *cuts, value[row, 0] + 0.3])
        inside = sum(
            (b - a)
            / 2
            * np.sum(weights * np.exp(at(base.log_density(law), [law], [mine], ((b - a) * places + a + b)[:, None] / 2)))
            for a, b in pairwise(edges)
        )
        mass = at(base.LOG_MASSES[use.name](law, half), [law], [mine], value[row : row + 1])
        assert float(np.squeeze(mass)) == pytest.approx(np.log(inside), abs=1e-10)


def test_the_noise_and_what_is_integrated_over_it():
    """KL = -n log w - E log [(F(z + w/2) - F(z - w/2)) / w^n], from torch's distribution functions."""
    torch.manual_seed(0)
    for width in (1, 0.5):
        loss = ibsym.compile(spec({"family": "uniform-noise", "width": width}))()
        given = {n: torch.randn(s, dtype=torch.float64) for n, s in {"z_mean": (3,), "z_logvar": (3,), "x": (6, 5)}.items()}
        given |= {"z": torch.randn(2, 6, 3, dtype=torch.float64), "x_mean": torch.randn(2, 6, 5, dtype=torch.float64)}
        scale = (given["z_logvar"] / 2).exp() * np.sqrt(2)
        away = (given["z"] - given["z_mean"]).abs()
        mass = ((torch.erfc((away - width / 2) / scale) - torch.erfc((away + width / 2) / scale)) / 2).log().sum(-1)
        found = loss(**given).terms
        assert float(found["KL(q(z|x)||p(z))"]) == pytest.approx(-float(mass.mean()), rel=1e-12)
    cross = ibsym.compile(spec({"family": "uniform-noise", "width": width}, objective="maximize E_q[log p(z)]"))()
    want = mass.mean() - 3 * np.log(width)
    terms = cross(**{i.name: given[i.name] for i in cross.INPUTS}).terms
    assert float(terms["E_q[log p(z)]"]) == pytest.approx(float(want), rel=1e-12)


def test_its_density_at_any_value():
    use = USES["uniform-noise"]
    law, width = Law(use, space("real")), float(use.option("width"))
    mean, away = np.zeros((3, 3)), np.array([[0.3, -0.3, 0.1], [0.0, 0.4, 0.0], [-0.4, 0.0, 0.0]])
    found = at(base.log_density(law), [law], [{"mean": mean}], away)
    np.testing.assert_allclose(found, [-3 * np.log(width), -np.inf, -np.inf])


def test_a_density_of_the_caller_is_taken_as_it_is():
    loss = ibsym.compile(spec(prior="external", objective="minimize KL(q(z|x)||p(z))"))()
    log_p = torch.randn(2, 6, dtype=torch.float64)
    given = {"log_prob": log_p, "sample": torch.randn(2, 6, 3, dtype=torch.float64)}
    assert float(loss(**{i.name: given[i.role] for i in loss.INPUTS}).loss) == pytest.approx(-float(log_p.mean()), rel=1e-12)


def test_what_it_refuses():
    with pytest.raises(IbsymError, match="integrates its density over a cell, and full-normal has no distribution function"):
        ibsym.compile(spec(prior="full-normal"))
    term = "KL(q(z)||p(z))"
    with pytest.raises(IbsymError, match=r"q\(z\|x\) \(uniform-noise\) is constant in a cell and 0 outside"):
        ibsym.compile(spec(objective=f"minimize {term} - I_q(Z;X)", estimators={term: "minibatch-weighted"}))
    with pytest.raises(IbsymError, match="width = -1 is not a positive number"):
        spec({"family": "uniform-noise", "width": -1})


@pytest.mark.parametrize("law", ["normal", "laplace"])
def test_slopes_of_cells(law):
    """By differences of the interpreter's, over places and widths of all sizes."""
    function, exact = getattr(runtime, f"_log_{law}_cell"), getattr(numeric, f"log_{law}_cell")
    for d, w in product((0.2, -1.5, 7.0, -60.0, 3e4), (1e-5, 0.01, 0.6, 3.0, 80.0)):
        x, h = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (d, w))
        value = function(x, h)
        assert float(value.detach()) == pytest.approx(float(exact(d, w)), rel=1e-12, abs=1e-14)
        for found, one in zip(torch.autograd.grad(value, (x, h)), ((1, 0), (0, 1)), strict=True):
            step = 1e-6 * abs(d if one[0] else w)
            ends = [float(exact(d + s * one[0] * step, w + s * one[1] * step)) for s in (1, -1)]
            error = 1e-7 + 1e-15 * abs(ends[0]) / step / max(abs(float(found)), 1)
            assert float(found) == pytest.approx(
                (ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=error * max(abs(float(found)), 1)
            )


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_cells_in_c(tmp_path):
    """In double precision, values and slopes, against torch's."""
    names = [f"{kind}_cell{slope}" for kind in ("normal", "laplace") for slope in ("", "_shift", "_growth")]
    names = [n if "_cell_" in n else f"log_{n}" for n in names]
    loops = "".join(
        f"void run_{n}(const REAL *d, const REAL *w, REAL *y, int64_t n) {{ for (int64_t i = 0; i < n; i++) y[i] = {n}(d[i], w[i]); }}\n"
        for n in names
    )
    (tmp_path / "cells.c").write_text(header("prelude.h") + header("cells.h") + loops, encoding="utf-8")
    flags = [
        "-O3",
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-function",
        "-fPIC",
        "-shared",
        "-DREAL=double",
        "-DDOUBLE",
    ]
    subprocess.run([COMPILER, *flags, str(tmp_path / "cells.c"), "-o", str(tmp_path / "cells.so"), "-lm"], check=True)
    library, g = ctypes.CDLL(str(tmp_path / "cells.so")), np.random.default_rng(0)
    d = np.exp(g.uniform(np.log(1e-4), np.log(1e4), 4000)) * g.choice((-1, 1), 4000)
    w = np.exp(g.uniform(np.log(1e-6), np.log(1e3), 4000))
    for kind in ("normal", "laplace"):
        x, h = (torch.tensor(v, requires_grad=True) for v in (d, w))
        value = getattr(runtime, f"_log_{kind}_cell")(x, h)
        true = (value.detach(), *torch.autograd.grad(value.sum(), (x, h)))
        for name, want in zip([n for n in names if kind in n], true, strict=True):
            y = np.empty_like(d)
            pointers = [ctypes.c_void_p(a.ctypes.data) for a in (d, w, y)]
            library[f"run_{name}"](*pointers, ctypes.c_int64(d.size))
            np.testing.assert_allclose(y, want, rtol=1e-9, atol=1e-11, err_msg=name)

"""What every function, family, estimator and kernel does at 0, -0, infinities, NaN and huge arguments: everywhere the same.

The table of functions is read from docs/numerics.md. Families and estimators are walked over as they are registered, so that a
new one enters by itself: the pass in C, the tensor expression and the interpreter agree on what is finite, infinite and NaN,
in double and in single precision, and a gradient that exists is found.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.codegen.c.elements import logistic  # noqa: E402
from ibsym.codegen.c.printing import c_text  # noqa: E402
from ibsym.codegen.c.source import HEADERS  # noqa: E402
from ibsym.codegen.formulas import Code  # noqa: E402
from ibsym.codegen.runtime import definitions  # noqa: E402
from ibsym.codegen.runtime import text as header  # noqa: E402
from ibsym.codegen.torch.expressions import render  # noqa: E402
from ibsym.conformance import Sizes, constraint_of, fix, projections, sample  # noqa: E402
from ibsym.errors import IbsymError  # noqa: E402
from ibsym.estimators import ESTIMATORS  # noqa: E402
from ibsym.families import functions as heads  # noqa: E402
from ibsym.families.base import RELATIVE_ENTROPIES  # noqa: E402
from ibsym.families.facts import FAMILIES, Constraint, FamilyUse  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from ibsym.lowering.fusion.calculus import Stable, Unfused, own, weighted  # noqa: E402
from ibsym.lowering.interpreter import evaluate  # noqa: E402
from ibsym.lowering.numeric import value  # noqa: E402

DOCS = Path(__file__).resolve().parents[2] / "docs" / "numerics.md"
COMPILER = shutil.which("cc") or shutil.which("gcc")
EDGES = (0.0, -0.0, math.inf, -math.inf, math.nan, 1e4, -1e4, 1e15, -1e15, 89.0, -89.0, -150.0, 80.0, -80.0)
LARGE = {torch.float32: 1e37, torch.float64: 1e300}


# ------------------------------------------------------------------------------------------------ functions


def rows():
    """(function, argument, result) of the table in docs/numerics.md."""
    lines = DOCS.read_text(encoding="utf-8").split("<!-- edges -->")[1].strip().splitlines()
    cells = [[c.strip().strip("`") for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    for name, *results in cells[2:]:
        yield from ((name, float(a), float(r)) for a, r in zip(cells[0][1:], results, strict=True))


TABLE = list(rows())
T = sympy.Symbol("t", real=True)
ELEMENTWISE = {
    "exp": sympy.exp(T),
    "log": sympy.log(T),
    "abs": sympy.Abs(T),
    "log_bessel": heads.log_bessel(3, T),
    "bessel_ratio": heads.bessel_ratio(3, T),
    "standardised": heads.standardised(T, 1),
    "weighted": heads.weighted(0, T),
    "expected": heads.expected(T, T),
    "binary_cross_entropy": heads.binary_cross_entropy(0, T),
    "opened": heads.opened(T, 5 * T),
    "log_normal_cell": heads.log_normal_cell(T, sympy.Rational(1, 2)),
    "log_laplace_cell": heads.log_laplace_cell(T, sympy.Rational(1, 2)),
}


def formula(name):
    return ELEMENTWISE[name] if name in ELEMENTWISE else getattr(heads, name)(T)


def test_the_table_has_every_function():
    known = {
        n for n, c in vars(heads).items() if isinstance(c, type) and issubclass(c, sympy.Function) and c not in heads.STRUCTURAL
    }
    assert {name for name, _, _ in TABLE} >= known | {"exp", "log", "abs"}


@cache
def runtime():
    names = {"torch": torch, "math": math, "F": torch.nn.functional, "Tensor": torch.Tensor}
    for text in (d.text for module in ("functions", "tensors") for n, d in definitions(module).items() if n.startswith("_")):
        exec("from __future__ import annotations\n" + text, names)  # noqa: S102  our own text
    return names


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "argument", "result"), TABLE)
def test_functions_at_the_edges(name, argument, result, dtype):
    e = formula(name)
    with np.errstate(all="ignore"):
        interpreted = float(value(e, {"t": np.array([argument])})[0])
    tensor = torch.tensor([argument], dtype=dtype)
    code = render(e, lambda _: Code("t")).text.replace("(0, ", "(t.new_zeros(1), ").replace("(t, 0)", "(t, t.new_zeros(1))")
    written = float(eval(code, runtime() | {"t": tensor})[0])  # noqa: S307  our own text
    exact = 1e-14
    loose = 1e-10 if "bessel" in name else exact  # SciPy's quotient of two exponentials
    for found, tolerance in ((interpreted, loose), (written, exact if dtype is torch.float64 else 1e-6)):
        assert found == pytest.approx(result, rel=tolerance, abs=tolerance, nan_ok=True)


def in_c(name):
    """The function of v_t in C: statements and value; None where it does not fuse."""
    stable = Stable()
    try:
        e = stable.formula(own(formula(name)))
        lines = logistic(stable, set(stable.parts), set(), zero=e.has(weighted))
        return [*lines, f"return {c_text(e)};"]
    except Unfused:
        return None


@pytest.fixture(scope="module", params=["float", "double"])
def library(request, tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("edges")
    found = {name: in_c(name) for name in dict.fromkeys(n for n, _, _ in TABLE)}
    source = header("prelude.h") + "".join(map(header, HEADERS))
    source += "".join(f"REAL run_{n}(REAL t) {{ {' '.join(lines)} }}\n" for n, lines in found.items() if lines)
    (folder / "edges.c").write_text(source, encoding="utf-8")
    flags = ["-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", f"-DREAL={request.param}"]
    flags += ["-DDOUBLE"] if request.param == "double" else []
    subprocess.run([COMPILER, *flags, str(folder / "edges.c"), "-o", str(folder / "edges.so"), "-lm"], check=True)
    loaded = ctypes.CDLL(str(folder / "edges.so"))
    number = ctypes.c_float if request.param == "float" else ctypes.c_double

    def call(name, argument):
        function = loaded[f"run_{name}"]
        function.restype, function.argtypes = number, [number]
        return function(argument)

    return request.param, call, {n for n, lines in found.items() if lines}


@pytest.mark.parametrize(("name", "argument", "result"), TABLE)
def test_functions_at_the_edges_in_c(library, name, argument, result):
    real, call, known = library
    if name not in known:
        pytest.skip("does not fuse")
    tolerance = 1e-14 if real == "double" else 1e-6
    assert call(name, argument) == pytest.approx(result, rel=tolerance, abs=1e-37, nan_ok=True)


# ------------------------------------------------------------------------------------ families and estimators


def spec(
    objective, kind="real", first="diagonal-normal", second="standard-normal", decoder=("real", "isotropic-normal"), **more
):
    return {
        "name": "edge",
        "objective": objective,
        "variables": {"x": f"{decoder[0]}[3]", "z": f"{kind}[3]"},
        "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
        "families": {"q(z|x)": first, "p(z)": second, "p(x|z)": decoder[1]},
        **more,
    }


def uses(facts):
    """The family as it comes, and with every option that makes a parameter learned."""
    return [{"family": facts.name, **dict(use.options)} if use.options else facts.name for use in FamilyUse(facts).variants()]


EVALUATED = [f for f in FAMILIES.values() if f.evaluated and f.name != "external"]  # which has no formula of its own
TERMS = (
    "KL(q(z)||p(z))",
    "KL(q(z|x)||p(z))",
    "I_q(X;Z)",
    "TC_q(Z)",
    "JS(q(z)||p(z))",
    "F[pearson](q(z)||p(z))",
    "KL(q(c)||r(c))",
    "E_q[log p(x)]",
)


def family_cases():
    for f in EVALUATED:
        for kind in f.spaces:
            beside = [g for g in EVALUATED if kind in g.spaces]
            for use in uses(f) if f.learned else ():
                label = f.name if isinstance(use, str) else f"{f.name}, learned"
                yield f"log {label} on {kind}", spec("maximize E_q[log p(x|z)]", decoder=(kind, use))
                yield f"H {label} on {kind}", spec("minimize H_q(Z|X)", kind, use, beside[0].name)
                closed = [g for g in beside if (f.name, g.name) in RELATIVE_ENTROPIES]
                for other in (u for g in {g.name: g for g in (*closed, beside[0])}.values() for u in uses(g)):
                    against = other if isinstance(other, str) else f"{other['family']}, learned"
                    yield f"KL {label} {against} on {kind}", spec("minimize KL(q(z|x)||p(z))", kind, use, other)


def estimator_cases():
    choices = {"kernel": ("rbf", "inverse-multiquadratic"), "dataset_size": (60,), "density": ("a(x|z)",)}
    for name, options in ((n, [o.name for o in e.options]) for n, e in ESTIMATORS.items()):
        entries = [{}, *({o: c} for o in options for c in choices.get(o, ()))]
        for term in TERMS:
            for entry in entries:
                label = f"{name} {' '.join(map(str, entry.values()))} {term}"
                yield label, (name, term, entry)


def estimator_specs(name, term, entry):
    """The term bounded by the estimator, minimised or maximised, whichever derives; codes of classes for marginals of classes."""
    for sense in ("minimize", "maximize"):
        made = spec(f"{sense} {term}", estimators={term: {"estimator": name, **entry}})
        if "density" in entry:  # a decoder of another player
            made["joints"] = {**made["joints"], "a": "a(x|z)"}
            made["families"] = {**made["families"], "a(x|z)": "isotropic-normal"}
        if "(c)" in term:
            made |= {
                "variables": {"x": "real[3]", "y": "real[3]", "c": "categorical[3]"},
                "joints": {"q": "data(x) q(c|x)", "r": "other(y) r(c|y)"},
                "families": {"other(y)": "empirical", "q(c|x)": "categorical", "r(c|y)": "categorical"},
            }
        yield made


@cache
def built(label):
    """Spec, program and loss class, or None where the derivation or the code is refused."""
    case = CASES[label]
    for keys in estimator_specs(*case) if isinstance(case, tuple) else [case]:
        try:
            made = ibsym.Spec(**keys)
            certificate = ibsym.audit(ibsym.derive(made), worlds=1)
            program = lower(certificate)
            return (made, program, ibsym.compile(certificate)) if program.inputs else None
        except IbsymError:
            continue
    return None


CASES = dict([*family_cases(), *estimator_cases()])


def test_every_family_and_estimator_is_walked_over():
    for f in EVALUATED:
        if f.learned:
            assert any(built(n) for n in CASES if n.startswith((f"log {f.name} ", f"KL {f.name} "))), f.name
    for name in ESTIMATORS:
        assert any(built(n) for n in CASES if n.startswith(f"{name} ")), name


def kind_of(x):
    return "nan" if math.isnan(x) else repr(x) if math.isinf(x) else "finite"


def run(loss, way, given, dtype):
    """The loss, and the gradients by argument."""
    leaves = {n: t.to(dtype).clone().requires_grad_() if t.is_floating_point() else t for n, t in given.items()}
    plain = getattr(loss, "expression", None)
    output = loss(**leaves) if way == "pass" or plain is None else plain(*leaves.values())
    wanted = [n for n, t in leaves.items() if t.requires_grad]
    if not output.loss.requires_grad:
        return float(output.loss), {}
    found = torch.autograd.grad(output.loss, [leaves[n] for n in wanted], allow_unused=True)
    return float(output.loss.detach()), dict(zip(wanted, found, strict=True))


def walk(label):
    """Every floating argument of a case with one entry put to each edge."""
    made, program, loss_class = built(label)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = Sizes()
        given = {i.name: sample(made, i, sizes, drawn=True) for i in loss_class.INPUTS}
    loss, directions = loss_class(), projections(program, sizes)
    for argument, tensor in given.items():
        for edge in EDGES if tensor.is_floating_point() else ():
            moved = given | {argument: tensor.clone()}
            moved[argument].view(-1)[0] = edge
            yield program, loss, directions, argument, edge, moved


@pytest.mark.parametrize("label", CASES)
def test_edges(label):
    if built(label) is None:
        pytest.skip("refused")
    domains = {i.name: constraint_of(built(label)[0], i) for i in built(label)[2].INPUTS}
    for program, loss, directions, argument, edge, given in walk(label):
        where = f"{argument} = {edge}"
        with np.errstate(all="ignore"):
            arrays = {k: t.numpy() for k, t in directions.items()}
            true = float(evaluate(program, {n: t.numpy() for n, t in given.items()}, directions=arrays).loss)
        fix(loss, directions)
        plain, slopes = run(loss, "expression", given, torch.float64)
        assert kind_of(plain) == kind_of(true), where
        assert not math.isnan(edge) or math.isnan(true), where
        if domains[argument] in (Constraint.POSITIVE, Constraint.TRIANGULAR) and edge < 0:
            assert math.isnan(true), where  # outside of the parameter's domain
        for dtype in (torch.float64, torch.float32):
            fix(loss, {k: t.to(dtype) for k, t in directions.items()})
            for way in ("pass", "expression"):
                found, gradients = run(loss, way, given, dtype)
                if math.isfinite(true) and abs(true) > LARGE[dtype]:
                    continue
                assert kind_of(found) == kind_of(true), (where, way, dtype)
                for name, gradient in gradients.items():
                    if not math.isfinite(true) or slopes[name] is None:
                        continue
                    right = slopes[name].isfinite() & (slopes[name].abs() < LARGE[dtype])
                    assert gradient[right].isfinite().all(), (where, way, dtype, name)
                    if dtype is torch.float64 and right.all():
                        # at 1e15 the difference of two squares has two digits
                        error = (gradient - slopes[name]).norm() / (slopes[name].norm() + 1e-9)
                        assert error < (1e-7 if abs(edge) < 1e15 or edge == math.inf else 0.5), (where, way, name)


# ------------------------------------------------------------------------------------------------ instances


def built_from(objective, **more):
    return ibsym.compile(ibsym.audit(ibsym.derive(ibsym.Spec(**spec(objective, **more))), worlds=1))()


BOTH = ("pass", "expression")


@pytest.mark.parametrize("way", BOTH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_narrow_normal_at_its_mean(way, dtype):
    """log N(m; m, e^-89) = -n/2 (log 2 pi - 89), where e^89 overflows in single precision."""
    loss = built_from("maximize E_q[log p(x|z)]", decoder=("real", "diagonal-normal"))
    x = torch.tensor([[0.3, -1.2, 4.0]], dtype=torch.float64)
    logvar = torch.full((1, 3), -89.0, dtype=torch.float64)
    found, gradients = run(loss, way, {"x": x, "x_mean": x[None], "x_logvar": logvar[None]}, dtype)
    assert found == pytest.approx(1.5 * (math.log(2 * math.pi) - 89), rel=1e-6)
    assert float(gradients["x_logvar"].sum()) == pytest.approx(1.5)
    assert float(gradients["x_mean"].abs().sum()) == 0


@pytest.mark.parametrize("second", ["categorical", "uniform"])
@pytest.mark.parametrize("way", BOTH)
def test_a_masked_class_has_no_part_in_a_relative_entropy(way, second):
    """KL((1/2, 1/2, 0) || uniform on three) = log 1.5."""
    loss = built_from("minimize KL(q(z|x)||p(z))", kind="categorical", first="categorical", second=second)
    logits = torch.tensor([[0.0, 0.0, -math.inf]])
    name = "q_z_logits" if second == "categorical" else "z_logits"
    given = {name: logits} | ({"p_z_logits": torch.zeros(3)} if second == "categorical" else {})
    found, gradients = run(loss, way, given, torch.float32)
    assert found == pytest.approx(math.log(1.5), rel=1e-6)
    assert all(g.isfinite().all() for g in gradients.values())
    if second == "categorical":
        found, gradients = run(loss, way, {name: logits, "p_z_logits": logits[0]}, torch.float32)
        assert found == 0
        assert all(g.isfinite().all() for g in gradients.values())


@pytest.mark.parametrize("way", BOTH)
def test_a_masked_class_of_a_relaxed_code(way):
    """A weight of 0 on a class of probability 0: 0 log 0 = 0."""
    relaxed = {"family": "categorical", "relax": "concrete"}
    keys = {
        "name": "edge",
        "objective": "maximize E_q[log p(z|w)]",
        "variables": {"x": "real[3]", "z": "categorical[3]", "w": "real[2]"},
        "joints": {"q": "data(x) q(z|x) q(w|z)", "p": "p(w) p(z|w)"},
        "families": {"q(z|x)": relaxed, "q(w|z)": "diagonal-normal", "p(w)": "standard-normal", "p(z|w)": "categorical"},
    }
    loss = ibsym.compile(ibsym.audit(ibsym.derive(ibsym.Spec(**keys)), worlds=1))()
    names = {i.name: i for i in loss.INPUTS}
    (logits,) = [n for n, i in names.items() if i.role == "logits"]
    weights = [n for n, i in names.items() if i.role == "sample" and i.of == "z"]
    assert weights
    given = {weights[0]: torch.tensor([[0.25, 0.75, 0.0]]), logits: torch.tensor([[0.0, 0.0, -math.inf]])}
    found, gradients = run(loss, way, {n: given[n] for n in names}, torch.float32)
    assert found == pytest.approx(math.log(2), rel=1e-6)
    assert all(g.isfinite().all() for g in gradients.values())


@pytest.mark.parametrize("kernel", ["rbf", "inverse-multiquadratic"])
@pytest.mark.parametrize("way", BOTH)
@pytest.mark.parametrize("side", ["z", "z_reference"])
def test_an_infinite_code_is_not_hidden(way, kernel, side):
    entry = {"estimator": "mmd", "kernel": kernel}
    loss = built_from("minimize KL(q(z)||p(z))", estimators={"KL(q(z)||p(z))": entry})
    given = {n: torch.randn(8, 3) for n in ("z", "z_reference")}
    given[side][2, 1] = math.inf
    assert math.isnan(run(loss, way, given, torch.float32)[0])


@pytest.mark.parametrize("entry", ["minibatch-weighted", {"estimator": "minibatch-stratified", "dataset_size": 60}], ids=str)
@pytest.mark.parametrize("logvar", [80.0, -80.0])
@pytest.mark.parametrize("scale", [10.0, 1e3])
def test_total_correlation_of_wide_and_narrow_codes(entry, logvar, scale):
    """Some rows wide or narrow, and large codes: where torch's gradients are finite, so are the pass's."""
    loss = built_from("minimize TC_q(Z)", estimators={"TC_q(Z)": entry})
    torch.manual_seed(1)
    given = {"z": scale * torch.randn(1, 6, 3), "z_mean": scale * torch.randn(6, 3), "z_logvar": torch.randn(6, 3)}
    given["z"][0] = given["z_mean"] + torch.randn(6, 3)
    given["z_logvar"][::2] = logvar
    given["z"][0, ::2] = given["z_mean"][::2]
    mine, plain = (run(loss, way, given, torch.float32) for way in BOTH)
    assert mine[0] == pytest.approx(plain[0], rel=1e-4, nan_ok=True)
    for name, gradient in plain[1].items():
        assert mine[1][name][gradient.isfinite()].isfinite().all(), name

"""One loss of every kind of pass by its kernels, in Triton's interpreter: `test_kernels` runs this file in a process of its own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func

import ibsym
from ibsym.conformance import launched
from ibsym.sources import class_of
from tests.native import worlds
from tests.native.worlds import arguments, gradients, learning, module

pytestmark = pytest.mark.filterwarnings("ignore")  # the interpreter's NumPy tells of infinities
KINDS = {
    "vae": "elements",
    "vib": "a class that is picked",
    "categorical-ib": "formulas of classes",
    "infonce": "pairs of scores",
    "two-critics": "logarithms of means over everything",
    "relaxed": "classes with weights that learn, of arrays of symbols too",
    "beta-tcvae": "a mixture together and apart",
    "infovae": "a function of pairs",
    "vampprior-vae": "pairs with the components of a mixture, and their weights",
    "vq-vae": "codes and the vectors of a codebook",
    "hfvae": "pairs of codes of several variables",
    "hidden-markov-vae": "sums over chains of classes, of densities of one of them",
    "classes": "logarithms of chains of classes",
    "observed": "classes that are observed, left to tensor operations",
    "semi-supervised-ib": "shares of classes in a batch",
    "class-shares": "shares of networks, of one law and equal ones",
    "spheres": "Bessel functions",
    "dib": "logarithms of another law's classes",
    "m2": "sums over a class",
    "vade": "sums over a class, of its own logarithms too",
    "gm-vae": "a sum over a class whose logits have draws",
    "weighted-draws": "a logarithm over draws",
    "shares": "gamma functions",
    "hyperprior-compression": "cells of densities",
}
WEIGHED = ("m2", "vade", "gm-vae", "weighted-draws")
SMALLER: dict[str, dict[str, int]] = {name: {"D": 9} for name in (*WEIGHED, "shares")}
LIMITS = dict.fromkeys(["classes", "observed"], 1e-5)  # the expression's, of sums over several classes
HALF = {torch.bfloat16: 2e-2, torch.float16: 4e-3}


def off(found: Tensor, wanted: Tensor) -> float:
    """The distance relative to what is wanted."""
    return float((found.double() - wanted).norm() / wanted.norm().clamp(min=1e-3))


def check(name: str, given: dict[str, Tensor], limit: float = 2e-6) -> None:
    """Loss, terms and gradients against the formula in float64; and that kernels gave them."""
    loss = module(name).Loss()
    given = learning(given)
    wide = learning({n: t.double() if t.is_floating_point() else t for n, t in given.items()})
    got, want = loss(**given), loss.expression(*(wide[i.name] for i in loss.INPUTS))
    assert module(name)._one_pass().known["cuda"] is not None
    assert got.loss.dtype is torch.float32
    assert abs(float(got.loss.detach()) - float(want.loss.detach())) < 1e-5 * max(1, abs(float(want.loss.detach())))
    for text, value in want.terms.items():
        assert abs(float(got.terms[text]) - float(value)) < 1e-5 * max(1, abs(float(value))), text
    scale = max(float(g.norm()) for g in gradients(want.loss, wide, retain_graph=True).values() if g is not None)
    found = gradients(got.loss, given)
    for key, slope in gradients(want.loss, wide).items():
        if slope is not None and float(slope.norm()) > 1e-3 * scale:
            assert found[key].dtype is given[key].dtype
            assert off(found[key], slope) < limit, key


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("sizes", [{"B": 4}, {"B": 33, "L": 5, "K": 17}], ids=["few", "odd"])
def test_against_float64(name, sizes):
    check(name, arguments(name, sizes=sizes | SMALLER.get(name, {})), LIMITS.get(name, 2e-6))


@pytest.mark.parametrize("name", WEIGHED)
def test_without_draws(name):
    check(name, arguments(name, sizes={"B": 3, "D": 5}, draws=False))


def test_draws_of_some_inputs():
    given = arguments("gm-vae", sizes={"B": 3, "D": 5})
    check("gm-vae", given | {name: given[name][0] for name in ("p_z_mean", "p_z_logvar")})


def test_classes_of_extreme_logits():
    given = arguments("gm-vae", sizes={"B": 3, "D": 5})
    check("gm-vae", given | {"y_logits": 2000 * given["y_logits"]})


def test_an_event_of_several_strips():
    check("m2", arguments("m2", sizes={"S": 1, "B": 2, "B_unlabelled": 1, "K": 2, "D": 300}))


@pytest.mark.parametrize("name", ["m2", "gm-vae"])
def test_a_class_of_probability_zero_does_not_count(name):
    """Nor does its slope: its logarithm of a density is infinite there."""
    given = arguments(name, sizes={"B": 3, "D": 4})
    logits, mean = ("u_c_logits", "u_z_mean") if name == "m2" else ("y_logits", "p_z_mean")
    given[logits][..., 1] = -math.inf
    given[mean][..., 1, :, :] = math.inf
    check(name, given)
    given = learning(given)
    module(name).Loss()(**given).loss.backward()
    assert not given[mean].grad[..., 1, :, :].any()
    assert not given[logits].grad[..., 1].any()


@pytest.mark.parametrize("sizes", [{"B": 2, "N": 1, "K": 1, "E": 1}, {"B": 5, "N": 7, "K": 70, "E": 37}], ids=["one", "odd"])
def test_codes_of_one_vector_and_of_many(sizes):
    check("vq-vae", arguments("vq-vae", sizes=sizes))


def test_of_vectors_that_are_as_near_the_first_is_taken():
    given = arguments("vq-vae", sizes={"K": 40})
    given["z_codebook"][37] = given["z_codebook"][3]
    given["z_codebook"][9] = given["z_codebook"][3]
    given["z_code"][:] = given["z_codebook"][3] + 0.01
    check("vq-vae", given)
    given = learning(given)
    module("vq-vae").Loss()(**given).loss.backward()
    assert given["z_codebook"].grad[3].any()
    assert not given["z_codebook"].grad[[9, 37]].any()


def test_a_vector_that_is_no_number_is_seen():
    given = arguments("vq-vae", sizes={"K": 40})
    given["z_codebook"][37, 0] = math.nan
    assert module("vq-vae").Loss()(**given).loss.isnan()


@pytest.mark.parametrize("wanted", [("p_z_logits",), ("p_z_mean",), ("z",)])
def test_weights_of_components_learn_by_themselves(wanted):
    """Also where one of them is 0, or all rows have draws of their own."""
    given = arguments("vampprior-vae", sizes={"B": 5, "M": 7})
    given["p_z_logits"][2] = -math.inf
    check("vampprior-vae", given)
    some, whole = learning(given, wanted), learning(given)
    (slope,) = (g for g in gradients(module("vampprior-vae").Loss()(**some).loss, some).values() if g is not None)
    torch.testing.assert_close(slope, gradients(module("vampprior-vae").Loss()(**whole).loss, whole)[wanted[0]])


def test_weights_of_relaxed_draws_that_are_0():
    """They do not count where the reader holds the class for impossible; of others the loss is infinite."""
    given = arguments("relaxed", sizes={"B": 4, "K": 3}, draws=False)
    given["a"][:, 1], given["r_a_logits"][:, 1] = 0, -math.inf
    check("relaxed", given)
    given["a"][0, 1] = 0.5
    assert module("relaxed").Loss()(**given).loss.isposinf()


@pytest.mark.parametrize("height", [1e4, -1e4])
def test_a_logarithm_of_a_mean_far_out(height):
    given = arguments("two-critics", sizes={"B": 8}, draws=False)
    given["x_z_critic_reference"] = torch.arange(8.0) + height
    check("two-critics", given)


@pytest.mark.parametrize("name", ["class-shares", "dib", "classes", "s-vae"])
def test_edges_of_small_tables(name):
    """Classes of probability 0, rare ones, a missing one, classes that are none, concentrations of 0 and large ones."""
    given = arguments(name, sizes={"B": 6})
    if name == "s-vae":
        given["z_concentration"][:3] = torch.tensor([0.0, 1e-20, 1e5])
        return check(name, given)
    for key in [n for n in given if n.endswith("logits")]:
        given[key][..., 1] -= 300.0
    if name == "class-shares":
        given["c"] = torch.arange(6) % 2
        check(name, given, 1e-4)
        assert module(name).Loss()(**given | {"c": torch.zeros(6, dtype=torch.int64)}).loss.isposinf()
        assert module(name).Loss()(**given | {"c": torch.arange(6) % 3}).loss.isnan()
    else:
        check(name, given, 1e-5)
        given[next(n for n in given if n.startswith("q_") and n.endswith("logits"))][..., 1] = -math.inf
        assert module(name).Loss()(**given).loss.isfinite()


@pytest.mark.parametrize(
    ("name", "logits"), [("empowerment", "w_a_logits"), ("categorical-ib", "z_logits"), ("vib", "c_logits")]
)
def test_a_row_without_any_class_is_no_number(name, logits):
    given = arguments(name, sizes={"B": 3}, draws=False)
    given[logits][0] = -math.inf
    assert module(name).Loss()(**given).loss.isnan()


@pytest.mark.parametrize("numbers", [(math.inf, 1.0), (-math.inf, -math.inf), (-math.inf, 0.0)])
def test_a_logarithm_of_a_mean_of_infinite_numbers(numbers):
    given = arguments("two-critics", sizes={"B": 2}, draws=False)
    given["x_z_critic_reference"], loss = torch.tensor(numbers), module("two-critics").Loss()
    torch.testing.assert_close(loss(**given).loss, loss.expression(*given.values()).loss)
    given["x_z_critic_reference"][1] = math.nan
    assert loss(**given).loss.isnan()


@pytest.mark.parametrize("far", [-2e4, 2e4])
def test_a_logarithm_over_draws_of_large_weights(far):
    """e^w is 0 or infinite, and its shares are not."""
    given = arguments("weighted-draws", sizes={"S": 3, "B": 2, "D": 2})
    given["x_mean"][0] += far
    given["x"] += far / 2
    check("weighted-draws", given)


def test_rows_of_many_classes():
    check("vib", arguments("vib", sizes={"K": 9001, "B": 3}))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", ["vae", "vib", "beta-tcvae", "relaxed", "vampprior-vae", "two-critics"])
def test_half_precision(name, dtype):
    given = {n: t.to(dtype) if t.is_floating_point() else t for n, t in arguments(name).items()}
    check(name, given, HALF[dtype])


def test_small_slopes_of_float16_wait_for_their_scale():
    """A term of little weight has slopes that float16 rounds to 0, unless the scale of the loss comes first."""
    given = {n: t.half() for n, t in arguments("beta-vae", sizes={"B": 8, "D": 3}).items()}
    given = learning(given)
    loss = module("beta-vae").Loss(beta=1e-6)
    (loss(**given).loss * 65536).backward()
    wide = learning({n: t.detach().float() for n, t in given.items()})
    (loss.expression(*wide.values()).loss * 65536).backward()
    for n in ("x_logits", "z_mean", "z_logvar"):
        assert off(given[n].grad, wide[n].grad.double()) < 1e-3


@pytest.mark.parametrize("name", ["vae", "beta-tcvae", "vib"])
def test_inputs_that_are_not_contiguous(name):
    given = arguments(name)
    turned = {n: t if t.dim() < 2 else t.transpose(-1, -2).contiguous().transpose(-1, -2) for n, t in given.items()}
    check(name, turned)


@pytest.mark.parametrize("name", ["vae", "beta-tcvae"])
def test_gradients_of_some_inputs(name):
    given = learning(arguments(name), ("z_mean",))
    whole = learning(arguments(name))
    (some,) = gradients(module(name).Loss()(**given).loss, given).values()
    torch.testing.assert_close(some, gradients(module(name).Loss()(**whole).loss, whole)["z_mean"])


@pytest.mark.parametrize("name", ["vae", "vib"])
def test_what_comes_from_above_scales_every_slope(name):
    given, twin = learning(arguments(name)), learning(arguments(name))
    plain = gradients(module(name).Loss()(**given).loss, given)
    scaled = gradients(-3 * module(name).Loss()(**twin).loss, twin)
    for key, slope in plain.items():
        torch.testing.assert_close(scaled[key], -3 * slope)


def test_again_after_the_graph_was_kept():
    given = learning(arguments("vae"))
    loss = module("vae").Loss()(**given).loss
    first = gradients(loss, given, retain_graph=True)
    for key, slope in gradients(loss, given).items():
        torch.testing.assert_close(slope, first[key])


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_other_reductions(reduction):
    given = arguments("vae")
    loss = module("vae").Loss(reduction=reduction)
    torch.testing.assert_close(loss(**given).loss, loss.expression(*given.values()).loss)


def test_mixed_precision():
    given = learning(arguments("vib"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = module("vib").Loss()(**{n: t.bfloat16() if n == "c_logits" else t for n, t in given.items()})
    assert got.loss.dtype is torch.float32
    got.loss.backward()
    assert given["c_logits"].grad.dtype is torch.float32


def test_a_second_derivative_goes_through_the_expression():
    given = learning(arguments("vae", sizes={"B": 2, "L": 2, "D": 3}))
    (slope,) = torch.autograd.grad(module("vae").Loss()(**given).loss, given["z_logvar"], create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), given["z_logvar"])
    torch.testing.assert_close(curve, 0.5 * given["z_logvar"].exp() / 2)


@pytest.mark.parametrize("name", ["observed"])
def test_a_second_derivative_where_terms_are_left_to_tensor_operations(name):
    """Of kernels and of what they leave, each once."""
    given, twin = (learning(arguments(name, sizes={"B": 3, "D": 5})) for _ in range(2))
    loss, curves = module(name).Loss(), []
    for value, leaves in ((loss(**given).loss, given), (loss.expression(*twin.values()).loss, twin)):
        slopes = [g for g in gradients(value, leaves, create_graph=True).values() if g is not None]
        curves.append(gradients(sum((g**2).sum() for g in slopes), leaves))
    for key, curve in curves[1].items():
        if curve is not None:
            torch.testing.assert_close(curves[0][key], curve)


def test_a_compiled_loss_is_the_expression():
    given = arguments("vae", draws=False)
    loss = module("vae").Loss()
    whole = torch.compile(lambda **g: loss(**g).loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(whole(**given), loss(**given).loss)


def test_kernels_are_compiled_ahead_in_every_precision():
    found = worlds.program("vib")
    assert launched(ibsym.load("vib"), class_of(found), "cpu") == ["float32", "bfloat16", "float16"]


def test_every_kind_has_its_kernels():
    for name in KINDS:
        module(name)
        assert (worlds.CACHE / "emitted" / f"{name.replace('-', '_')}.triton.py").is_file(), name


class Read:
    """Runs a graph as it is, and keeps its text."""

    def __call__(self, graph: torch.fx.GraphModule, _: object) -> Any:
        self.code = graph.code
        return make_boxed_func(graph.forward)


@pytest.mark.parametrize("name", ["beta-tcvae", "vampprior-vae", "hfvae"])
@pytest.mark.parametrize("gradient", [False, True])
def test_a_graph_has_the_kernels_of_tables_as_an_operator(name, gradient, monkeypatch):
    """As a graph is traced on a GPU: there the constructor finds the pass."""
    found = module(name)
    loss = found.Loss()
    monkeypatch.setattr(found.Loss, "_traced", found._one_pass(), raising=False)
    given = arguments(name, sizes={"B": 9})
    given = learning(given) if gradient else given
    whole = torch.compile(lambda **g: loss(**g), fullgraph=True, backend=aot_autograd(fw_compiler=(read := Read())))
    got, wanted = whole(**given), loss(**given)
    torch.testing.assert_close(got, wanted)
    assert read.code.count("torch.ops.ibsym.") == 1
    assert "exp" not in read.code
    if gradient:
        slopes = gradients(2 * got.loss, given)
        for key, slope in gradients(wanted.loss, given).items():
            torch.testing.assert_close(slopes[key], 2 * slope)

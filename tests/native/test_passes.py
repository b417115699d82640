"""Every emitted pass against the tensor expression and against float64: loss, terms, gradients, threads, extremes."""

from __future__ import annotations

import subprocess

import pytest
import sympy

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.codegen.c.source import one_pass  # noqa: E402
from ibsym.conformance import agree  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from ibsym.lowering.interpreter import evaluate  # noqa: E402
from tests.native import worlds  # noqa: E402  once for all files: each program is lowered once

# Looser than loss 1e-6, gradients 2e-7: be sure that your formula is right before you add an entry.
LOSS: dict[str, float] = {"infovae": 1e-5, "wae-mmd": 1e-5}
GRADIENT: dict[str, float] = {
    **dict.fromkeys(["beta-tcvae", "stratified-correlation", "contrastive-upper", "leave-one-out", "weighted-aggregate"], 1e-6),
    **dict.fromkeys(["hfvae", "club", "wae-mmd"], 1e-6),
    "vampprior-vae": 2e-6,  # logarithms of densities of some hundreds, each to its last place
    # two units in the last place of a few rows, where plain torch has as many
    "dvcca": 3e-7,
    "hyperprior-compression": 3e-7,
    "gm-vae": 3e-7,
    "vade": 3e-7,
    "empowerment": 3e-7,
    "class-shares": 5e-6,  # of one law for all rows, two classes: what is left of two shares that nearly cancel
    "relaxed": 1e-6,  # sums over 1,300 classes, entropies over 130
    "hfvae": 3e-6,  # entries are sums over the coordinates of both codes
    **dict.fromkeys(["infovae", "discrepancy", "discrepancy-wide", "vfae", "dependence-of-three"], 1e-6),
}


def wide(given):
    return {n: t.double() if t.is_floating_point() else t for n, t in given.items()}


def error(found, true):
    return float((found.double() - true).norm() / (true.norm() + 1e-30))


def fused(output, loss):
    """Whether the pass in C took part; a sum of it and of other terms counts."""
    return "Differentiable" in str(output.loss.grad_fn) or any(
        "Differentiable" in str(f) for f, _ in output.loss.grad_fn.next_functions
    )


def settled(loss, given):
    """The loss with its random directions, where it draws any, the same at every call."""
    if hasattr(loss, "directions"):
        generator = torch.Generator().manual_seed(5)
        for text in given["_terms"]:
            noise = torch.randn(given["z"].shape[-1], 50, generator=generator, dtype=torch.float64)
            loss.directions[text] = (noise / noise.norm(dim=0)).to(given["z"].dtype)
    return loss


def compare(name, given, dtype=torch.float32, upstream=-1.7, reduction="mean"):
    """The pass is never farther from float64 than plain torch, or within the tolerance."""
    loss = worlds.module(name).Loss(reduction=reduction)
    runs = []
    for call, arguments in (
        (lambda g: loss(**g), given),
        (lambda g: loss.expression(*g.values()), given),
        (lambda g: loss.expression(*g.values()), wide(given)),
    ):
        leaves = worlds.learning(arguments)
        settled(loss, leaves | {"_terms": [t.text for t in worlds.program(name).terms]})
        output = call(leaves)
        runs.append((output, worlds.gradients(output.loss, leaves, grad_outputs=torch.full_like(output.loss, upstream))))
    (mine, dmine), (plain, dplain), (true, dtrue) = runs
    assert fused(mine, loss)
    small = 1.0 if dtype is torch.float32 else 1e-8
    atol = LOSS.get(name, 1e-6) * small
    assert error(mine.loss.detach(), true.loss.detach()) <= max(error(plain.loss.detach(), true.loss.detach()), atol)
    assert list(mine.terms) == list(plain.terms)
    for text, value in mine.terms.items():
        assert not value.requires_grad
        floor = max(abs(float(true.loss.detach())), 1.0)
        assert abs(float(value) - float(true.terms[text])) <= max(
            abs(float(plain.terms[text]) - float(true.terms[text])), atol * floor
        )
    for argument, gradient in dtrue.items():
        if gradient is None:
            assert dmine[argument] is None
            continue
        assert dmine[argument].dtype is dtype
        assert dmine[argument].shape == given[argument].shape
        bound = max(1.01 * error(dplain[argument], gradient), GRADIENT.get(name, 2e-7) * small)
        assert error(dmine[argument], gradient) <= bound, argument
    return mine


FUSED = [n for n in worlds.SPECS if worlds.fused(n)]


def test_most_modules_have_a_pass():
    """All but those whose every term has what no pass computes."""
    without = set(worlds.ZOO) - set(FUSED)
    assert len(without) <= len(worlds.ZOO) / 10, without


@pytest.mark.parametrize("draws", [True, False], ids=["draws", "no-draws"])
@pytest.mark.parametrize("name", FUSED)
def test_the_pass_is_as_right_as_the_expression(name, draws):
    compare(name, worlds.arguments(name, draws=draws))


@pytest.mark.parametrize("name", FUSED)
def test_few_rows_and_the_sum(name):
    compare(name, worlds.arguments(name, sizes={"B": 4, "S": 1, "D": 1, "L": 2}, seed=1), reduction="sum")


@pytest.mark.parametrize("name", ["vae", "vib", "dvcca"])
def test_one_row(name):
    compare(name, worlds.arguments(name, sizes={"B": 1}))


@pytest.mark.parametrize("name", worlds.SPECS)
def test_an_empty_batch_gives_nan(name):
    """The mean of nothing, and no error of a logarithm."""
    given, loss = worlds.arguments(name, draws=False), worlds.module(name).Loss()
    for entry in loss.INPUTS:
        axes = entry.shape[entry.shape[:1] == ("S",) :]
        given[entry.name] = given[entry.name][tuple(slice(0 if a.split("_")[0] == "B" else None) for a in axes)]
    assert torch.isnan(loss(**given).loss)


WIDE = ("beta-vae", "vib", "ceb", "laplace-scale-vae", "binary-code-vae", "continuous-bits", "beta-tcvae", "discrepancy")


@pytest.mark.parametrize("name", WIDE)
def test_float64(name):
    compare(name, worlds.arguments(name, dtype=torch.float64), torch.float64)


def fixed_directions(name, loss, given):
    """Unit vectors for each term that projects its samples, which the loss would draw afresh at every call."""
    generator = torch.Generator().manual_seed(5)
    found = {}
    for term in worlds.program(name).terms:
        if term.estimator == "sliced-wasserstein":
            vectors = torch.randn(given["z"].shape[-1], 7, generator=generator)
            found[term.text] = vectors / vectors.norm(dim=0)
    if found:
        loss.directions.update(found)
    return {text: vectors.double().numpy() for text, vectors in found.items()}


@pytest.mark.parametrize("name", FUSED)
def test_the_interpreter_agrees(name):
    given = worlds.arguments(name, seed=2)
    program = worlds.program(name)
    loss = worlds.module(name).Loss()
    directions = fixed_directions(name, loss, given)
    want = evaluate(
        program,
        {n: t.double().numpy() if t.is_floating_point() else t.numpy() for n, t in given.items()},
        directions=directions,
    )
    got = loss(**given)
    assert float(got.loss) == pytest.approx(float(want.loss), rel=LOSS.get(name, 2e-6), abs=2e-6)


@pytest.mark.parametrize("name", ["vae", "vib", "dvcca", "hierarchical-vae", "categorical-ib", "beta-tcvae", "infovae"])
def test_threads_change_no_digit(name):
    given = worlds.arguments(
        name, sizes={"B": 65, "D": 1531, "K": 1201, "M": 1100, "D1": 1201, "D2": 1201, "L": 1100, "L1": 1100, "L2": 1100}
    )
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = worlds.learning(given)
        output = worlds.module(name).Loss()(**leaves)
        found.append([output.loss.detach(), *(g for g in worlds.gradients(output.loss, leaves).values() if g is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", FUSED)
def test_forward_alone_gives_the_same_value(name):
    given = worlds.arguments(name)
    loss = worlds.module(name).Loss()
    fixed_directions(name, loss, given)
    with torch.no_grad():
        alone = loss(**worlds.learning(given))
    assert alone.loss.grad_fn is None
    assert torch.equal(alone.loss, loss(**worlds.learning(given)).loss.detach())
    assert not loss(**given).loss.requires_grad


@pytest.mark.parametrize("name", ["vae", "beta-vae", "bib-ae"])
def test_extreme_logits_and_logvars(name):
    given = worlds.arguments(name, seed=3)
    with torch.no_grad():
        given["x_logits"].view(-1)[:6] = torch.tensor([1e4, -1e4, 88.0, -88.0, 17.0, -17.0])
        given["z_logvar"].view(-1)[:4] = torch.tensor([80.0, -80.0, 1e-7, -1e-7])
    leaves = worlds.learning(given)
    output = worlds.module(name).Loss()(**leaves)
    found = worlds.gradients(output.loss, leaves)
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(g).all() for g in found.values() if g is not None)
    true = worlds.learning(wide(given))
    want = worlds.gradients(worlds.module(name).Loss().expression(*true.values()).loss, true)
    for argument in ("x_logits", "z_logvar"):
        torch.testing.assert_close(found[argument].double(), want[argument], rtol=4e-7, atol=1e-30)


def test_continuous_bits_from_near_zero_to_far():
    given = worlds.arguments("continuous-bits", seed=3)
    with torch.no_grad():
        given["x_logits"].view(-1)[:8] = torch.tensor([1e4, -1e4, 1e-6, -1e-6, 1.4999, 1.5001, -30.0, 30.0])
    compare("continuous-bits", given)


def test_a_confident_bit_keeps_its_gradient():
    given = worlds.arguments("vae")
    given["x_logits"][:] = torch.where(given["x"] > 0, 17.0, -17.0)
    leaves = worlds.learning(given, ("x_logits",))
    found = worlds.gradients(worlds.module("vae").Loss()(**leaves).loss, leaves)["x_logits"]
    rows = found.numel() // found.shape[-1]
    assert torch.allclose(found.abs() * rows, torch.tensor(4.1399375e-08), rtol=1e-5, atol=0)


def test_nan_stays_nan():
    for name, argument in (("vae", "x_logits"), ("vae", "z_mean"), ("vib", "c_logits")):
        given = worlds.arguments(name)
        given[argument].view(-1)[0] = float("nan")
        assert torch.isnan(worlds.module(name).Loss()(**given).loss)


def test_a_masked_class_has_probability_zero():
    given = worlds.arguments("vib")
    given["c"][:] = 1
    given["c_logits"][..., 0] = -torch.inf
    leaves = worlds.learning(given)
    output = worlds.module("vib").Loss()(**leaves)
    found = worlds.gradients(output.loss, leaves)["c_logits"]
    assert torch.isfinite(output.loss)
    assert (found[..., 0] == 0).all()


@pytest.mark.parametrize("name", ["m2", "gm-vae"])
def test_a_class_of_probability_zero_is_left_out_of_the_sum(name):
    """Whatever it is worth: the loss is that without it, its own tensors get zeros, not what was in the memory."""
    (logits, worth), given = (
        {"m2": ("u_c_logits", "u_x_logits"), "gm-vae": ("y_logits", "p_z_mean")}[name],
        worlds.arguments(name),
    )
    given[logits][..., 0] = -torch.inf
    found = []
    for value in (0.5, 1e30):
        given[worth][..., 0, :, :] = value
        leaves = worlds.learning(given)
        output = worlds.module(name).Loss()(**leaves)
        assert fused(output, worlds.module(name).Loss())
        found.append((output.loss, worlds.gradients(output.loss, leaves)))
    (loss, slopes), (other, others) = found
    assert torch.isfinite(loss)
    assert torch.equal(loss, other)
    assert (slopes[worth][..., 0, :, :] == 0).all()
    assert all(torch.equal(slopes[n], others[n]) for n in slopes if slopes[n] is not None)


def test_a_logarithm_over_draws_of_what_has_none_is_left_to_the_expression():
    """log p(y) is the same at every draw; beside it the other sums have their axis of draws."""
    spec = ibsym.Spec(
        name="apart",
        objective="maximize E_q[log p(x,y)]",
        variables={"x": "real[D]", "y": "real[M]", "z": "real[L]"},
        joints={"q": "data(x,y) q(z|x)", "p": "p(z) p(x|z) p(y)"},
        families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal", "p(y)": "laplace"},
        estimators={"E_q[log p(x,y)]": "iwae"},
    )
    certificate = ibsym.audit(ibsym.derive(spec), worlds=1)
    program = lower(certificate)
    assert one_pass(program) is None
    assert agree(spec, program, ibsym.compile(certificate), worlds=1).largest_error < 1e-10


def test_shares_of_draws_that_cannot_be():
    """A draw of no weight has no share; where no draw has any, the logarithm is -infinity; NaN stays."""
    given = worlds.arguments("iwae", sizes={"S": 3, "B": 4})
    with torch.no_grad():
        given["x"][:] = 0
        given["x_logits"][0, 0, 0], given["x_logits"][:, 1, :2], given["x_logits"][1, 2, 0] = 1e4, 3e38, torch.nan
    for row, kind in enumerate((torch.isfinite, torch.isneginf, torch.isnan, torch.isfinite)):
        one = {n: (t[:, row : row + 1] if t.dim() == 3 else t[row : row + 1]).clone() for n, t in given.items()}
        leaves = worlds.learning(one)
        output = worlds.module("iwae").Loss()(**leaves)
        assert kind(-output.loss.detach())
        assert kind(-worlds.module("iwae").Loss().expression(*one.values()).loss)
        found = worlds.gradients(output.loss, leaves)
        if kind is torch.isfinite:
            assert all(g.isfinite().all() for g in found.values() if g is not None)
            assert row or (found["z"][0] == 0).all()


@pytest.mark.parametrize("own", [-torch.inf, -90.0, 0.0, 30.0, 1e4, torch.inf])
@pytest.mark.parametrize("other", [-torch.inf, -1e4, 0.5, 1e4, torch.inf, torch.nan])
def test_scores_of_pairs_at_their_edges(own, other):
    """Log-softmaxes at the pair: what torch gives, and finite gradients are right."""
    scores = torch.linspace(-2, 2, 25).reshape(5, 5)
    scores[2, 2], scores[2, 3] = own, other
    leaves = scores.clone().requires_grad_()
    wide = scores.double().requires_grad_()
    loss = worlds.module("infonce").Loss()
    found, plain = loss(z_y_scores=leaves).loss, loss.expression(wide).loss
    assert "Differentiable" in str(found.grad_fn)
    torch.testing.assert_close(found.detach().double(), plain.detach(), rtol=1e-6, atol=1e-7, equal_nan=True)
    if plain.isfinite():
        slopes = torch.autograd.grad(found, leaves)[0], torch.autograd.grad(plain, wide)[0]
        torch.testing.assert_close(slopes[0].double(), slopes[1], rtol=4e-7, atol=1e-15)  # the digits of 1 in the expression


def test_a_class_out_of_range_is_an_error():
    given = worlds.arguments("vib")
    given["c"][0] = 99
    with pytest.raises(IndexError, match=r"c has classes from 0 to 99, and .*out of bounds"):
        worlds.module("vib").Loss()(**given)
    with pytest.raises(TypeError, match=r"z_mean: expected shape .*, a tensor, not torch.sparse_coo"):
        worlds.module("vib").Loss()(**given | {"z_mean": given["z_mean"].detach().to_sparse()})


def test_weights_are_run_time_numbers():
    given = worlds.arguments("beta-vae")
    loss = worlds.module("beta-vae").Loss(beta=2.0)
    before = loss(**given)
    loss.beta = torch.tensor(5.0)
    after = loss(**given)
    text = "KL(q(z|x)||p(z))"
    assert float(after.loss - before.loss) == pytest.approx(3 * float(before.terms[text]), rel=1e-5)


def test_a_parameter_that_learns_takes_the_expression():
    given = worlds.arguments("beta-vae")
    loss = worlds.module("beta-vae").Loss(beta=torch.tensor(5.0, requires_grad=True))
    output = loss(**worlds.learning(given))
    assert not fused(output, loss)
    (slope,) = torch.autograd.grad(output.loss, [loss.beta])
    assert float(slope) == pytest.approx(float(output.terms["KL(q(z|x)||p(z))"]), rel=1e-5)


STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
WAYS = {
    "plain": ("-std=c11", "-fsyntax-only"),
    "double": ("-std=c11", "-fsyntax-only", "-DREAL=double", "-DDOUBLE"),
    "as built": ("-std=gnu11", "-c", "-O1", "-DREAL=float", "-DSIMD", "-fopenmp"),  # the way of values is looked at, too
    "one thread": ("-std=gnu11", "-fsyntax-only", "-DREAL=double", "-DDOUBLE", "-DSIMD", "-fopenmp-simd"),
}


@pytest.mark.parametrize("name", FUSED)
def test_the_source_is_c(name, tmp_path):
    """It compiles without a warning, alone and as it is built, and is fit to be read."""
    text = worlds.source(name)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    assert not any(line != line.rstrip() or "\t" in line or "{{" in line.replace("{{0}}", "") for line in lines)
    assert "\n\n\n" not in text
    source = tmp_path / "source.c"
    source.write_text(text, encoding="utf-8")
    for flags in WAYS.values():
        done = subprocess.run(
            ["cc", *STRICT, *flags, str(source), "-o", "/dev/null"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_equal_programs_give_equal_text_and_no_name_of_a_file():
    text = worlds.source("vae")
    assert "int fused(" in text
    assert sympy.__version__ not in text
    assert "/work/" not in text

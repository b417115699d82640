"""Every estimator against its textbook formula, written out in loops or in plain torch; gradients by player."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy

torch = pytest.importorskip("torch")

from ibsym.lowering import interpreter  # noqa: E402
from ibsym.lowering.divergences import DUALS, GENERATORS, F, U  # noqa: E402
from ibsym.lowering.numeric import value  # noqa: E402
from ibsym.terms.reading import GENERATORS as DECLARED  # noqa: E402

EXACT = {"rtol": 1e-10, "atol": 1e-12}
BASE = {
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}
IMPLICIT = {**BASE, "families": {**BASE["families"], "p(x|z)": "implicit"}}
N = torch.distributions.Normal


def softplus(t):
    return -torch.nn.functional.logsigmoid(-t)


def agree(made, inputs, expected, text, **settings):
    """The emitted term, the interpreter's and the formula's; gradcheck of the loss."""
    loss = made.loss()
    if settings.get("directions") is not None:
        loss.directions = {text: settings["directions"]}
    output = loss(**inputs)
    torch.testing.assert_close(output.terms[text], torch.as_tensor(expected, dtype=torch.float64), **EXACT)
    directions = {text: settings["directions"].numpy()} if settings else None
    values = interpreter.evaluate(made.program, {n: t.numpy() for n, t in inputs.items()}, directions=directions)
    assert values.terms[text] == pytest.approx(float(expected), rel=1e-10, abs=1e-12)
    assert float(values.loss) == pytest.approx(float(output.loss), rel=1e-10)
    leaves = {n: t.clone().requires_grad_() if t.is_floating_point() else t for n, t in inputs.items()}
    names = [n for n, t in leaves.items() if t.requires_grad]
    tensors = tuple(leaves[n] for n in names)
    assert torch.autograd.gradcheck(lambda *v: loss(**leaves | dict(zip(names, v, strict=True))).loss, tensors)
    return output


# ------------------------------------------------------------------------------------------------ critics

KL = "KL(data(x)||p(x))"
GAME = {
    **IMPLICIT,
    "joints": {"p": "p(z) p(x|z)"},
    "families": {"p(z)": "standard-normal", "p(x|z)": "implicit"},
    "objective": f"minimize {KL}",
}
VALUES = {
    "density-ratio": lambda f, g: f.mean(),
    "nwj": lambda f, g: 1 + f.mean() - g.exp().mean(),
    "dv": lambda f, g: f.mean() - g.exp().mean().log(),
}
CRITICS = {
    "density-ratio": lambda f, g: softplus(-f).mean() + softplus(g).mean(),
    "nwj": lambda f, g: -VALUES["nwj"](f, g),
    "dv": lambda f, g: -VALUES["dv"](f, g),
}
SIDES = {
    "non-saturating": lambda f, g: softplus(-g).mean(),
    "nwj": lambda f, g: -g.exp().mean(),
}


@pytest.mark.parametrize("estimator", VALUES)
@pytest.mark.parametrize("model", [None, "value", "saturating", "non-saturating", "nwj"])
def test_relative_entropy_by_a_critic(build, estimator, model):
    made = build(**GAME, estimators={KL: {"estimator": estimator, "model": model} if model else estimator})
    inputs = made.inputs()
    f, g = inputs["x_critic"], inputs.get("x_critic_reference", torch.zeros(1))
    output = agree(made, inputs, VALUES[estimator](f, g), KL)
    model = "value" if estimator == "dv" else model or "non-saturating"
    expected = SIDES.get(model, VALUES[estimator])(f, g)
    torch.testing.assert_close(output.loss, expected, **EXACT)
    torch.testing.assert_close(made.loss().critic_loss(KL, f, g), CRITICS[estimator](f, g), **EXACT)
    assert made.module.Loss.CRITICS == (KL,)
    wanted = (
        {"x_critic"}
        if estimator == "density-ratio" and model in ("value", "saturating")
        else {"x_critic", "x_critic_reference"}
    )
    assert set(inputs) == wanted


@pytest.mark.parametrize("estimator", VALUES)
def test_the_models_gradient_moves_its_samples_towards_the_data(build, estimator):
    """P = N(1, 1), Q = N(0, 1), the best critic plus a constant: the default moves Q's mean up, at any constant for DV."""
    made = build(**GAME, estimators={KL: estimator})
    noise = torch.randn(4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for constant in (0.0, *((5.0, -5.0) if estimator == "dv" else ())):
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)

        def f(x, c=constant):
            return x - 0.5 + c

        loss = made.loss()(x_critic=f(noise + 1), x_critic_reference=f(noise + shift)).loss
        (slope,) = torch.autograd.grad(loss, shift)
        assert slope < -0.1


def test_both_players_learn_where_both_sides_do(build):
    """KL(q(x,z)||p(x,z)) sends a gradient to the samples of either argument."""
    text = "KL(q(x,z)||p(x,z))"
    made = build(**IMPLICIT, objective=f"minimize {text}", estimators={text: "density-ratio"})
    f, g = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (5, 4))
    loss = made.loss()(x_z_critic=f, x_z_critic_reference=g).loss
    torch.testing.assert_close(loss, f.mean() + softplus(-g).mean(), **EXACT)
    assert all(t.any() for t in torch.autograd.grad(loss, (f, g)))


def test_generators_are_those_that_can_be_written():
    assert set(DUALS) == set(GENERATORS) == set(DECLARED)


@pytest.mark.parametrize("generator", DECLARED)
def test_a_dual_is_its_generators(generator):
    """a(f) = g'(e^f), b(f) = e^f g'(e^f) - g(e^f), constants shared; the generator is convex and zero at 1."""
    g, dual = GENERATORS[generator], DUALS[generator]
    assert g.subs(U, 1) == 0
    slope, conjugate = sympy.diff(g, U), U * sympy.diff(g, U) - g
    for point in (-2.0, -0.3, 0.0, 0.7, 1.9):
        u = math.exp(point)
        ours = [float(value(e, {"f": point})) for e in (dual.first, dual.second, dual.constant)]
        a, b = (float(e.subs(U, u)) for e in (slope, conjugate))
        assert ours[2] + ours[0] - ours[1] == pytest.approx(a - b, rel=1e-12)
        # each side up to a constant: slopes agree
        for side, other in ((dual.first, slope), (dual.second, conjugate)):
            mine = float(value(sympy.diff(side.replace(*_plain()[0]).replace(*_plain()[1]), F).doit(), {"f": point}))
            theirs = float((sympy.diff(other, U) * U).subs(U, u))
            assert mine == pytest.approx(theirs, rel=1e-10)
        assert float(sympy.diff(g, U, 2).subs(U, u)) > 0


def _plain():
    """Stable functions as what they are, so that SymPy can differentiate them."""
    from ibsym.families.functions import expm1, logsigmoid

    return [(logsigmoid, lambda t: -sympy.log(1 + sympy.exp(-t))), (expm1, lambda t: sympy.exp(t) - 1)]


@pytest.mark.parametrize("generator", DECLARED)
def test_a_dual_at_the_best_critic_is_the_divergence(build, generator):
    """Two laws on three points, samples in exact proportion: E_Q g(p/q)."""
    text = f"F[{generator}](q(x,z)||p(x,z))"
    made = build(**IMPLICIT, objective=f"minimize {text}", estimators={text: {"estimator": "dual", "model": "value"}})
    p, q = np.array([1, 3, 4]) / 8, np.array([4, 2, 2]) / 8
    f = torch.as_tensor(np.log(p / q))
    first, second = (torch.repeat_interleave(f, torch.as_tensor((8 * w).astype(int))) for w in (p, q))
    divergence = sum(float(b * GENERATORS[generator].subs(U, a / b)) for a, b in zip(p, q, strict=True))
    output = made.loss()(x_z_critic=first, x_z_critic_reference=second)
    assert float(output.loss) == pytest.approx(divergence, rel=1e-12)
    critic = made.loss().critic_loss(text, first, second)
    assert float(critic) == pytest.approx(-divergence, rel=1e-12)
    if generator == "jensen-shannon":
        middle = (p + q) / 2
        assert divergence == pytest.approx(
            sum(a * np.log(a / m) + b * np.log(b / m) for a, b, m in zip(p, q, middle, strict=True)) / 2
        )


@pytest.mark.parametrize("generator", DECLARED)
def test_the_duals_model_side(build, generator):
    """Gradients of both players, and their signs: the model raises f on Q's samples and lowers it on P's."""
    text = f"F[{generator}](q(x,z)||p(x,z))"
    made = build(**IMPLICIT, objective=f"minimize {text}", estimators={text: "dual"})
    inputs = made.inputs()
    f, g = (t.clone().requires_grad_() for t in inputs.values())
    up, down = torch.autograd.grad(made.loss()(x_z_critic=f, x_z_critic_reference=g).loss, (f, g))
    assert (up > 0).all()
    assert (down < 0).all()


def test_a_total_correlation_and_an_information_by_a_critic(build):
    text = "KL(q(z1,z2)||q(z1)q(z2))"
    made = build(
        objective=f"minimize {text} - I_q(Z1;X)",
        variables={"x": "real[D]", "z1": "real[L]", "z2": "real[M]"},
        joints={"q": "data(x) q(z1|x) q(z2|x)", "p": "p(x|z1)"},
        families={"q(z1|x)": "diagonal-normal", "q(z2|x)": "diagonal-normal", "p(x|z1)": "isotropic-normal"},
        estimators={text: {"estimator": "density-ratio", "model": "value"}},
    )
    assert (text,) == made.module.Loss.CRITICS
    assert [i.joint for i in made.module.Loss.INPUTS if i.of == text] == ["q"]
    assert made.loss(reduction="none")(**made.inputs()).loss.shape == (5,) or made.program.rows == "B"


CODES = {
    "variables": {"x": "real[D]", "z1": "real[L]", "z2": "real[M]"},
    "joints": {"q": "data(x) q(z1|x) q(z2|x)", "p": "p(x|z1,z2)"},
    "families": {"q(z1|x)": "diagonal-normal", "q(z2|x)": "diagonal-normal", "p(x|z1,z2)": "isotropic-normal"},
}


@pytest.mark.parametrize("estimator", VALUES)
@pytest.mark.parametrize("text", ["TC_q(Z1)", "TC_q(Z1;Z2)"])
def test_a_total_correlation_by_a_critic(build, text, estimator):
    made = build(**CODES, objective=f"minimize {text} - I_q(Z1,Z2;X)", estimators={text: estimator})
    names = {i.role: i.name for i in made.module.Loss.INPUTS if i.of == text}
    f, g = (torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    inputs = made.inputs() | {names[role]: t for role, t in (("critic", f), ("critic_reference", g)) if role in names}
    torch.testing.assert_close(made.loss()(**inputs).terms[text], VALUES[estimator](f, g), **EXACT)
    torch.testing.assert_close(made.loss().critic_loss(text, f, g), CRITICS[estimator](f, g), **EXACT)
    assert set(names) == {"critic"} | ({"critic_reference"} if estimator != "density-ratio" else set())


def test_no_permuted_row_has_two_parts_of_one_row(build):
    """Each part is every row once; the order is the generator's; draws along S stay apart; too few rows are refused."""
    made = build(**CODES, objective="minimize TC_q(Z1) - I_q(Z1,Z2;X)", estimators={"TC_q(Z1)": "density-ratio"})
    permuted = made.module.Loss.permuted
    rows, parts = 7, 4
    z = (torch.arange(3)[:, None, None] * 100 + torch.arange(rows)[None, :, None] * 10 + torch.arange(parts)).double()
    z.requires_grad_()
    for one in (permuted(z, torch.Generator().manual_seed(1)), permuted(z[0])[None]):
        origin, place, draw = one // 10 % 10, one % 10, one // 100
        assert (place == torch.arange(parts)).all()
        assert (draw == torch.arange(len(one))[:, None, None]).all()
        assert all(len(set(row.tolist())) == parts for row in origin.reshape(-1, parts))
        assert all(sorted(column.tolist()) == list(range(rows)) for column in origin[0].T)
    assert torch.equal(permuted(z, torch.Generator().manual_seed(1)), permuted(z, torch.Generator().manual_seed(1)))
    assert torch.equal(torch.autograd.grad(permuted(z).sum(), z)[0], torch.ones_like(z))
    a, b, c = permuted((torch.arange(5), torch.arange(5), torch.arange(5)[:, None].expand(5, 2)))
    assert not ((a == b) | (a == c[:, 0]) | (b == c[:, 0])).any()
    assert torch.equal(c[:, 0], c[:, 1])  # a group stays together
    with pytest.raises(ValueError, match="3 rows have no product of 4 parts"):
        permuted(z[:, :3])


def test_permuted_rows_have_the_law_of_the_product(build):
    """TC of two equal Gaussian coordinates from rows by the thousand: E[z1 z2] is 0 after it, and (1/B) of before by independent orders."""
    made = build(**CODES, objective="minimize TC_q(Z1) - I_q(Z1,Z2;X)", estimators={"TC_q(Z1)": "density-ratio"})
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(20000, 4, 1, dtype=torch.float64, generator=generator).expand(-1, -1, 2)  # S batches of four rows
    rows = torch.cat([made.module.Loss.permuted(batch, generator) for batch in z[:4000]])
    assert abs(float(rows.prod(-1).mean())) < 4 / len(rows) ** 0.5  # 1/4 by independent orders


# ----------------------------------------------------------------------------------------- two samples

AGGREGATED = "KL(q(z)||p(z))"


def kernels(a, b, square, kernel, scales=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)):
    total = torch.zeros(len(a), len(b), dtype=torch.float64)
    for i in range(len(a)):
        for j in range(len(b)):
            d = ((a[i] - b[j]) ** 2).sum()
            total[i, j] = (
                torch.exp(-d / (2 * square)) if kernel == "rbf" else sum(2 * square * s / (2 * square * s + d) for s in scales)
            )
    return total


@pytest.mark.parametrize("draws", [2, None])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bandwidth": 0.7},
        {"kernel": "inverse-multiquadratic"},
        {"kernel": "inverse-multiquadratic", "scales": [0.5, 3.0], "bandwidth": 1.5},
    ],
)
def test_mmd(build, draws, options):
    made = build(
        **BASE, objective=f"minimize {AGGREGATED} - I_q(Z;X)", estimators={AGGREGATED: {"estimator": "mmd", **options}}
    )
    inputs = made.inputs(draws)
    a, b = inputs["z"].reshape(-1, inputs["z"].shape[-1]), inputs["z_reference"]
    square = options["bandwidth"] ** 2 if "bandwidth" in options else a.shape[-1]
    more = {"scales": options["scales"]} if "scales" in options else {}
    aa, bb, ab = (kernels(x, y, square, options.get("kernel", "rbf"), **more) for x, y in ((a, a), (b, b), (a, b)))
    off = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (aa, bb)]
    agree(made, inputs, off[0] + off[1] - 2 * ab.mean(), AGGREGATED)


def test_mmd_needs_two_rows(build):
    made = build(**BASE, objective=f"minimize {AGGREGATED} - I_q(Z;X)", estimators={AGGREGATED: "mmd"})
    with pytest.raises(ValueError, match="at least two"):
        made.loss()(**made.inputs(None, sizes={"B": 1}))


@pytest.mark.parametrize("rows", [5, 7])
def test_sliced_wasserstein(build, rows):
    """Each projection's quantile functions, compared at a fine grid that contains every jump."""
    made = build(
        **BASE,
        objective=f"minimize {AGGREGATED} - I_q(Z;X)",
        estimators={AGGREGATED: {"estimator": "sliced-wasserstein", "projections": 6}},
    )
    inputs = made.inputs(None, sizes={"B": 5, "B_p": rows})
    directions = torch.randn(inputs["z"].shape[-1], 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    directions /= directions.norm(dim=0)
    total = 0.0
    for k in range(6):
        a, b = ((inputs[n] @ directions[:, k]).sort().values for n in ("z", "z_reference"))
        fine = 5 * rows
        total += sum((a[u * 5 // fine] - b[u * rows // fine]) ** 2 for u in range(fine)) / fine
    agree(made, inputs, total / 6, AGGREGATED, directions=directions)
    torch.manual_seed(0)
    first = made.loss()(**inputs).loss
    torch.manual_seed(0)
    assert torch.equal(first, made.loss()(**inputs).loss)


# ------------------------------------------------------------------------------------- all rows of a batch


def pairs(inputs):
    """log q(z_i|x_j), one draw an entry of a list."""
    z, mean, std = inputs["z"], inputs["z_mean"], (0.5 * inputs["z_logvar"]).exp()
    z = z if z.dim() == 3 else z[None]
    return [
        torch.stack([torch.stack([N(mean[j], std[j]).log_prob(z[s, i]) for j in range(len(mean))]) for i in range(z.shape[1])])
        for s in range(len(z))
    ]


def mixture_weights(rows, total):
    """w_ij of Chen et al. 2018, appendix C: row i holds itself with 1/N, one other with (N - M)/(N M), the rest with 1/M."""
    m = rows - 1
    weights = torch.full((rows, rows), 1 / m, dtype=torch.float64)
    for i in range(rows):
        weights[i, i] = 1 / total
        weights[i, (i + 1) % rows] = (total - m) / (total * m)
    torch.testing.assert_close(weights.sum(1), torch.ones(rows, dtype=torch.float64))
    return weights


MIXTURES = [
    ("minibatch-weighted", None, lambda b: torch.full((b, b), 1 / b, dtype=torch.float64)),
    ("minibatch-weighted", 60, lambda b: torch.full((b, b), 1 / (60 * b), dtype=torch.float64)),
    ("minibatch-stratified", 60, lambda b: mixture_weights(b, 60)),
]


@pytest.mark.parametrize("draws", [2, None])
@pytest.mark.parametrize(("estimator", "total", "weights"), MIXTURES)
def test_aggregated_relative_entropy(build, draws, estimator, total, weights):
    entry = {"estimator": estimator, **({"dataset_size": total} if total else {})}
    made = build(**BASE, objective=f"minimize {AGGREGATED} - I_q(Z;X)", estimators={AGGREGATED: entry})
    inputs = made.inputs(draws)
    log_q = torch.stack([(weights(5).log() + p.sum(-1)).logsumexp(1) for p in pairs(inputs)])
    log_p = N(0.0, 1.0).log_prob(inputs["z"]).sum(-1)
    agree(made, inputs, log_q.mean() - log_p.mean(), AGGREGATED)


@pytest.mark.parametrize("draws", [2, None])
@pytest.mark.parametrize(("estimator", "total", "weights"), MIXTURES)
def test_total_correlation(build, draws, estimator, total, weights):
    entry = {"estimator": estimator, **({"dataset_size": total} if total else {})}
    made = build(**BASE, objective="minimize TC_q(Z) - I_q(Z;X)", estimators={"TC_q(Z)": entry})
    inputs = made.inputs(draws)
    values = []
    for p in pairs(inputs):
        together = (weights(5).log() + p.sum(-1)).logsumexp(1)
        apart = sum((weights(5).log() + p[..., k]).logsumexp(1) for k in range(p.shape[-1]))
        values.append((together - apart).mean())
    agree(made, inputs, torch.stack(values).mean(), "TC_q(Z)")


def test_total_correlation_of_two_codes(build):
    made = build(
        objective="minimize TC_q(Z1;Z2) - I_q(Z1;X)",
        variables={"x": "real[D]", "z1": "real[L]", "z2": "real[M]"},
        joints={"q": "data(x) q(z1|x) q(z2|x)", "p": "p(x|z1)"},
        families={"q(z1|x)": "diagonal-normal", "q(z2|x)": "laplace", "p(x|z1)": "isotropic-normal"},
        estimators={"TC_q(Z1;Z2)": "minibatch-weighted"},
    )
    inputs = made.inputs(None)
    first = N(inputs["z1_mean"], (0.5 * inputs["z1_logvar"]).exp()).log_prob(inputs["z1"][:, None]).sum(-1)
    second = torch.distributions.Laplace(inputs["z2_mean"], 1.0).log_prob(inputs["z2"][:, None]).sum(-1)
    logs = [(p.logsumexp(1) - math.log(p.shape[1])).mean() for p in (first + second, first, second)]
    agree(made, inputs, logs[0] - logs[1] - logs[2], "TC_q(Z1;Z2)")


@pytest.mark.parametrize("draws", [2, None])
@pytest.mark.parametrize("estimator", ["leave-one-out", "club"])
def test_upper_bounds_of_an_information(build, draws, estimator):
    made = build(**BASE, objective="minimize I_q(X;Z) - I_q(Z;X)", estimators={"I_q(X;Z)": estimator})
    inputs = made.inputs(draws)
    values = []
    for p in (p.sum(-1) for p in pairs(inputs)):
        n = len(p)
        for i in range(n):
            if estimator == "leave-one-out":
                others = torch.stack([p[i, j] for j in range(n) if j != i])
                values.append(p[i, i] - (others.exp().mean()).log())
            else:
                values.append(p[i, i] - torch.stack([p[j, i] for j in range(n) if j != i]).mean())
    agree(made, inputs, torch.stack(values).mean(), "I_q(X;Z)")


def test_infonce_tells_rows_from_columns(build):
    made = build(**BASE, objective="maximize I_q(X;Z)", estimators={"I_q(X;Z)": "infonce"})
    (scores,) = made.inputs().values()
    value = torch.stack([scores[i, i] - scores[i].logsumexp(0) + math.log(len(scores)) for i in range(len(scores))]).mean()
    output = agree(made, made.inputs(), value, "I_q(X;Z)")
    torch.testing.assert_close(output.loss, -value, **EXACT)


# ----------------------------------------------------------------------------------------------- draws


def test_iwae(build):
    made = build(**BASE, objective="maximize E_q[log p(x)]", estimators={"E_q[log p(x)]": "iwae"})
    inputs = made.inputs(4)
    posterior = N(inputs["z_mean"], (0.5 * inputs["z_logvar"]).exp())
    log_w = (
        N(inputs["x_mean"], 1.0).log_prob(inputs["x"]).sum(-1)
        + N(0.0, 1.0).log_prob(inputs["z"]).sum(-1)
        - posterior.log_prob(inputs["z"]).sum(-1)
    )
    bound = (log_w.exp().mean(0)).log()
    output = agree(made, inputs, bound.mean(), "E_q[log p(x)]")
    torch.testing.assert_close(output.loss, -bound.mean(), **EXACT)
    torch.testing.assert_close(made.loss(reduction="none")(**inputs).loss, -bound, **EXACT)
    assert bound.mean() > log_w.mean()


def test_batch_marginal_of_two_learned_marginals(build):
    keys = {
        "objective": "minimize KL(q(c)||r(c)) - I_q(C;X)",
        "variables": {"x": "real[D]", "c": "categorical[K]", "y": "real[E]"},
        "joints": {"q": "data(x) q(c|x)", "r": "other(y) r(c|y)", "p": "p(x|c)"},
        "families": {
            "other(y)": "empirical",
            "q(c|x)": {"family": "categorical", "relax": "concrete"},
            "r(c|y)": "categorical",
            "p(x|c)": "isotropic-normal",
        },
        "estimators": {"KL(q(c)||r(c))": "batch-marginal"},
    }
    made = build(**keys)
    inputs = made.inputs()
    a, b = (inputs[n].softmax(-1).mean(0) for n in ("q_c_logits", "r_c_logits"))
    agree(made, inputs, (a * (a / b).log()).sum(), "KL(q(c)||r(c))")


# ------------------------------------------------------------------------------------------ on the sphere


@pytest.mark.parametrize("dimensions", [1, 2, 3, 8, 64, 300, 5000])
def test_bessel_functions_in_plain_torch(build, dimensions):
    """Against SciPy where it has digits, by value and by d/dt [log I_v(t) - v log t] = I_{v+1}(t) / I_v(t)."""
    keys = {
        **BASE,
        "variables": {"x": "real[D]", "z": "sphere[L]"},
        "families": {**BASE["families"], "q(z|x)": "von-mises-fisher", "p(z)": "uniform-sphere"},
    }
    made = build(**keys, objective="minimize I_q(X;Z) - I_q(Z;X)")
    order = dimensions / 2 - 1
    t = torch.tensor([1e-6, 0.1, 1.0, 7.0, 60.0, 900.0, 1e4], dtype=torch.float64, requires_grad=True)
    log_i, ratio = made.module._bessel(dimensions, t)
    (slope,) = torch.autograd.grad(log_i.sum(), t)
    torch.testing.assert_close(slope, ratio, rtol=1e-9, atol=1e-12)
    expected = value(_log_bessel(), {"n": dimensions, "t": t.detach().numpy()})
    torch.testing.assert_close(log_i.detach(), torch.as_tensor(expected), rtol=1e-13, atol=1e-13)
    known = [k for k in range(len(t)) if scipy_special().ive(order, float(t[k].detach())) > 1e-200]
    for k in known:
        point = float(t[k].detach())
        truth = scipy_special().ive(order + 1, point) / scipy_special().ive(order, point)
        assert float(ratio[k].detach()) == pytest.approx(truth, rel=1e-13)
    single, _ = made.module._bessel(dimensions, t.detach().float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), log_i.detach(), rtol=1e-6, atol=1e-6)
    zero = torch.zeros(1, dtype=torch.float64)
    constant = -order * math.log(2) - math.lgamma(order + 1)
    log_i, ratio = made.module._bessel(dimensions, zero)
    assert (float(log_i), float(ratio)) == (pytest.approx(constant, rel=1e-13, abs=1e-13), 0.0)


def scipy_special():
    from scipy import special

    return special


def _log_bessel():
    from ibsym.families.functions import log_bessel

    return log_bessel(sympy.Symbol("n"), sympy.Symbol("t"))

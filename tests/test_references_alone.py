"""The hand-written references of tests/references, held against something even plainer: loops over numbers with
`math`, torch.distributions, finite differences, and finite or Gaussian worlds whose answers are known."""

import ast
import importlib.util
import itertools
import math
import pathlib

import pytest

torch = pytest.importorskip("torch")

from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence  # noqa: E402

HERE = pathlib.Path(__file__).parent / "references"
NAMES = [
    "vib",
    "vae",
    "beta_vae",
    "aae",
    "infovae",
    "vae_gan",
    "bib_ae",
    "gan",
    "infogan",
    "bigan",
    "vdb",
    "semi_supervised_ib",
]
S, B, BP, BU, D, L, K, T = 3, 5, 4, 6, 4, 2, 3, 2

A, R, BZ, DX = "KL(q(z|x)||p(z))", "E_q[log p(x|z)]", "KL(q(z)||p(z))", "KL(q(x)||p(x))"
JS, JSXZ = "JS(data(x)||p(x))", "JS(q(x,z)||p(x,z))"
BU_, DU, DC = "KL(u(z)||p(z))", "KL(u(x)||p(x))", "KL(q(c)||u(c))"

PARAMETERS = {
    "vib": {"beta": 7.0},
    "beta_vae": {"beta": 4.0},
    "aae": {"beta": 0.7},
    "infovae": {"alpha": 0.3, "lam": 11.0},
    "bib_ae": {"beta": 1.9},
    "infogan": {"lam": 0.6},
    "vdb": {"Ic": 0.5, "mu": 0.8},
    "semi_supervised_ib": {"beta_c": 3.0, "beta_x": 0.4},
}
PER_ROW = ("vib", "vae", "beta_vae", "aae")


def reference(name):
    spec = importlib.util.spec_from_file_location(f"reference_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def world(name, s=S, seed=0):
    """Random float64 inputs of a system; s is the size of the Monte-Carlo axis, None for no such axis."""
    g = torch.Generator().manual_seed(seed)
    lead = () if s is None else (s,)

    def real(*shape):
        return 1.5 * torch.randn(*shape, generator=g, dtype=torch.float64)

    def bits(*shape):
        return torch.randint(0, 2, shape, generator=g).double()

    def classes(n):
        return torch.randint(0, K, (n,), generator=g)

    def autoencoder(joint, n):
        return {
            ("q(z|x)", "mean", joint): real(n, L),
            ("q(z|x)", "logvar", joint): real(n, L),
            ("p(x|z)", "logits", joint): real(*lead, n, D),
            ("x", "value", joint): bits(n, D),
        }

    def critic(text, joint, shape, reference_shape=(BP,)):
        return {(text, "critic", joint): real(*shape), (text, "critic_reference", "p"): real(*reference_shape)}

    if name == "vib":
        out = autoencoder("q", B)
        del out["p(x|z)", "logits", "q"], out["x", "value", "q"]
        return out | {("p(c|z)", "logits", "q"): real(*lead, B, K), ("c", "value", "q"): classes(B)}
    if name in ("vae", "beta_vae"):
        return autoencoder("q", B)
    if name == "aae":
        out = autoencoder("q", B)
        del out["q(z|x)", "mean", "q"], out["q(z|x)", "logvar", "q"]
        return out | critic(BZ, "q", (*lead, B))
    if name == "infovae":
        return autoencoder("q", B) | {
            ("z", "sample", "q"): real(*lead, B, L),
            ("z", "sample_reference", "p"): real(BP, L),
        }
    if name == "vae_gan":
        return autoencoder("q", B) | critic(DX, "q", (B,))
    if name == "bib_ae":
        return autoencoder("q", B) | critic(BZ, "q", (*lead, B)) | critic(DX, "q", (B,))
    if name == "gan":
        return critic(JS, "data", (B,), (*lead, BP))
    if name == "infogan":
        return critic(JS, "data", (B,), (*lead, BP)) | {
            ("r(c|x)", "logits", "p"): real(*lead, BP, K),
            ("c", "value", "p"): classes(BP),
        }
    if name == "bigan":
        return critic(JSXZ, "q", (*lead, B))
    if name == "vdb":
        codes = {("e(t|x)", role, j): real(n, T) for j, n in (("data", B), ("p", BP)) for role in ("mean", "logvar")}
        return critic(JS, "data", (*lead, B), (*lead, BP)) | codes
    if name == "semi_supervised_ib":
        return (
            autoencoder("u", BU)
            | critic(BU_, "u", (*lead, BU))
            | critic(DU, "u", (BU,))
            | {
                ("p(c|z)", "logits", "q"): real(*lead, B, K),
                ("c", "value", "q"): classes(B),
                ("p(c|z)", "logits", "u"): real(*lead, BU, K),
            }
        )
    raise AssertionError(name)


# ---- the same again, in loops over numbers -------------------------------------------------------------------


def mean(numbers):
    numbers = list(numbers)
    return math.fsum(numbers) / len(numbers)


def s(t):
    return max(t, 0.0) + math.log1p(math.exp(-abs(t)))


def flat(t):
    return t.detach().reshape(-1).tolist()


def draws(t, event):
    """A list over S of the list over rows; a lone draw where there is no S."""
    t = t if t.dim() == event + 2 else t[None]
    return [[t[i, j] for j in range(t.shape[1])] for i in range(t.shape[0])]


def naive_rate(inputs, joint, factor="q(z|x)"):
    """Per row, KL of a diagonal normal to the standard one."""
    mu, logvar = inputs[factor, "mean", joint], inputs[factor, "logvar", joint]
    out = []
    for m_row, v_row in zip(mu, logvar, strict=True):
        out.append(
            math.fsum(0.5 * (math.exp(v) + m * m - 1.0) - 0.5 * v for m, v in zip(flat(m_row), flat(v_row), strict=True))
        )
    return out


def naive_bernoulli(inputs, joint):
    """Per row, the mean over draws of log p(x|z)."""
    x = inputs["x", "value", joint]
    per_draw = []
    for draw in draws(inputs["p(x|z)", "logits", joint], 1):
        per_draw.append(
            [
                math.fsum(-s(-t) if bit == 1.0 else -s(t) for t, bit in zip(flat(logits), flat(bits), strict=True))
                for logits, bits in zip(draw, x, strict=True)
            ]
        )
    return [mean(column) for column in zip(*per_draw, strict=True)]


def naive_categorical(inputs, factor, joint):
    c = inputs["c", "value", joint]
    per_draw = []
    for draw in draws(inputs[factor, "logits", joint], 1):
        per_draw.append(
            [
                float(logits[k]) - math.log(math.fsum(math.exp(t) for t in flat(logits)))
                for logits, k in zip(draw, c.tolist(), strict=True)
            ]
        )
    return [mean(column) for column in zip(*per_draw, strict=True)]


def naive_critic(inputs, text, joint):
    """Value of KL by density ratio; the non-saturating surrogate; value of JS."""
    f_p = flat(inputs[text, "critic", joint])
    f_q = flat(inputs[text, "critic_reference", "p"])
    surrogate = mean(s(-t) for t in f_q)
    js = math.log(2) + 0.5 * mean(-s(-t) for t in f_p) + 0.5 * mean(-s(t) for t in f_q)
    return mean(f_p), surrogate, js


def naive_mmd(a, b):
    def kernel(u, v):
        return math.exp(-math.fsum((i - j) ** 2 for i, j in zip(u, v, strict=True)) / (2 * len(u)))

    a, b = [flat(row) for row in a], [flat(row) for row in b]
    aa = mean(kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j)
    bb = mean(kernel(b[i], b[j]) for i in range(len(b)) for j in range(len(b)) if i != j)
    return aa + bb - 2 * mean(kernel(u, v) for u in a for v in b)


def naive_class_marginal(inputs):
    labels = inputs["c", "value", "q"].tolist()
    rows = [flat(row) for draw in draws(inputs["p(c|z)", "logits", "u"], 1) for row in draw]
    classes = len(rows[0])
    predictions = [[math.exp(t) / math.fsum(math.exp(v) for v in row) for t in row] for row in rows]
    out = 0.0
    for k in range(classes):
        frequency = labels.count(k) / len(labels)
        if frequency:
            out += frequency * math.log(frequency / mean(p[k] for p in predictions))
    return out


def naive(name, inputs, p):
    """(mean loss, terms, size of the first source)"""
    if name == "vib":
        a, c = naive_rate(inputs, "q"), naive_categorical(inputs, "p(c|z)", "q")
        return mean(a) - p["beta"] * mean(c), {A: mean(a), "E_q[log p(c|z)]": mean(c)}, B
    if name in ("vae", "beta_vae", "aae", "infovae", "vae_gan", "bib_ae"):
        r = mean(naive_bernoulli(inputs, "q"))
        a = mean(naive_rate(inputs, "q")) if name != "aae" else None
        if name == "vae":
            return a - r, {A: a, R: r}, B
        if name == "beta_vae":
            return p["beta"] * a - r, {A: a, R: r}, B
        if name == "aae":
            b = naive_critic(inputs, BZ, "q")[0]
            return b - p["beta"] * r, {BZ: b, R: r}, B
        if name == "infovae":
            z_q = [row for draw in draws(inputs["z", "sample", "q"], 1) for row in draw]
            b = naive_mmd(z_q, list(inputs["z", "sample_reference", "p"]))
            loss = p["lam"] * b + (a - b - r) - p["alpha"] * (a - b)  # the objective, term by term
            return loss, {A: a, BZ: b, R: r}, B
        d, surrogate, _ = naive_critic(inputs, DX, "q")
        if name == "vae_gan":
            return a - r + surrogate, {A: a, R: r, DX: d}, B
        b = naive_critic(inputs, BZ, "q")[0]
        return (a - b) - p["beta"] * (r - surrogate), {A: a, BZ: b, R: r, DX: d}, B
    if name in ("gan", "vdb", "infogan"):
        _, surrogate, js = naive_critic(inputs, JS, "data")
        if name != "infogan":
            return surrogate / 2, {JS: js}, B
        r = mean(naive_categorical(inputs, "r(c|x)", "p"))
        return surrogate / 2 - p["lam"] * r, {JS: js, "E_p[log r(c|x)]": r}, B
    if name == "bigan":
        _, surrogate, js = naive_critic(inputs, JSXZ, "q")
        other = mean(s(t) for t in flat(inputs[JSXZ, "critic", "q"]))
        return (surrogate + other) / 2, {JSXZ: js}, B
    a, r = mean(naive_rate(inputs, "u")), mean(naive_bernoulli(inputs, "u"))
    b = naive_critic(inputs, BU_, "u")[0]
    d, surrogate, _ = naive_critic(inputs, DU, "u")
    c, m = mean(naive_categorical(inputs, "p(c|z)", "q")), naive_class_marginal(inputs)
    loss = (a - b) - p["beta_c"] * (c - m) - p["beta_x"] * (r - surrogate)
    return loss, {reference(name).A_U: a, BU_: b, "E_q[log p(c|z)]": c, DC: m, "E_u[log p(x|z)]": r, DU: d}, B


def close(a, b, tolerance=1e-12):
    a, b = (float(v.detach() if isinstance(v, torch.Tensor) else v) for v in (a, b))
    assert a == pytest.approx(b, rel=tolerance, abs=tolerance)


CRITICS = {
    "aae": {BZ: "q"},
    "vae_gan": {DX: "q"},
    "bib_ae": {BZ: "q", DX: "q"},
    "gan": {JS: "data"},
    "infogan": {JS: "data"},
    "bigan": {JSXZ: "q"},
    "vdb": {JS: "data"},
    "semi_supervised_ib": {BU_: "u", DU: "u"},
}


@pytest.mark.parametrize("name", NAMES)
def test_imports_torch_and_the_standard_library_only(name):
    tree = ast.parse((HERE / f"{name}.py").read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules <= {"math", "torch", "torch.nn.functional"}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("draws_", [None, 1, S])
@pytest.mark.parametrize("name", NAMES)
def test_loss_and_terms_against_loops(name, draws_, seed):
    inputs, p = world(name, draws_, seed), PARAMETERS.get(name, {})
    loss, terms = reference(name).loss(inputs, **p)
    expected, expected_terms, n = naive(name, inputs, p)
    assert loss.dim() == 0
    close(loss, expected)
    assert set(terms) == set(expected_terms)
    for text in terms:
        close(terms[text], expected_terms[text])
    total, _ = reference(name).loss(inputs, **p, reduction="sum")
    close(total, expected * n)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "infovae"])  # the mmd counts equal draws as rows
def test_an_axis_of_equal_draws_changes_nothing(name):
    single, p = world(name, None), PARAMETERS.get(name, {})
    with_axis = {key: like.shape for key, like in world(name, S).items()}
    repeated = {key: t.expand(with_axis[key]) for key, t in single.items()}
    close(reference(name).loss(single, **p)[0], reference(name).loss(repeated, **p)[0])
    for text in CRITICS.get(name, ()):
        close(reference(name).critic_loss(text, single, **p), reference(name).critic_loss(text, repeated, **p))


@pytest.mark.parametrize("draws_", [None, S])
@pytest.mark.parametrize("name", PER_ROW)
def test_rows(name, draws_):
    inputs, p = world(name, draws_), PARAMETERS.get(name, {})
    per_row, _ = reference(name).loss(inputs, **p, reduction="none")
    assert per_row.shape == (B,)
    close(per_row.mean(), reference(name).loss(inputs, **p)[0])
    for i in range(B):  # a row's loss is the loss of that row alone
        row = {}
        for key, t in inputs.items():
            batch = t.dim() - (1 if key[1] == "critic" or key[0] == "c" else 2)
            row[key] = t if key[2] == "p" else t.narrow(batch, i, 1)
        alone, _ = reference(name).loss(row, **p)
        close(alone, per_row[i])


@pytest.mark.parametrize("name", NAMES)
def test_reductions_refused(name):
    inputs, p = world(name), PARAMETERS.get(name, {})
    with pytest.raises(ValueError, match="median"):
        reference(name).loss(inputs, **p, reduction="median")
    if name not in PER_ROW:
        with pytest.raises(ValueError, match="none"):
            reference(name).loss(inputs, **p, reduction="none")


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters_are_required_keywords(name):
    inputs = world(name)
    for missing in PARAMETERS[name]:
        with pytest.raises(TypeError):
            reference(name).loss(inputs, **{k: v for k, v in PARAMETERS[name].items() if k != missing})


# ---- the families, against torch.distributions ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["vib", "vae", "beta_vae", "infovae", "vae_gan", "bib_ae", "semi_supervised_ib"])
def test_rate_is_the_library_kl(name):
    inputs, joint = world(name), "u" if name == "semi_supervised_ib" else "q"
    _, terms = reference(name).loss(inputs, **PARAMETERS.get(name, {}))
    q = Normal(inputs["q(z|x)", "mean", joint], torch.exp(0.5 * inputs["q(z|x)", "logvar", joint]))
    close(
        terms[getattr(reference(name), "A_U", A)],
        kl_divergence(q, Normal(torch.zeros(L).double(), torch.ones(L).double())).sum(-1).mean(),
    )


@pytest.mark.parametrize("name", ["vae", "beta_vae", "aae", "infovae", "vae_gan", "bib_ae", "semi_supervised_ib"])
def test_bernoulli_is_the_library_log_prob(name):
    inputs, joint = world(name), "u" if name == "semi_supervised_ib" else "q"
    _, terms = reference(name).loss(inputs, **PARAMETERS.get(name, {}))
    p = Bernoulli(logits=inputs["p(x|z)", "logits", joint])
    close(terms[f"E_{joint}[log p(x|z)]"], p.log_prob(inputs["x", "value", joint]).sum(-1).mean())


@pytest.mark.parametrize(
    ("name", "factor", "joint"),
    [
        ("vib", "p(c|z)", "q"),
        ("infogan", "r(c|x)", "p"),
        ("semi_supervised_ib", "p(c|z)", "q"),
    ],
)
def test_categorical_is_the_library_log_prob(name, factor, joint):
    inputs = world(name)
    _, terms = reference(name).loss(inputs, **PARAMETERS.get(name, {}))
    p = Categorical(logits=inputs[factor, "logits", joint])
    close(terms[f"E_{joint}[log {factor}]"], p.log_prob(inputs["c", "value", joint]).mean())


# ---- gradients -----------------------------------------------------------------------------------------------


def leaves(inputs):
    fixed = {key: t for key, t in inputs.items() if key[1] == "value"}
    return fixed, {key: t.clone().requires_grad_() for key, t in inputs.items() if key[1] != "value"}


@pytest.mark.parametrize("draws_", [None, 2])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_finite_differences(name, draws_):
    fixed, free = leaves(world(name, draws_))
    module, p, keys = reference(name), PARAMETERS.get(name, {}), list(free)

    def loss(*tensors):
        return module.loss(fixed | dict(zip(keys, tensors, strict=True)), **p)[0]

    assert torch.autograd.gradcheck(loss, tuple(free.values()))
    for text in CRITICS.get(name, ()):

        def critic(*tensors, text=text):
            return module.critic_loss(text, fixed | dict(zip(keys, tensors, strict=True)), **p)

        assert torch.autograd.gradcheck(critic, tuple(free.values()))


SILENT = {  # what the model's loss reads at most for the value of a term, or not at all
    "aae": {(BZ, "critic_reference", "p")},
    "vae_gan": {(DX, "critic", "q")},
    "bib_ae": {(DX, "critic", "q"), (BZ, "critic_reference", "p")},
    "gan": {(JS, "critic", "data")},
    "infogan": {(JS, "critic", "data")},
    "vdb": {(JS, "critic", "data")} | {("e(t|x)", r, j) for r in ("mean", "logvar") for j in ("data", "p")},
    "semi_supervised_ib": {(DU, "critic", "u"), (BU_, "critic_reference", "p")},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_player_gets_its_gradient_and_no_other(name):
    fixed, free = leaves(world(name))
    loss, terms = reference(name).loss(fixed | free, **PARAMETERS.get(name, {}))
    assert not any(value.requires_grad for value in terms.values())
    loss.backward()
    for key, t in free.items():
        reached = t.grad is not None and bool((t.grad != 0).all())
        assert reached is (key not in SILENT.get(name, ())), key


@pytest.mark.parametrize(
    ("name", "text", "joint", "coefficient"),
    [
        ("aae", BZ, "q", 1.0),
        ("bib_ae", BZ, "q", -1.0),
        ("semi_supervised_ib", BU_, "u", -1.0),
    ],
)
def test_value_model_climbs_or_descends_the_logit(name, text, joint, coefficient):
    fixed, free = leaves(world(name))
    f = free[text, "critic", joint]
    reference(name).loss(fixed | free, **PARAMETERS[name])[0].backward()
    assert torch.allclose(f.grad, torch.full_like(f, coefficient / f.numel()))


@pytest.mark.parametrize(
    ("name", "text", "coefficient"),
    [
        ("vae_gan", DX, 1.0),
        ("bib_ae", DX, 1.9),
        ("semi_supervised_ib", DU, 0.4),
        ("gan", JS, 0.5),
        ("infogan", JS, 0.5),
        ("vdb", JS, 0.5),
        ("bigan", JSXZ, 0.5),
    ],
)
def test_non_saturating_model_gets_the_sigmoid(name, text, coefficient):
    fixed, free = leaves(world(name))
    f = free[text, "critic_reference", "p"]
    reference(name).loss(fixed | free, **PARAMETERS.get(name, {}))[0].backward()
    expected = [-coefficient / f.numel() / (1 + math.exp(t)) for t in flat(f)]
    for got, wanted in zip(flat(f.grad), expected, strict=True):
        close(got, wanted)


# ---- a finite world: two distributions on four points, every point as many rows as its probability ----------

P_COUNTS, Q_COUNTS = (1, 2, 4, 3), (6, 1, 2, 7)  # of 10 and of 16


def finite_world():
    p = [n / sum(P_COUNTS) for n in P_COUNTS]
    q = [n / sum(Q_COUNTS) for n in Q_COUNTS]
    best = torch.tensor([math.log(a / b) for a, b in zip(p, q, strict=True)], dtype=torch.float64)
    rows_p = torch.repeat_interleave(torch.arange(4), torch.tensor(P_COUNTS))
    rows_q = torch.repeat_interleave(torch.arange(4), torch.tensor(Q_COUNTS))
    kl = math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    mid = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    js = 0.5 * math.fsum(a * math.log(a / m) + b * math.log(b / m) for a, b, m in zip(p, q, mid, strict=True))
    return best, rows_p, rows_q, kl, js


@pytest.mark.parametrize(("name", "text", "joint"), [(n, t, j) for n in CRITICS for t, j in CRITICS[n].items()])
def test_best_critic_gives_the_divergence(name, text, joint):
    best, rows_p, rows_q, kl, js = finite_world()
    module, p = reference(name), dict(PARAMETERS.get(name, {}))
    if name == "vdb":
        p["mu"] = 0.0
    inputs = world(name)
    table = best.clone().requires_grad_()
    here = inputs | {(text, "critic", joint): table[rows_p], (text, "critic_reference", "p"): table[rows_q]}

    critic = module.critic_loss(text, here, **p)
    close(critic, 2 * math.log(2) - 2 * js)
    critic.backward()
    assert table.grad.abs().max() < 1e-15  # stationary, and the loss is convex in the logits
    for k in range(4):  # any other critic is worse
        other = best.clone()
        other[k] += 0.3
        worse = inputs | {(text, "critic", joint): other[rows_p], (text, "critic_reference", "p"): other[rows_q]}
        assert module.critic_loss(text, worse, **p) > critic

    if name == "aae":  # the critic's rows are those of q there
        here["x", "value", "q"] = torch.zeros(len(rows_p), D, dtype=torch.float64)
        here["p(x|z)", "logits", "q"] = torch.zeros(len(rows_p), D, dtype=torch.float64)
    _, terms = module.loss(here, **p)
    close(terms[text], js if text.startswith("JS") else kl)


def test_names_without_a_critic_are_refused():
    for name in CRITICS:
        with pytest.raises(ValueError, match="no critic"):
            reference(name).critic_loss("KL(p(z)||q(z))", world(name), **PARAMETERS.get(name, {}))


@pytest.mark.parametrize(("name", "text", "joint"), [(n, t, j) for n in CRITICS for t, j in CRITICS[n].items()])
def test_softplus_is_exact_in_the_tails(name, text, joint):
    module, p = reference(name), dict(PARAMETERS.get(name, {}))
    if name == "vdb":
        p["mu"] = 0.0

    def critic(f_p, f_q):
        return module.critic_loss(
            text,
            world(name)
            | {
                (text, "critic", joint): torch.tensor([f_p], dtype=torch.float64),
                (text, "critic_reference", "p"): torch.tensor([f_q], dtype=torch.float64),
            },
            **p,
        )

    close(critic(45.0, -45.0), 2 * math.exp(-45.0), 1e-30)
    close(critic(-22.0, -60.0) - 22.0, math.log1p(math.exp(-22.0)), 1e-14)
    close(critic(800.0, 800.0), 800.0, 1e-15)
    close(critic(-800.0, -800.0), 800.0, 1e-15)


# ---- a Gaussian world: A - B at the best critic is the mutual information -------------------------------------


@pytest.mark.parametrize(("name", "joint"), [("bib_ae", "q"), ("semi_supervised_ib", "u")])
def test_rate_minus_latent_term_is_the_information(name, joint):
    a, noise = 1.3, 0.7  # x ~ N(0, 1), z | x ~ N(a x, noise^2), z ~ N(0, v); only second moments matter below
    v = a * a + noise * noise
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    z = torch.tensor([math.sqrt(v), -math.sqrt(v)], dtype=torch.float64)
    critic = Normal(0.0, math.sqrt(v)).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    text = BZ if name == "bib_ae" else BU_
    inputs = world(name, None) | {
        ("q(z|x)", "mean", joint): a * x,
        ("q(z|x)", "logvar", joint): torch.full_like(x, math.log(noise**2)),
        (text, "critic", joint): critic,
    }
    zero = dict.fromkeys(PARAMETERS[name], 0.0)
    loss, terms = reference(name).loss(inputs, **zero)
    close(loss, 0.5 * math.log(v / noise**2), 1e-7)  # torch's scalar Normal keeps its scale in single precision
    close(terms[text], 0.5 * (v - 1 - math.log(v)), 1e-7)


# ---- mmd -----------------------------------------------------------------------------------------------------


def test_mmd_is_unbiased():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.5], [-0.7, 2.0]], dtype=torch.float64)
    p, q = (0.2, 0.5, 0.3), (0.6, 0.1, 0.3)
    module = reference("infovae")

    def expected(weights, count):
        for choice in itertools.product(range(3), repeat=count):
            yield math.prod(weights[i] for i in choice), points[list(choice)]

    estimate = math.fsum(w * u * float(module.mmd(a, b)) for w, a in expected(p, 2) for u, b in expected(q, 3))
    exact = math.fsum(
        (p[i] - q[i]) * (p[j] - q[j]) * math.exp(-float(((points[i] - points[j]) ** 2).sum()) / 4)
        for i in range(3)
        for j in range(3)
    )
    close(estimate, exact)


def test_mmd_is_zero_in_expectation_between_equals():
    points, module = torch.tensor([[0.0], [2.0]], dtype=torch.float64), reference("infovae")
    pairs = [points[list(choice)] for choice in itertools.product(range(2), repeat=2)]
    close(mean(float(module.mmd(a, b)) for a in pairs for b in pairs), 0.0)


def test_infovae_at_its_corners():
    inputs, module = world("infovae"), reference("infovae")
    a, b, r = (module.loss(inputs, alpha=0.0, lam=1.0)[1][text] for text in (A, BZ, R))
    close(module.loss(inputs, alpha=0.0, lam=1.0)[0], a - r)  # the VAE
    close(module.loss(inputs, alpha=1.0, lam=5.0)[0], 5 * b - r)  # no rate at all: the WAE with an MMD
    close(module.loss(inputs, alpha=-3.0, lam=4.0)[0], 4 * a - r)  # beta-VAE, beta = 4


# ---- the class marginal --------------------------------------------------------------------------------------


def class_marginal(labels, logits):
    return reference("semi_supervised_ib").class_marginal_kl(torch.tensor(labels), logits)


def test_class_marginal_in_a_known_world():
    predictions = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.6, 0.3]], dtype=torch.float64)  # mean .3, .425, .275
    expected = 0.75 * math.log(0.75 / 0.3) + 0.25 * math.log(0.25 / 0.275)  # the second class is absent
    close(class_marginal([0, 2, 0, 0], predictions.log()), expected)
    close(class_marginal([0, 2, 0, 0], predictions.log() + 5.0), expected)
    close(class_marginal([0, 2, 0, 0], predictions.log()[:, None, :]), expected)  # two draws of one row


def test_class_marginal_vanishes_when_equal():
    predictions = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]], dtype=torch.float64)
    close(class_marginal([0, 1, 1, 2], (predictions + 1e-300).log()), 0.0)


def test_class_marginal_is_stable():
    logits = torch.tensor([[0.0, 3e3], [0.0, 5e3]], dtype=torch.float64, requires_grad=True)
    value = class_marginal([0], logits)
    close(value, 3e3 + math.log(2))  # one of two rows carries all of what the first class has
    value.backward()
    assert torch.allclose(logits.grad, torch.tensor([[-1.0, 1.0], [0.0, 0.0]], dtype=torch.float64))


# ---- the bottleneck in the critic ----------------------------------------------------------------------------


def test_vdb_constraint_and_multiplier():
    inputs, module = world("vdb"), reference("vdb")
    standard = Normal(torch.zeros(T).double(), torch.ones(T).double())
    rate = 0.0
    for joint in ("data", "p"):  # each side counts one half, however many rows it has
        e = Normal(inputs["e(t|x)", "mean", joint], torch.exp(0.5 * inputs["e(t|x)", "logvar", joint]))
        rate += 0.5 * float(kl_divergence(e, standard).sum(-1).mean())
        close(mean(naive_rate(inputs, joint, "e(t|x)")), kl_divergence(e, standard).sum(-1).mean())
    free = module.critic_loss(JS, inputs, Ic=0.5, mu=0.0)
    close(module.critic_loss(JS, inputs, Ic=0.5, mu=0.8), float(free) + 0.8 * (rate - 0.5))
    close(module.rate(inputs), rate)
    close(module.dual_step(0.2, 0.5, rate, 1e-2), 0.2 + 1e-2 * (rate - 0.5))
    close(module.dual_step(0.0, 0.5, 0.1, 1e-2), 0.0)
    close(module.dual_step(0.1, 0.5, 0.3, 1.0), 0.0)
    # gradient ascent on the multiplier is the derivative of the critic's loss
    mu = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    module.critic_loss(JS, inputs, Ic=0.5, mu=mu).backward()
    close(mu.grad, rate - 0.5)
    close(module.loss(inputs, Ic=0.1, mu=9.0)[0], module.loss(inputs, Ic=3.0, mu=0.0)[0])


# ---- relations between the systems ---------------------------------------------------------------------------


def test_systems_that_contain_one_another():
    inputs = world("bib_ae", S)
    vae = reference("vae").loss(inputs)[0]
    close(reference("beta_vae").loss(inputs, beta=1.0)[0], vae)
    bib, terms = reference("bib_ae").loss(inputs, beta=1.0)
    close(bib, reference("vae_gan").loss(inputs)[0] - terms[BZ])
    close(reference("aae").loss(inputs, beta=1.0)[0], terms[BZ] - terms[R])

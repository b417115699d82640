"""The objectives of tests/specs, some of the zoo, and their hand-written references, on their own: nothing here imports ibsym.

Three layers. The spec files and the references belong together. Each reference's terms are compared with torch.distributions,
its loss with the hand-derived coefficients, its gradients with finite differences. And each hand derivation, `bound - objective
= gap`, is evaluated exactly on random finite joints, where every information term is a sum.
"""

import importlib.util
import math
import re
import tomllib
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
D = torch.distributions

HERE = Path(__file__).parent
ZOO = [HERE.parent / "ibsym" / "zoo" / f"{name}.toml" for name in ("beta-tcvae", "ceb", "cvae", "dvcca", "dvsib")]
SURROGATE = {"class-conditional"}  # its loss is no weighted sum of its terms; tests/codegen compares it with its reference
SPECS = sorted(p for p in [*ZOO, *(HERE / "specs").glob("*.toml")] if p.stem not in SURROGATE)
REFUSED = sorted((HERE / "specs" / "refused").glob("*.toml"))


def reference(name):
    path = HERE / "references" / f"{name.replace('-', '_')}.py"
    spec = importlib.util.spec_from_file_location(f"_alone_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_spec_is_complete(path):
    spec = tomllib.loads(path.read_text(encoding="utf-8"))
    assert spec["name"] == path.stem
    assert set(spec) <= {
        *("name", "title", "cite", "notes", "objective", "variables", "joints", "families"),
        *("parameters", "estimators", "derivation", "critics"),
    }
    for key in ("title", "cite", "notes", "objective", "variables", "joints", "families"):
        assert spec[key], key
    assert path.stem in CASES
    assert set(CASES[path.stem].parameters) == set(spec.get("parameters", {}))
    sources = {"data"}
    for joint in spec["joints"].values():
        for factor in re.findall(r"\w+\([^)]*\)", joint):
            assert factor in spec["families"] or factor.split("(")[0] in sources, factor


@pytest.mark.parametrize("path", REFUSED, ids=lambda p: p.stem)
def test_refused_specs_say_what_to_expect(path):
    text = path.read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith("# expect: ")
    assert re.findall(r"`([^`]+)`", first)
    assert tomllib.loads(text)["name"] == path.stem


# ------------------------------------------------------------------------------------------- references

B, S = 4, 3


class Make:
    """Random float64 tensors; `S` is the number of draws, none where it is 0."""

    def __init__(self, draws):
        self.generator = torch.Generator().manual_seed(7)
        self.draws = (draws,) if draws else ()

    def real(self, *shape):
        return torch.randn(*shape, dtype=torch.float64, generator=self.generator)

    def row(self, size):
        return self.real(B, size)

    def drawn(self, size):
        return self.real(*self.draws, B, size)

    def positive(self, tensor):
        return tensor.abs() + 0.3

    def bits(self, size):
        return (self.real(B, size) > 0).to(torch.float64)

    def classes(self, size):
        return torch.randint(size, (B,), generator=self.generator)


def normal(i, factor, joint="q"):
    return D.Normal(i[factor, "mean", joint], (0.5 * i[factor, "logvar", joint]).exp())


def kl(p, q):
    value = D.kl_divergence(p, q)
    return (value if isinstance(p, D.Categorical) else value.sum(-1)).mean()


def fit(density, value):
    value = density.log_prob(value)
    return (value if isinstance(density, D.Categorical) else value.sum(-1)).mean()


def unit(i, factor):
    return D.Normal(torch.zeros_like(i[factor, "mean", "q"]), 1.0)


def bits(i, factor):
    return D.Bernoulli(logits=i[factor, "logits", "q"])


def classes(i, factor):
    return D.Categorical(logits=i[factor, "logits", "q"])


def headed(i, factor):
    weight, bias = i[factor, "weight", "q"], i[factor, "bias", "q"]
    return D.Categorical(logits=torch.einsum("...n,kn->...k", i[factor, "hidden", "q"], weight) + bias)


def inner(i, first, second):
    return (i[first, "embedding", "q"].unsqueeze(1) * i[second, "embedding", "q"]).sum(-1)


def entropy(logvar):
    return D.Normal(torch.zeros_like(logvar), (0.5 * logvar).exp()).entropy().sum(-1).mean()


def nce(scores):
    soft = scores.softmax(1).diagonal()
    return soft.log().mean() + math.log(len(scores))


def mixture_tc(i):
    """TC of the batch's mixture of posteriors at the draws, one density at a time."""
    z, mean, std = i["z", "sample", "q"], i["q(z|x)", "mean", "q"], (0.5 * i["q(z|x)", "logvar", "q"]).exp()
    even = D.Categorical(probs=torch.ones(B, dtype=torch.float64))
    together = D.MixtureSameFamily(even, D.Independent(D.Normal(mean, std), 1)).log_prob(z)
    apart = [D.MixtureSameFamily(even, D.Normal(mean[:, k], std[:, k])).log_prob(z[..., k]) for k in range(z.shape[-1])]
    return (together - sum(apart)).mean()


class Case:
    def __init__(self, inputs, terms, weights, **parameters):
        self.inputs, self.terms, self.weights, self.parameters = inputs, terms, weights, parameters


def gaussian(of, make, kind="row", size=2):
    return {(of, role, "q"): getattr(make, kind)(size) for role in ("mean", "logvar")}


CASES = {
    "ceb": Case(
        lambda m: {
            **gaussian("q(z|x)", m),
            **gaussian("b(z|c)", m),
            ("p(c|z)", "logits", "q"): m.drawn(3),
            ("c", "value", "q"): m.classes(3),
        },
        {
            "KL(q(z|x)||b(z|c))": lambda i: kl(normal(i, "q(z|x)"), normal(i, "b(z|c)")),
            "E_q[log p(c|z)]": lambda i: fit(classes(i, "p(c|z)"), i["c", "value", "q"]),
        },
        lambda gamma: (1, -gamma),
        gamma=1.7,
    ),
    "cvae": Case(
        lambda m: {
            **gaussian("q(z|x,c)", m),
            **gaussian("p(z|c)", m),
            ("p(x|z,c)", "logits", "q"): m.drawn(5),
            ("x", "value", "q"): m.bits(5),
        },
        {
            "KL(q(z|x,c)||p(z|c))": lambda i: kl(normal(i, "q(z|x,c)"), normal(i, "p(z|c)")),
            "E_q[log p(x|z,c)]": lambda i: fit(bits(i, "p(x|z,c)"), i["x", "value", "q"]),
        },
        lambda: (1, -1),
    ),
    "dvcca": Case(
        lambda m: {
            **gaussian("q(z|x1)", m),
            ("p(x1|z)", "logits", "q"): m.drawn(5),
            **gaussian("p(x2|z)", m, "drawn", 3),
            ("x1", "value", "q"): m.bits(5),
            ("x2", "value", "q"): m.row(3),
        },
        {
            "KL(q(z|x1)||p(z))": lambda i: kl(normal(i, "q(z|x1)"), unit(i, "q(z|x1)")),
            "E_q[log p(x1|z)]": lambda i: fit(bits(i, "p(x1|z)"), i["x1", "value", "q"]),
            "E_q[log p(x2|z)]": lambda i: fit(normal(i, "p(x2|z)"), i["x2", "value", "q"]),
        },
        lambda beta: (1, -beta, -beta),
        beta=2.3,
    ),
    "two-view-joint": Case(
        lambda m: {
            **gaussian("q(z|x1)", m),
            ("p(x1|z)", "logits", "q"): m.drawn(5),
            ("x1", "value", "q"): m.bits(5),
        },
        {
            "KL(q(z|x1)||p(z))": lambda i: kl(normal(i, "q(z|x1)"), unit(i, "q(z|x1)")),
            "E_q[log p(x1|z)]": lambda i: fit(bits(i, "p(x1|z)"), i["x1", "value", "q"]),
        },
        lambda beta: (1, -beta),
        beta=2.3,
    ),
    "two-view-fused": Case(
        lambda m: {
            **gaussian("q(z|x1,x2)", m),
            ("p(x1|z)", "logits", "q"): m.drawn(5),
            ("p(x2|z)", "mean", "q"): m.drawn(3),
            ("x1", "value", "q"): m.bits(5),
            ("x2", "value", "q"): m.row(3),
        },
        {
            "KL(q(z|x1,x2)||p(z))": lambda i: kl(normal(i, "q(z|x1,x2)"), unit(i, "q(z|x1,x2)")),
            "E_q[log p(x1|z)]": lambda i: fit(bits(i, "p(x1|z)"), i["x1", "value", "q"]),
            "E_q[log p(x2|z)]": lambda i: fit(D.Normal(i["p(x2|z)", "mean", "q"], 0.5), i["x2", "value", "q"]),
        },
        lambda beta: (1, -beta, -beta),
        beta=2.3,
    ),
    "hierarchical-vae": Case(
        lambda m: {
            ("q(z1|x)", "logvar", "q"): m.row(3),
            ("z1", "sample", "q"): m.drawn(3),
            **gaussian("q(z2|z1)", m, "drawn"),
            **gaussian("p(z1|z2)", m, "drawn", 3),
            ("p(x|z1)", "logits", "q"): m.drawn(5),
            ("x", "value", "q"): m.bits(5),
        },
        {
            "E_q[log q(z1|x)]": lambda i: -entropy(i["q(z1|x)", "logvar", "q"]),
            "KL(q(z2|z1)||p(z2))": lambda i: kl(normal(i, "q(z2|z1)"), unit(i, "q(z2|z1)")),
            "E_q[log p(z1|z2)]": lambda i: fit(normal(i, "p(z1|z2)"), i["z1", "sample", "q"]),
            "E_q[log p(x|z1)]": lambda i: fit(bits(i, "p(x|z1)"), i["x", "value", "q"]),
        },
        lambda: (1, 1, -1, -1),
    ),
    "private-ib": Case(
        lambda m: {
            **gaussian("q(z|x)", m),
            ("p(c|z)", "logits", "q"): m.drawn(3),
            ("c", "value", "q"): m.classes(3),
            ("d(x|z,s)", "mean", "q"): m.drawn(5),
            ("x", "value", "q"): m.row(5),
        },
        {
            "KL(q(z|x)||p(z))": lambda i: kl(normal(i, "q(z|x)"), unit(i, "q(z|x)")),
            "E_q[log p(c|z)]": lambda i: fit(classes(i, "p(c|z)"), i["c", "value", "q"]),
            "E_q[log d(x|z,s)]": lambda i: fit(D.Normal(i["d(x|z,s)", "mean", "q"], 1.0), i["x", "value", "q"]),
        },
        lambda beta, gamma: (1 + gamma, -beta, -gamma),
        beta=2.3,
        gamma=0.7,
    ),
    "laplace-vae": Case(
        lambda m: {
            **gaussian("q(z|x)", m),
            ("p(z)", "mean", "q"): m.real(2),
            ("p(x|z)", "mean", "q"): m.drawn(5),
            ("x", "value", "q"): m.row(5),
        },
        {
            "KL(q(z|x)||p(z))": lambda i: kl(normal(i, "q(z|x)"), D.Normal(i["p(z)", "mean", "q"].expand(B, 2), 2.0)),
            "E_q[log p(x|z)]": lambda i: fit(D.Laplace(i["p(x|z)", "mean", "q"], 0.5), i["x", "value", "q"]),
        },
        lambda: (1, -1),
    ),
    "laplace-scale-vae": Case(
        lambda m: {
            ("q(z|x)", "mean", "q"): m.row(2),
            ("q(z|x)", "scale", "q"): m.positive(m.row(2)),
            ("p(z)", "mean", "q"): m.real(2),
            ("p(x|z)", "mean", "q"): m.drawn(5),
            ("p(x|z)", "scale", "q"): m.positive(m.drawn(5)),
            ("x", "value", "q"): m.row(5),
        },
        {
            "KL(q(z|x)||p(z))": lambda i: kl(
                D.Laplace(i["q(z|x)", "mean", "q"], i["q(z|x)", "scale", "q"]),
                D.Laplace(i["p(z)", "mean", "q"].expand(B, 2), 1.0),
            ),
            "E_q[log p(x|z)]": lambda i: fit(
                D.Laplace(i["p(x|z)", "mean", "q"], i["p(x|z)", "scale", "q"]), i["x", "value", "q"]
            ),
        },
        lambda: (1, -1),
    ),
    "beta-tcvae": Case(
        lambda m: {
            **gaussian("q(z|x)", m, size=3),
            ("z", "sample", "q"): m.drawn(3),
            ("p(x|z)", "logits", "q"): m.drawn(5),
            ("x", "value", "q"): m.bits(5),
        },
        {
            "KL(q(z|x)||p(z))": lambda i: kl(normal(i, "q(z|x)"), unit(i, "q(z|x)")),
            "TC_q(Z)": mixture_tc,
            "E_q[log p(x|z)]": lambda i: fit(bits(i, "p(x|z)"), i["x", "value", "q"]),
        },
        lambda beta: (1, beta - 1, -1),
        beta=6.0,
    ),
    "categorical-ib": Case(
        lambda m: {
            ("q(z|x)", "logits", "q"): m.row(4),
            ("p(c|z)", "logits", "q"): m.drawn(3),
            ("c", "value", "q"): m.classes(3),
        },
        {
            "KL(q(z|x)||p(z))": lambda i: kl(classes(i, "q(z|x)"), D.Categorical(torch.ones(B, 4, dtype=torch.float64))),
            "E_q[log p(c|z)]": lambda i: fit(classes(i, "p(c|z)"), i["c", "value", "q"]),
        },
        lambda beta: (1, -beta),
        beta=2.3,
    ),
    "binary-code-vae": Case(
        lambda m: {
            ("q(z|x)", "logits", "q"): m.row(4),
            ("p(z)", "logits", "q"): m.real(4),
            ("p(x|z)", "logits", "q"): m.drawn(5),
            ("x", "value", "q"): m.bits(5),
        },
        {
            "KL(q(z|x)||p(z))": lambda i: kl(bits(i, "q(z|x)"), D.Bernoulli(logits=i["p(z)", "logits", "q"].expand(B, 4))),
            "E_q[log p(x|z)]": lambda i: fit(bits(i, "p(x|z)"), i["x", "value", "q"]),
        },
        lambda beta: (beta, -1),
        beta=0.4,
    ),
    "infonce-rep": Case(
        lambda m: {**gaussian("q(z|x)", m), ("I_q(Z;Y)", "scores", "q"): m.real(B, B)},
        {
            "KL(q(z|x)||p(z))": lambda i: kl(normal(i, "q(z|x)"), unit(i, "q(z|x)")),
            "I_q(Z;Y)": lambda i: nce(i["I_q(Z;Y)", "scores", "q"]),
        },
        lambda beta: (beta, -1),
        beta=0.4,
    ),
    "inner-products": Case(
        lambda m: {
            ("z1", "embedding", "q"): m.row(4),
            ("z2", "embedding", "q"): m.row(4),
            ("I_q(Z1;Z2)", "temperature", "q"): m.positive(m.real(1)[0]),
            ("I_q(Z2;Z1)", "temperature", "q"): m.positive(m.real(1)[0]),
        },
        {
            "I_q(Z1;Z2)": lambda i: nce(inner(i, "z1", "z2") / i["I_q(Z1;Z2)", "temperature", "q"]),
            "I_q(Z2;Z1)": lambda i: nce(inner(i, "z2", "z1") / i["I_q(Z2;Z1)", "temperature", "q"]),
        },
        lambda: (-0.5, -0.5),
    ),
    "linear-head": Case(
        lambda m: {
            **gaussian("q(z|x)", m),
            ("p(t|z)", "hidden", "q"): m.drawn(3),
            ("p(t|z)", "weight", "q"): m.real(6, 3),
            ("p(t|z)", "bias", "q"): m.real(6),
            ("t", "value", "q"): m.classes(6),
        },
        {
            "KL(q(z|x)||p(z))": lambda i: kl(normal(i, "q(z|x)"), unit(i, "q(z|x)")),
            "E_q[log p(t|z)]": lambda i: fit(headed(i, "p(t|z)"), i["t", "value", "q"]),
        },
        lambda beta: (beta, -1),
        beta=0.4,
    ),
    "symmetric-ib": Case(
        lambda m: {
            **gaussian("q(z1|x1)", m),
            **gaussian("q(z2|x2)", m, size=3),
            ("I_q(Z1;Z2)", "scores", "q"): m.real(B, B),
        },
        {
            "KL(q(z1|x1)||p(z1))": lambda i: kl(normal(i, "q(z1|x1)"), unit(i, "q(z1|x1)")),
            "KL(q(z2|x2)||p(z2))": lambda i: kl(normal(i, "q(z2|x2)"), unit(i, "q(z2|x2)")),
            "I_q(Z1;Z2)": lambda i: nce(i["I_q(Z1;Z2)", "scores", "q"]),
        },
        lambda beta: (1, 1, -beta),
        beta=2.3,
    ),
    "dvsib": Case(
        lambda m: {
            **gaussian("q(z1|x1)", m),
            **gaussian("q(z2|x2)", m, size=3),
            ("I_q(Z1;Z2)", "scores", "q"): m.real(B, B),
            ("p(x1|z1)", "mean", "q"): m.drawn(5),
            ("p(x2|z2)", "logits", "q"): m.drawn(4),
            ("x1", "value", "q"): m.row(5),
            ("x2", "value", "q"): m.bits(4),
        },
        {
            "KL(q(z1|x1)||p(z1))": lambda i: kl(normal(i, "q(z1|x1)"), unit(i, "q(z1|x1)")),
            "KL(q(z2|x2)||p(z2))": lambda i: kl(normal(i, "q(z2|x2)"), unit(i, "q(z2|x2)")),
            "I_q(Z1;Z2)": lambda i: nce(i["I_q(Z1;Z2)", "scores", "q"]),
            "E_q[log p(x1|z1)]": lambda i: fit(D.Normal(i["p(x1|z1)", "mean", "q"], 1.0), i["x1", "value", "q"]),
            "E_q[log p(x2|z2)]": lambda i: fit(bits(i, "p(x2|z2)"), i["x2", "value", "q"]),
        },
        lambda beta: (1, 1, -beta, -beta, -beta),
        beta=2.3,
    ),
}
CASES["conditional-evidence"] = CASES["cvae"]  # one bound, reached from two objectives

OVER_THE_BATCH = {
    "beta-tcvae": "TC_q(Z)",
    "inner-products": "I_q(Z1;Z2)",
    "infonce-rep": "I_q(Z;Y)",
    "symmetric-ib": "I_q(Z1;Z2)",
    "dvsib": "I_q(Z1;Z2)",
}

every = pytest.mark.parametrize("name", CASES)


def test_every_case_has_a_spec():
    assert set(CASES) == {p.stem for p in SPECS}


@every
@pytest.mark.parametrize("draws", [0, S])
def test_terms_and_loss(name, draws):
    case = CASES[name]
    inputs = case.inputs(Make(draws))
    total, terms = reference(name).loss(inputs, **case.parameters)
    assert list(terms) == list(case.terms)
    expected = 0.0
    for (text, by_hand), weight in zip(case.terms.items(), case.weights(**case.parameters), strict=True):
        torch.testing.assert_close(terms[text], by_hand(inputs), rtol=1e-10, atol=1e-12)
        assert terms[text].dim() == 0
        expected = expected + weight * terms[text]
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)


@every
def test_reductions(name):
    case, loss = CASES[name], reference(name).loss
    inputs = case.inputs(Make(S))
    mean, _ = loss(inputs, **case.parameters)
    torch.testing.assert_close(loss(inputs, **case.parameters, reduction="sum")[0], mean * B)
    with pytest.raises(ValueError, match="unknown reduction"):
        loss(inputs, **case.parameters, reduction="max")
    if name in OVER_THE_BATCH:
        with pytest.raises(ValueError, match=re.escape(OVER_THE_BATCH[name])):
            loss(inputs, **case.parameters, reduction="none")
    else:
        rows, _ = loss(inputs, **case.parameters, reduction="none")
        assert rows.shape == (B,)
        torch.testing.assert_close(rows.mean(), mean)


@every
def test_parameters_are_required_keywords(name):
    case = CASES[name]
    if case.parameters:
        with pytest.raises(TypeError):
            reference(name).loss(case.inputs(Make(0)))


@every
def test_gradients(name):
    case, loss = CASES[name], reference(name).loss
    inputs = case.inputs(Make(2))
    free = [k for k, v in inputs.items() if v.is_floating_point() and k[1] != "value"]

    def of(*tensors):
        return loss({**inputs, **dict(zip(free, tensors, strict=True))}, **case.parameters)[0]

    tensors = [inputs[k].clone().requires_grad_() for k in free]
    assert torch.autograd.gradcheck(of, tensors, fast_mode=True)
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(of(*tensors), tensors))
    _, terms = loss({**inputs, **dict(zip(free, tensors, strict=True))}, **case.parameters)
    assert not any(t.requires_grad for t in terms.values())


def test_the_dataset_size_shifts_the_total_correlation_by_a_constant():
    case, loss = CASES["beta-tcvae"], reference("beta-tcvae").loss
    inputs = case.inputs(Make(S))
    _, plain = loss(inputs, beta=6.0)
    _, sized = loss(inputs, beta=6.0, dataset_size=60000)
    torch.testing.assert_close(
        sized["TC_q(Z)"] - plain["TC_q(Z)"], torch.tensor((3 - 1) * math.log(60000), dtype=torch.float64)
    )


def test_the_two_entropies_of_the_hierarchy_estimate_one_number():
    """And the closed relative entropy that one must not use is another one."""
    torch.manual_seed(3)
    draws, rows = 20000, 2
    mean, logvar = torch.randn(rows, 1, dtype=torch.float64), torch.zeros(rows, 1, dtype=torch.float64)
    z1 = mean + torch.randn(draws, rows, 1, dtype=torch.float64)
    z2 = z1 + 0.5 * torch.randn(draws, rows, 1, dtype=torch.float64)
    fixed = torch.full_like(z1, math.log(0.25))
    inputs = {
        ("q(z1|x)", "mean", "q"): mean,
        ("q(z1|x)", "logvar", "q"): logvar,
        ("z1", "sample", "q"): z1,
        ("q(z2|z1)", "mean", "q"): z1,
        ("q(z2|z1)", "logvar", "q"): fixed,
        ("p(z1|z2)", "mean", "q"): z2,
        ("p(z1|z2)", "logvar", "q"): fixed,
        ("p(x|z1)", "logits", "q"): torch.zeros_like(z1),
        ("x", "value", "q"): torch.ones(rows, 1, dtype=torch.float64),
    }
    loss = reference("hierarchical-vae").loss
    closed, terms = loss(inputs)
    sampled, _ = loss(inputs, entropy="sampled")
    torch.testing.assert_close(closed, sampled, rtol=0, atol=0.03)
    right = terms["E_q[log q(z1|x)]"] - terms["E_q[log p(z1|z2)]"]
    wrong = D.kl_divergence(D.Normal(mean, 1.0), D.Normal(z2, 0.5)).sum(-1).mean()
    assert wrong - right > 1.0


# ------------------------------------------------- the derivations, exactly, on random finite joints


def table(generator, out, given=()):
    """A random conditional: axes `given`, then `out`, summing to one over `out`."""
    raw = torch.rand(*given, *out, dtype=torch.float64, generator=generator) + 0.05
    return raw / raw.sum(tuple(range(len(given), len(given) + len(out))), keepdim=True)


class World:
    """One joint q over letters; conditionals R(A|B) as (table, letters) are evaluated under it."""

    def __init__(self, letters, joint):
        self.letters, self.joint = letters, joint

    def marginal(self, letters):
        return torch.einsum(f"{self.letters}->{letters}", self.joint)

    def h(self, a, given=""):
        m = self.marginal(a + given)
        value = -(m * m.log()).sum()
        return value - self.h(given) if given else value

    def i(self, a, b, given=""):
        return self.h(b, given) - self.h(b, a + given)

    def log(self, tensor, letters):
        return (self.marginal(letters) * tensor.log()).sum()

    def kl(self, a, given, tensor, letters):
        """KL(q(a|given) || tensor), averaged over q(given)."""
        return -self.h(a, given) - self.log(tensor, letters)


@pytest.fixture(params=range(3))
def g(request):
    return torch.Generator().manual_seed(request.param)


def same(bound, objective, gap):
    torch.testing.assert_close(bound - objective, gap, rtol=1e-9, atol=1e-10)
    assert gap > 0


def test_ceb_on_paper(g):
    gamma = 1.3
    enc, b, p = table(g, (3,), (4,)), table(g, (3,), (2,)), table(g, (2,), (3,))  # xz, cz, zc
    w = World("xcz", torch.einsum("xc,xz->xcz", table(g, (4, 2)), enc))
    bound = w.log(enc, "xz") - w.log(b, "cz") - gamma * w.log(p, "zc") - gamma * w.h("c")
    gap = w.kl("z", "c", b, "cz") + gamma * w.kl("c", "z", p, "zc")
    same(bound, w.i("x", "z", "c") - gamma * w.i("z", "c"), gap)


def test_conditional_vae_on_paper(g):
    enc, prior, dec = table(g, (3,), (4, 2)), table(g, (3,), (2,)), table(g, (4,), (3, 2))  # xcz, cz, zcx
    w = World("xcz", torch.einsum("xc,xcz->xcz", table(g, (4, 2)), enc))
    bound = w.log(enc, "xcz") - w.log(prior, "cz") - w.log(dec, "zcx") - w.h("x", "c")
    gap = w.kl("z", "c", prior, "cz") + w.kl("x", "zc", dec, "zcx")
    same(bound, w.i("x", "z", "c") - w.i("z", "x", "c"), gap)


def test_two_views_on_paper(g):
    beta = 1.3
    enc, prior, dx, dy = table(g, (3,), (4,)), table(g, (3,)), table(g, (4,), (3,)), table(g, (5,), (3,))
    w = World("xyz", torch.einsum("xy,xz->xyz", table(g, (4, 5)), enc))
    rate = w.log(enc, "xz") - w.log(prior, "z")
    bound = rate - beta * (w.log(dx, "zx") + w.log(dy, "zy") + w.h("x") + w.h("y"))
    gap = w.kl("z", "", prior, "z") + beta * (w.kl("x", "z", dx, "zx") + w.kl("y", "z", dy, "zy"))
    same(bound, w.i("x", "z") - beta * (w.i("z", "x") + w.i("z", "y")), gap)
    # In one term: the pair says no more of Z than X1 does, and the second decoder only loosens.
    torch.testing.assert_close(w.i("z", "xy"), w.i("z", "x"))
    one = rate - beta * (w.log(dx, "zx") + w.h("x"))
    same(one, w.i("x", "z") - beta * w.i("z", "xy"), w.kl("z", "", prior, "z") + beta * w.kl("x", "z", dx, "zx"))
    both = rate - beta * (w.log(dx, "zx") + w.log(dy, "zy") + w.h("xy"))
    torch.testing.assert_close(both - one, -beta * (w.log(dy, "zy") + w.h("y", "x")))
    assert both > one


def test_fused_views_on_paper(g):
    beta = 1.3
    enc, prior, dx, dy = table(g, (3,), (4, 5)), table(g, (3,)), table(g, (4,), (3,)), table(g, (5,), (3,))
    w = World("xyz", torch.einsum("xy,xyz->xyz", table(g, (4, 5)), enc))
    bound = w.log(enc, "xyz") - w.log(prior, "z") - beta * (w.log(dx, "zx") + w.log(dy, "zy") + w.h("xy"))
    pair = torch.einsum("zx,zy->zxy", dx, dy)
    gap = w.kl("z", "", prior, "z") + beta * w.kl("xy", "z", pair, "zxy")
    same(bound, w.i("xy", "z") - beta * w.i("z", "xy"), gap)


def test_hierarchical_vae_on_paper(g):
    """Letters: x data, u the lower latent z1, v the upper latent z2."""
    e1, e2 = table(g, (3,), (4,)), table(g, (2,), (3,))  # xu, uv
    p2, p1, px = table(g, (2,)), table(g, (3,), (2,)), table(g, (4,), (3,))  # v, vu, ux
    data = table(g, (4,))
    w = World("xuv", torch.einsum("x,xu,uv->xuv", data, e1, e2))
    model = torch.einsum("v,vu,ux->xuv", p2, p1, px)
    marginal = model.sum((1, 2))
    bound = w.log(e1, "xu") + w.log(e2, "uv") - w.log(p2, "v") - w.log(p1, "vu") - w.log(px, "ux") - w.h("x")
    objective = (data * (data / marginal).log()).sum()
    below = model.sum(2) / marginal[:, None]  # p(z1|x)
    above = torch.einsum("xuv->uv", model) / torch.einsum("xuv->u", model)[:, None]  # p(z2|z1)
    same(bound, objective, w.kl("u", "x", below, "xu") + w.kl("v", "u", above, "uv"))


def test_private_ib_on_paper(g):
    beta, gamma = 1.3, 0.7
    enc, prior, p, d = table(g, (3,), (4,)), table(g, (3,)), table(g, (2,), (3,)), table(g, (4,), (3, 2))  # xz, z, zc, zsx
    w = World("xcsz", torch.einsum("xcs,xz->xcsz", table(g, (4, 2, 2)), enc))
    rate = w.log(enc, "xz") - w.log(prior, "z")
    left_out = -beta * w.h("c") - gamma * w.h("x", "s")
    bound = (1 + gamma) * rate - beta * w.log(p, "zc") - gamma * w.log(d, "zsx") + left_out
    gap = (1 + gamma) * w.kl("z", "", prior, "z") + beta * w.kl("c", "z", p, "zc") + gamma * w.kl("x", "zs", d, "zsx")
    same(bound, w.i("x", "z") - beta * w.i("z", "c") + gamma * w.i("s", "z"), gap)


def test_dvsib_on_paper(g):
    """All but the information of the codes, which InfoNCE bounds. Letters: x, u of the first view, y, v of the second."""
    beta = 1.3
    eu, ev, pu, pv = table(g, (3,), (4,)), table(g, (2,), (5,)), table(g, (3,)), table(g, (2,))  # xu, yv
    dx, dy = table(g, (4,), (3,)), table(g, (5,), (2,))  # ux, vy
    w = World("xyuv", torch.einsum("xy,xu,yv->xyuv", table(g, (4, 5)), eu, ev))
    bound = w.log(eu, "xu") - w.log(pu, "u") + w.log(ev, "yv") - w.log(pv, "v")
    bound = bound - beta * (w.log(dx, "ux") + w.log(dy, "vy") + w.h("x") + w.h("y"))
    gap = w.kl("u", "", pu, "u") + w.kl("v", "", pv, "v") + beta * (w.kl("x", "u", dx, "ux") + w.kl("y", "v", dy, "vy"))
    same(bound, w.i("x", "u") + w.i("y", "v") - beta * (w.i("u", "x") + w.i("v", "y")), gap)


def test_infonce_never_exceeds_the_information(g):
    """Exactly, for batches of two: the expectation over all pairs of pairs, at random and at the best critic."""
    joint = table(g, (3, 4))
    w = World("zy", joint)
    best = (joint / joint.sum(1, keepdim=True) / joint.sum(0)).log()
    nce_of = reference("infonce-rep")._infonce
    pairs = [(z, y) for z in range(3) for y in range(4)]
    for critic in (best, torch.randn(3, 4, dtype=torch.float64, generator=g)):
        value = 0.0
        for a in pairs:
            for b in pairs:
                scores = torch.stack([torch.stack([critic[i[0], j[1]] for j in (a, b)]) for i in (a, b)])
                value = value + joint[a] * joint[b] * nce_of(scores)
        assert value <= w.i("z", "y") + 1e-12
        assert value <= math.log(2)

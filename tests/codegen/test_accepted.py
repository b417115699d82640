"""What derive accepts is emitted and runs; what no code computes is refused by derive, with what to write."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.errors import DerivationError, IbsymError  # noqa: E402

EXACT = {"rtol": 1e-10, "atol": 1e-12}
N = torch.distributions.Normal
BASE = {
    "name": "accepted",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}
XZ = "I_q(X;Z)"


def with_family(text: str, family: object) -> dict[str, object]:
    return {**BASE, "families": {**BASE["families"], text: family}}


LABELS = {
    **BASE,
    "variables": {"x": "real[D]", "c": "categorical[K]", "z": "real[L]"},
    "joints": {"q": "data(x,c) q(z|x)", "p": "p(z) p(c|z)", "r": "r(z|c)"},
    "families": {
        "q(z|x)": "diagonal-normal",
        "p(z)": "standard-normal",
        "p(c|z)": "categorical",
        "r(z|c)": "diagonal-normal",
    },
}


@pytest.mark.parametrize("estimator", ["leave-one-out", "club"])
@pytest.mark.parametrize(
    ("keys", "objective", "term"),
    [
        (with_family("q(z|x)", "implicit"), "minimize I_q(X;Z) - I_q(Z;X)", XZ),
        (with_family("q(z|x)", "deterministic"), "minimize I_q(X;Z) - I_q(Z;X)", XZ),
        # r(z|c) is declared, and is not q(z|c), which no factor is.
        (LABELS, "minimize I_q(C;Z) - I_q(Z;C)", "I_q(C;Z)"),
    ],
    ids=["implicit", "deterministic", "another's"],
)
def test_a_conditional_that_cannot_be_evaluated_is_refused(keys, objective, term, estimator) -> None:
    with pytest.raises(IbsymError, match=r"(?s)needs the density of one argument given the other.*write: "):
        ibsym.derive(ibsym.Spec(**keys, objective=objective, estimators={term: estimator}))


REFUSED = [
    (BASE, {"KL(q(z)||p(z))": "batch-marginal"}, "takes the marginals of one categorical variable"),
    (
        {
            **BASE,
            "variables": {"x": "real[D]", "z": "categorical[K]"},
            "families": {
                "q(z|x)": {"family": "categorical", "head": "linear"},
                "p(z)": "uniform",
                "p(x|z)": "isotropic-normal",
            },
        },
        {"KL(q(z)||p(z))": "batch-marginal"},
        "has no probabilities of classes to average",
    ),
    (with_family("q(z|x)", "implicit"), {"KL(q(z)||p(z))": "minibatch-weighted"}, "has samples and no density"),
    (BASE, {"KL(q(z)||p(z))": "minibatch-stratified"}, "needs the number of rows"),
    (
        {
            **BASE,
            "variables": {"x": "real[D]", "z": "categorical[K]"},
            "families": {
                "q(z|x)": {"family": "categorical", "relax": "concrete"},
                "p(z)": "uniform",
                "p(x|z)": "isotropic-normal",
            },
        },
        {"KL(q(z)||p(z))": "mmd"},
        "class index",
    ),
]


@pytest.mark.parametrize(("keys", "estimators", "message"), REFUSED)
def test_what_no_code_computes_is_refused(keys, estimators, message) -> None:
    (term,) = estimators
    with pytest.raises(DerivationError, match=rf"(?s){message}.*write: "):
        ibsym.derive(ibsym.Spec(**keys, objective=f"minimize {term}", estimators=estimators))


def test_an_objective_of_constants_is_refused() -> None:
    with pytest.raises(DerivationError, match=r"(?s)nothing is left to compute.*write: "):
        ibsym.derive(ibsym.Spec(**BASE, objective="minimize H_q(X)"))


# ------------------------------------------------------------------------------------------ joint codes

CODES: dict[str, Any] = {
    "name": "codes",
    "variables": {"x": "real[D]", "z": "real[L]", "y": "real[M]"},
    "joints": {"q": "data(x) q(z|x) q(y|x)", "p": "p(z) p(y) p(x|z,y)"},
    "families": {
        "q(z|x)": "diagonal-normal",
        "q(y|x)": "diagonal-normal",
        "p(z)": "standard-normal",
        "p(y)": "standard-normal",
        "p(x|z,y)": "isotropic-normal",
    },
}


def log_pairs(value, mean, logvar):
    """log q(v_i|x_j)."""
    return N(mean, (0.5 * logvar).exp()).log_prob(value[:, None]).sum(-1)


@pytest.mark.parametrize("second", ["p(z,y)", "p(z)p(y)"])
@pytest.mark.parametrize("shape", ["side by side", "one after the other"])
def test_a_joint_code_with_a_product_prior(second: str, shape: str) -> None:
    """KL(q(z,y)||p(z)p(y)) by the batch's mixture, q(y|x) beside q(z|x), or q(y|z) after it."""
    keys: dict[str, Any] = dict(CODES)
    if shape == "one after the other":
        keys["joints"] = {**CODES["joints"], "q": "data(x) q(z|x) q(y|z)"}
        keys["families"] = {("q(y|z)" if k == "q(y|x)" else k): v for k, v in CODES["families"].items()}
    term = f"KL(q(z,y)||{second})"
    Loss = ibsym.compile(ibsym.Spec(**keys, objective=f"minimize {term}", estimators={term: "minibatch-weighted"}))
    generator = torch.Generator().manual_seed(0)
    sizes = {"B": 5, "D": 2, "L": 3, "M": 2}
    inputs = {
        i.name: torch.randn([sizes[a] for a in i.shape if a != "S"], dtype=torch.float64, generator=generator)
        for i in Loss.INPUTS
    }
    z, y = inputs["z"], inputs["y"]
    joint = log_pairs(z, inputs["z_mean"], inputs["z_logvar"])
    if shape == "side by side":
        joint = joint + log_pairs(y, inputs["y_mean"], inputs["y_logvar"])
    else:
        joint = joint + N(inputs["y_mean"], (0.5 * inputs["y_logvar"]).exp()).log_prob(y).sum(-1)[:, None]
    expected = (joint.logsumexp(1) - math.log(5)).mean() - sum(N(0.0, 1.0).log_prob(v).sum(-1).mean() for v in (z, y))
    output = Loss()(**inputs)
    torch.testing.assert_close(output.terms[term.replace("q(z,y)", "q(z,y)")], expected, **EXACT)
    torch.testing.assert_close(output.loss, expected, **EXACT)


# ------------------------------------------------------------------------------------------ fixed laws of classes


@pytest.mark.parametrize("size", ["K", "4"])
@pytest.mark.parametrize("law", ["uniform", "categorical"])
@pytest.mark.parametrize("forward", [True, False], ids=["batch first", "law first"])
def test_a_batch_against_a_law_without_conditions(size: str, law: str, forward: bool) -> None:
    """KL(q(c)||p(c)) and KL(p(c)||q(c)), q(c) the mean of q(c|x) over the batch, p(c) uniform or of its own logits."""
    term = "KL(q(c)||p(c))" if forward else "KL(p(c)||q(c))"
    keys = {
        "name": "classes",
        "variables": {"x": "real[D]", "c": f"categorical[{size}]"},
        "joints": {"q": "data(x) q(c|x)", "p": "p(c)"},
        "families": {"q(c|x)": {"family": "categorical", "relax": "concrete"}, "p(c)": law},
        "objective": f"minimize {term}",
        "estimators": {term: "batch-marginal"},
    }
    Loss = ibsym.compile(ibsym.Spec(**keys))
    generator = torch.Generator().manual_seed(1)
    inputs = {
        i.name: torch.randn(
            [{"B": 5, "K": 4}.get(a) or int(a) for a in i.shape if a != "S"], dtype=torch.float64, generator=generator
        )
        for i in Loss.INPUTS
    }
    q = inputs["q_c_logits" if law == "categorical" else "c_logits"].softmax(-1).mean(0)
    p = inputs["p_c_logits"].softmax(-1) if law == "categorical" else torch.full((4,), 0.25, dtype=torch.float64)
    first, second = (q, p) if forward else (p, q)
    expected = (first * (first / second).log()).sum()
    leaves = {n: t.requires_grad_() for n, t in inputs.items()}
    output = Loss()(**leaves)
    torch.testing.assert_close(output.loss, expected, **EXACT)
    assert all(g.any() for g in torch.autograd.grad(output.loss, list(leaves.values())))


SHARES: dict[str, Any] = {
    "name": "shares",
    "variables": {"x": "real[D]", "c": "categorical[K]", "z": "real[L]"},
    "joints": {"q": "data(x,c) q(z|x)", "u": "data(x) q(z|x) u(c|z)", "p": "p(z) p(c)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "u(c|z)": "categorical", "p(c)": "categorical"},
}


@pytest.mark.parametrize("learned", ["u", "p"])
@pytest.mark.parametrize("source", ["data", "q"])
@pytest.mark.parametrize("forward", [True, False], ids=["law first", "source first"])
def test_a_law_of_classes_against_the_shares_of_a_batch(learned: str, source: str, forward: bool) -> None:
    """KL(u(c)||data(c)) and KL(data(c)||u(c)), the labels' shares counted: 0 log 0 = 0, and infinite where only the second has a 0."""
    term = f"KL({learned}(c)||{source}(c))" if forward else f"KL({source}(c)||{learned}(c))"
    Loss = ibsym.compile(ibsym.Spec(**SHARES, objective=f"minimize {term}", estimators={term: "batch-marginal"}))
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn((3, 6, 4) if learned == "u" else (4,), dtype=torch.float64, generator=generator).requires_grad_()
    m = logits.softmax(-1).reshape(-1, 4).mean(0)
    assert [i.joint for i in Loss.INPUTS if i.role == "value"] == [source]
    for labels in ([0, 1, 2, 3, 3, 1], [0, 1, 1, 3, 3, 1]):
        r = torch.bincount(torch.tensor(labels), minlength=4).to(m.dtype) / 6
        first, second = (m, r) if forward else (r, m)
        expected = sum(a * (a / b).log() for a, b in zip(first, second, strict=True) if a)
        output = Loss()(c_logits=logits, c=torch.tensor(labels))
        torch.testing.assert_close(output.loss, expected, **EXACT)
        assert output.loss.isinf() == (forward and 2 not in labels)
        if output.loss.isfinite():
            found, wanted = (torch.autograd.grad(v, logits, retain_graph=True)[0] for v in (output.loss, expected))
            torch.testing.assert_close(found, wanted, **EXACT)
            assert found.any()


def test_a_class_that_neither_law_has_does_not_count() -> None:
    """0 log 0/0 = 0: of logits of minus infinity in a class that the batch lacks."""
    term = "KL(p(c)||data(c))"
    Loss = ibsym.compile(ibsym.Spec(**SHARES, objective=f"minimize {term}", estimators={term: "batch-marginal"}))
    logits = torch.tensor([0.3, -0.2, -torch.inf], dtype=torch.float64)
    m, r = logits.softmax(-1)[:2], torch.tensor([0.25, 0.75], dtype=torch.float64)
    output = Loss()(c_logits=logits, c=torch.tensor([1, 0, 1, 1]))
    torch.testing.assert_close(output.loss, (m * (m / r).log()).sum(), **EXACT)


@pytest.mark.parametrize(
    ("objective", "families", "message"),
    [
        # what a network learns stands above c, behind draws that carry no gradient
        (
            "KL(u(c)||data(c))",
            {"q(z|x)": {"family": "external", "reparameterised": False}},
            r"carry no gradient.*write: .*reparameterised = true",
        ),
        ("KL(u(c)||data(c))", {"q(z|x)": {"family": "external", "sampled": False}}, r"has no draws.*write: .*sampled = true"),
        ("KL(p(c)||data(c))", {"p(c)": "uniform"}, r'neither argument of .* write: families."p\(c\)" = "categorical"'),
    ],
)
def test_shares_that_cannot_be_counted_are_refused(objective: str, families: dict[str, Any], message: str) -> None:
    keys = {**SHARES, "families": {**SHARES["families"], **families}}
    with pytest.raises(IbsymError, match=f"(?s){message}"):
        ibsym.derive(ibsym.Spec(**keys, objective=f"minimize {objective}", estimators={objective: "batch-marginal"}))


def test_the_command_line_says_it_in_derive(tmp_path, capsys) -> None:
    from ibsym.cli import main

    file = tmp_path / "mine.toml"
    file.write_text(
        """
name = "mine"
objective = "minimize I_q(X;Z)"
variables = { x = "real[D]", z = "real[L]" }
joints = { q = "data(x) q(z|x)" }
families = { "q(z|x)" = "implicit" }
estimators = { "I_q(X;Z)" = "club" }
""",
        encoding="utf-8",
    )
    with warnings.catch_warnings(), pytest.raises(SystemExit) as leave:
        main(["derive", str(file)])
    assert leave.value.code == 2
    said = capsys.readouterr().err
    assert "club of I_q(X;Z) needs the density" in said
    assert "write: q(z|x) with a density" in said

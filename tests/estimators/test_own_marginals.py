"""A minimised information or total correlation by a critic: P against the product of its own marginals, both of which learn."""

from __future__ import annotations

import math

import pytest

import ibsym

torch = pytest.importorskip("torch")

CORRELATION = 0.7
CASES = [("TC_q(A;B)", "density-ratio"), ("TC_q(A;B)", "nwj"), ("I_q(A;B)", "density-ratio"), ("KL(q(a,b)||q(a)q(b))", "dv")]


def with_covariance(covariance, rows=20_000):
    """Normal rows whose first two moments are exact."""
    z = torch.randn(rows, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = z - z.mean(0)
    return z @ torch.linalg.inv(torch.linalg.cholesky(z.T @ z / rows)).T @ torch.linalg.cholesky(covariance).T


@pytest.mark.parametrize(("term", "estimator"), CASES)
@pytest.mark.parametrize("model", [None, "non-saturating"])
def test_the_scale_of_the_codes(term, estimator, model):
    """No code's scale changes the term: at the best critic the value's slope in it is 0, as E_Q's part vanishes; a surrogate's is not."""
    spec = ibsym.Spec(
        name="scales",
        objective=f"minimize {term} - I_q(A,B;X)",
        variables={"x": "real[D]", "a": "real[1]", "b": "real[1]"},
        joints={"q": "data(x) q(a|x) q(b|x)", "p": "p(x|a,b)"},
        families={"q(a|x)": "diagonal-normal", "q(b|x)": "diagonal-normal", "p(x|a,b)": "isotropic-normal"},
        estimators={term: {"estimator": estimator, **({"model": model} if model else {})}},
    )
    loss = ibsym.compile(ibsym.audit(ibsym.derive(spec), worlds=1))()
    one = torch.eye(2, dtype=torch.float64)
    covariance = one + CORRELATION * (1 - one)
    precision = torch.linalg.inv(covariance) - one
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)

    def best(z):
        return -math.log(1 - CORRELATION**2) / 2 - ((z @ precision) * z).sum(-1) / 2

    p, q = (best(scale * with_covariance(c)) for c in (covariance, one))
    given = {i.role: i.name for i in loss.INPUTS if i.of == term}
    rest = {i.name: torch.zeros(len(p), 3, dtype=p.dtype) for i in loss.INPUTS if i.of != term}
    rest |= {i.name: torch.ones(3, dtype=p.dtype) for i in loss.INPUTS if i.role == "scale"}
    output = loss(**rest, **{given[role]: f for role, f in (("critic", p), ("critic_reference", q)) if role in given})
    assert float(output.terms[term].detach()) == pytest.approx(-math.log(1 - CORRELATION**2) / 2, abs=0.03)
    (slope,) = torch.autograd.grad(output.loss, scale)
    if model is None or estimator == "dv":  # whose critic has a constant of its own: it keeps its value
        assert abs(float(slope)) < (1e-10 if estimator == "density-ratio" else 0.05)
    else:
        assert float(slope) > 1


@pytest.mark.parametrize(("rows", "read"), [(8, 1.94), (64, 3.42)])
def test_independent_orders_are_not_the_product(rows, read):
    """Two coordinates each ordered by itself have the law (1 - 1/B) product + q/B, against which a TC of 4.26 reads far less."""
    rho = math.sqrt(1 - math.exp(-2 * 4.26))
    a = with_covariance(torch.eye(2, dtype=torch.float64), 200_000)
    other = rho * a[:, 0] + math.sqrt(1 - rho**2) * a[:, 1]
    pointwise = 4.26 - (a[:, 1] ** 2 - other**2) / 2
    assert float(pointwise.mean()) == pytest.approx(4.26, abs=0.01)
    assert float(-((1 - 1 / rows) * torch.exp(-pointwise) + 1 / rows).log().mean()) == pytest.approx(read, abs=0.02)

"""categorical[K; H,W]: arrays of symbols, by hand and in torch; vector quantisation, whose gradients are of one side."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import ibsym  # noqa: E402
from ibsym.conformance import agree  # noqa: E402
from ibsym.nn import System  # noqa: E402

B, H, W, K, N, M, E = 5, 2, 3, 4, 2, 3, 6
DENSE = {
    "name": "symbols",
    "objective": "minimize I_q(X;Z) - I_q(Z;X)",
    "variables": {"x": "categorical[K; H,W]", "z": "categorical[M; N]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": {"family": "categorical", "relax": "concrete"}, "p(z)": "uniform", "p(x|z)": "categorical"},
}
QUANTISED = DENSE | {"families": DENSE["families"] | {"q(z|x)": {"family": "vector-quantised"}}}


def spec(base: dict[str, Any] = DENSE, **keys: Any) -> ibsym.Spec:
    return ibsym.Spec(**base | keys)


def compiled(**keys: Any) -> Any:
    return ibsym.compile(ibsym.derive(spec(**keys)))


def inputs(loss: Any, **more: Any) -> dict[str, Any]:
    sizes = {"B": B, "H": H, "W": W, "K": K, "N": N, "M": M, "S": 2, "E": E}
    torch.manual_seed(0)
    found = {}
    for i in loss.INPUTS:
        shape = [sizes[a] for a in i.shape]
        integer = i.role == "value"
        found[i.name] = torch.randint(M if i.of == "z" else K, shape) if integer else torch.randn(shape, dtype=torch.float64)
        if i.role == "sample":
            found[i.name] = found[i.name].softmax(-1)
    return found | more


def test_a_law_for_each_symbol_and_their_sum() -> None:
    loss = compiled()
    given = inputs(loss)
    shapes = {i.name: i.shape for i in loss.INPUTS}
    assert shapes == {"z_logits": ("B", "N", "M"), "x": ("B", "H", "W"), "x_logits": ("S", "B", "H", "W", "K")}
    assert loss.SYMBOLS == ("x",)
    out = loss(reduction="none")(**given)
    rate, fit = torch.zeros(B, dtype=torch.float64), torch.zeros(B, dtype=torch.float64)
    for b in range(B):
        for n in range(N):
            r = given["z_logits"][b, n].softmax(-1)
            rate[b] += sum(p * math.log(p * M) for p in r)
        for s in range(2):
            for i in range(H):
                for j in range(W):
                    fit[b] += given["x_logits"][s, b, i, j].log_softmax(-1)[given["x"][b, i, j]] / 2
    torch.testing.assert_close(out.loss, rate - fit, rtol=1e-10, atol=1e-12)
    assert loss()(**given).loss == pytest.approx(float(out.loss.mean()))


@pytest.mark.parametrize(
    "keys",
    [
        {"families": DENSE["families"] | {"p(z)": "categorical"}, "estimators": {"KL(q(z|x)||p(z))": "sampled"}},
        {
            "objective": "minimize KL(q(x,z)||p(x,z))",
            "joints": {"q": "data(x) q(z)", "p": "p(x) p(z|x)"},
            "families": {"q(z)": "uniform", "p(x)": "uniform", "p(z|x)": "categorical"},
        },
    ],
)
def test_other_laws_agree_with_the_interpreter(keys: dict[str, Any]) -> None:
    made = spec(**keys)
    derivation = ibsym.derive(made)
    from ibsym.checking.audit import audit
    from ibsym.lowering import lower

    program = lower(audit(derivation, worlds=1))
    assert agree(made, program, ibsym.compile(derivation), worlds=2).largest_error < 1e-12


def test_what_is_no_array_of_classes_is_named() -> None:
    loss = compiled()
    given = inputs(loss)
    with pytest.raises(TypeError, match=r"^x: expected shape \(B, H, W\), integer class indices, not torch.float64"):
        loss()(**given | {"x": given["x"].double()})
    with pytest.raises(ValueError, match=r"^x_logits: .*axis 3 is 7, not W = 3"):
        loss()(**given | {"x_logits": torch.randn(2, B, H, 7, K)})
    with pytest.raises(ibsym.IbsymError, match="every array of symbols would be a value to sum over") as error:
        spec(families=DENSE["families"] | {"q(z|x)": {"family": "categorical", "marginal": "enumerate"}})
    assert "a variable for each symbol" in str(error.value)
    with pytest.raises(ibsym.IbsymError, match="whose classes are not coordinates"):
        ibsym.derive(spec(objective="minimize TC_q(Z)", estimators={"TC_q(Z)": "density-ratio"}))


@pytest.mark.parametrize("text", ["categorical[K; H,W]", "categorical[K;H, W]", " categorical[ K ; H , W ] "])
def test_it_is_written(text: str) -> None:
    space = spec(variables=DENSE["variables"] | {"x": text}).variables["x"]
    assert (str(space), space.dims, space.event) == ("categorical[K; H,W]", ("K", "H", "W"), ("H", "W"))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("categorical[K,H]", "categorical[K; H]"),
        ("real[D; H]", "real[D,H]"),
        ("simplex[K; H]", "simplex[K]"),
        ("categorical[K,L; H]", "categorical[K; H]"),
    ],
)
def test_a_semicolon_elsewhere_is_refused(text: str, remedy: str) -> None:
    with pytest.raises(ibsym.IbsymError) as error:
        spec(variables=DENSE["variables"] | {"x": text})
    assert f'"{remedy}"' in str(error.value)


def test_a_system_takes_indices_and_gives_them_back() -> None:
    decoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(N * M, H * W * K), torch.nn.Unflatten(1, (H, W, K)))
    tokens = torch.nn.Sequential(
        torch.nn.Embedding(K, 2), torch.nn.Flatten(), torch.nn.Linear(H * W * 2, N * M), torch.nn.Unflatten(1, (N, M))
    )
    system = System(spec(), {"p(x|z)": decoder, "q(z|x)": tokens}, sizes={"K": K})
    x = torch.randint(K, (7, H, W))
    system({"x": x}).loss.backward()
    assert all(p.grad is not None for p in system.parameters())
    drawn = system.sample("p", 3)
    assert (drawn["x"].shape, drawn["z"].shape, drawn["x"].dtype) == ((3, H, W), (3, N), torch.int64)
    assert all(v.shape == (7,) for v in system.score({"x": x}).values())
    with pytest.raises(ibsym.IbsymError, match=r"integers of shape \(B, H, W\)"):
        system({"x": torch.rand(7, H, W)})


def test_the_gradient_of_each_surrogate_is_of_one_side() -> None:
    """By hand: the codebook's vector moves by 2 (e - z), the code by 2 w (z - e), the decoder's gradient passes to the code alone."""
    loss = compiled(base=QUANTISED)()
    given = inputs(loss)
    given["z_code"].requires_grad_()
    given["z_codebook"].requires_grad_()
    out = loss(**given)
    code, book = given["z_code"].detach(), given["z_codebook"].detach()
    nearest = ((code[:, :, None] - book) ** 2).sum(-1).argmin(-1)
    e = book[nearest]
    distance = float(((code - e) ** 2).sum((-2, -1)).mean())
    assert out.terms["KL(q(z|x)||p(z))"] == pytest.approx(N * math.log(M))
    assert out.terms["codebook[q(z|x)]"] == pytest.approx(distance)
    assert out.terms["commitment[q(z|x)]"] == pytest.approx(distance)
    wanted = N * math.log(M) - float(out.terms["E_q[log p(x|z)]"]) + 1.25 * distance
    assert float(out.loss.detach()) == pytest.approx(wanted)
    out.loss.backward()
    torch.testing.assert_close(given["z_code"].grad, 0.25 * 2 * (code - e) / B)
    moved = torch.zeros_like(book).index_add(0, nearest.flatten(), (2 * (e - code) / B).flatten(0, 1))
    torch.testing.assert_close(given["z_codebook"].grad, moved)


def test_the_rate_of_a_quantised_code_bounds_its_information() -> None:
    """X uniform over rows, a code that is a function of it: I(X;Z) = H(Z) <= N log M, the term; equal where all codes are as frequent."""
    loss = compiled(base=QUANTISED)()
    given, rate = inputs(loss), "KL(q(z|x)||p(z))"
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        for name in ("z_code", "z_codebook"):
            given[name] = torch.randn(given[name].shape, dtype=torch.float64, generator=generator)
        nearest = ((given["z_code"][:, :, None] - given["z_codebook"]) ** 2).sum(-1).argmin(-1)
        shares = torch.unique(nearest, dim=0, return_counts=True)[1] / B
        information = -(shares * shares.log()).sum()
        assert float(information) <= float(loss(**given).terms[rate])
    every = torch.cartesian_prod(*[torch.arange(M)] * N)
    book = torch.randn(M, E, dtype=torch.float64)
    rows = {n: torch.zeros(len(every), *t.shape[1:], dtype=t.dtype) for n, t in given.items() if n == "x"}
    logits = torch.zeros(len(every), H, W, K, dtype=torch.float64)
    met = loss(**rows, x_logits=logits, z_code=book[every], z_codebook=book).terms[rate]
    assert float(met) == pytest.approx(math.log(len(every)))


def test_the_decoder_sees_vectors_and_its_gradient_passes_straight_through() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code = torch.nn.Parameter(torch.randn(7, N, E))
            self.codebook = torch.nn.Parameter(torch.randn(M, E))

        def forward(self, x: Any) -> Any:
            return self.code[: len(x)], self.codebook

    seen: list[Any] = []

    def decoder(z: Any) -> Any:
        seen.append(z)
        z.requires_grad and z.retain_grad()
        return z.sum((-2, -1))[:, None, None, None] * torch.ones(H, W, K) * torch.arange(K)

    encoder = Encoder()
    weights = {"family": "vector-quantised", "codebook": 0, "commitment": 0}
    made = spec(QUANTISED, families=QUANTISED["families"] | {"q(z|x)": weights})
    system = System(made, {"q(z|x)": encoder, "p(x|z)": decoder})
    system({"x": torch.randint(K, (7, H, W))}).loss.backward()
    z = seen[-1]
    nearest = torch.cdist(encoder.code, encoder.codebook.expand(7, M, E)).argmin(-1)
    torch.testing.assert_close(z, F.embedding(nearest, encoder.codebook))
    torch.testing.assert_close(encoder.code.grad, z.grad)
    assert encoder.codebook.grad is None or not encoder.codebook.grad.any()
    assert system.sample("p", 4)["x"].shape == (4, H, W)
    assert seen[-1].shape == (4, N, E)


def test_quantisation_is_told_as_what_it_is() -> None:
    derivation = ibsym.derive(spec(QUANTISED))
    assert str(derivation.relation) == "~"
    assert [s.rule for s in derivation.steps[-3:]] == ["relaxation", "codebook", "commitment"]
    assert "a surrogate, no part of the bound" in str(derivation)
    import json

    rows = {b["term"]: b for b in json.loads(derivation.to_json())["bound"]}
    assert set(rows) == set(ibsym.compile(derivation)()(**inputs(ibsym.compile(derivation))).terms)
    assert rows["commitment[q(z|x)]"] == {
        "coefficient": "1/4",
        "term": "commitment[q(z|x)]",
        "estimator": "surrogate",
        "coupled": False,
    }
    assert "commitment" in derivation.to_latex()
    assert "commitment" in derivation.to_html()
    turned = ibsym.derive(spec(QUANTISED, objective="maximize I_q(Z;X) - I_q(X;Z)"))
    assert [str(s.coefficient) for s in turned.surrogates] == ["-1", "-1/4"]


@pytest.mark.parametrize(
    ("keys", "what", "remedy"),
    [
        ({"estimators": {"I_q(X;Z)": "leave-one-out"}}, "all the mass of q(z|x)", "a family with a smooth density"),
        ({"estimators": {"I_q(X;Z)": "pairwise-kl"}}, "has no closed form", "another estimator for the term"),
        ({"families": QUANTISED["families"] | {"q(z|x)": {"family": "vector-quantised", "commitment": -1}}}, "-1", "0.25"),
        ({"families": QUANTISED["families"] | {"q(z|x)": {"family": "vector-quantised", "relax": "mean"}}}, "mean", "straight"),
    ],
)
def test_what_quantisation_is_not_is_refused(keys: dict[str, Any], what: str, remedy: str) -> None:
    with pytest.raises(ibsym.IbsymError) as error:
        ibsym.derive(spec(QUANTISED, **keys))
    assert what in str(error.value)
    assert remedy in str(error.value)


def test_a_surrogate_that_no_step_tells_fails_the_audit() -> None:
    from dataclasses import replace

    from ibsym.checking.audit import audit

    derivation = ibsym.derive(spec(QUANTISED))
    with pytest.raises(ibsym.IbsymError, match="the steps say otherwise"):
        audit(replace(derivation, surrogates=derivation.surrogates[:1]), worlds=0)
    first = derivation.surrogates[0]
    with pytest.raises(ibsym.IbsymError, match="pushes the wrong way"):
        audit(
            replace(derivation, surrogates=(replace(first, coefficient=-first.coefficient), *derivation.surrogates[1:])),
            worlds=0,
        )


def test_the_rate_of_nearest_vectors_counts_every_symbol() -> None:
    loss = compiled(**QUANTISED)()
    out = loss(**inputs(type(loss)))
    assert out.terms["KL(q(z|x)||p(z))"] == pytest.approx(N * math.log(M))


@pytest.mark.parametrize("estimators", [{}, {"E_q[log p(z)]": "sampled"}], ids=["closed form", "sampled"])
def test_the_uniform_law_counts_every_symbol(estimators: dict[str, str]) -> None:
    loss = compiled(objective="maximize E_q[log p(x|z)] + E_q[log p(z)]", estimators=estimators)()
    out = loss(**inputs(type(loss)))
    assert out.terms["E_q[log p(z)]"] == pytest.approx(-N * math.log(M))

"""Families, estimators and shapes that the zoo does not use train all the same, and their code agrees with its oracles."""

import pytest
import torch

import ibsym
from ibsym.conformance import agree
from ibsym.lowering import lower
from ibsym.nn.draws import Draws
from ibsym.training.binding import bind
from ibsym.training.train import run
from tests.training.helpers import digits, numbers, trainer

VARIABLES = {"x": "binary[D]", "z": "real[L]"}
JOINTS = {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"}
FAMILIES = {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "bernoulli"}
BOUND, LATENT = "minimize I_q(X;Z) - I_q(Z;X)", "minimize KL(q(z)||p(z)) - I_q(Z;X)"
TWO = "minimize KL(q(z|x)||p(z)) + KL(q(z,w)||q(z)q(w)) - I_q(Z,W;X)"


def spec(objective=BOUND, variables=None, joints=None, families=None, **more):
    joints = JOINTS | (joints or {})
    used = {k: v for k, v in (FAMILIES | (families or {})).items() if any(k in j for j in joints.values())}
    return ibsym.Spec(
        name="s", objective=objective, variables=VARIABLES | (variables or {}), joints=joints, families=used, **more
    )


CASES = {
    "directions": spec(variables={"z": "sphere[L]"}, families={"q(z|x)": "von-mises-fisher", "p(z)": "uniform-sphere"}),
    "full covariance": spec(families={"q(z|x)": "full-normal"}),
    "a learned mixture as prior": spec(families={"p(z)": "normal-mixture"}),
    "images in [0, 1]": spec(variables={"x": "unit[D]"}, families={"p(x|z)": "continuous-bernoulli"}),
    "relaxed classes": spec(variables={"z": "unit[L]"}, families={"q(z|x)": "relaxed-categorical", "p(z)": "uniform"}),
    "shares of classes": spec(variables={"z": "simplex[L]"}, families={"q(z|x)": "relaxed-categorical", "p(z)": "uniform"}),
    "topics": spec(variables={"z": "simplex[L]"}, families={"q(z|x)": "dirichlet", "p(z)": "uniform"}),
    "counts of a log-normal code": spec(
        variables={"x": "count[D]", "z": "positive[L]"},
        families={"q(z|x)": "log-normal", "p(z)": "gamma", "p(x|z)": "zero-inflated-negative-binomial"},
    ),
    "power spherical directions": spec(
        variables={"x": "count[D]", "z": "sphere[L]"},
        families={"q(z|x)": "power-spherical", "p(z)": "uniform-sphere", "p(x|z)": "poisson"},
    ),
    "a logistic code and pixels of levels": spec(
        variables={"x": "unit[D]"},
        families={
            "q(z|x)": "logistic",
            "p(z)": {"family": "student-t", "df": 4},
            "p(x|z)": {"family": "discretised-logistic", "bins": 17},
        },
    ),
    "noise in place of rounding": spec(families={"q(z|x)": "uniform-noise", "p(z)": "logistic"}),
    "bits, straight through": spec(
        variables={"z": "binary[L]"},
        families={"q(z|x)": {"family": "bernoulli", "relax": "straight-through"}, "p(z)": "uniform"},
    ),
    "a code without noise": spec(LATENT, families={"q(z|x)": "deterministic"}, estimators={"KL(q(z)||p(z))": "mmd"}),
    "sliced": spec(LATENT, estimators={"KL(q(z)||p(z))": "sliced-wasserstein"}),
    "leave-one-out": spec(estimators={"I_q(X;Z)": "leave-one-out"}),
    "nwj": spec(LATENT, estimators={"KL(q(z)||p(z))": "nwj"}),
    "dv": spec(LATENT, estimators={"KL(q(z)||p(z))": "dv"}),
    "another divergence": spec(
        "minimize F[pearson](data(x)||p(x))",
        {"x": "real[D]"},
        {"q": "data(x)"},
        {"p(x|z)": "implicit"},
        estimators={"F[pearson](data(x)||p(x))": "dual"},
    ),
    "a product's parts drawn apart": spec(
        TWO,
        {"w": "real[M]"},
        {"q": "data(x) q(z|x) q(w|x)", "p": "p(z) p(w) p(x|z,w)"},
        {"q(w|x)": "diagonal-normal", "p(w)": "standard-normal", "p(x|z,w)": "bernoulli"},
        estimators={"KL(q(z,w)||q(z)q(w))": "density-ratio"},
    ),
    "several axes": spec(variables={"x": "real[C,H,W]"}, families={"p(x|z)": "isotropic-normal"}),
    "a conditional divergence": spec(
        "minimize KL(q(z|x)||p(z)) - I_q(Z;X)",
        families={"q(z|x)": "implicit"},
        estimators={"KL(q(z|x)||p(z))": "density-ratio"},
    ),
    "an information given a class": spec(
        "minimize I_q(X;Z|C) - I_q(Z;X)",
        {"c": "categorical[K]"},
        {"q": "data(x,c) q(z|x)", "p": "p(x|z)"},
        estimators={"I_q(X;Z|C)": "nwj"},
    ),
    "an adversary": spec(
        "minimize KL(q(z|x)||p(z)) + I_q(Z;S) - I_q(Z;X)",
        {"s": "categorical[G]"},
        {"q": "data(x,s) q(z|x)", "a": "a(s|z)"},
        {"a(s|z)": "categorical"},
        estimators={"I_q(Z;S)": {"estimator": "adversary", "density": "a(s|z)"}},
    ),
    "a conditional of a player's own": spec(
        "minimize I_q(Z;W) - I_q(Z,W;X)",
        {"w": "real[M]"},
        {"q": "data(x) q(z|x) q(w|x)", "p": "p(z) p(x|z,w)", "r": "r(w|z)"},
        {"q(w|x)": "diagonal-normal", "p(x|z,w)": "bernoulli", "r(w|z)": "diagonal-normal"},
        estimators={"I_q(Z;W)": {"estimator": "club", "density": "r(w|z)"}},
    ),
    "several draws inside a logarithm": spec("maximize E_q[log p(x)]", estimators={"E_q[log p(x)]": "iwae"}),
}


@pytest.mark.parametrize("name", CASES)
def test_one_epoch(name):
    case = CASES[name]
    certificate = ibsym.audit(ibsym.derive(case))
    loss = ibsym.compile(certificate)
    assert agree(case, lower(certificate), loss, worlds=2).largest_error < 1e-10
    result = run(case, loss, epochs=1, settings={"hidden": 16})
    assert torch.isfinite(numbers(result.terms)).all()
    assert torch.isfinite(numbers(result.metrics)).all()
    assert all(p.isfinite().all() for p in result.players.system.parameters())


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize(
    ("term", "estimator"), [("KL(q(z,w)||q(z)q(w))", "density-ratio"), ("I_q(X;Z)", "dv"), ("TC_q(X;Z;W)", "nwj")]
)
def test_no_row_of_a_product_has_two_parts_of_one_row(term, estimator, draws):
    two = dict(CASES["a product's parts drawn apart"].keys)
    case = ibsym.Spec(**two | {"objective": TWO.replace("KL(q(z,w)||q(z)q(w))", term), "estimators": {term: estimator}})
    players = trainer(case, settings={"hidden": 16}).players
    rows = bind(case, digits(), sizes={}, labelled=None, seed=0, dtype=torch.float32).train
    drawn = Draws(players.system.bank, {"data": {v: x.take(slice(50)) for v, x in rows["data"].items()}}, copies=draws)
    first, second = drawn.first(term, "q"), drawn.second(term, "q")
    origins = []
    for v in first:
        assert len(first[v].code) == len(second[v].code) == 50 * draws
        same = (second[v].code[:, None] == first[v].code[None]).all(-1)
        assert same.any(1).all()  # each is a row of the joint
        origins.append(same.float().argmax(1) % 50)
    assert all((a != b).all() for k, a in enumerate(origins) for b in origins[:k])
    assert all(len(players.system.bank.judge(term, side, "exact")) == 50 * draws for side in (first, second))


@pytest.mark.parametrize(
    ("name", "player"), [("an adversary", "a_s_given_z"), ("a conditional of a player's own", "r_w_given_z")]
)
def test_a_player_fits_its_own_density_and_the_model_all_else(name, player):
    run_ = trainer(CASES[name], settings={"hidden": 16})
    batch = next(iter(run_.batches))
    (critic,) = run_.players.loss.CRITICS

    def moved(step):
        before = {n: p.detach().clone() for n, p in run_.system.named_parameters()}
        step()
        return {n.split(".")[2] for n, p in run_.system.named_parameters() if not torch.equal(before[n], p)}

    assert moved(lambda: run_.players.critic_step(critic, run_.draws(batch), 0.01)) == {player}
    others = {n.split(".")[2] for n, _ in run_.system.named_parameters()} - {player}
    assert moved(lambda: run_.players.model_step(run_.draws(batch))) == others


def drawn(case, rows=50, draws=1):
    players = trainer(case, settings={"hidden": 16}).players
    found = bind(case, digits(), sizes={}, labelled=None, seed=0, dtype=torch.float32).train
    return Draws(players.system.bank, {"data": {v: x.take(slice(rows)) for v, x in found["data"].items()}}, copies=draws)


def test_a_conditional_is_drawn_at_the_rows_of_its_product():
    text = "JS(q(x,z)||q(x)d(z|x))"
    case = spec(
        f"minimize {text}", joints={"q": "data(x) q(z|x)", "p": "d(z|x)"}, families={"d(z|x)": "deterministic"},
        estimators={text: "logistic"},
    )  # fmt: skip
    draws = drawn(case)
    second = draws.second(text, "q")
    again = draws.bank.sample(case.factors["d(z|x)"], [second["x"]], 50, "relaxed")["z"]
    assert torch.equal(again.code, second["z"].code)


@pytest.mark.parametrize("draws", [1, 3])
def test_an_information_given_a_class_compares_rows_of_that_class(draws):
    found = drawn(CASES["an information given a class"], 200, draws)
    first, second = (side("I_q(X;Z|C)", "q") for side in (found.first, found.second))
    assert torch.equal(first["c"].code, second["c"].code)
    assert torch.equal(first["x"].code, second["x"].code)
    origin = (second["z"].code[:, None] == first["z"].code[None]).all(-1).float().argmax(1)
    assert torch.equal(first["c"].index[origin], second["c"].index)
    assert (origin % 200 != torch.arange(200 * draws) % 200).all()

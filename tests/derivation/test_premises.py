"""What the engine must refuse or turn round: signs, directions, expansions, closed forms that would be mistakes."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
import sympy

import ibsym
from ibsym.checking.finite import FiniteWorld
from ibsym.derivation import planning, programs
from ibsym.derivation.planning import Planner
from ibsym.derivation.sampling import estimator_of
from ibsym.derivation.steps import join_gaps
from ibsym.errors import SpecError
from ibsym.facts import Side
from ibsym.proving.elemental import InequalityKind, closable
from ibsym.spec.model import Spec
from ibsym.terms.measures import CrossEntropy, Density, Entropy, ExpectedLog, MutualInformation, RelativeEntropy
from tests.checking.random_specs import random_spec

RELAXED = {"family": "bernoulli", "relax": "mean"}
BASE: dict[str, object] = {
    "name": "case",
    "variables": {"x": "binary[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": RELAXED},
    "parameters": {"beta": {"default": 1.0, "min": 0}, "gamma": {"default": -1.0, "max": 0}, "delta": {"default": 1.0}},
}
KEPT = {"KL(q(x)||p(x))": "density-ratio"}


def derive(objective: str, **keys: object) -> ibsym.Derivation:
    return ibsym.derive(Spec(**{**BASE, "objective": objective, **keys}))  # type: ignore[arg-type]


def test_an_expansion_needs_the_right_sign() -> None:
    expand = {"expand": ["H_q(X) with p(x)"]}
    good = derive("minimize I_q(X;Z) - beta*I_q(Z;X)", estimators=KEPT, derivation=expand)
    assert {str(g.term): str(g.coefficient) for g in good.gap}["CE(q(x)||p(x))"] == "beta"
    with pytest.raises(SpecError, match="turn the bound round"):
        derive("minimize beta*H_q(X) + I_q(X;Z)", estimators=KEPT, derivation=expand)
    up = derive("maximize beta*I_q(Z;X) - I_q(X;Z)", estimators=KEPT, derivation=expand)
    assert {str(g.term): str(g.coefficient) for g in up.gap}["CE(q(x)||p(x))"] == "beta"
    assert [str(s.relation) for s in up.steps if s.rule == "cross-entropy dropped"] == [">="]


@pytest.mark.parametrize(
    ("objective", "bound"),
    [
        ("minimize gamma*I_q(Z;X)", {"E_q[log p(x|z)]": "gamma"}),
        ("maximize gamma*I_q(X;Z)", {"KL(q(z|x)||p(z))": "gamma"}),
        ("minimize -gamma*I_q(X;Z)", {"KL(q(z|x)||p(z))": "-gamma"}),
        ("maximize -gamma*I_q(Z;X)", {"E_q[log p(x|z)]": "-gamma"}),
    ],
)
def test_negative_weights_take_the_other_bound(objective: str, bound: dict[str, str]) -> None:
    derivation = derive(objective)
    assert {b.text: str(b.coefficient) for b in derivation.bound} == bound
    ibsym.audit(derivation, worlds=4)


def test_a_weight_without_a_sign_blocks_inequalities_only() -> None:
    with pytest.raises(SpecError, match="may be positive or negative"):
        derive("minimize delta*I_q(X;Z)")
    assert str(derive("minimize delta*KL(q(x,z)||p(x,z))").relation) == "="


def test_a_learned_law_is_no_constant() -> None:
    derivation = derive("minimize KL(q(x,z)||p(x,z))")
    assert [str(w.term) for w in derivation.constants] == ["H_q(X)"]
    planner = Planner(derivation.spec)
    assert planner.learned_law("q", ("z",))
    assert not planner.learned_law("q", ("x",))


def test_closed_forms_only_where_the_graph_allows_them() -> None:
    """E_q log p(u|z) with z drawn after u: sampled, though both families have a closed form; KL to a prior stays closed."""
    spec = ibsym.load(Path(__file__).parents[1] / "specs" / "hierarchical-vae.toml")
    texts = {b.text: b.estimator for b in ibsym.derive(spec).bound}
    chain = Spec(
        name="chain", objective="minimize I_q(X;U)", variables={"x": "real[D]", "u": "real[K]", "z": "real[L]"},
        joints={"q": "data(x) q(u|x) q(z|u)", "p": "p(z) p(u|z) p(x|u)", "r": "r(u|x)"},
        families={
            "p(z)": "standard-normal",
            **dict.fromkeys(("q(u|x)", "q(z|u)", "p(u|z)", "p(x|u)", "r(u|x)"), "diagonal-normal"),
        },
    )  # fmt: skip
    assert "sampled" in texts.values()
    assert estimator_of(chain, ExpectedLog("q", (Density("p", ("u",), ("z",)),))) == "sampled"
    assert estimator_of(chain, ExpectedLog("q", (Density("r", ("u",), ("x",)),))) == "closed-form"
    assert estimator_of(chain, ExpectedLog("q", (Density("p", ("z",)),))) == "closed-form"
    assert estimator_of(chain, ExpectedLog("q", (Density("q", ("u",), ("x",)),))) == "closed-form"
    assert estimator_of(chain, RelativeEntropy(Density("q", ("z",), ("u",)), (Density("p", ("z",)),))) == "closed-form"


def test_d_separation_of_overlapping_sets() -> None:
    """What is given counts on neither side; a variable is not independent of itself."""
    joint = ibsym.load("vib").joints["q"]
    assert not joint.independent(("x",), ("x", "z"))
    assert joint.independent(("x", "c"), ("z",), ("x",))
    assert joint.independent(("x",), ("z",), ("x",))
    assert not joint.independent(("x", "c"), ("z",), ("c",))


def test_gaps_are_closable_where_either_side_learns() -> None:
    spec = Spec(**{**BASE, "objective": "minimize I_q(X;Z)"})  # type: ignore[arg-type]
    coordinates = Planner(spec).coordinates
    data, encoder, decoder = Density("data", ("x",)), Density("q", ("z",), ("x",)), Density("p", ("x",), ("z",))
    assert closable(coordinates, RelativeEntropy(data, (Density("p", ("x",)),)))
    assert closable(coordinates, RelativeEntropy(encoder, (Density("p", ("z",)),)))
    assert closable(coordinates, RelativeEntropy(Density("q", ("x",), ("z",)), (decoder,)))
    assert not closable(coordinates, RelativeEntropy(data, (Density("q", ("x",)),)))
    for term in (Entropy("q", ("z",)), MutualInformation("q", (("x",), ("z",))), CrossEntropy(data, (Density("p", ("x",)),))):
        assert not closable(coordinates, term)


@pytest.mark.parametrize("order", [("p", "r"), ("r", "p")])
def test_a_learned_prior_is_preferred(order: tuple[str, str]) -> None:
    """A gap that training can close is cheaper than one that it cannot, whichever is declared first."""
    joints = {"p": "p(z) p(x|z)", "r": "r(z)"}
    derivation = derive(
        "minimize I_q(X;Z)",
        joints={"q": "data(x) q(z|x)", **{n: joints[n] for n in order}},
        families={**BASE["families"], "r(z)": "diagonal-normal"},  # type: ignore[dict-item]
    )
    assert [b.text for b in derivation.bound] == ["KL(q(z|x)||r(z))"]


def test_one_sided_estimators_are_rows_not_terms() -> None:
    """InfoNCE enters as I - InfoNCE >= 0; as a free term it would "prove" upper bounds with it."""
    derivation = derive("maximize I_q(X;Z)", estimators={"I_q(X;Z)": "infonce"})
    (plan,) = derivation.plans
    assert [(x, r.kind, str(r.term)) for x, r in plan.gaps] == [(1, InequalityKind.ESTIMATOR, "(I_q(X;Z) - infonce[I_q(X;Z)])")]
    assert [(x, str(c.term)) for x, c in plan.computed] == [(1, "infonce[I_q(X;Z)]")]
    planner = Planner(derivation.spec)
    assert planner.plan(plan.term, plan.weight, Side.UPPER) is not None
    assert all("infonce" not in str(c.term) for _, c in planner.plan(plan.term, plan.weight, Side.UPPER).computed)  # type: ignore[union-attr]


def test_bounds_have_the_names_of_their_direction() -> None:
    derivation = derive("minimize I_q(X;Z) - beta*I_q(Z;X)")
    named = {s.rule: (str(s.relation), str(s.gap)) for s in derivation.steps if len(s.gap)}
    assert named == {
        "variational rate bound": ("<=", "KL(q(z)||p(z))"),
        "variational decoder bound": ("<=", "beta*KL(q(x|z)||p(x|z))"),
    }


def row(x: int, of: str, given: str = "", second: str = "p") -> tuple[Fraction, RelativeEntropy]:
    densities = (Density(h, tuple(of), tuple(given)) for h in ("q", second))
    first, other = densities
    return Fraction(x), RelativeEntropy(first, (other,))


LOOSE = (Fraction(1), RelativeEntropy(Density("q", ("x",), ("z",)), (Density("p", ("x",)),)))


@pytest.mark.parametrize(
    ("rows", "joined"),
    [
        ([row(1, "z"), row(1, "x", "z")], ["1 KL(q(x,z)||p(x,z))"]),
        ([row(1, "x", "z"), row(1, "z")], ["1 KL(q(x,z)||p(x,z))"]),
        ([row(1, "z"), row(2, "x", "z")], ["1 KL(q(z)||p(z))", "2 KL(q(x|z)||p(x|z))"]),
        ([row(1, "z"), row(1, "x")], ["1 KL(q(z)||p(z))", "1 KL(q(x)||p(x))"]),
        ([row(1, "z"), row(1, "x", "z", "r")], ["1 KL(q(z)||p(z))", "1 KL(q(x|z)||r(x|z))"]),
        ([row(1, "z"), LOOSE], ["1 KL(q(z)||p(z))", "1 KL(q(x|z)||p(x))"]),
    ],
)
def test_gaps_are_joined_by_the_chain_rule_alone(rows: list[tuple[Fraction, RelativeEntropy]], joined: list[str]) -> None:
    joints = {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)", "r": "r(z) r(x|z)"}
    families = {**BASE["families"], "r(z)": "standard-normal", "r(x|z)": "bernoulli"}  # type: ignore[dict-item]
    spec = Spec(**{**BASE, "objective": "minimize I_q(X;Z)", "joints": joints, "families": families})  # type: ignore[arg-type]
    assert [f"{g.multiplier} {g.term}" for g in join_gaps(spec, rows)] == joined


def test_a_dominated_bound_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the second program changes the first one's answer, the new gap is nowhere larger, and somewhere smaller."""
    changed = 0
    original = programs.undominated
    for seed in range(5):
        spec = random_spec(seed)
        for a, b in itertools.permutations(spec.joints["q"].variables, 2):
            term = MutualInformation("q", ((a,), (b,)))
            for side in Side:
                plan = Planner(spec).plan(term, sympy.Integer(1), side)
                monkeypatch.setattr(planning, "undominated", lambda target, cone, items, zero, columns, answer, span: answer)
                first = Planner(spec).plan(term, sympy.Integer(1), side)
                monkeypatch.setattr(planning, "undominated", original)
                if plan is None or first is None or plan.gaps == first.gaps:
                    continue
                changed += 1
                smaller = []
                for k in range(8):
                    world = FiniteWorld.random(spec, k)
                    old, new = (sum(float(x) * world.value(r.term) for x, r in p.gaps) for p in (first, plan))
                    assert new <= old + 1e-9
                    smaller.append(new < old - 1e-9)
                assert any(smaller)
    assert changed


def test_a_shared_factor_is_stated_where_it_is_used() -> None:
    """H_u(Z|X) is computed from q(z|x), a factor of u by name only: both steps that use it say so, no others do."""
    spec = Spec(
        name="shared", objective="maximize H_u(Z|X)", variables={"x": "binary[D]", "z": "real[L]"},
        joints={"q": "data(x) q(z|x)", "u": "unlabelled(x) q(z|x)"},
        families={"unlabelled(x)": "empirical", "q(z|x)": "diagonal-normal"},
    )  # fmt: skip
    derivation = ibsym.derive(spec)
    assert str(derivation.final) == "-E_u[log q(z|x)]"
    (step,) = derivation.steps
    assert [str(p) for p in step.premises] == ["q(z|x) is a factor of q", "q(z|x) is a factor of u"]
    ibsym.api.audit(derivation)


def test_no_more_factors_are_stated_than_are_used() -> None:
    spec = Spec(
        name="shared", objective="maximize H_u(Z|X)", variables={"x": "binary[D]", "z": "real[L]", "w": "real[M]"},
        joints={"q": "data(x) q(z|x) q(w|z)", "u": "unlabelled(x) q(z|x) q(w|z)"},
        families={"unlabelled(x)": "empirical", "q(z|x)": "diagonal-normal", "q(w|z)": "diagonal-normal"},
    )  # fmt: skip
    (step,) = ibsym.derive(spec).steps
    assert [str(p) for p in step.premises] == ["q(z|x) is a factor of q", "q(z|x) is a factor of u"]

"""Claims about densities: what is true of discrete variables only is refused, and what is proved holds for Gaussian ones."""

from __future__ import annotations

import random

import numpy as np
import pytest

import ibsym
from ibsym.errors import SpecError
from tests.attack.claims import NAMES, Structure, differential, nonnegative, text, value

SEEDS = range(40)


def repeated(rng: random.Random) -> str:
    """A quantity in which some variable occurs twice, in any two places."""
    kind = rng.choice("HIT")
    count = {"H": 1, "I": rng.choice((2, 3)), "T": rng.choice((2, 3))}[kind]
    groups = [[v] for v in rng.sample(NAMES, count)]
    given = rng.sample([v for v in NAMES if [v] not in groups], rng.randint(0, 2))
    rng.choice([*groups, given]).append(rng.choice(groups)[0])
    tail = f"|{','.join(given)}" if given else ""
    return f"{'TC' if kind == 'T' else kind}({';'.join(','.join(g) for g in groups)}{tail})"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_repeated_variable_is_refused_in_claims_and_premises(seed: int) -> None:
    rng = random.Random(seed)
    quantity = repeated(rng)
    for claim, given in ((f"{quantity} {rng.choice(['<=', '>=', '='])} H(A)", []), ("H(A) <= H(B)", [f"{quantity} <= H(A)"])):
        with pytest.raises(SpecError, match="occurs twice"):
            ibsym.prove(claim, given, continuous=True)


@pytest.mark.parametrize("claim", ["I(X;X) <= H(X)", "H(X|X) = 0", "I(X;Y,X) <= H(X)", "I(X;Y|Y) = 0", "TC(X;X) = H(X)"])
def test_repeats_are_meant_for_discrete_variables(claim: str) -> None:
    assert ibsym.prove(claim).proved
    with pytest.raises(SpecError, match="occurs twice"):
        ibsym.prove(claim, continuous=True)


@pytest.mark.parametrize(
    "premise",
    [
        *("H(Y|X) = 0", "H(Y|X) <= 0", "0 >= 2*H(Y|X)", "H(X,Y) = H(X)", "H(X) >= H(X,Y)", "H(X) = I(X;Y)", "0 = H(Y)"),
        *("0.1 H(Y,X) - 0.1 H(X) = 0", "-H(X|Y,Z) >= 0", "TC(X;Y) = H(Y)", "H_q(Y|X) = 0"),
    ],
)
def test_functions_are_no_premise_about_densities(premise: str) -> None:
    claim = "I_q(X;Y) >= 0" if "_q" in premise else "I(X;Y) >= 0"
    assert ibsym.prove(claim, [premise]).proved
    with pytest.raises(SpecError, match="minus infinity"):
        ibsym.prove(claim, [premise], continuous=True)


@pytest.mark.parametrize(
    "premise", ["I(X;Y) = 0", "H(X) <= H(Y)", "H(Y|X) >= 0", "H(X) + H(Y) = 0", "X -> Y -> Z", "H(X) = H(Y)"]
)
def test_other_premises_stay(premise: str) -> None:
    assert ibsym.prove("I(X;Y|Z) >= 0", [premise], continuous=True).proved


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_proved_of_densities_holds_for_gaussians(seed: int) -> None:
    """Sums of informations are proved; with an entropy added they are not, since that may be negative."""
    rng = random.Random(seed)
    structure = Structure.random(rng, rng.choice((3, 4)), functions=False)
    terms = [(rng.randint(1, 3), nonnegative(rng, structure.names, discrete=False)) for _ in range(2)]
    assert ibsym.prove(f"{text(terms)} >= 0", continuous=True).proved
    entropy = differential(structure.gaussian(np.random.default_rng(seed), 8), structure.names)
    assert value(terms, entropy).min() > -1e-9
    some = rng.choice(structure.names)
    assert not ibsym.prove(f"{text(terms)} + 9 H({some}) >= 0", continuous=True).proved

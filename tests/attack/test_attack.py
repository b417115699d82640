"""A few thousand pairs of the attack; `make attack` runs the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attack.bounds import Tally, attack_seed
from tests.attack.claims import attack_claim
from tests.attack.large import attack_large
from tests.attack.losses import attack_loss
from tests.attack.run import attack_specs
from tests.attack.running import attack_running

SEEDS = 20


def summed(attempt: Callable[[int], Tally], batch: int, size: int) -> Tally:
    total = Tally()
    for seed in range(batch * size, (batch + 1) * size):
        total += attempt(seed)
    return total


@pytest.mark.parametrize("batch", range(6))
def test_bounds_hold_in_worlds(batch: int) -> None:
    tally = summed(lambda k: attack_seed(6 * (k % SEEDS) + batch), batch, SEEDS)
    assert tally.violations == []
    assert tally.total > 150
    assert tally.derivations["<="] + tally.derivations[">="] > 0
    assert tally.largest < 1e-9


@pytest.mark.parametrize("batch", range(4))
def test_proofs_and_refutations_hold(batch: int) -> None:
    tally = summed(attack_claim, batch, 60)
    assert tally.violations == []
    assert tally.claims["proved"] > 20
    assert tally.claims["refuted"] > 3
    assert tally.pairs["claims in worlds"] > 300


@pytest.mark.parametrize("batch", range(4))
def test_losses_are_what_is_claimed_of_them(batch: int) -> None:
    tally = summed(attack_loss, batch, 25)
    assert tally.violations == []
    assert tally.pairs["critics in worlds"] > 100
    assert tally.pairs["losses that bound"] > 5
    assert tally.pairs["gradients"] > 500


def test_claims_of_twelve_variables() -> None:
    tally = summed(attack_large, 0, 14)
    assert tally.violations == []
    assert tally.claims["proved"] == 7
    assert tally.pairs["counterexamples"] > 3


@pytest.mark.torch
@pytest.mark.parametrize("batch", range(4))
def test_what_is_derived_is_emitted_and_runs(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the expression, which needs no compiler; `make attack` runs the compiled passes as well."""
    monkeypatch.setenv("IBSYM_NATIVE", "0")
    tally = summed(attack_running, batch, 18)
    assert tally.violations == []
    assert tally.pairs["modules run"] > 8
    assert tally.total > 80


@pytest.mark.torch
@pytest.mark.parametrize("seed", [1724, 1740])
def test_what_was_found(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A density with a pole beside its draws; a vector-quantised factor that nothing touches, whose surrogates were in the loss."""
    monkeypatch.setenv("IBSYM_NATIVE", "0")
    assert attack_running(seed).violations == []


def test_every_spec_holds_in_worlds() -> None:
    tally = attack_specs(70)
    assert tally.violations == []
    assert tally.total > 1000

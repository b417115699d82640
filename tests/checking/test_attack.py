"""Random specs and objectives: what is derived passes its audit, what is not is refused by ibsym's own errors."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ibsym.checking.audit import audit
from ibsym.derivation.engine import derive
from ibsym.errors import DerivationError, SpecError
from ibsym.spec.model import Spec
from tests.checking.random_specs import random_keys, random_objective, random_spec

BATCHES, SIZE = 8, 40


def attempt(seed: int) -> str:
    """What became of one random spec: a relation, or the name of the refusal."""
    rng = random.Random(seed)
    keys = random_keys(seed)
    objective, asked = random_objective(random_spec(seed), rng)
    parameters = {"beta": {"default": 1.0, "min": 0}}
    try:
        derivation = derive(Spec(**keys, objective=objective, estimators=asked, parameters=parameters))
    except (DerivationError, SpecError) as refusal:
        return type(refusal).__name__
    audit(derivation, worlds=4, seed=seed)
    return derivation.relation.value


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_is_derived_holds_in_every_world(batch: int) -> None:
    outcomes = Counter(attempt(seed) for seed in range(batch * SIZE, (batch + 1) * SIZE))
    assert outcomes["="] + outcomes["<="] + outcomes[">="] >= SIZE // 10, outcomes

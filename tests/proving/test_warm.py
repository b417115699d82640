"""One model that grows has the answers of new ones: surplus, h, multipliers; without such a model the program is solved anew."""

from __future__ import annotations

import random

import pytest

from ibsym.proving import warm
from ibsym.proving.demand import PRICE, Master
from ibsym.proving.program import Column, LimitError
from ibsym.proving.warm import Warm
from tests.attack.large import information, planted


def vector(sets: dict) -> dict:
    return {("H", tuple(sorted(s))): x for s, x in sets.items()}


def columns(rng: random.Random, count: int) -> list[Column]:
    """Informations of five variables, some free."""
    names = [f"X{i}" for i in range(5)]
    found = []
    for _ in range(count):
        a, b, *rest = rng.sample(names, 5)
        found.append(
            Column(vector(information([a], [b], rest[: rng.randint(0, 3)])), rng.choice((0.5, 1.0)), rng.random() < 0.1)
        )
    return found


@pytest.mark.parametrize("seed", range(8))
def test_a_growing_model_solves_as_new_ones_do(seed: int) -> None:
    rng = random.Random(seed)
    target = {k: -x for k, x in vector(planted(rng, 5, 6)).items()}
    master = Master(target)
    program = Warm(master)
    for price in (PRICE, PRICE, PRICE, PRICE, 0.0, 0.0):
        for column in columns(rng, 8):
            master.add(column)
        surplus, rough, h = program.solve(price, 10.0)
        cold, other, _ = master.solve(price, 10.0)
        costs = [price * sum(c.cost * abs(x) for c, x in zip(master.columns, r, strict=True)) for r in (rough, other)]
        assert surplus + costs[0] == pytest.approx(cold + costs[1], abs=1e-7)
        assert all(c.free or x > -1e-9 for c, x in zip(master.columns, rough, strict=True))
        left = dict(master.target)
        for c, x in zip(master.columns, rough, strict=True):
            for key, y in c.vector.items():
                left[key] = left.get(key, 0) + x * y
        assert sum(abs(float(x)) for x in left.values()) == pytest.approx(surplus, abs=1e-7)
        slack = [price * c.cost - sum(h[k] * float(y) for k, y in c.vector.items()) for c in master.columns]
        assert min(slack) > -1e-6
        assert all(abs(x) < 1 + 1e-6 for x in h.values())
    master.add(Column({k: -x for k, x in target.items()}, 20.0))  # a solution
    for _ in range(3):
        surplus, rough, h = program.solve(1.0, 10.0, surplus=False)
        _, other, _ = master.solve(1.0, 10.0, surplus=False)
        spent, least = (sum(c.cost * abs(x) for c, x in zip(master.columns, r, strict=True)) for r in (rough, other))
        assert (surplus, spent) == pytest.approx((0, least), abs=1e-6)
        assert min(c.cost - sum(h[k] * float(y) for k, y in c.vector.items()) for c in master.columns) > -1e-6
        for column in columns(rng, 8):
            master.add(column)
    assert program.core is warm._highs()  # it was never given up
    assert (program.model is None) is (program.core is None)


def test_without_the_model_the_program_is_solved_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_highs", lambda: None)
    master = Master({("H", "x"): -1})
    master.add(Column({("H", "x"): 1}, 1.0))
    program = Warm(master)
    assert program.solve(PRICE, 1.0)[1] == pytest.approx([1.0])
    assert program.model is None


def test_no_time_is_a_limit() -> None:
    rng = random.Random(1)
    master = Master({k: -x for k, x in vector(planted(rng, 9, 60)).items()})
    for column in columns(rng, 40):
        master.add(column)
    with pytest.raises(LimitError):
        Warm(master).solve(PRICE, 0.0)

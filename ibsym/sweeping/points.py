"""``beta=0.01:10:log8``: the points of a sweep, every value of every parameter with every seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ibsym.training.failures import refused
from ibsym.training.settings import numeric

MOST = 10_000
FORM = re.compile(r"(?P<low>[^:]+):(?P<high>[^:]+):(?P<how>log|lin|)(?P<number>\d{1,5})")


@dataclass(frozen=True)
class Point:
    """One run: what is set, and the seed."""

    values: tuple[tuple[str, float], ...]
    seed: int

    @property
    def name(self) -> str:
        """The run's folder.

        >>> Point((("beta", 0.1), ("L", 4.0)), 2).name
        'beta=0.1,L=4,seed=2'
        """
        return ",".join([*(f"{n}={v:.6g}" for n, v in self.values), f"seed={self.seed}"])


def values(text: str) -> tuple[str, tuple[float, ...]]:
    """A parameter's name and its values: LOW:HIGH:logN evenly in the logarithm, LOW:HIGH:linN evenly, or a list.

    >>> values("beta=0.01:1:log3"), values("L=2,4,8"), values("a=0:1:lin3")
    (('beta', (0.01, 0.1, 1.0)), ('L', (2.0, 4.0, 8.0)), ('a', (0.0, 0.5, 1.0)))
    """
    name, equals, what = (part.strip() for part in text.partition("="))
    remedy = f"{name or 'beta'}=0.01:10:log8, {name or 'beta'}=0:1:lin5, or {name or 'beta'}=1,2,5"
    if not (equals and name and what):
        raise refused(f"{text!r:.80} has no values", option="--over", remedy=remedy)
    form = FORM.fullmatch(what.replace(" ", ""))
    if form is None:
        if ":" in what:
            raise refused(f"{what!r:.80} is not a range", option="--over", remedy=remedy)
        found = [numeric(name, part, "--over") for part in what.split(",")]
    else:
        low, high, number = (numeric(name, form[k], "--over") for k in ("low", "high", "number"))
        if form["how"] == "log" and not (low > 0 and high > 0):
            raise refused(f"{what}: a logarithm needs ends above 0", option="--over", remedy=remedy)
        if not 1 <= number <= MOST or not abs(low) + abs(high) < float("inf"):
            raise refused(f"{what!r:.80} is not a range", option="--over", remedy=remedy)
        steps = [k / (number - 1) if number > 1 else 0.0 for k in range(int(number))]
        found = [low * (high / low) ** s if form["how"] == "log" else low + (high - low) * s for s in steps]
    rounded = tuple(float(f"{v:.6g}") for v in found)
    if len(set(rounded)) < len(rounded):
        raise refused(f"{what!r:.80} has a value twice", option="--over", remedy=remedy)
    return name, rounded


def grid(over: Iterable[str], seeds: int, first: int, fixed: Mapping[str, object]) -> list[Point]:
    """All values with all seeds."""
    axes: dict[str, tuple[float, ...]] = {}
    for text in over:
        name, found = values(text)
        if name in axes or name in fixed:
            raise refused(f"{name} is set twice", option="--over", remedy="each name once, in --over or in --set")
        axes[name] = found
    if not axes:
        raise refused("nothing to go along", option="--over", remedy="--over beta=0.01:10:log8")
    points = [
        Point(tuple(zip(axes, chosen, strict=True)), first + k)
        for chosen in itertools.product(*axes.values())
        for k in range(seeds)
    ]
    if len(points) > MOST:
        raise refused(f"{len(points)} runs", option="--over", remedy=f"at most {MOST}")
    return points

"""<J|R(S)> by exact sums, from a coordinate's own key: which factors sample, which are evaluated, on which variables.

This reads a cross-entropy vector without the term it came from, so that the two can be compared.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ibsym.checking import divergences
from ibsym.checking.finite import FiniteWorld, Table
from ibsym.errors import IbsymError
from ibsym.terms.vectors import Coordinate, Vector


def value(world: FiniteWorld, vector: Vector) -> float:
    """The sum of a vector's coordinates, each at its value in the world."""
    return math.fsum(float(weight) * coordinate(world, key) for key, weight in vector.items())


def coordinate(world: FiniteWorld, key: Coordinate) -> float:
    """The value of one coordinate; those of one-sided estimates are known by their terms only."""
    head: Any = key[0]
    parts: Any = key[1:]
    match head:
        case "TC":
            law, (variable,) = parts
            return divergences.correlation(
                world.grid(_marginal(world, law, (variable,)), [(variable,)]).reshape(world.shapes[variable])
            )
        case "divergence":
            name, first, second = parts
            p, q = _density(world, first), np.ones(1)
            for part in second:
                q = q * _density(world, part)
            full = np.broadcast_shapes(p.shape, q.shape)
            generator = "jensen-shannon" if name == "JS" else name
            return divergences.divergence(generator, np.broadcast_to(p, full), np.broadcast_to(q, full))
        case tuple():
            model, scope = parts
            law = _marginal(world, head, scope)
            evaluated = _factor(world, model[1], model[2:]) if model[0] == "factor" else _marginal(world, model, scope)
            reached = law > 0
            with np.errstate(divide="ignore", invalid="ignore"):
                return float((law[reached] * np.log(np.broadcast_to(evaluated, law.shape)[reached])).sum())
    raise IbsymError(f"{key} is no coordinate that can be evaluated by itself")


def _marginal(world: FiniteWorld, law: tuple[Any, ...], scope: tuple[str, ...]) -> Table:
    factors = world.spec.factors
    product: Table = np.ones([1] * len(world.axes))
    for text in law:
        product = product * world.table(factors[text])
    return world.without(product, scope)


def _factor(world: FiniteWorld, text: str, part: tuple[str, ...]) -> Table:
    factor = world.spec.factors[text]
    return world.without(world.table(factor), (*part, *factor.given))


def _density(world: FiniteWorld, law: tuple[Any, ...]) -> Table:
    factors, of, given = law
    both = _marginal(world, factors, (*of, *given))
    ratio: Table = both / world.without(both, given)
    return ratio

"""<J|R(S)> by exact sums, from a coordinate's own key: which factors sample, which are evaluated, on which variables.

This reads a cross-entropy vector without the term it came from, so that the two can be compared.
"""

from __future__ import annotations

import math

import numpy as np

from ibsym.checking import divergences
from ibsym.checking.finite import FiniteWorld, Table
from ibsym.errors import IbsymError
from ibsym.terms.vectors import Argument, Coordinate, Coordinatewise, Divergence, Law, LogDensity, Part, Vector


def value(world: FiniteWorld, vector: Vector) -> float:
    """The sum of a vector's coordinates, each at its value in the world."""
    return math.fsum(float(weight) * coordinate(world, key) for key, weight in vector.items())


def coordinate(world: FiniteWorld, key: Coordinate) -> float:
    """The value of one coordinate; those of one-sided estimates are known by their terms only."""
    match key:
        case Coordinatewise(law, variable):
            table = world.grid(_marginal(world, law, (variable,)), [(variable,)])
            return divergences.correlation(table.reshape(world.shapes[variable]))
        case Divergence(name, first, second):
            p, q = _density(world, first), np.ones(1)
            for part in second:
                q = q * _density(world, part)
            full = np.broadcast_shapes(p.shape, q.shape)
            generator = "jensen-shannon" if name == "JS" else name
            return divergences.divergence(generator, np.broadcast_to(p, full), np.broadcast_to(q, full))
        case LogDensity(sampler, model, scope):
            weights = _marginal(world, sampler, scope)
            evaluated = _part(world, model) if isinstance(model, Part) else _marginal(world, model, scope)
            reached = weights > 0
            with np.errstate(divide="ignore", invalid="ignore"):
                return float((weights[reached] * np.log(np.broadcast_to(evaluated, weights.shape)[reached])).sum())
    raise IbsymError(f"the coordinate {key} cannot be evaluated by itself")


def _marginal(world: FiniteWorld, law: Law, scope: tuple[str, ...]) -> Table:
    factors = world.spec.factors
    product: Table = np.ones([1] * len(world.axes))
    for text in law:
        product = product * world.table(factors[text])
    return world.without(product, scope)


def _part(world: FiniteWorld, part: Part) -> Table:
    factor = world.spec.factors[part.factor]
    return world.without(world.table(factor), (*part.of, *factor.given))


def _density(world: FiniteWorld, argument: Argument) -> Table:
    both = _marginal(world, argument.law, (*argument.of, *argument.given))
    ratio: Table = both / world.without(both, argument.given)
    return ratio

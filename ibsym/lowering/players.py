"""E log a(b|a) of a decoder that a player of its own fits: what the model has of it, and what the player minimises."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.lowering.program import CriticLoss, Node
from ibsym.lowering.section import Section
from ibsym.lowering.terms import let_at_sample, mean, refuse
from ibsym.lowering.translation import elementwise
from ibsym.terms.measures import Density, Estimate, MutualInformation

A = sympy.Symbol("a", real=True)


def density_of(item: BoundTerm) -> Density | None:
    """The declared density that the estimator's player fits."""
    return item.term.density if isinstance(item.term, Estimate) else None


def fitted(section: Section, item: BoundTerm) -> Node:
    """log a(b|a) at draws of the term's joint."""
    density, term = density_of(item), item.quantity
    if density is None or not isinstance(term, MutualInformation):
        raise refuse(item)
    return let_at_sample(section, section.sampling.part(term.joint), density)


def fit(section: Section, item: BoundTerm, density: Density) -> CriticLoss:
    """-E log a(b|a): the player's maximum likelihood, at draws that its caller cuts from the model."""
    term = item.quantity
    assert isinstance(term, MutualInformation)
    own = Section(section.sampling)
    part = own.sampling.part(term.joint)
    value = let_at_sample(own, part, density)
    comment = f"-E[log {density}]: its player's maximum likelihood"
    return CriticLoss(item.text, elementwise(-A, a=mean(value)), comment, steps=tuple(own.steps))

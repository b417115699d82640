"""f = sum c_k F_k: the usual deformations of each term, as columns that a loss may be made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ibsym.diagnosis.subject import Part
from ibsym.diagnosis.worlds import World

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject


@dataclass(frozen=True)
class Feature:
    """A column: ``term`` is the spec's term that it deforms, ``kind`` the deformation, ``words`` what to say of it.

    ``plain`` columns are the spec's own parts. ``sampled`` ones have the term's value in expectation over its draw, so that a
    set of them may stand for it. ``cost`` orders explanations: the cheapest that fits is told.
    ``still`` is the same value with the density's own parameters detached, which leaves the gradient's expectation as it is;
    ``cut`` with the draw detached, which does not.
    """

    name: str
    term: str
    kind: str
    words: str
    call: Part
    cost: float = 2.0
    still: Part | None = None
    cut: Part | None = None

    @property
    def plain(self) -> bool:
        """Whether it is a term as the spec has it."""
        return self.kind == "term"


_KL = re.compile(r"KL\((\w+\([^()]*\))\|\|(\w+\([^()]*\))\)")
_LOG = re.compile(r"E_\w+\[log (\w+\([^()]*\))\]")


def relative(text: str) -> tuple[str, str] | None:
    """The two densities of KL(a||b)."""
    found = _KL.fullmatch(text)
    return (found[1], found[2]) if found else None


def logarithm(text: str) -> str | None:
    """The density of E_q[log p(x|z)]."""
    found = _LOG.fullmatch(text)
    return found[1] if found else None


def plain_features(subject: Subject, parts: dict[str, Part]) -> list[Feature]:
    """The spec's own parts."""
    return [Feature(t.text, t.text, "term", "", parts[t.text], 1.0) for t in subject.terms]


def draw_features(subject: Subject) -> Iterator[Feature]:
    """The mean over draws of each term at one draw: a mean of logs, where the term is the log of a mean."""
    drawn = [i.name for i in subject.inputs if "S" in map(str, i.shape)]

    def at_one(text: str) -> Part:
        part = subject.part(text)

        def value(world: World) -> Tensor:
            if not world.layout.draws:
                return part(world)
            found = []
            for s in range(world.sizes["S"]):
                inputs = {n: t[s : s + 1] if n in drawn else t for n, t in world.inputs.items()}
                found.append(part(replace(world, inputs=inputs)))
            return torch.stack(found).mean()

        return value

    if drawn:
        for term in (t for t in subject.terms if t.text not in subject.critics):
            words = f"the mean over draws of {term.text} at one draw stands for the log of their mean"
            yield Feature(f"{term.text} by draw", term.text, "log of mean", words, at_one(term.text), 2.0)


def deformations(subject: Subject) -> Iterator[Feature]:
    """The deformed terms, those of the cheapest kind first."""
    from ibsym.diagnosis.likelihoods import likelihood_features
    from ibsym.diagnosis.rates import rate_features
    from ibsym.diagnosis.samples import critic_features, pair_features, sample_features

    yield from draw_features(subject)
    for term in subject.terms:
        divergence, density = relative(term.text), logarithm(term.text)
        if divergence is not None:
            yield from rate_features(subject, term.text, *divergence)
        if density is not None:
            yield from likelihood_features(subject, term.text, density)
        yield from critic_features(subject, term.text)
        yield from pair_features(subject, term.text)
    yield from sample_features(subject)

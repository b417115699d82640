"""r_c = 1/B sum_b p(c|z_b), m_c = 1/B sum_b 1[c_b = c]: shares of the classes of a variable in a batch, and what two have to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import Edit, EmissionError
from ibsym.families.functions import weighted, xlogx
from ibsym.lowering.program import Frequency, LogSoftmax, Node, Points, Reduce, Size
from ibsym.lowering.section import Section
from ibsym.lowering.terms import plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.terms.measures import Density, RelativeEntropy

A, N = sympy.symbols("a n", real=True)
SHARE, REFERENCE = sympy.symbols("share reference", nonnegative=True)


@dataclass(frozen=True, eq=False)
class Shares:
    """The shares of classes, ``counted`` in a batch or by ``log``; those of a uniform law, by neither, are as many as ``like`` has."""

    section: Section
    name: str
    density: Density
    like: Node
    log: Node | None = None
    counted: Node | None = None

    @property
    def uniform(self) -> bool:
        """Whether all are equal."""
        return self.log is None and self.counted is None

    def node(self) -> Node:
        """The shares themselves."""
        if self.counted is not None:
            return self.counted
        assert self.log is not None
        return self.section.let(self.name, elementwise(sympy.exp(A), a=self.log), f"share of each class under {self.density}")


UNIFORM = elementwise(sympy.Integer(0))
"""Stands for the logarithms of equal shares: how many classes there are is read off the other law."""


class Batches(NamedTuple):
    """The shares in the batches of a divergence's two arguments; ``missing`` is what may have no member of a class."""

    first: Shares
    second: Shares
    missing: Density | None


def shares(section: Section, item: BoundTerm) -> Batches:
    """The shares of a categorical variable under both arguments."""
    match plain(item):
        case RelativeEntropy(first, (second,)):
            pass
        case _:
            raise refuse(item)
    variable = first.of[0]
    space = section.sampling.spec.variables[variable]
    if first.given or second.given or len(first.of) != 1 or space.kind != "categorical" or space.event:
        raise EmissionError(
            f"{item.estimator} takes the marginals of one categorical variable, not {item.text}\n"
            "  write: minibatch-weighted, mmd, or an estimator with a critic"
        )
    logs = [_log_shares(section, d, variable) for d in (first, second)]
    like = next((log for log in logs if log is not None and log is not UNIFORM), None)
    if like is None or not _learned(section, first, second):
        raise _nothing_learned(section, item, variable, second, first)
    found = []
    for density, log in zip((first, second), logs, strict=True):
        own = Shares(section, f"{variable}_share", density, like)
        if log is None:
            own = replace(own, counted=_counted(section, density, variable, like))
        found.append(own if log is UNIFORM else replace(own, log=log))
    return Batches(found[0], found[1], second if logs[1] is None else None)


def mean_log(shares: Shares, others: Shares) -> Node:
    """sum_c r_c log m_c, in the form that overflows least; 0 log 0 = 0."""
    if others.uniform:
        return elementwise(-sympy.log(N), n=Size(shares.like if shares.uniform else shares.node(), (-1,)))
    if shares.uniform:
        assert others.log is not None  # the shares of a source do not learn
        return Reduce("mean", others.log, (-1,))
    share = shares.node()
    if others.log is not None:
        body = elementwise(weighted(SHARE, A), share=share, a=others.log)
    elif others is shares:
        body = elementwise(xlogx(SHARE), share=share)
    else:
        body = elementwise(weighted(SHARE, sympy.log(REFERENCE)), share=share, reference=others.node())
    return Reduce("sum", body, (-1,))


def _counted(section: Section, density: Density, variable: str, like: Node) -> Node:
    """1/B sum_b 1[c_b = c], of the classes that another law has."""
    counted = Frequency(section.sampling.value(section.sampling.part(density.head), variable), like)
    return section.let(f"{variable}_share", counted, f"share of each class in the batch of {density}")


def _nothing_learned(section: Section, item: BoundTerm, variable: str, *densities: Density) -> EmissionError:
    """The refusal of two laws that no network moves, with the one that could be learned."""
    owners = [section.sampling.part(d.head).by_variable[variable] for d in densities]
    about = f"neither argument of {item.text} has classes' probabilities that depend on what is learned"
    for factor in owners:
        if not factor.empirical:
            write = Edit(("families", factor.text), "categorical")
            return EmissionError(f"{about}\n  write: {write}", (write,))
    return EmissionError(f"{about}\n  write: an argument with a learned factor, such as p({variable}|z)")


def _learned(section: Section, *densities: Density) -> bool:
    sampling = section.sampling
    return any(sampling.learned(sampling.part(d.head), d.of) for d in densities)


def _log_shares(section: Section, density: Density, variable: str) -> Node | None:
    """log 1/B sum_b p(c|z_b) over the rows and draws of a batch, log p(c) where nothing is conditioned on; None for a source."""
    sampling = section.sampling
    joint = sampling.part(density.head)
    factor = joint.by_variable[variable]
    if factor.empirical:
        return None
    logits = None if factor.family is None or factor.family.headed else factor.family.class_logits
    if logits is not None and logits.is_number:
        return UNIFORM
    if logits is None:
        write = Edit(("families", factor.text), "categorical")
        raise EmissionError(f"{factor} has no probabilities of classes to average\n  write: {write}", (write,))
    log_p = LogSoftmax(sampling.parameter(factor, str(logits), joint))
    name = f"log_{density.head}_{variable}"
    if not factor.given:
        return section.let(name, log_p, f"log {factor}")
    table = section.let(f"{name}_rows", Points(((log_p, 1),), ("rows", log_p.axes[-1])), f"log {factor} of each row and draw")
    node = elementwise(A - sympy.log(N), a=Reduce("logsumexp", table, (-2,)), n=Size(table, (-2,)))
    return section.let(name, node, f"log of the mean of {factor} over the batch")

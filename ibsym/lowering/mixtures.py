"""A term made of logarithms of aggregated laws, each the mixture of the batch's components by its estimator's own formula."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.estimators import ESTIMATORS
from ibsym.lowering.pairs import WHY, Batch, added, conditional, factorised, own_factors
from ibsym.lowering.program import Node, Reduce
from ibsym.lowering.section import Section
from ibsym.lowering.terms import Estimated, let_at_sample, mean, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.lowering.values import Words
from ibsym.terms.measures import Density, Entropy, MutualInformation, RelativeEntropy, TotalCorrelation

A, B = sympy.symbols("a b", real=True)


def mixture(section: Section, item: BoundTerm, name: str, pairs: Node, axes: int = 0) -> Node:
    """log q(z_i) from log q(z_i|x_j), ``axes`` coordinate axes after j kept: the batch as a sample of the mixture's components."""
    estimator = ESTIMATORS[item.estimator]
    assert estimator.mixture is not None
    words = Words(section, item, estimator, axes)
    node = words.node(estimator.mixture.of(words, words.symbol(pairs)))
    return section.let(name, node, estimator.mixture.text(words.option("dataset_size")))


def minibatch(section: Section, item: BoundTerm) -> Estimated:
    """Entropies of an aggregated law, by the mixture of the batch's components."""
    term = plain(item)
    how = "the batch's mixture as q"
    match term:
        case TotalCorrelation(joint, (group,), ()):
            batch = Batch(section, joint)
            elements, event = batch.coordinates(group[0])
            over = tuple(range(-event, 0))
            pairs = section.let(f"log_{group[0]}_pairs", Reduce("sum", elements, over))
            together = mixture(section, item, f"log_{group[0]}", pairs)
            apart = Reduce("sum", mixture(section, item, f"log_{group[0]}_apart", elements, event), over)
            return _estimated(item, elementwise(A - B, a=together, b=apart), f"E[log q(z) - sum_l log q(z_l)], {how}")
        case TotalCorrelation(joint, groups, ()) | MutualInformation(joint, groups, ()) if all(
            _drawn(section, joint, g) for g in groups
        ):
            batch = Batch(section, joint)
            total = _aggregated(batch, item, tuple(v for g in groups for v in g))
            values = {f"part{k}": _aggregated(batch, item, g) for k, g in enumerate(groups)}
            return _estimated(
                item,
                elementwise(A - added(values), a=total, **values),
                f"E[log of the joint - sum log of the marginals], {how}",
            )
        case MutualInformation(joint, groups, ()):
            batch, mine = conditional(section, item, joint, groups)
            parts = [let_at_sample(section, batch.joint, Density(joint, f.of, f.given)) for f in own_factors(batch.joint, mine)]
            values = {f"part{k}": part for k, part in enumerate(parts)}
            node = elementwise(added(values) - A, a=_aggregated(batch, item, mine), **values)
            return _estimated(item, node, f"E[log q(z|x) - log q(z)], {how}")
        case RelativeEntropy(Density(joint, of, ()), second):
            batch = Batch(section, joint)
            factors = [f for d in second for f in factorised(section, d)]
            values = {f"part{k}": let_at_sample(section, batch.joint, d) for k, d in enumerate(factors)}
            node = elementwise(A - added(values), a=_aggregated(batch, item, of), **values)
            return _estimated(item, node, f"E[log q - log {''.join(map(str, second))}], {how}")
        case Entropy(joint, of, ()):
            batch = Batch(section, joint)
            return _estimated(item, elementwise(-A, a=_aggregated(batch, item, of)), f"-E[log q], {how}")
    raise refuse(item)


def _aggregated(batch: Batch, item: BoundTerm, variables: tuple[str, ...]) -> Node:
    return mixture(batch.section, item, f"log_{'_'.join(variables)}", batch.joint_pairs(variables))


def _drawn(section: Section, joint: str, group: tuple[str, ...]) -> bool:
    part = section.sampling.part(joint)
    return all(not part.by_variable[v].empirical for v in group)


def _estimated(item: BoundTerm, node: Node, formula: str) -> Estimated:
    return Estimated(mean(node), (f"{item.text} by {item.estimator}: {formula}",), why=WHY)

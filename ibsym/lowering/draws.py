"""log p(x) >= E log 1/S sum_s p(x,z_s)/q(z_s|x), and KL(q(c)||1/B sum_b p(c|z_b)): means inside of a logarithm."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import Edit, EmissionError
from ibsym.families.functions import weighted, xlogx
from ibsym.lowering.program import Frequency, LogSoftmax, Node, OverDraws, Points, Reduce, Size
from ibsym.lowering.section import Section
from ibsym.lowering.terms import Estimated, let_at_sample, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.spec.graphs import Factor, Joint
from ibsym.terms.measures import CrossEntropy, Density, ExpectedLog, RelativeEntropy

A, B, N = sympy.symbols("a b n", real=True)
SHARE, REFERENCE = sympy.symbols("share reference", nonnegative=True)


def iwae(section: Section, item: BoundTerm) -> Estimated:
    """E log 1/S sum_s p(x, z_s) / q(z_s|x): the more draws, the tighter (Burda et al. 2016)."""
    term = plain(item)
    match term:
        case ExpectedLog(joint, (model,)):
            sign = 1
        case CrossEntropy(Density(joint), (model,)) | RelativeEntropy(Density(joint), (model,)):
            sign = -1
        case _:
            raise refuse(item)
    sampling = section.sampling
    above = [
        f
        for f in sampling.spec.joints[model.head].factors
        if f in sampling.spec.joints[model.head].ancestral_factors(model.of) and not set(f.of) & set(model.given)
    ]
    latents = [v for f in above for v in f.of if v not in model.of]
    part = _encoder(section, item, joint, model, latents)
    exact = next((f for f in part.ancestral_factors(latents) if f.enumerated), None)
    if exact is not None:
        write = Edit(("families", exact.text), {"family": "categorical", "relax": "concrete"})
        raise EmissionError(
            f"{exact} is summed over exactly, and iwae of {item.text} draws it\n  write: {write}",
            (write,),
        )
    values: dict[str, Node] = {}
    total: sympy.Expr = sympy.Integer(0)
    text = []
    for factors, weight in ((above, 1), ([part.by_variable[v] for v in latents], -1)):
        for factor in factors:
            name = f"log{len(values)}"
            density = Density(model.head if weight > 0 else part.name, factor.of, factor.given)
            values[name] = let_at_sample(section, part, density)
            total += weight * sympy.Symbol(name, real=True)
            text.append(f"{'+' if weight > 0 else '-'} log {factor}")
    weights = section.let(
        f"log_w_{'_'.join(model.of)}",
        elementwise(total, **values),
        f"log weights of the draws: {' '.join(text).removeprefix('+ ')}",
    )
    over = OverDraws("logmeanexp", weights)
    node: Node = over if sign > 0 else elementwise(-A, a=over)
    rows = sampling.rows(part)
    sum_text = "E log 1/S sum_s of the weights" if sign > 0 else "-E log 1/S sum_s of the weights"
    return Estimated(node, (f"{item.text} by iwae: {sum_text}",), rows=rows, note="without a Monte-Carlo axis it has one draw")


def _encoder(section: Section, item: BoundTerm, joint: str, model: Density, latents: list[str]) -> Joint:
    """The joint that draws the latents given what is observed, from the same source."""
    sampling = section.sampling
    source = sampling.source(sampling.part(joint))
    names = [joint, *(j.name for j in sampling.spec.joints.values() if j.rooted and j.name != model.head)]
    for name in names:
        parts = sampling.parts(name)
        if (
            len(parts) == 1
            and source is not None
            and sampling.source(parts[0][1]) == source
            and {*latents, *model.scope} <= set(parts[0][1].variables)
        ):
            owners: list[Factor] = [parts[0][1].by_variable[v] for v in latents]
            if all(f.evaluated and f.family is not None and f.family.sampled for f in owners):
                return parts[0][1]
    write = f"a joint with q({','.join(latents)}|{','.join(model.of)}) on the same source"
    raise EmissionError(
        f"iwae of {item.text} needs an encoder of {', '.join(latents) or 'a latent variable'}\n  write: {write}"
    )


def batch_marginal(section: Section, item: BoundTerm) -> Estimated:
    """sum_c r_c [log r_c - log 1/B sum_b p(c|z_b)], r the first argument's share of each class in its batch."""
    term = plain(item)
    match term:
        case RelativeEntropy(first, (second,)) | CrossEntropy(first, (second,)):
            pass
        case _:
            raise refuse(item)
    variable = first.of[0]
    space = section.sampling.spec.variables[variable]
    if first.given or second.given or len(first.of) != 1 or space.kind != "categorical" or space.event:
        raise EmissionError(
            f"batch-marginal takes the marginals of one categorical variable, not {item.text}\n"
            "  write: minibatch-weighted, mmd, or an estimator with a critic"
        )
    own, other = (_log_shares(section, d, variable) for d in (first, second))
    if all(n is None or n is UNIFORM for n in (own, other)) or not _learned(section, first, second):
        raise _nothing_learned(section, item, variable, second, first)
    entropy: Node
    cross: Node
    if own is UNIFORM:
        assert other is not None  # the shares of a source do not learn
        entropy, cross = _all_equal(other), Reduce("mean", other, (-1,))
    elif other is None:
        assert own is not None
        reference = _shares(section, second, variable, own)
        share = section.let(f"{variable}_share", elementwise(sympy.exp(A), a=own), f"share of each class under {first}")
        entropy = Reduce("sum", elementwise(weighted(SHARE, A), share=share, a=own), (-1,))
        cross = Reduce("sum", elementwise(weighted(SHARE, sympy.log(REFERENCE)), share=share, reference=reference), (-1,))
    else:
        if own is None:
            share = _shares(section, first, variable, other)
            body = elementwise(xlogx(SHARE), share=share)
        else:
            share = section.let(f"{variable}_share", elementwise(sympy.exp(A), a=own), f"share of each class under {first}")
            body = elementwise(weighted(SHARE, A), share=share, a=own)
        entropy = Reduce("sum", body, (-1,))
        cross = (
            _all_equal(share)
            if other is UNIFORM
            else Reduce("sum", elementwise(weighted(SHARE, A), share=share, a=other), (-1,))
        )
    node = elementwise(A - B, a=entropy, b=cross) if isinstance(term, RelativeEntropy) else elementwise(-B, b=cross)
    formula = "sum_c r_c [log r_c - log m_c]" if isinstance(term, RelativeEntropy) else "-sum_c r_c log m_c"
    return Estimated(
        node,
        (
            f"{item.text} by batch-marginal: {formula}, r and m the classes' shares in the batches",
            *((f"infinite where a class is missing from the batch of {second}",) if other is None else ()),
        ),
        why="compares the marginals of two batches",
    )


UNIFORM = elementwise(sympy.Integer(0))
"""Stands for classes of equal shares: how many there are is read off the other law."""


def _all_equal(classes: Node) -> Node:
    """log 1/K, K the number of classes that a node has."""
    return elementwise(-sympy.log(N), n=Size(classes, (-1,)))


def _shares(section: Section, density: Density, variable: str, like: Node) -> Node:
    """1/B sum_b 1[c_b = c], of the classes that another law has."""
    shares = Frequency(section.sampling.value(section.sampling.part(density.head), variable), like)
    return section.let(f"{variable}_share", shares, f"share of each class in the batch of {density}")


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
    if factor.family is not None and factor.family.name == "uniform":
        return UNIFORM
    if factor.family is None or factor.family.name != "categorical":
        write = Edit(("families", factor.text), "categorical")
        raise EmissionError(f"{factor} has no probabilities of classes to average\n  write: {write}", (write,))
    log_p = LogSoftmax(sampling.parameter(factor, "logits", joint))
    name = f"log_{density.head}_{variable}"
    if not factor.given:
        return section.let(name, log_p, f"log {factor}")
    table = section.let(f"{name}_rows", Points(((log_p, 1),), ("rows", log_p.axes[-1])), f"log {factor} of each row and draw")
    node = elementwise(A - sympy.log(N), a=Reduce("logsumexp", table, (-2,)), n=Size(table, (-2,)))
    return section.let(name, node, f"log of the mean of {factor} over the batch")

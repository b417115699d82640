"""log p(x,z_s)/q(z_s|x): the weights of draws of a model's latent variables, by a joint that draws them given what is observed."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import Edit, EmissionError
from ibsym.lowering.program import Node
from ibsym.lowering.section import Section
from ibsym.lowering.terms import let_at_sample, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.spec.graphs import Factor, Joint
from ibsym.terms.measures import CrossEntropy, Density, ExpectedLog


def weights(section: Section, item: BoundTerm) -> Node:
    """One for each row and draw."""
    match plain(item):
        case ExpectedLog(joint, (model,)) | CrossEntropy(Density(joint), (model,)):
            pass
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
            f"{exact} is summed over exactly, and {item.estimator} of {item.text} draws it\n  write: {write}",
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
    return section.let(
        f"log_w_{'_'.join(model.of)}",
        elementwise(total, **values),
        f"log weights of the draws: {' '.join(text).removeprefix('+ ')}",
    )


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
        f"{item.estimator} of {item.text} needs an encoder of {', '.join(latents) or 'a latent variable'}\n  write: {write}"
    )

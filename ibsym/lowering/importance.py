"""log p(x,z_s)/q(z_s|x): the weights of draws of a model's latent variables, by a joint that draws them given what is observed."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.derivation.sampling import importance
from ibsym.errors import Edit, EmissionError
from ibsym.lowering.program import Node
from ibsym.lowering.section import Section
from ibsym.lowering.terms import let_at_sample, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.terms.measures import CrossEntropy, Density, ExpectedLog


def weights(section: Section, item: BoundTerm) -> Node:
    """One for each row and draw."""
    match plain(item):
        case ExpectedLog(joint, (model,)) | CrossEntropy(Density(joint), (model,)):
            pass
        case _:
            raise refuse(item)
    sampling = section.sampling
    sampling.part(joint)  # one product
    above, latents, part = importance(sampling.spec, sampling.coordinates, joint, model)
    if part is None:
        remedy = f"a joint with q({','.join(latents)}|{','.join(model.of)}) on the same source"
        raise EmissionError(
            f"{item.estimator} of {item.text} needs an encoder of {', '.join(latents) or 'a latent variable'}\n  write: {remedy}"
        )
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
    for factors, weight in ((above, 1), (tuple(part.by_variable[v] for v in latents), -1)):
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

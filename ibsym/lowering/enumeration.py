"""E_{q(y|x)} g(y) = sum_k q(k|x) g(k), exactly: class axes, and the sums over them.

Whatever depends on a variable that is summed has its class axis after the draws and before the rows, several in the order of
declaration. A value that does not depend on it broadcasts; no draw and no relaxation takes part, and the gradient is exact.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import Formula
from ibsym.families.functions import expected
from ibsym.lowering.classes import Names, aligned, of_every_class, place
from ibsym.lowering.program import LogSoftmax, Node, Reduce
from ibsym.lowering.section import Section
from ibsym.lowering.translation import elementwise
from ibsym.spec.graphs import Joint

LOG_WEIGHT, VALUE = sympy.symbols("log_weight value", real=True)


def summed(section: Section, joint: Joint, name: str, value: tuple[Node, Formula], classes: Names) -> tuple[Node, Formula]:
    """The expectation of a value under the factors of its class variables, the last of them in the graph first."""
    if not classes:
        return value
    node, formula = value
    comment, names = f"{formula.text}, for every class", classes
    sampling, graph = section.sampling, joint.order()
    while classes:
        variable = max(classes, key=graph.index)
        node = section.let(f"{name}_given_{'_'.join(classes)}", node, comment)
        weights, own = log_weights(section, joint, variable)
        wider = sampling.spec.ordered({*classes, *own})
        product = elementwise(
            expected(LOG_WEIGHT, VALUE), log_weight=aligned(weights, own, wider, 1), value=aligned(node, classes, wider, 1)
        )
        node = Reduce("sum", product, (place(wider, variable, 1),))
        classes = tuple(v for v in wider if v != variable)
        comment = f"summed over {variable} by {joint.by_variable[variable]}"
    factors = ", ".join(f"{v} by {joint.by_variable[v]}" for v in names)
    return node, Formula(formula.expression, f"{formula.text}; the exact sum over {factors}")


def log_weights(section: Section, joint: Joint, variable: str) -> tuple[Node, Names]:
    """log q(k|x) of every class k, and the class axes that it has."""
    sampling, factor = section.sampling, joint.by_variable[variable]
    own = sampling.classes(joint, factor.given)
    table = LogSoftmax(sampling.parameter(factor, "logits", joint))
    node, classes = of_every_class(table, own, variable, sampling.spec.ordered(joint.variables))
    return section.let(f"log_{factor.head}_{variable}", node, f"log {factor} of every class of {variable}"), classes

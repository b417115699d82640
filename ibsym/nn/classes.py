"""E_{q(y|x)} g(y) = sum_k q(k|x) g(k): a network of what depends on y is called with every class.

Under a joint with variables that are summed over, every value has an axis for each of them in front of its rows, of length 1
where the value does not depend on it, so that values of any kind meet. An input of a loss has those that its shape names.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ibsym.nn.graphs import Drawable
from ibsym.nn.samples import Value
from ibsym.spec.graphs import Joint
from ibsym.spec.model import Spec


def summed_over(spec: Spec, joint: Joint) -> tuple[str, ...]:
    """The variables of a joint that are summed over, in the order of declaration."""
    return spec.ordered(v for f in joint.factors if f.enumerated for v in f.of)


def every_class(place: int, number: int, classes: int, rows: int, like: Tensor) -> Value:
    """Each class of a variable along its own axis of ``number``, the same for all rows."""
    lead = [1] * number + [rows]
    lead[place] = classes
    index = (
        torch.arange(classes, device=like.device)
        .reshape(*(classes if k == place else 1 for k in range(number)), 1)
        .expand(lead)
    )
    return Value.of_class(index, classes, like.dtype)


def without_classes(value: Value, number: int) -> Value:
    """An observed value with as many axes of length 1 before its rows."""
    ones = (1,) * number
    index = None if value.index is None else value.index.reshape(*ones, *value.index.shape)
    return Value(value.code.reshape(*ones, *value.code.shape), value.event, index)


def as_declared(tensor: Tensor, entry: Any, spec: Spec, graphs: Drawable) -> Tensor:
    """The tensor without the class axes that the input's shape does not have."""
    joint = graphs.joints.get(entry.joint)
    rows = next((k for k, axis in enumerate(entry.shape) if axis.split("_")[0] == "B"), None)
    if joint is None or rows is None:
        return tensor
    names, behind = summed_over(spec, joint), len(entry.shape) - rows
    seen = {entry.of} if entry.of in spec.variables else {*spec.factors[entry.of].given} if entry.of in spec.factors else set()
    if entry.role == "log_prob":
        seen |= {*spec.factors[entry.of].of}
    own = joint.summed(seen)
    for place, variable in enumerate(names):
        dim = -behind - (len(names) - place)
        if variable not in own and tensor.dim() >= -dim:
            tensor = tensor.squeeze(dim)
    return tensor

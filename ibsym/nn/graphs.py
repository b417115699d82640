"""E_m[f] of a mixture m = (sum_k w_k q_k(x)) e(t|x) is sum_k w_k E_{q_k e}[f]: what m draws after mixing is drawn under each component."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ibsym.errors import EmissionError
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import Spec
from ibsym.terms.vectors import Coordinates


class Drawable:
    """The joints of a spec with what mixtures of them draw besides; two mixtures that draw one variable otherwise are told apart."""

    def __init__(self, spec: Spec):
        self.joints: dict[str, Joint] = dict(spec.joints)
        self.unclear: dict[tuple[str, str], str] = {}
        coordinates = Coordinates(spec)
        more: dict[str, dict[Factor, str]] = {}
        for mixed in (j for j in spec.joints.values() if any(f.components for f in j.factors)):
            for _, part in coordinates.samplers(mixed.name):
                if part.name != mixed.name:
                    known = spec.joints[part.name].by_variable
                    for factor in (f for f in part.factors if not any(v in known for v in f.of)):
                        more.setdefault(part.name, {}).setdefault(factor, mixed.name)
        for name, factors in more.items():
            kept: dict[str, Factor] = {}
            for factor, where in factors.items():
                for v in factor.of:
                    if (other := kept.setdefault(v, factor)) != factor:
                        told = f"by {other} in {factors[other]} and by {factor} in {where}"
                        self.unclear[name, v] = f"{v} under {name} is drawn {told}\n  write: another name for one of them"
            joint = spec.joints[name]
            every = (*joint.factors, *dict.fromkeys(kept.values()))
            self.joints[name] = Joint(name, every, spec.ordered({*joint.variables, *kept}), joint.rooted)

    def __getitem__(self, joint: str) -> Joint:
        return self.joints[joint]

    def factor(self, joint: str, variable: str) -> Factor:
        """What draws a variable under a joint."""
        if (joint, variable) in self.unclear:
            raise EmissionError(self.unclear[joint, variable])
        graph = self.joints[joint]
        if not graph.rooted or variable not in graph.by_variable:
            raise EmissionError(f"{variable} cannot be drawn under {joint}\n  write: a joint that generates {variable}")
        return graph.by_variable[variable]


_KNOWN: WeakKeyDictionary[Spec, Drawable] = WeakKeyDictionary()


def drawable(spec: Spec) -> Drawable:
    """What can be drawn under each joint of a spec."""
    if spec not in _KNOWN:
        _KNOWN[spec] = Drawable(spec)
    return _KNOWN[spec]

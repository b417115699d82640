"""Short names that do not collide: x, z_mean, c_logits; where two would be equal, what tells them apart comes first."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ibsym.errors import SpecError
from ibsym.lowering.program import InputKey
from ibsym.spec.model import Spec
from ibsym.spec.reserved import reserved

TAKEN = frozenset((*keyword.kwlist, *keyword.softkwlist, *reserved().names))
"""Names that mean something in an emitted module."""

LOGITS = ("critic", "critic_reference", "scores", "temperature")


class _Parts(NamedTuple):
    """What a name may be made of; ``subject`` is what the name is about, ``kind`` the end of it."""

    head: str
    subject: str
    kind: str
    given: str
    joint: str


def input_names(keys: Sequence[InputKey], reserved: Iterable[str]) -> dict[InputKey, str]:
    """A name for every input. The parameters of one factor are named alike.

    >>> q, u = InputKey("p(c|z)", "logits", "q"), InputKey("p(c|z)", "logits", "u")
    >>> list(input_names([q, u, InputKey("c", "value", "q")], ()).values())
    ['q_c_logits', 'u_c_logits', 'c']
    """
    taken = set(reserved)
    parts = {key: _parts(key) for key in keys}
    names: dict[InputKey, str] = {}
    groups: dict[tuple[str, bool, bool], list[InputKey]] = {}
    for key in keys:
        groups.setdefault((parts[key].subject, "(" in key.of, key.role in LOGITS), []).append(key)
    forms: tuple[Callable[[_Parts], str], ...] = (
        lambda p: p.subject,
        lambda p: _join(p.head, p.subject),
        lambda p: _join(p.joint, p.subject),
        lambda p: _join(p.head, p.subject, p.given and f"given_{p.given}"),
        lambda p: _join(p.joint, p.head, p.subject),
        lambda p: _join(p.joint, p.head, p.subject, p.given),
    )
    for group in groups.values():
        owners = {(key.of, key.joint) if parts[key].joint else key.of for key in group}
        for form in forms:
            found = [_join(form(parts[key]), parts[key].kind) for key in group]
            apart = len({form(parts[key]) for key in group}) == len(owners)
            if apart and len(set(found)) == len(found) and not taken & set(found):
                break
        else:
            found = []
            for key in group:
                found.append(unused(_join(form(parts[key]), parts[key].kind), {*taken, *found}))
        taken |= set(found)
        names.update(zip(group, found, strict=True))
    return names


def _join(*words: str) -> str:
    return "_".join(w for w in words if w)


def _parts(key: InputKey) -> _Parts:
    if key.role in ("value", "sample"):
        return _Parts("", key.of, "", "", key.joint)
    if key.role == "embedding":
        return _Parts("", key.of, key.role, "", key.joint)
    if key.role == "sample_reference":
        return _Parts("", f"{key.of}_reference", "", "", key.joint)
    if key.role in LOGITS and "(" in key.of:
        words = re.findall(r"[A-Za-z]\w*", key.of)
        return _Parts(words[0].split("_")[0].lower(), _variables(key.of), key.role, _join(*words[1:]).lower(), "")
    head, of, *given = re.split(r"[(|)]", key.of)[:3]
    return _Parts(head, of.replace(",", "_"), key.role, "_".join(given).replace(",", "_").strip("_"), key.joint)


def _variables(text: str) -> str:
    """The variables of a divergence's first argument, or of an information: KL(q(x,z)||p(x,z)) to x_z, I_q(Z1;Z2) to z1_z2."""
    inner = re.search(r"\(\w+\(([^()]*)\)\|\|", text)
    names = inner[1] if inner else text[text.index("(") + 1 : text.rindex(")")]
    return "_".join(re.findall(r"\w+", names.split("|")[0])).lower()


def unused(name: str, taken: Iterable[str]) -> str:
    """The name, or the name with the first number that makes it new.

    >>> unused("kl_z", {"kl_z", "kl_z_2"})
    'kl_z_3'
    """
    used, number, found = set(taken), 2, name
    while found in used:
        found, number = f"{name}_{number}", number + 1
    return found


def check_parameters(spec: Spec, inputs: Iterable[str]) -> None:
    """A parameter is an attribute of the emitted module, and no input's name."""
    for name in sorted({*inputs} & set(spec.parameters)):
        raise SpecError(f"{name!r} is taken in the emitted module", key=f"parameters.{name}", remedy="another name")

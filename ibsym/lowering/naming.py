"""Short names that do not collide: x, z_mean, c_logits; where two would be equal, what tells them apart comes first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ibsym.errors import SpecError
from ibsym.lowering.program import InputKey
from ibsym.spec.model import Spec

TAKEN = frozenset(
    "self cls torch math F Tensor NamedTuple Input Output Loss super float int str len max min sum zip range tuple dict type print isinstance "
    "loss terms per_row batch rows name value step critic critic_reference reduction False None True and as assert async await break class continue def "
    "del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield match case".split()
)
"""Names that mean something in an emitted module."""

ATTRIBUTES = frozenset("INPUTS CRITICS CRITIC_INPUTS constraint_value directions self super torch".split())


class _Parts(NamedTuple):
    """What a name may be made of."""

    head: str
    stem: str
    given: str
    joint: str


def input_names(keys: Sequence[InputKey], reserved: Iterable[str]) -> dict[InputKey, str]:
    """A name for every input.

    >>> q, u = InputKey("p(c|z)", "logits", "q"), InputKey("p(c|z)", "logits", "u")
    >>> list(input_names([q, u, InputKey("c", "value", "q")], ()).values())
    ['q_c_logits', 'u_c_logits', 'c']
    """
    taken = set(reserved)
    parts = {key: _parts(key) for key in keys}
    names: dict[InputKey, str] = {}
    by_stem: dict[str, list[InputKey]] = {}
    for key in keys:
        by_stem.setdefault(parts[key].stem, []).append(key)
    forms: tuple[Callable[[_Parts], str], ...] = (
        lambda p: p.stem,
        lambda p: _join(p.head, p.stem),
        lambda p: _join(p.joint, p.stem),
        lambda p: _join(p.joint, p.head, p.stem),
        lambda p: _join(p.joint, p.head, p.stem, p.given),
    )
    for group in by_stem.values():
        for form in forms:
            found = [form(parts[key]) for key in group]
            if len(set(found)) == len(found) and not taken & set(found):
                break
        else:
            found = [unused(form(parts[key]), taken) for key in group]
        taken |= set(found)
        names.update(zip(group, found, strict=True))
    return names


def _join(*words: str) -> str:
    return "_".join(w for w in words if w)


def _parts(key: InputKey) -> _Parts:
    words = re.findall(r"[A-Za-z]\w*", key.of)
    if key.role in ("value", "sample"):
        return _Parts("", key.of, "", key.joint)
    if key.role == "sample_reference":
        return _Parts("", f"{key.of}_reference", "", key.joint)
    if key.role in ("critic", "critic_reference", "scores"):
        return _Parts(words[0].split("_")[0].lower(), f"{_variables(key.of)}_{key.role}", _join(*words[1:]), "")
    head, of, *given = re.split(r"[(|)]", key.of)[:3]
    return _Parts(head, f"{of.replace(',', '_')}_{key.role}", "_".join(given).replace(",", "_").strip("_"), key.joint)


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
    """A parameter is an attribute of the emitted module: its name may mean nothing else there."""
    clash = {*inputs, *ATTRIBUTES} & set(spec.parameters)
    if clash:
        name = sorted(clash)[0]
        raise SpecError(f"{name!r} is taken in the emitted module", key=f"parameters.{name}", remedy="another name")

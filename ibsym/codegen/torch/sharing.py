"""A call of one name that statements repeat, such as ``torch.exp(z_logvar)``, is computed once, under a name of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ibsym.lowering.naming import unused

CALL = re.compile(r"(?<![\w.])(?:(?:torch|F)\.(\w+)\((-|-0\.5 \* )?([A-Za-z_]\w*)\)|(\w+)\.(log_softmax)\(-1\))")

SOFTMAX = re.compile(r"torch\.exp\((\w+)\.log_softmax\(-1\)\)")


def shared(texts: Sequence[str], taken: Iterable[str]) -> tuple[list[str], dict[int, list[str]]]:
    """The texts with names for what they repeat, and by the place of a text the assignments that stand before it.

    >>> shared(["torch.exp(a.log_softmax(-1)) * a.log_softmax(-1)"], ())
    (['torch.exp(a_log_softmax) * a_log_softmax'], {0: ['a_log_softmax = a.log_softmax(-1)']})
    >>> shared(["torch.exp(a.log_softmax(-1)) * b"], ())
    (['a.softmax(-1) * b'], {})
    """
    written, used = list(texts), {*taken}
    before: dict[int, list[str]] = {}
    while call := _repeated(written):
        name = unused(_name(call), used)
        used.add(name)
        pattern = re.compile(rf"(?<![\w.]){re.escape(call[0])}")
        first = next(k for k, text in enumerate(written) if pattern.search(text))
        before.setdefault(first, []).append(f"{name} = {call[0]}")
        written = [pattern.sub(name, text) for text in written]
    return [SOFTMAX.sub(r"\1.softmax(-1)", text) for text in written], before


def _repeated(texts: Iterable[str]) -> re.Match[str] | None:
    """The first call that stands twice in the texts."""
    seen: dict[str, re.Match[str]] = {}
    for call in (call for text in texts for call in CALL.finditer(text)):
        if call[0] in seen:
            return call
        seen[call[0]] = call
    return None


def _name(call: re.Match[str]) -> str:
    """``z_log_softmax`` of logits, ``z_softmax`` of its exponential, ``z_deviation_inverse`` of a log-variance.

    >>> [_name(CALL.search(c)) for c in ("F.logsigmoid(-z_logits)", "torch.exp(z_log_softmax)", "torch.exp(-0.5 * z_logvar)")]
    ['minus_z_logsigmoid', 'z_softmax', 'z_deviation_inverse']
    """
    function, factor, argument = call[1] or call[5], call[2] or "", (call[3] or call[4])
    match function, factor:
        case "exp", "" if argument.endswith("_log_softmax"):
            return argument.replace("_log_softmax", "_softmax")
        case "exp", "-0.5 * " if argument.endswith("_logvar"):
            return argument.replace("_logvar", "_deviation_inverse")
    sign = {"": "", "-": "minus_", "-0.5 * ": "minus_half_"}[factor]
    return f"{sign}{argument.removesuffix('_logits')}_{function}"

"""The keys of a spec as the TOML file that says them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(keys: Mapping[str, object]) -> str:
    """A file that reads back as these keys: texts, numbers and lists first, then a table each.

    >>> print(toml({"name": "rate", "variables": {"x": "real[D]"}, "parameters": {"beta": {"default": 1.0, "min": 0}}}))
    name = "rate"
    <BLANKLINE>
    [variables]
    x = "real[D]"
    <BLANKLINE>
    [parameters]
    beta = { default = 1.0, min = 0 }
    """
    given = {key: value for key, value in keys.items() if value not in (None, "", (), [], {})}
    heads = [_line(key, value) for key, value in given.items() if not isinstance(value, Mapping)]
    tables = [
        "\n".join([f"[{_key(key)}]", *(_line(k, v) for k, v in value.items())])
        for key, value in given.items()
        if isinstance(value, Mapping)
    ]
    return "\n\n".join(["\n".join(heads), *tables])


def _line(key: str, value: object) -> str:
    return f"{_key(key)} = {written_value(value)}"


def _key(text: str) -> str:
    return text if BARE.fullmatch(text) else _text(text)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def written_value(value: object) -> str:
    """A value as TOML has it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case Mapping():
            return "{ " + ", ".join(_line(str(k), v) for k, v in value.items() if v is not None) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(written_value, value)) + "]"
        case float() | int():
            return repr(value)  # inf, nan and 1e+20 are TOML as they are Python
    return _text(str(value))

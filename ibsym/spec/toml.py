"""text -> keys, by the standard library's TOML reader; what it refuses is explained by the line that it stopped at."""

from __future__ import annotations

import re
import tomllib

from ibsym.errors import Place, SpecError, shown
from ibsym.spec.names import latin
from ibsym.spec.wording import quoted

DEEP = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){50}""")
_KEY = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_.-]+)"""
MOST_LINES = 8
"""How many more lines are looked at for the end of a text."""
TABLES = ("variables", "joints", "families", "parameters", "estimators", "derivation", "critics")
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?|\.\d+|\d[\d_]*\.\d*)([eE][+-]?\d+)?")


def read(text: str, file: str) -> dict[str, object]:
    """The keys in a TOML text; a :class:`SpecError` with line, column and what to write where it is none."""
    if DEEP.search(text):  # which would keep the reader busy for minutes
        raise SpecError("this is not TOML: nested too deeply", place=Place(file=file), remedy="a flat table of keys")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # the reader's own, and that of a whole number of thousands of digits
        raise explained(str(error), text, file) from None
    except RecursionError:
        raise SpecError("this is not TOML: nested too deeply", place=Place(file=file), remedy="a flat table of keys") from None


def explained(error: str, text: str, file: str) -> SpecError:
    """What is wrong with the line that the reader stopped at, and how it is written."""
    where = re.search(r"\(at line (\d+), column (\d+)\)", error)
    lines = text.split("\n")
    if where:
        line, column = int(where[1]), int(where[2])
    elif "end of document" in error:  # an entry that goes on for ever began at the last key
        line = max((n for n, found in enumerate(lines, 1) if found.strip()), default=1)
        column = len(lines[line - 1]) + 1
    else:
        line, column = next(((n, 1) for n, found in enumerate(lines, 1) if re.search(r"[0-9a-fA-F_]{1000}", found)), (0, 0))
    place = Place(file=file, line=line or None, column=column or None)
    if re.search("Cannot (declare|overwrite|mutate)", error):
        name = lines[line - 1].split("=")[0].strip(" []") if line else ""
        return SpecError(f"{shown(name, 80) or 'a key'} is declared twice", place=place, remedy="each key once")
    found = lines[line - 1] if line else ""
    if column <= 1 and line > 1 and not _ends(lines[line - 2]):  # the reader notices an open line at the next
        line, found = line - 1, lines[line - 2]
        place = Place(file=file, line=line, column=len(found) + 1)
    what, remedy = _heading(found) or _folded(lines[line - 1 : line + MOST_LINES]) or _diagnosis(found.rstrip("\r"))
    return SpecError(f"this is not TOML: {what}", place=place, remedy=remedy)


def _heading(line: str) -> tuple[str, str] | None:
    """``variables:`` is meant for ``[variables]``."""
    found = re.fullmatch(r"\s*([A-Za-z]+)\s*:?=?\s*", line)
    if found and found[1] in TABLES:
        return "a table begins with its name in brackets, on a line of its own", f"[{found[1]}]"
    return None


def _folded(lines: list[str]) -> tuple[str, str] | None:
    """A text that goes on on the next lines, in single quotation marks: the same on one line."""
    opened = re.fullmatch(rf"""\s*({_KEY})\s*=\s*(["'])((?:(?!\2).)*)""", lines[0].rstrip("\r")) if lines else None
    if opened is None or opened[3].rstrip().endswith("\\"):
        return None
    parts = [opened[3].strip()]
    for line in lines[1:]:
        if re.match(rf"\s*(?:{_KEY}\s*=|\[|$)", line):
            return None
        body, closed, rest = line.strip().partition(opened[2])
        parts.append(body.strip())
        if closed:
            text = f"{opened[1]} = {opened[2]}{' '.join(parts)}{opened[2]}"
            return None if rest and not rest.lstrip().startswith("#") else ("a text in quotes stands on one line", text)
    return None


def _ends(line: str) -> bool:
    """Whether a line could be whole."""
    return not re.search(r"=\s*(#.*)?$", line)


def _diagnosis(line: str) -> tuple[str, str]:
    """What is wrong with one line, and what to write instead."""
    bare = line.strip()
    if bare.startswith("["):
        name = bare.strip("[] \t").split("#")[0].strip("] \t")
        return (
            "a heading is one name in brackets, on a line of its own",
            f"[{name if re.fullmatch(_KEY, name) else 'variables'}]",
        )
    key, sign, value = _halves(bare)
    if not sign or " = " in key:  # a quote that is not closed swallows the sign
        key, sign, value = (part.strip() for part in bare.partition("="))
    if not sign:
        first = re.match(_KEY, bare)
        return "a line is a key, = and a value", f"{first[0] if first else 'x'} = ..."
    spelt = key if re.fullmatch(rf"{_KEY}(\s*\.\s*{_KEY})*", key) else quoted(_unquoted(key))
    fixed = _value(value)
    body = re.sub(r"(^|\s)\s*#.*$", "", value).strip()
    if spelt != key and not key.isascii() and not re.search(r"[(|,]", key):
        return f"{shown(key, 40)!r} is not a name: names are ASCII", f"{latin(key)} = {fixed}"
    if spelt != key:
        return f"the key {shown(key, 60)} stands without its quotes", f"{spelt} = {fixed}"
    if sign == ":" or value.startswith("="):
        return "one = stands between a key and its value", f"{key} = {_value(value.lstrip('= '))}"
    if not body:
        return f"{shown(key, 60)} has no value", f"{key} = ..."
    if fixed in (body, "..."):
        return f"the value of {shown(key, 60)} cannot be read", f'{key} = "...", a text; or a number, a list, a table in braces'
    match fixed[0]:
        case "{":
            what = "a table in braces stands on one line, keys with = and commas between them"
        case "[":
            what = "a list is closed by a bracket, with commas between its entries"
        case "'" if value.startswith('"') and "\\" in value:
            what = "a backslash between double quotes is the beginning of an escape; between single ones it is itself"
        case '"' | "'":
            what = "a text stands in quotes, on one line"
        case "t" | "f":
            what = "true and false have no capitals"
        case _:
            what = "a number has digits on both sides of its point, and no zero in front"
    return what, f"{key} = {fixed}"


def _halves(line: str) -> tuple[str, str, str]:
    """Key, sign and value of a line: the first = outside of quotes; a colon stands for it."""
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "=:":
            return line[:place].strip(), letter, line[place + 1 :].strip()
    return line, "", ""


def _unquoted(key: str) -> str:
    """A key without the quotes that it has on one side only."""
    return key.strip("\"'").strip()


def _value(value: str, depth: int = 0) -> str:
    """A value as it was meant: a text in quotes, a number with digits on both sides, a list or table that closes."""
    body = re.sub(r"(^|\s)\s*#.*$", "", value).strip().rstrip(",;")
    if depth > 3 or len(body) > 300:
        return "..."
    if body.startswith("{"):
        inner = body.strip("{} ")
        pairs = [_halves(part) for part in re.split(r",(?![^\[]*\])", inner) if part.strip()]
        return "{ " + ", ".join(f"{k or 'key'} = {_value(v, depth + 1)}" for k, _, v in pairs) + " }"
    if re.match(r"\w+\s*=\s*[^=\s]", body):
        return _value("{" + body + "}", depth)
    if body.startswith("["):
        parts = [part.strip() for part in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", body.strip("[] ")) if part.strip()]
        return "[" + ", ".join(_value(part, depth + 1) for part in parts) + "]"
    if body.casefold() in ("true", "false"):
        return body.casefold()
    if _NUMBER.fullmatch(body):
        whole, exponent = [*re.split("[eE]", body), ""][:2]
        whole = re.sub(r"^([+-]?)\.", r"\g<1>0.", whole)
        whole = re.sub(r"^([+-]?)0+(?=\d)", r"\1", whole + "0" if whole.endswith(".") else whole)
        return whole + (f"e{exponent}" if exponent else "")
    if not body:
        return "..."
    text = body.strip("\"'“”‘’")
    return f'"{text}"' if '"' not in text and "\\" not in text else f"'{text}'" if "'" not in text else '"..."'

"""Names of specs, variables and parameters: ASCII, since they reach Python, LaTeX and file names."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata

from ibsym.errors import SpecError

_SPEC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")
LONGEST = 80
GREEK_NAMES = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lam mu nu xi omicron pi rho sigma tau upsilon phi chi psi omega
""".split()  # noqa: SIM905  read as a page of words
GREEK = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", GREEK_NAMES, strict=True))


def latin(name: str) -> str:
    """A name in ASCII letters: Greek ones by their names.

    >>> latin("β"), latin("λ1"), latin("größe")
    ('beta', 'lam1', 'grosse')
    """
    letters = (GREEK.get(letter, letter) for letter in unicodedata.normalize("NFKD", name[:200].casefold()))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter[0]))
    found = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_") or "x"
    return f"{found}_" if keyword.iskeyword(found) else found


def identifier(name: str) -> str:
    """The ASCII identifier that is most like a name.

    >>> identifier("q-z"), identifier("1x"), identifier("class")
    ('q_z', 'x', 'class_')
    """
    return latin(name.replace("-", "_").lstrip("0123456789_"))[:40]


def check_spec_name(name: str) -> None:
    """A spec's name is its file's, its module's and its class's: ASCII words joined by hyphens."""
    if not _SPEC_NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > LONGEST:
        words = re.findall("[A-Za-z0-9]+", latin(name.strip().removesuffix(".toml")))
        close = "-".join(words).lstrip("0123456789-")[:LONGEST].strip("-") or "my-loss"
        raise SpecError(
            f"{name[:LONGEST]!r} cannot be the name of a spec: ASCII words joined by hyphens, no Python keyword, {LONGEST} letters at most",
            key="name",
            remedy=f"{close}-loss" if keyword.iskeyword(close) else close,
        )
    if name == "torch" or name.replace("-", "_") in sys.stdlib_module_names:
        raise SpecError(
            f"a module {name!r} exists already, and the emitted one would hide it", key="name", remedy=f"{name}-loss"
        )

r"""Sources by what running text calls them (Alemi et al. 2017): keys for ``\cite``, entries for a ``.bib``, a list that stands alone.

What is cited and has no entry of ours, as in a spec of one's own, becomes an entry that says its text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from ibsym.derivation.model import Derivation
from ibsym.rendering import outline

if TYPE_CHECKING:
    from pybtex.database import BibliographyData, Entry

FILE = Path(__file__).with_name("sources.bib")
SPELLED = str.maketrans({"ø": "o", "Ø": "O", "ß": "ss", "æ": "ae", "ł": "l"})


def key(source: str) -> str:
    """The key under which a source is cited.

    >>> key("Cover & Thomas 2006"), key("Own & Work 2031")
    ('cover2006', 'Own-Work-2031')
    """
    return _keys().get(source) or "-".join(re.findall(r"[A-Za-z0-9]+", _ascii(source))) or f"source-{crc32(source.encode())}"


def keys(sources: Iterable[str]) -> list[str]:
    """The keys of the sources that a step or a system names, each once."""
    return list(dict.fromkeys(map(key, outline.named(sources))))


def bibtex(sources: Iterable[str]) -> str:
    """The entries of the sources, as a ``.bib`` file says them."""
    text = entries(sources).to_string("bibtex")
    return str(text).strip() + "\n" if text.strip() else ""


def cited(derivation: Derivation) -> str:
    """A system's sources and those of its derivation's steps, as a ``.bib`` file."""
    return bibtex(outline.sources(derivation))


def entries(sources: Iterable[str]) -> BibliographyData:
    """The entries of the sources by their keys, in their order."""
    from pybtex.database import BibliographyData, Entry

    found = {
        key(source): library().entries[key(source)] if source in _keys() else Entry("misc", _said(source)) for source in sources
    }
    return BibliographyData(entries=found)


def listed(sources: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Key and reference of each source, the reference as LaTeX; what is no entry of ours is said as it stands."""
    from pybtex.style.formatting.plain import Style

    from ibsym.rendering.tex import citation

    asked = tuple(sources)
    known = entries(source for source in asked if source in _keys()).entries
    for entry in Style().sort(known.values()):
        yield entry.key, _reference(entry.key)
    yield from ((key(source), f"{citation(source)}.") for source in asked if source not in _keys())


@cache
def _reference(name: str) -> str:
    """The reference of an entry of ours, as LaTeX: the same in every document."""
    from pybtex.backends.latex import Backend
    from pybtex.style.formatting.plain import Style

    (entry,) = Style().format_entries([library().entries[name]])
    return str(entry.text.render(Backend())).replace("\n\\newblock", " ")


def _said(source: str) -> list[tuple[str, str]]:
    """What there is to say of a source that is no entry of ours."""
    from ibsym.rendering.tex import citation

    year = re.search(r"\b(1[89]|20)\d\d\b", source)
    told = citation(source.translate(str.maketrans("{}", "()")))  # BibTeX counts braces, escaped or not
    return [("title", "{" + told + "}"), *([("year", year[0])] if year else [])]


@cache
def library() -> BibliographyData:
    """Every entry that travels with the package."""
    from pybtex.database import parse_file

    return parse_file(str(FILE), bib_format="bibtex")


@cache
def _keys() -> dict[str, str]:
    """Key by each name that running text has for an entry; two entries of one name are an error."""
    found: dict[str, str] = {}
    for name, entry in library().entries.items():
        for label in labels(entry):
            if found.setdefault(label, name) != name:
                raise ValueError(f"{label!r} is both {found[label]} and {name}")
    return found


def labels(entry: Entry) -> tuple[str, ...]:
    """A 2006; A & B 2006; A et al. 2006, or A, B & C 2006."""
    names = [_ascii(" ".join(map(str, (*p.rich_prelast_names, *p.rich_last_names)))) for p in entry.persons["author"]]
    year = entry.fields["year"]
    if len(names) == 1:
        return (f"{names[0]} {year}",)
    whole = f"{', '.join(names[:-1])} & {names[-1]} {year}"
    return (whole,) if len(names) == 2 else (f"{names[0]} et al. {year}", whole)


def _ascii(text: str) -> str:
    """Letters without their marks."""
    return "".join(c for c in unicodedata.normalize("NFD", text.translate(SPELLED)) if not unicodedata.combining(c))

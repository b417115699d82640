"""A page a system: what it minimises, its spec, the derivation, the emitted loss, and its neighbours."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import ibsym
from ibsym.cli.specs import CLASSES, kind_of
from ibsym.diagnosis.identifying import identify, known, named
from ibsym.drawing import figure
from ibsym.rendering.html import page
from ibsym.spec.loading import zoo_text

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from ibsym.derivation.model import Derivation
    from ibsym.diagnosis.systems import Match

SHOWN = ("Derivation", "Constraint", "What the loss computes", "Gap", "Constants", "Conditions")


def write_pages(app: Sphinx) -> None:
    """``zoo/NAME.md`` for every entry and ``zoo/index.md``."""
    folder = Path(app.srcdir) / "zoo"
    folder.mkdir(exist_ok=True)
    # Once, for neighbours as well.
    found = {name: derivation for name in ibsym.zoo() if (derivation := known(name)) is not None}
    pages = {"index.md": index(found)} | {f"{name}.md": system(name, derivation) for name, derivation in found.items()}
    for stale in {path.name for path in folder.glob("*.md")} - pages.keys():
        (folder / stale).unlink()
    (folder / "figures").mkdir(exist_ok=True)
    for file, drawing in drawn(found):
        kept(folder / "figures" / file, drawing)
    for name, text in pages.items():
        kept(folder / name, text.encode())


def drawn(found: dict[str, Derivation]) -> Iterator[tuple[str, bytes]]:
    """Both figures of every system, by all processors where processes can be forked: typesetting takes a second a system."""
    tasks = [(name, kind) for name in found for kind in ("system", "information")]
    files = [f"{name}.svg" if kind == "system" else f"{name}-information.svg" for name, kind in tasks]
    if "fork" not in multiprocessing.get_all_start_methods():
        yield from zip(files, (figure(found[name], kind=kind) for name, kind in tasks), strict=True)
        return
    with multiprocessing.get_context("fork").Pool(initializer=_DERIVATIONS.update, initargs=(found,)) as pool:
        yield from zip(files, pool.imap(_drawn, tasks, chunksize=4), strict=True)


_DERIVATIONS: dict[str, Derivation] = {}


def _drawn(task: tuple[str, str]) -> bytes:
    name, kind = task
    return figure(_DERIVATIONS[name], kind=kind)


def kept(path: Path, data: bytes) -> None:
    """A file that says this; one that does already is left alone, so that Sphinx need not read it again."""
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)


def index(found: dict[str, Derivation]) -> str:
    """The systems in classes, by what their losses need."""
    lines = ["# The zoo", "", "Every system is a TOML file; there is no code per system.", ""]
    for kind, title in CLASSES.items():
        lines += [f"## {title}", "", "| system | | objective |", "|---|---|---|"]
        for name, derivation in found.items():
            if kind_of(derivation) == kind:
                spec = derivation.spec
                objective = spec.objective_text.replace("|", r"\|")
                lines.append(f"| [{name}]({name}.md) | {spec.title} | `{objective}` |")
        lines.append("")
    hidden = ["```{toctree}", ":hidden:", "", *found, "```", ""]
    return "\n".join(lines + hidden)


def system(name: str, derivation: Derivation) -> str:
    """One page."""
    spec = derivation.spec
    return "\n\n".join(
        [
            f"# {spec.title}",
            f"`{name}` · {'; '.join(spec.cite)}" if spec.cite else f"`{name}`",
            spec.notes,
            f"```text\n{spec.objective_text}\n```",
            picture(name, f"the system {name}"),
            *(
                f"## {title}\n\n{raw(body)}{information(name, title)}"
                for title, body in sections(page(derivation))
                if title in SHOWN
            ),
            "## Neighbours",
            "\n".join(neighbours(derivation)),
            "## Spec",
            f"```toml\n{zoo_text(name)}```",
            "## Emitted loss",
            f"`ibsym generate {name}` writes this module, which runs alone; beside it lies the same as one pass of C.",
            f"```{{literalinclude}} ../../generated/{spec.module_name}.py\n:language: python\n```",
            "",
        ]
    )


def information(name: str, title: str) -> str:
    """Below the derivation, the figure of what its steps make of the terms."""
    if title != "Derivation":
        return ""
    return (
        "\n\nEach step is a circle between the terms that it takes and those that it makes; what it drops hangs below.\n\n"
        + picture(f"{name}-information", f"the derivation of {name}, step by step")
    )


def picture(file: str, alt: str) -> str:
    """A figure; where the page is narrow it is scrolled, since its letters would be too small."""
    return f"````{{container}} wide\n```{{image}} figures/{file}.svg\n:alt: {alt}\n:class: figure\n```\n````"


def raw(html: str) -> str:
    """HTML as it stands."""
    return f'```{{raw}} html\n<div class="ibsym">{html.strip()}</div>\n```'


def sections(html: str) -> Iterator[tuple[str, str]]:
    """Title and body of every part of a derivation's page."""
    pieces = re.split(r"<h2>(.*?)</h2>", html.partition("</style>")[2].partition("</body>")[0])
    yield from zip(pieces[1::2], pieces[2::2], strict=True)


def neighbours(derivation: Derivation) -> Iterator[str]:
    """The systems that it is at some parameters, or those that are nearest, with what separates them."""
    own = derivation.spec.name
    found = identify(derivation, [name for name in ibsym.zoo() if name != own])
    for match in (*found.matches, *found.nearest):
        yield f"* {told(match)}"
    if not (found.matches or found.nearest):
        yield "No other system has these variables."


def told(match: Match) -> str:
    """A neighbour in a line."""
    where = ", ".join(f"`{name} = {value}`" for name, value in match.parameters.items() if name != str(value))
    names = f"; {named(match.naming)}" if named(match.naming) else ""
    head = f"[{match.name}]({match.name}.md)"
    if match.exact:
        return f"{head}, the same{f' at {where}' if where else ''}{names}"
    kept = [f"`{d.term}` {words(d.what)}" for d in match.differences if d.what != "kept"]
    return f"{head}: {', '.join(kept) or 'other families'}{names}"


def words(what: str) -> str:
    """A difference, seen from this page."""
    return {"extra": "only here", "missing": "only there", "weight": "weighed otherwise"}.get(what, "treated otherwise")

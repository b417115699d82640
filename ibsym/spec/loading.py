"""Reading spec files: TOML, a place for every mistake, and the zoo by name."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

from ibsym.errors import Place, SpecError
from ibsym.spec.model import Spec

MAX_BYTES = 200_000


def zoo_names() -> list[str]:
    """Names of the specs that travel with ibsym."""
    return sorted(p.name.removesuffix(".toml") for p in resources.files("ibsym.zoo").iterdir() if p.name.endswith(".toml"))


def zoo_text(name: str) -> str:
    """The TOML text of a zoo entry."""
    if name not in zoo_names():
        raise SpecError(f"{name!r} is neither a file nor a name of the zoo", remedy="one of " + ", ".join(zoo_names()), place=Place(file=name))
    return (resources.files("ibsym.zoo") / f"{name}.toml").read_text(encoding="utf-8")


def load(source: str | Path) -> Spec:
    """The spec in a TOML file, or of a zoo entry by its name.

    Raises :class:`~ibsym.errors.SpecError` with file, line and column where there is one.
    """
    path = Path(source)
    try:
        if path.suffix != ".toml" and str(source) in zoo_names():
            return loads(zoo_text(str(source)), file=f"zoo/{source}.toml")
        if not path.exists() or path.is_dir():
            return loads(zoo_text(str(source)), file=f"zoo/{source}.toml")
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"more than {MAX_BYTES} bytes", remedy="a smaller file", place=Place(file=str(source)))
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"no UTF-8 at byte {error.start}", remedy="a UTF-8 text file", place=Place(file=str(source))) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be read: {error}", place=Place(file=str(source)[:200])) from None
    return loads(text, file=str(source))


def loads(text: str, file: str = "<text>") -> Spec:
    """The spec in a TOML text."""
    try:
        keys = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = Place(file=file, line=int(where[1]), column=int(where[2])) if where else Place(file=file)
        message = str(error).split(" (at ")[0]
        raise SpecError(f"no TOML: {message}", place=place) from None
    except RecursionError:
        raise SpecError("no TOML: nested too deeply", place=Place(file=file)) from None
    try:
        return Spec(**{str(k): v for k, v in keys.items()})
    except SpecError as error:
        raise located(error, text, file) from None
    except RecursionError:
        raise SpecError("nested too deeply", place=Place(file=file)) from None


def located(error: SpecError, text: str, file: str) -> SpecError:
    """The error with the file, and the line and column of its key where they can be found."""
    if error.place.line is not None:
        return error
    path = re.findall(r'"((?:[^"\\]|\\.)*)"|([^."]+)', error.key)
    names = [quoted or bare for quoted, bare in path]
    line, column = _find(text.splitlines(), names, error.column)
    return error.at(Place(file=file, key=error.key, line=line, column=column))


def _find(lines: list[str], names: list[str], offset: int | None) -> tuple[int | None, int | None]:
    """The line of the longest prefix of the dotted key that the text has, and the column inside its string value."""
    best: tuple[int, int | None, int] | None = None
    section: list[str] = []
    for number, line in enumerate(lines, 1):
        header = re.match(r"\s*\[([^\[\]]*)\]", line)
        if header:
            section = [p.strip(' "') for p in header[1].split(".")]
            if names[: len(section)] == section and (best is None or len(section) > best[2]):
                best = (number, None, len(section))
            continue
        entry = re.match(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([\w-]+))\s*=\s*""", line)
        if entry:
            name = next(g for g in entry.groups() if g is not None)
            here = [*section, name]
            if names[: len(here)] == here and (best is None or len(here) > best[2]):
                column = entry.end() + 1 + offset if offset is not None and line[entry.end() : entry.end() + 1] in ('"', "'") else None
                best = (number, column, len(here))
    return (best[0], best[1]) if best else (None, None)

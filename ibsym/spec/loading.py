"""Reading spec files: TOML, a place for every mistake, and the zoo by name."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

from ibsym.errors import Place, SpecError
from ibsym.spec.locations import located
from ibsym.spec.model import Spec

MAX_BYTES = 200_000
DEEP = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){50}""")


def zoo_names() -> list[str]:
    """Names of the specs that travel with ibsym."""
    return sorted(p.name.removesuffix(".toml") for p in resources.files("ibsym.zoo").iterdir() if p.name.endswith(".toml"))


def zoo_text(name: str) -> str:
    """The TOML text of a zoo entry."""
    if name not in zoo_names():
        raise SpecError(
            f"{name!r} is neither a file nor a name of the zoo",
            remedy="one of " + ", ".join(zoo_names()),
            place=Place(file=name),
        )
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
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)  # also of what has no size: a pipe, /dev/zero
        if len(data) > MAX_BYTES:
            raise SpecError(f"more than {MAX_BYTES} bytes", remedy="a smaller file", place=Place(file=str(source)))
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"no UTF-8 at byte {error.start}", remedy="a UTF-8 text file", place=Place(file=str(source))) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be read: {error}", place=Place(file=str(source)[:200])) from None
    return loads(text, file=str(source))


def loads(text: str, file: str = "<text>") -> Spec:
    """The spec in a TOML text."""
    if len(text) > MAX_BYTES:
        raise SpecError(f"more than {MAX_BYTES} characters", remedy="a shorter text", place=Place(file=file))
    if DEEP.search(text):  # which would keep the TOML reader busy for minutes
        raise SpecError("no TOML: nested too deeply", place=Place(file=file))
    try:
        keys = tomllib.loads(text)
    except ValueError as error:  # tomllib's own, and that of a whole number of thousands of digits
        where = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = Place(file=file, line=int(where[1]), column=int(where[2])) if where else Place(file=file)
        message = str(error).split(" (at ")[0]
        raise SpecError(f"no TOML: {message}", place=place) from None
    except RecursionError:
        raise SpecError("no TOML: nested too deeply", place=Place(file=file)) from None
    try:
        spec = Spec(**{str(k): v for k, v in keys.items()})
    except SpecError as error:
        raise located(error, text, file) from None
    except RecursionError:
        raise SpecError("nested too deeply", place=Place(file=file)) from None
    spec.origin = (text, file)
    return spec

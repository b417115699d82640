"""Reading spec files: TOML, a place for every mistake, and the zoo by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ibsym.errors import Place, SpecError, nearest
from ibsym.spec import toml
from ibsym.spec.locations import located
from ibsym.spec.model import Spec

ZOO = resources.files("ibsym") / "zoo"  # a folder of data, no package: nothing is imported to read it
MAX_BYTES = 200_000


def zoo_names() -> list[str]:
    """Names of the specs that travel with ibsym."""
    return sorted(p.name.removesuffix(".toml") for p in ZOO.iterdir() if p.name.endswith(".toml"))


def zoo_text(name: str) -> str:
    """The TOML text of a zoo entry."""
    if name not in zoo_names():
        close = nearest(name, zoo_names())
        raise SpecError(
            f"{name!r} is neither a file nor a name of the zoo" + (f", did you mean {close!r}?" if close else ""),
            remedy=close or "one of " + ", ".join(zoo_names()),
            place=Place(file=name),
        )
    return (ZOO / f"{name}.toml").read_text(encoding="utf-8")


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
        raise SpecError(f"not UTF-8 at byte {error.start}", remedy="a UTF-8 text file", place=Place(file=str(source))) from None
    except (OSError, ValueError) as error:
        raise SpecError(
            f"cannot be read: {_reason(error)}", remedy="a file that can be read", place=Place(file=str(source)[:200])
        ) from None
    return loads(text, file=str(source))


def _reason(error: OSError | ValueError) -> str:
    """What the system says, without numbers and without the name again."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def loads(text: str, file: str = "<text>") -> Spec:
    """The spec in a TOML text."""
    if len(text) > MAX_BYTES:
        raise SpecError(f"more than {MAX_BYTES} characters", remedy="a shorter text", place=Place(file=file))
    keys = toml.read(text, file)
    try:
        spec = Spec(**{str(k): v for k, v in keys.items()})
    except SpecError as error:
        raise located(error, text, file) from None
    except RecursionError:
        raise SpecError("nested too deeply", remedy="flat tables of keys", place=Place(file=file)) from None
    return spec.read_from(text, file)

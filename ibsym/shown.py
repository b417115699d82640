"""Values that print themselves, though what draws them stands further down the page: text, LaTeX, HTML, JSON."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeAlias


class Views(Protocol):
    """What draws a value in each of the formats."""

    def text(self, value: Any, /, width: int) -> str:
        """Plain text."""
        ...

    def latex(self, value: Any, /, columns: int, steps: str) -> str:
        """A fragment."""
        ...

    def typst(self, value: Any, /, columns: int, steps: str) -> str:
        """A fragment for Typst."""
        ...

    def html(self, value: Any, /) -> str:
        """A page."""
        ...

    def json(self, value: Any, /) -> str:
        """A document."""
        ...

    def notebook(self, value: Any, /) -> dict[str, str]:
        """What a notebook displays, by its kind."""
        ...


Drawing: TypeAlias = Callable[[], Views]


def printed_by_itself(cls: type) -> None:
    """IPython asks each class in turn, and takes a ``__repr__`` of its own before what a base says."""
    if "_repr_pretty_" not in cls.__dict__:
        cls._repr_pretty_ = cls._repr_pretty_  # type: ignore[attr-defined]


class Shown:
    """A value with ``str()``, ``to_text``, ``to_latex``, ``to_html`` and ``to_json``; ``drawing`` brings its views at first use.

    The outermost layer, which may import everything, sets ``drawing``; without it a value shows its ``repr``.
    """

    __slots__ = ()
    drawing: ClassVar[Drawing | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        printed_by_itself(cls)

    @classmethod
    def _views(cls) -> Views:
        if cls.drawing is None:
            raise TypeError(f"nothing draws a {cls.__name__} here: import ibsym")
        return cls.drawing()

    def to_text(self, width: int = 100) -> str:
        """Plain text in lines of at most ``width`` characters (formulas break at their signs only)."""
        return self._views().text(self, width)

    def to_latex(self, columns: int = 1, steps: str = "full") -> str:
        r"""A fragment to ``\input`` into an article of one column or two that loads amsmath, amssymb and mathtools.

        ``steps``: ``"full"``, ``"short"`` (the chain of inequalities alone) or ``"theorem"`` (with its proof).
        """
        return self._views().latex(self, _columns(columns), _steps(steps))

    def to_typst(self, columns: int = 1, steps: str = "full") -> str:
        """A fragment to ``#include`` into a Typst document that has a bibliography."""
        return self._views().typst(self, _columns(columns), _steps(steps))

    def to_html(self) -> str:
        """A page of its own, which needs no network."""
        return self._views().html(self)

    def to_json(self) -> str:
        """A JSON document, the same as the command line's ``--format json``."""
        return self._views().json(self)

    def __str__(self) -> str:
        return repr(self) if type(self).drawing is None else self.to_text().rstrip("\n")

    def _repr_latex_(self) -> str | None:
        """A notebook's picture, where it is mathematics."""
        return self._views().notebook(self).get("text/latex")

    def _repr_html_(self) -> str | None:
        """A notebook's picture, where it is a table."""
        return self._views().notebook(self).get("text/html")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython prints in a terminal."""
        printer.text(repr(self) if cycle else str(self))


class Told:
    """A value whose text is its picture: ``print``, and a notebook in fixed width."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        printed_by_itself(cls)

    def _repr_html_(self) -> str:
        """A notebook's picture."""
        return f"<pre>{html.escape(str(self).rstrip(chr(10)))}</pre>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython prints in a terminal."""
        printer.text(repr(self) if cycle else str(self).rstrip("\n"))


STEPS = ("full", "short", "theorem")


def _columns(value: int) -> int:
    if value not in (1, 2):
        raise ValueError(f"columns is 1 or 2, not {value!r}")
    return value


def _steps(value: str) -> str:
    if value not in STEPS:
        raise ValueError(f"steps is one of {', '.join(STEPS)}, not {value!r}")
    return value

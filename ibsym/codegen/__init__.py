"""Loss program -> module text: contexts of plain strings, short templates."""

from ibsym.codegen.emit import emit

__all__ = ["emit"]

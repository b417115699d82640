"""Loss program -> files: contexts of plain strings, short templates, a folder for each target."""

from ibsym.codegen.emit import emit, files

__all__ = ["emit", "files"]

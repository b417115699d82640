"""What a target is: a loss program to files that compute it."""

from __future__ import annotations

from typing import Protocol

from ibsym.lowering.program import LossProgram


class Target(Protocol):
    """A language or a library that losses are written in; a folder of :mod:`ibsym.codegen` each."""

    name: str

    def files(self, program: LossProgram) -> dict[str, str]:
        """File name -> text, of all that computes the program. Equal programs give equal text, in every process."""

"""What a target is: a loss program to files that compute it."""

from __future__ import annotations

from typing import Protocol

from ibsym.errors import EmissionError
from ibsym.lowering.program import LossProgram
from ibsym.spec.reserved import Reserved


class Target(Protocol):
    """A language or a library that losses are written in; a folder of :mod:`ibsym.codegen` each."""

    name: str
    reserved: Reserved
    """Words that mean something in its text. ``reserved.toml`` in the target's folder has specs refused that use one as a parameter."""

    def files(self, program: LossProgram) -> dict[str, str]:
        """File name -> text, of all that computes the program. Equal programs give equal text, in every process."""


def check_names(program: LossProgram, target: Target) -> None:
    """No parameter, input or step is called by a word that means something else in the target's text."""
    own = target.reserved
    for kind, entries, words in (
        ("parameter", [p.name for p in program.parameters], own.parameters),
        ("input", [i.name for i in program.inputs], own.names),
        ("step", [step.name for step in program.steps], own.names),
    ):
        for name in entries:
            if name in words:
                raise EmissionError(
                    f"{name!r} means something else in {target.name}\n  write: another name for the {kind} {name}"
                )

"""A call of one name that statements repeat, such as ``torch.exp(z_logvar)``, is computed once, under a name of its own.

Calls are counted as values while they are printed; a call that was given a name is printed by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

import sympy

from ibsym.codegen.formulas import WORD, Code

FACTORS = {sympy.Integer(1): "", sympy.Integer(-1): "-", -sympy.Rational(1, 2): "-0.5 * "}
"""What a name may be multiplied by inside of a call that is counted."""

LOG_SOFTMAX = "log_softmax"


class Call(NamedTuple):
    """A function of one name and what it is multiplied by; the log-softmax of one; Bessel's functions of a length and one name.

    >>> [c.names for c in (Call("F.logsigmoid", "-", "z_logits"), Call("torch.exp", "-0.5 * ", "z_logvar"))]
    [('minus_z_logsigmoid',), ('z_deviation_inverse',)]
    >>> Call("log_softmax", "", "z_logits").text, Call("torch.exp", "", "z_log_softmax").names
    ('z_logits.log_softmax(-1)', ('z_softmax',))
    >>> Call("_bessel", "z_mean.shape[-1], ", "z_concentration").names
    ('z_log_bessel', 'z_bessel_ratio')
    """

    function: str
    factor: str
    argument: str

    @property
    def text(self) -> str:
        """The call as it is written."""
        if self.function == LOG_SOFTMAX:
            return f"{self.argument}.{LOG_SOFTMAX}(-1)"
        return f"{self.function}({self.factor}{self.argument})"

    @property
    def uses(self) -> frozenset[str]:
        """The module that the function is in."""
        return frozenset() if self.function == LOG_SOFTMAX else frozenset({self.function.partition(".")[0]})

    @property
    def names(self) -> tuple[str, ...]:
        """What its values are called: of logits their log-softmax, of that the softmax, of a log-variance the deviation's inverse."""
        match self.function, self.factor:
            case "_bessel", _:
                stem = self.argument.removesuffix("_concentration")
                return f"{stem}_log_bessel", f"{stem}_bessel_ratio"
            case "torch.exp", "" if self.argument.endswith("_log_softmax"):
                return (self.argument.replace("_log_softmax", "_softmax"),)
            case "torch.exp", "-0.5 * " if self.argument.endswith("_logvar"):
                return (self.argument.replace("_logvar", "_deviation_inverse"),)
        sign = {"": "", "-": "minus_", "-0.5 * ": "minus_half_"}[self.factor]
        return (f"{sign}{self.argument.removesuffix('_logits')}_{self.function.rpartition('.')[2]}",)


Reading: TypeAlias = Call | str
"""What a text reads: a call of one name, or the name of rows that were gathered from all ranks."""


class Ledger:
    """What has been printed, in order, and the calls whose values have names.

    >>> ledger = Ledger()
    >>> ledger.code(Call("torch.exp", "", "a")).text, ledger.code(Call("torch.exp", "", "a")).text
    ('torch.exp(a)', 'torch.exp(a)')
    >>> ledger.named[repeated([ledger.read])] = ("e",)
    >>> ledger.code(Call("torch.exp", "", "a")).text
    'e'
    """

    def __init__(self) -> None:
        self.named: dict[Call, tuple[str, ...]] = {}
        self.read: list[Reading] = []

    def code(self, call: Call, reads: Iterable[Reading] = (), place: int = 0, alone: Code | None = None) -> Code:
        """A call by its name, if it has one; else as it is, after what its argument reads.

        Of what returns several values, the one in that place; where there is no name, what computes that one ``alone``.
        """
        if call in self.named:
            return Code(self.named[call][place], WORD)
        self.read += [*reads, call]
        return alone or Code(call.text, uses=call.uses)

    def apart(self, write: Callable[[], Code]) -> tuple[Code, tuple[Reading, ...]]:
        """Code, and what it reads, which counts where it is printed."""
        outer, self.read = self.read, []
        try:
            return write(), tuple(self.read)
        finally:
            self.read = outer


def repeated(reads: Iterable[Iterable[Reading]]) -> Call | None:
    """The first call that is read twice."""
    seen: set[Call] = set()
    for call in (r for read in reads for r in read if isinstance(r, Call)):
        if call in seen:
            return call
        seen.add(call)
    return None

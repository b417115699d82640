"""From an information-theoretic objective to a proved bound, its LaTeX, and a PyTorch loss.

>>> import ibsym
>>> spec = ibsym.Spec(name="rate", objective="minimize I_q(X;Z)", variables={"x": "real[D]", "z": "real[L]"},
...                   joints={"q": "data(x) q(z|x)", "p": "p(z)"},
...                   families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal"})
>>> print(ibsym.derive(spec).final)
KL(q(z|x)||p(z))
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ibsym.runtime import VERSION

if TYPE_CHECKING:
    from ibsym.api import audit, cite, compare, compile, derive, diagnose, generate, identify, load, loads, prove, train, zoo
    from ibsym.derivation.model import Derivation
    from ibsym.errors import (
        ArgumentError,
        AuditError,
        DerivationError,
        EmissionError,
        IbsymError,
        MissingDependencyError,
        SolverError,
        SpecError,
    )
    from ibsym.spec.model import Spec

__version__ = VERSION

_PLACES = {
    **dict.fromkeys(
        (
            "audit",
            "cite",
            "compare",
            "compile",
            "derive",
            "diagnose",
            "generate",
            "identify",
            "load",
            "loads",
            "prove",
            "train",
            "zoo",
        ),
        "ibsym.api",
    ),
    **dict.fromkeys(("ArgumentError", "AuditError", "DerivationError", "EmissionError", "IbsymError"), "ibsym.errors"),
    **dict.fromkeys(("MissingDependencyError", "SolverError", "SpecError"), "ibsym.errors"),
    "Derivation": "ibsym.derivation.model",
    "Spec": "ibsym.spec.model",
}

__all__ = [
    "ArgumentError",
    "AuditError",
    "Derivation",
    "DerivationError",
    "EmissionError",
    "IbsymError",
    "MissingDependencyError",
    "SolverError",
    "Spec",
    "SpecError",
    "audit",
    "cite",
    "compare",
    "compile",
    "derive",
    "diagnose",
    "generate",
    "identify",
    "load",
    "loads",
    "prove",
    "train",
    "zoo",
]


def __getattr__(name: str) -> object:
    """Each name is imported when it is first asked for: SymPy takes a third of a second, which `ibsym --help` need not pay."""
    if name not in _PLACES:
        raise AttributeError(f"module 'ibsym' has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """A package whose functions are not hidden by its folders: who imports ``ibsym.zoo``, the specs, leaves the function alone."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _PLACES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

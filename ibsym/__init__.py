"""From an information-theoretic objective to a proved bound, its LaTeX, and a PyTorch loss.

>>> import ibsym
>>> spec = ibsym.Spec(name="rate", objective="minimize I_q(X;Z)", variables={"x": "real[D]", "z": "real[L]"},
...                   joints={"q": "data(x) q(z|x)", "p": "p(z)"},
...                   families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal"})
>>> print(ibsym.derive(spec).final)
KL(q(z|x)||p(z))
"""

from importlib.metadata import PackageNotFoundError, version

from ibsym.api import audit, compile, derive, generate, load, loads, prove, train  # noqa: A004
from ibsym.derivation.model import Derivation
from ibsym.errors import AuditError, DerivationError, EmissionError, IbsymError, MissingDependencyError, SolverError, SpecError
from ibsym.spec.model import Spec

try:
    __version__ = version("ibsym")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

__all__ = [
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
    "compile",
    "derive",
    "generate",
    "load",
    "loads",
    "prove",
    "train",
]

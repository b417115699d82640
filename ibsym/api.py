"""What a user calls: load, derive, check, generate, compile, train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibsym.derivation.engine import derive as _derive
from ibsym.derivation.model import Derivation
from ibsym.errors import MissingDependencyError
from ibsym.spec.loading import load, loads
from ibsym.spec.model import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibsym.checking.answers import Answer
    from ibsym.checking.certificate import Certificate

__all__ = ["audit", "compile", "derive", "generate", "load", "loads", "prove", "train"]


def derive(spec: Spec | str | Path) -> Derivation:
    """objective <= bound (or >=, =, ~): the bound of a spec that code can compute, step by step.

    ``spec`` is a :class:`Spec`, a file, or a name of the zoo. Raises an :class:`~ibsym.errors.IbsymError` that names the term
    which cannot be bounded and the factor to declare.

    >>> d = derive(Spec(name="keep", objective="maximize I_q(Z;C)", variables={"x": "real[D]", "z": "real[L]", "c": "categorical[K]"},
    ...     joints={"q": "data(x,c) q(z|x)", "p": "p(c|z)"}, families={"q(z|x)": "diagonal-normal", "p(c|z)": "categorical"}))
    >>> print(d.objective, d.relation, d.final)
    I_q(Z;C) >= H_q(C) + E_q[log p(c|z)]
    """
    return _derive(spec if isinstance(spec, Spec) else load(spec))


def prove(
    claim: str, given: Sequence[str] = (), *, continuous: bool = False, axioms: Sequence[str] = (), time_limit: float = 60.0
) -> Answer:
    """0 <= right - left, for a linear relation of entropies, informations and relative entropies, under premises.

    ``given``: Markov chains ``"X -> Y -> Z"`` and relations such as ``"H(Y|X) = 0"``. Entropies are those of discrete variables, or
    differential with ``continuous``. ``axioms=["zhang-yeung"]`` adds a non-Shannon inequality. The answer has ``.proved``,
    ``.certificate`` (exact multipliers) and ``.counterexample``; its ``bool()`` raises, since not proved is not false.

    >>> prove("I(X;Z) <= I(X;Y)", given=["X -> Y -> Z"]).proved
    True
    >>> prove("I(X;Y|Z) <= I(X;Y)").status
    'refuted'
    """
    from ibsym.checking.answers import answer

    return answer(
        claim, [given] if isinstance(given, str) else given, continuous=continuous, axioms=axioms, time_limit=time_limit
    )


def audit(derivation: Derivation, *, worlds: int = 8, seed: int = 0) -> Certificate:
    """|bound - objective - gap| < 1e-9 in random worlds, every step and multiplier verified; what :func:`generate` starts from."""
    from ibsym.checking.audit import audit as _audit

    return _audit(derivation, worlds=worlds, seed=seed)


def generate(derivation: Derivation | Certificate) -> str:
    """The text of a PyTorch module that computes the bound; audits first unless a certificate is given."""
    from ibsym.checking.certificate import Certificate
    from ibsym.codegen import emit
    from ibsym.lowering import lower

    certificate = derivation if isinstance(derivation, Certificate) else audit(derivation)
    return emit(lower(certificate))


def compile(derivation: Derivation | Certificate | Spec | str | Path) -> type[Any]:
    """The emitted loss class, in memory. Needs PyTorch."""
    from ibsym.checking.certificate import Certificate

    if not isinstance(derivation, Derivation | Certificate):
        derivation = derive(derivation)
    source = generate(derivation)
    spec = derivation.derivation.spec if isinstance(derivation, Certificate) else derivation.spec
    return load_module(source, spec.module_name).Loss  # type: ignore[no-any-return]


def load_module(source: str, name: str) -> Any:
    """An emitted module from its text; its source is kept for tracebacks and ``inspect``."""
    import hashlib
    import linecache
    import sys
    from types import ModuleType

    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingDependencyError("an emitted loss needs PyTorch\n  write: pip install torch") from None
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    full = f"ibsym_compiled_{name}_{digest}"
    if full not in sys.modules:
        module = ModuleType(full)
        file = f"<ibsym {name} {digest}>"
        module.__file__ = file
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile_text(source, file), module.__dict__)  # noqa: S102  our own emitted text: names in it are checked identifiers
        sys.modules[full] = module
    return sys.modules[full]


def compile_text(source: str, file: str) -> Any:
    """Python's own ``compile``, which this module's :func:`compile` hides."""
    import builtins

    return builtins.compile(source, file, "exec")


def train(spec: Spec | str | Path, **options: Any) -> Any:
    """Trains small networks with the emitted loss on real data; see :func:`ibsym.training.train.run` for the options."""
    from ibsym.training.failures import need

    need("torch")
    from ibsym.training.train import run

    spec = spec if isinstance(spec, Spec) else load(spec)
    return run(spec, compile(derive(spec)), **options)


def _repr_latex_(derivation: Derivation) -> str:
    """A notebook's picture of a derivation: drawing lies below the derivation's own layer, so the hook is set here."""
    from ibsym.rendering.latex import chain

    return chain(derivation)


Derivation._repr_latex_ = _repr_latex_  # type: ignore[attr-defined]

"""What stands for a system, and what is made of it in turn: its spec, its derivation, its certificate, the class of its loss."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ibsym.checking.certificate import Certificate
from ibsym.derivation.engine import derive
from ibsym.derivation.model import Derivation
from ibsym.errors import DerivationError, EmissionError, MissingDependencyError, Remedy, SpecError
from ibsym.spec import loading
from ibsym.spec.model import Spec

if TYPE_CHECKING:
    from ibsym.codegen.c.source import OnePass
    from ibsym.lowering.program import LossProgram

Source: TypeAlias = Spec | str | Path | Derivation | Certificate
"""What stands for a system: its spec, a file or a name of the zoo, or what was made of it."""


def spec_of(source: Source) -> Spec:
    """The spec that a source is or was made of."""
    match source:
        case Spec():
            return source
        case Derivation():
            return source.spec
        case Certificate():
            return source.derivation.spec
        case _:
            return loading.load(source)


def derivation_of(source: Source) -> Derivation:
    """objective <= bound, of a source."""
    match source:
        case Derivation():
            return source
        case Certificate():
            return source.derivation
        case _:
            return computable(derive(spec_of(source)))


def certificate_of(source: Source, *, worlds: int = 8, seed: int = 0) -> Certificate:
    """The derivation of a source, audited unless it is a certificate already."""
    from ibsym.checking.audit import audit

    return source if isinstance(source, Certificate) else audit(derivation_of(source), worlds=worlds, seed=seed)


def loss_of(source: Source) -> type[Any]:
    """The emitted class of a source, in memory."""
    from ibsym.lowering import lower

    return class_of(lower(certificate_of(source)))


def class_of(program: LossProgram) -> type[Any]:
    """The emitted class of a loss program, in memory."""
    from ibsym.codegen import emit

    return load_module(emit(program, "bundle"), program.module_name).Loss  # type: ignore[no-any-return]


def computable(derivation: Derivation) -> Derivation:
    """The derivation, if a program computes its bound; else a :class:`~ibsym.errors.DerivationError` with what to write."""
    from ibsym.lowering import check_computable

    try:
        check_computable(derivation)
    except EmissionError as error:
        what, _, remedy = str(error).partition("\n  write: ")
        message = f"no code computes the bound {derivation.final}: {what}"
        raise derivation.spec.located(DerivationError(message, key="objective", remedy=Remedy(remedy, *error.ways))) from None
    except SpecError as error:
        raise derivation.spec.located(error) from None
    return derivation


def load_module(source: str, name: str, beside: OnePass | None = None) -> Any:
    """An emitted module from its text, which is kept for tracebacks and ``inspect``, and travels with what is pickled.

    ``beside`` is the compiled pass that would lie in files beside it.
    """
    import copyreg
    import hashlib
    import linecache
    import sys
    from types import ModuleType

    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingDependencyError("an emitted loss needs PyTorch\n  write: pip install 'ibsym[torch]'") from None
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    full = f"ibsym_compiled_{name}_{digest}"
    if full not in sys.modules:
        module = ModuleType(full)
        file = f"<ibsym {name} {digest}>"
        module.__file__ = file
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102  our own emitted text: names in it are checked identifiers
        copyreg.pickle(module.Loss, lambda loss: (_unpickled, (source, name), loss.__dict__.copy()))
        for kind in (module.Input, module.Output):
            copyreg.pickle(kind, lambda value: (_unpickled, (source, name, type(value).__name__, tuple(value))))
        if hasattr(module, "_BESIDE") and not hasattr(module, "_FILES"):  # there are no files beside a module in memory
            from ibsym.runtime import _ibsym_runtime as runtime

            compiled = runtime.OnePass(beside.source if beside else "", name, module.Loss.INPUTS, module.Output)
            module._one_pass = lambda: compiled  # type: ignore[attr-defined]
            module._runtime = _native  # type: ignore[attr-defined]
        sys.modules[full] = module
    return sys.modules[full]


@cache
def _native() -> dict[str, Any]:
    """What would lie beside every loss."""
    from ibsym.codegen.runtime import NATIVE, native_runtime

    exec(native_runtime(), space := {"__name__": NATIVE.removesuffix(".py")})  # noqa: S102  our own text
    return space


def _unpickled(source: str, name: str, kind: str = "Loss", values: tuple[Any, ...] | None = None) -> Any:
    """An object of a module that lives in memory, in whatever process: its state follows, or its fields are given."""
    found = getattr(load_module(source, name), kind)
    return found.__new__(found) if values is None else found(*values)

"""[LossProgram] -> [files]: by PyTorch, with one pass of C where terms fuse, and Triton kernels for a GPU."""

from __future__ import annotations

from ibsym.codegen.c.source import one_pass
from ibsym.codegen.runtime import NATIVE, native_runtime
from ibsym.codegen.target import check_names
from ibsym.codegen.torch.module import Form, module
from ibsym.codegen.triton.source import kernels
from ibsym.lowering.program import LossProgram
from ibsym.spec.reserved import by_target


class PyTorch:
    """The target of every emitted loss. Its forms: files beside one another, all in one file, or no compiled pass."""

    name = "torch"
    reserved = by_target()[name]

    def __init__(self, form: Form = "beside"):
        self.form = form

    def files(self, program: LossProgram) -> dict[str, str]:
        """The module first; beside it the C source and what builds and runs it."""
        check_names(program, self)
        stem = program.module_name
        found = one_pass(program)
        rest = () if found is None or self.form == "plain" else found.rest
        launched = None if found is None else kernels(program, found.rest)
        neighbours = {} if found is None else {f"{stem}.c": found.source}
        neighbours |= ({} if launched is None else {f"{stem}.triton.py": launched.source}) | {NATIVE: native_runtime()}
        in_graphs = launched is not None and launched.tables and not launched.rest
        own = {f"{stem}.py": module(program, found, neighbours, self.form, rest, in_graphs=in_graphs)}
        return own | neighbours if self.form == "beside" else own


def emit(program: LossProgram, form: Form = "beside") -> str:
    """The text of a PyTorch module that computes the program."""
    return next(iter(PyTorch(form).files(program).values()))


def files(program: LossProgram) -> dict[str, str]:
    """The module and what lies beside it, by file name."""
    return PyTorch().files(program)

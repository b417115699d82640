"""Kernels of the losses that are named, compiled for a GPU that need not be there: what the interpreter takes, a compiler may not."""

from __future__ import annotations

import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ibsym.runtime._ibsym_runtime import defined
from ibsym.runtime.kernels import Kernels
from tests.native.worlds import CACHE, arguments, module

GENERAL = ("totals", "over_draws", "class_shares", "over_classes")
"""Kernels that have no number, since they are the same for every loss."""
POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int64: "*i64", torch.float64: "*fp64"}


class Compiled:
    """Stands for a kernel; is compiled for the arguments that it is launched with."""

    def __init__(self, kernel: Any):
        self.kernel, self.arg_names, self.__name__ = kernel, kernel.arg_names, kernel.__name__

    def __getitem__(self, grid: tuple[int, int]) -> Any:
        return self.launched

    def launched(self, num_warps: int, **given: Any) -> None:
        """Compiles it; a failure to do so is the compiler's own error."""
        kinds, constants, aligned = {}, {}, {}
        for place, parameter in enumerate(self.kernel.params):
            value = given[parameter.name]
            if parameter.is_constexpr:
                kinds[parameter.name], constants[parameter.name] = "constexpr", value
            elif isinstance(value, torch.Tensor):
                kinds[parameter.name], aligned[place,] = POINTERS[value.dtype], [["tt.divisibility", 16]]
            else:
                kinds[parameter.name] = "i32" if isinstance(value, int) else "fp32"
        source = ASTSource(self.kernel, kinds, constants, aligned)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": num_warps})
        assert made.asm["cubin"]
        print(self.__name__, len(made.asm["cubin"]))
        if "index" in self.arg_names and self.__name__.startswith("codebook"):
            given["index"].zero_()  # what it would have found is read next


def compiled(name: str, dtype: torch.dtype) -> None:
    """All kernels of a loss, for inputs of one precision."""
    loss = module(name).Loss()
    text = (CACHE / "emitted" / f"{name.replace('-', '_')}.triton.py").read_text(encoding="utf-8")
    space = defined(text, f"{name}.triton.py")
    launched = [n for n, v in space.items() if type(v).__name__ == "JITFunction" and not n.startswith("_")]
    space |= {n: Compiled(space[n]) for n in launched if n.rpartition("_")[2].isdigit() or n in GENERAL}
    found = arguments(name, sizes={"B": 64, "L": 8, "K": 10})
    given = [found[i.name].to(dtype) if found[i.name].is_floating_point() else found[i.name] for i in loss.INPUTS]
    kernels = Kernels(space, [i.name for i in loss.INPUTS])
    numbers = [float(getattr(loss, n)) for n in kernels.parameters]
    assert kernels.run(given, numbers, False, [t.is_floating_point() for t in given])[0] is not None


if __name__ == "__main__":
    for word in sys.argv[1:]:
        stem, _, precision = word.partition(":")
        compiled(stem, getattr(torch, precision or "float32"))

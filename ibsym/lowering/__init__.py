"""Certified bound -> loss program: what is computed, in no language in particular."""

from ibsym.lowering.lower import check_computable, lower
from ibsym.lowering.program import LossProgram

__all__ = ["LossProgram", "check_computable", "lower"]

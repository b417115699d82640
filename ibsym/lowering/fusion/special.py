"""d/dt log Gamma(t) = psi(t): special functions and cells of distributions as SymPy heads that know their derivatives."""

from __future__ import annotations

import sympy

from ibsym.families import functions as heads


class unit_variance(sympy.Function):
    """The second derivative of the unit cumulant; a third is never asked for."""

    nargs = 1
    is_real = True


class unit_mean(sympy.Function):
    """The derivative of the unit cumulant."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return unit_variance(self.args[0])


class unit_cumulant(sympy.Function):
    """log of the integral of e^(t v) over v in [0, 1]."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return unit_mean(self.args[0])


class trigamma(sympy.Function):
    """The derivative of digamma; a further one is never asked for."""

    nargs = 1
    is_real = True


class digamma(sympy.Function):
    """The derivative of log Gamma."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return trigamma(self.args[0])


class log_gamma(sympy.Function):
    """log Gamma(t)."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return digamma(self.args[0])


class defined(sympy.Function):
    """t, NaN below 0."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sympy.Integer(1)


class barrier(sympy.Function):
    """0 for t <= 0, infinity above."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sympy.Integer(0)


class is_zero(sympy.Function):
    """1 at 0, else 0."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sympy.Integer(0)


class opened_slope(sympy.Function):
    """1 where t < 0, else 0; its derivative is never asked for."""

    nargs = 1
    is_real = True


class opened(sympy.Function):
    """x where t < 0, infinity elsewhere."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sympy.Integer(0) if argindex == 1 else opened_slope(self.args[0])


class normal_cell_shift(sympy.Function):
    """The slope of a cell's log mass by its place; a further one is never asked for."""

    nargs = 2
    is_real = True


class normal_cell_growth(sympy.Function):
    """The slope of a cell's log mass by half its width; a further one is never asked for."""

    nargs = 2
    is_real = True


class log_normal_cell(sympy.Function):
    """log [F(d + w) - F(d - w)]."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return normal_cell_shift(*self.args) if argindex == 1 else normal_cell_growth(*self.args)


class laplace_cell_shift(sympy.Function):
    """The slope of a cell's log mass by its place; a further one is never asked for."""

    nargs = 2
    is_real = True


class laplace_cell_growth(sympy.Function):
    """The slope of a cell's log mass by half its width; a further one is never asked for."""

    nargs = 2
    is_real = True


class log_laplace_cell(sympy.Function):
    """log [F(d + w) - F(d - w)]."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return laplace_cell_shift(*self.args) if argindex == 1 else laplace_cell_growth(*self.args)


HEADS: dict[type, type] = {
    heads.log_gamma: log_gamma,
    heads.digamma: digamma,
    heads.unit_cumulant: unit_cumulant,
    heads.unit_mean: unit_mean,
    heads.defined: defined,
    heads.barrier: barrier,
    heads.opened: opened,
    heads.is_zero: is_zero,
    heads.log_normal_cell: log_normal_cell,
    heads.log_laplace_cell: log_laplace_cell,
}
"""The functions of formulas that are computed as they are called."""
SLOPES = (
    unit_variance,
    trigamma,
    opened_slope,
    normal_cell_shift,
    normal_cell_growth,
    laplace_cell_shift,
    laplace_cell_growth,
)
"""Their derivatives that no formula has."""

"""The functions that formulas of families are written with, as SymPy heads.

Elementwise ones have a value for each number. Structural ones say how a tensor is read: a sum over the event, a
log-sum-exp over classes, a class picked by its index, a triangular solve. What they compute is defined in
:mod:`ibsym.lowering`; here they are names with the few simplifications that SymPy may make.
"""

from __future__ import annotations

import sympy


class logsigmoid(sympy.Function):
    """log 1/(1 + e^-t), for every t without overflow; softplus(t) is ``-logsigmoid(-t)``."""

    nargs = 1
    is_real = True


class sigmoid(sympy.Function):
    """1/(1 + e^-t)."""

    nargs = 1
    is_real = True


class binary_cross_entropy(sympy.Function):
    """-v log s(a) - (1 - v) log s(-a), s the sigmoid; arguments v and the logit a."""

    nargs = 2
    is_real = True


class expm1(sympy.Function):
    """e^t - 1, right to the last digit near 0.

    >>> expm1(sympy.log(4)), expm1(sympy.Integer(0))
    (3, 0)
    """

    nargs = 1
    is_real = True

    @classmethod
    def eval(cls, t: sympy.Expr) -> sympy.Expr | None:
        """The value at a number, where there is one."""
        return sympy.exp(t) - 1 if t.is_number else None


class standardised(sympy.Function):
    """d e^(-l/2), a distance in standard deviations; arguments d and l. Its square does not overflow where d is small.

    SymPy takes powers of products apart, and (v - m)^2 e^-l is 0 times infinity at v = m and l = -89 in single precision.

    >>> d, l = sympy.symbols("d l", real=True)
    >>> standardised(d, 0), standardised(d, l)**2
    (d, standardised(d, l)**2)
    """

    nargs = 2
    is_real = True

    @classmethod
    def eval(cls, d: sympy.Expr, logvar: sympy.Expr) -> sympy.Expr | None:
        """d itself at unit variance; a number of numbers."""
        if d.is_number and logvar.is_number:
            return d * sympy.exp(-logvar / 2)
        return d if logvar == 0 else None


class weighted(sympy.Function):
    """w t, and 0 where w is 0 and t is not finite: 0 log 0 = 0; arguments w and t."""

    nargs = 2
    is_real = True


class expected(sympy.Function):
    """e^a t, and 0 where e^a is 0 and t is not finite: a class of probability 0 does not count; arguments a and t."""

    nargs = 2
    is_real = True


class unit_cumulant(sympy.Function):
    """log of the integral of e^(t v) over v in [0, 1]; by its Taylor series near 0."""

    nargs = 1
    is_real = True


class unit_mean(sympy.Function):
    """The derivative of the unit cumulant: the mean of v in [0, 1] under a density that goes as e^(t v)."""

    nargs = 1
    is_real = True


class log_bessel(sympy.Function):
    """log I_v(t) - v log t, of the order v = n/2 - 1 of the sphere in n dimensions; arguments n and t."""

    nargs = 2
    is_real = True


class bessel_ratio(sympy.Function):
    """I_{v+1}(t) / I_v(t), of the order v = n/2 - 1; arguments n and t."""

    nargs = 2
    is_real = True


class log_gamma(sympy.Function):
    """log Gamma(t), for t >= 0.

    >>> log_gamma(sympy.Integer(1))
    0
    """

    nargs = 1
    is_real = True

    @classmethod
    def eval(cls, t: sympy.Expr) -> sympy.Expr | None:
        """SymPy's own at a number."""
        return sympy.loggamma(t) if t.is_number else None


class digamma(sympy.Function):
    """The derivative of log Gamma(t), for t >= 0."""

    nargs = 1
    is_real = True


class defined(sympy.Function):
    """t for t >= 0, NaN below: a parameter whose formula would go on outside of its domain."""

    nargs = 1
    is_real = True

    @classmethod
    def eval(cls, t: sympy.Expr) -> sympy.Expr | None:
        """A number that is not negative is itself."""
        return t if t.is_number and t.is_nonnegative else None


class barrier(sympy.Function):
    """0 for t <= 0, infinity above; its slope counts as 0."""

    nargs = 1
    is_real = True


CAP = 80
"""e^80 is a number in single precision, and e^-(e^80) is 0 in any."""


class capped(sympy.Function):
    """t, a number above 80 as 80: for exponents in relative entropies of which nothing but e^-KL is used."""

    nargs = 1
    is_real = True


def with_capped_exponents(e: sympy.Expr) -> sympy.Expr:
    """The formula with no exponential that overflows, so that a share of 0 has a slope of 0 and not 0 times infinity."""
    return e.replace(lambda g: isinstance(g, sympy.exp | expm1), lambda g: g.func(capped(g.args[0])))


class opened(sympy.Function):
    """x where t < 0, infinity elsewhere; arguments t and x. The edge of a cell that has none on this side."""

    nargs = 2
    is_real = True


class is_zero(sympy.Function):
    """1 at 0, else 0; its slope counts as 0."""

    nargs = 1
    is_real = True


class log_normal_cell(sympy.Function):
    """log [Phi(d + w) - Phi(d - w)], Phi the standard normal distribution function; arguments d and w >= 0."""

    nargs = 2
    is_real = True


class log_laplace_cell(sympy.Function):
    """log [F(d + w) - F(d - w)], F the distribution function of e^-|t| / 2; arguments d and w >= 0."""

    nargs = 2
    is_real = True


class xlogx(sympy.Function):
    """t log t, and 0 at 0."""

    nargs = 1
    is_real = True


class EventSum(sympy.Function):
    """The sum over the axes of one value."""

    nargs = 1
    is_real = True


class ClassSum(sympy.Function):
    """The sum over the last axis."""

    nargs = 1
    is_real = True


class LogSumExp(sympy.Function):
    """log of the sum of exponentials over the last axis."""

    nargs = 1
    is_real = True


class LogSoftmax(sympy.Function):
    """t - log sum e^t over the last axis."""

    nargs = 1
    is_real = True


class Pick(sympy.Function):
    """The entry of the last axis that a class index names; arguments table and index."""

    nargs = 2
    is_real = True


class Nearest(sympy.Function):
    """The class whose vector is nearest to a code; arguments codes and codebook."""

    nargs = 2
    is_real = True


class LogShare(sympy.Function):
    """log softmax(h W' + b) at a class; arguments h, W, b and the class's index."""

    nargs = 4
    is_real = True


class EveryClass(sympy.Function):
    """The entries of the last axis along the class axis of the variable that is summed over."""

    nargs = 1
    is_real = True


class Components(sympy.Function):
    """The value once for each component of a mixture: a new axis before the event."""

    nargs = 1
    is_real = True


class Solve(sympy.Function):
    """C^-1 v, for a lower triangular C; arguments C and v."""

    nargs = 2
    is_real = True


class SolveMatrix(sympy.Function):
    """C^-1 M, for a lower triangular C; arguments C and M."""

    nargs = 2
    is_real = True


class Diagonal(sympy.Function):
    """The diagonal of a matrix."""

    nargs = 1
    is_real = True


class Inverse(sympy.Function):
    """C^-1, for a lower triangular C."""

    nargs = 1
    is_real = True


class Columns(sympy.Function):
    """A vector along the columns of a matrix; a number is itself.

    >>> Columns(sympy.Integer(3))
    3
    """

    nargs = 1
    is_real = True

    @classmethod
    def eval(cls, v: sympy.Expr) -> sympy.Expr | None:
        """The value at a number, where there is one."""
        return v if v.is_number else None


class RowSum(sympy.Function):
    """The sums of a matrix's rows."""

    nargs = 1
    is_real = True


STRUCTURAL = (
    EventSum,
    ClassSum,
    LogSumExp,
    LogSoftmax,
    Pick,
    Nearest,
    LogShare,
    EveryClass,
    Components,
    Solve,
    SolveMatrix,
    Inverse,
    Diagonal,
    Columns,
    RowSum,
)


def softplus(t: sympy.Expr) -> sympy.Expr:
    """log(1 + e^t)."""
    return -logsigmoid(-t)

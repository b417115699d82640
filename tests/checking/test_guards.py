"""Each guard of the audit by itself: a forgery that nothing else would see."""

from __future__ import annotations

import sympy

from ibsym.checking.exact import Facts
from ibsym.rules.catalogue import EXAMPLE
from ibsym.spec.model import Spec
from ibsym.terms.nodes import Entropy, Expression, Weighted

A = sympy.Symbol("alpha", real=True)


def test_ratios_of_parameters_are_compared_exactly() -> None:
    facts = Facts(Spec(**EXAMPLE))  # type: ignore[arg-type]
    h = Entropy("q", ("x",))
    zero = Expression((Weighted(1 / (4 * A + 4), h), Weighted(-1 / (A + 1) / 4, h)))
    assert facts.zero(zero)
    assert not facts.zero(Expression((Weighted(1 / (4 * A + 4), h), Weighted(-1 / (A + 2) / 4, h))))

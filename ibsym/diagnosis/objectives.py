"""c_k -> the objective that a loss with these weights does bound, and the known system that it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import sympy

from ibsym.derivation.engine import derive
from ibsym.diagnosis.coefficients import Coefficient, ascii_text
from ibsym.diagnosis.identifying import candidates, known, told
from ibsym.diagnosis.naming import Naming
from ibsym.diagnosis.systems import bare, items, solved
from ibsym.errors import IbsymError

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation
    from ibsym.diagnosis.subject import Subject
    from ibsym.spec.model import Spec

LOOKED_AT = 5


def signed(coefficient: Coefficient, term: str, first: bool) -> str:
    """``+ 1/L KL(...)``, ``- E[...]``: a summand."""
    negative = coefficient.value.could_extract_minus_sign()
    value = -coefficient.value if negative else coefficient.value
    text = ascii_text(value)
    text = f"({text})" if value.is_Add and (term or negative) else text
    sign = ("-" if negative else "") if first else ("- " if negative else "+ ")
    return f"{sign}{text} {term}".rstrip()


def spelled(weighted: Sequence[tuple[sympy.Expr, str]]) -> str:
    """``minimize 1/L*I_q(X;Z) - I_q(Z;X)``."""
    said = " ".join(signed(Coefficient(c), f"*{t}", k == 0) for k, (c, t) in enumerate(weighted))
    return "minimize " + re.sub(r"(?<![\w./)])1 \*", "", said).replace(" *", "*")


def bounded(subject: Subject, coefficients: Mapping[str, Coefficient]) -> str:
    """The spec's own terms, each at the weight that what bounds it was found to have; empty where that is not one weight."""
    ratios = {}
    for term in subject.terms:
        if term.coefficient == 0 or term.text not in coefficients or coefficients[term.text].value == 0:
            return ""
        ratios[term.text] = sympy.simplify(coefficients[term.text].value / term.coefficient)
    weighted = []
    covered: set[str] = set()
    for item in subject.derivation.objective:
        texts = parts(subject.spec, subject.derivation, str(item.term))
        found = {ratios[t] for t in texts if t in ratios}
        if len(found) != 1 or any(t not in ratios for t in texts):
            return ""
        covered |= set(texts)
        sign = -1 if subject.spec.sense == "maximize" else 1
        weighted.append((sympy.simplify(sign * bare(item.coefficient) * found.pop()), str(item.term)))
    return spelled(weighted) if covered == set(ratios) else ""


def parts(spec: Spec, derivation: Derivation, term: str) -> tuple[str, ...]:
    """The computed terms that bound one term of the objective by itself; none where it cannot be told apart."""
    places = {
        s.name: 0.5 * (float(spec.parameters[s.name].default) + 1)
        for i in derivation.objective
        for s in i.coefficient.free_symbols
    }
    weight = next(i.coefficient for i in derivation.objective if str(i.term) == term)
    value = float(bare(weight).subs(places))
    keys = {k: v for k, v in spec.keys.items() if k not in ("objective", "parameters")}
    sign = "" if value > 0 else "-"
    try:
        alone = derive(type(spec)(**{**keys, "objective": f"{spec.sense} {sign}{term}"}))
    except IbsymError:  # an estimator that this term alone has no use for, say
        return ()
    return tuple(b.text for b in alone.bound)


def identified(subject: Subject, coefficients: Mapping[str, Coefficient]) -> str:
    """``as NAME this is beta = 1/L``: the known system whose parameters give these weights, where there is one."""
    texts = {t.text for t in subject.terms}
    if any(c.value == 0 or c.value is sympy.nan or not c.exact for c in coefficients.values()) or set(coefficients) != texts:
        return ""
    ratios = {sympy.simplify(coefficients[t.text].value / t.coefficient) for t in subject.terms if t.coefficient != 0}
    if len(ratios) < 2:  # a scale of the whole names no other system
        return ""
    plain = items(subject.derivation, Naming())
    mine = [replace(item, weight=coefficients[item.text].value) for item in plain if item.text in coefficients]
    if len(mine) != len(plain):
        return ""
    for _, name, namings in candidates(subject.spec)[:LOOKED_AT]:
        theirs = known(name)
        if theirs is None or name == subject.spec.name:
            continue
        match = solved(mine, theirs, namings[0])
        if match is not None and match.scale == 1 and all(v != 0 for v in match.parameters.values()):
            return f"as {told(match).replace(' at ', ' this is ', 1)}"
    return ""

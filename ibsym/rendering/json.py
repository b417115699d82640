"""A derivation as JSON: the keys that others rely on, terms in their canonical text, coefficients in Python's syntax."""

from __future__ import annotations

import json
from typing import Any

import sympy

from ibsym.derivation.model import BoundTerm, Constraint, Derivation, Step, SurrogateTerm
from ibsym.terms.measures import Expression, Term


def term(item: Term) -> str:
    """A term's canonical text."""
    return str(item)


def expression(item: Expression) -> str:
    """A sum of terms as text."""
    return str(item)


def coefficient(item: sympy.Expr) -> str:
    """A coefficient in Python's syntax.

    >>> coefficient(1 - sympy.Symbol("alpha"))
    '1 - alpha'
    """
    return sympy.sstr(item)


def json_text(derivation: Derivation) -> str:
    """:func:`record` as JSON text, the same for equal specs."""
    return json.dumps(record(derivation), indent=2, ensure_ascii=False) + "\n"


def record(derivation: Derivation) -> dict[str, Any]:
    """The derivation as plain dicts, lists and strings."""
    spec = derivation.spec
    return {
        "name": spec.name,
        "title": spec.title,
        "cite": list(spec.cite),
        "notes": spec.notes,
        "sense": spec.sense,
        "objective": spec.objective_text,
        **_derived(derivation),
        "unused": list(derivation.unused),
        "unopposed": list(derivation.unopposed),
        "constraints": [_constraint(c) for c in derivation.constraints],
    }


def _derived(derivation: Derivation) -> dict[str, Any]:
    return {
        "relation": str(derivation.relation),
        "steps": [step_record(s) for s in derivation.steps],
        "bound": [*(_bound(b) for b in derivation.bound), *(_surrogate(s) for s in derivation.surrogates)],
        "gap": [
            {"coefficient": coefficient(g.coefficient), "term": str(g.term), "closable": g.closable} for g in derivation.gap
        ],
        "constants": _parts(derivation.constants),
        "certificate": list(derivation.certificate),
    }


def _parts(item: Expression) -> list[dict[str, str]]:
    return [{"coefficient": coefficient(w.coefficient), "term": str(w.term)} for w in item]


def step_record(step: Step) -> dict[str, Any]:
    """A step as plain dicts, lists and strings."""
    return {
        "rule": step.rule,
        "relation": str(step.relation),
        "before": str(step.before),
        "after": str(step.after),
        "gap": _parts(step.gap),
        "premises": [str(p) for p in step.premises],
        "cite": list(step.cite),
        "note": str(step.note),
    }


def _bound(item: BoundTerm) -> dict[str, Any]:
    found: dict[str, Any] = {"coefficient": coefficient(item.coefficient), "term": item.text, "estimator": item.estimator}
    found["coupled"] = item.coupled
    if item.model is not None:
        found["model"] = item.model
    if item.options:
        found["options"] = {k: list(v) if isinstance(v, tuple) else v for k, v in item.options}
    return found


def _surrogate(item: SurrogateTerm) -> dict[str, Any]:
    """What the loss adds to the bound, among what it computes."""
    return {"coefficient": coefficient(item.coefficient), "term": item.text, "estimator": "surrogate", "coupled": False}


def _constraint(item: Constraint) -> dict[str, Any]:
    found: dict[str, Any] = {"divergence": item.divergence, "through": str(item.critic.through)}
    if item.derivation is not None:
        found |= {
            "multiplier": item.critic.multiplier,
            "information": str(item.derivation.objective),
            "budget": coefficient(item.budget),
        }
        found |= _derived(item.derivation)
    return found

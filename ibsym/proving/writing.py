"""Multipliers as the lines of a proof, every fact behind a rewriting included; the identity is verified in all entropies."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, assert_never

from ibsym.errors import SolverError
from ibsym.proving import constants, entropic
from ibsym.proving.attempts import Label, Line, OrbitSum, Premise, Surplus, Used
from ibsym.proving.axioms import Instance
from ibsym.proving.claims import Linear
from ibsym.proving.entropic import Elemental, Fact, mask_of
from ibsym.proving.problem import Item, Proof, signed_sum, written
from ibsym.terms.vectors import Vector, combine

if TYPE_CHECKING:
    from ibsym.proving.single import Single


def proof(space: Single, terms: Linear, target: Vector, used: Used) -> Proof:
    """target = sum of the items, exactly; raises :class:`SolverError` otherwise."""
    sums = [(x, label) for x, label in used if isinstance(label, OrbitSum)]
    if sums:
        symmetric = sums[0][1].symmetric
        rest = combine((1, symmetric.reduced(target)), *((-x * symmetric.size(s.orbit), _averaged(s)) for x, s in sums))
        facts: list[tuple[Fraction, Fact]] = []
        if rest or len(sums) < len(used):
            raise SolverError(f"the proof leaves {rest}")
    else:
        joined = entropic.join((x, e) for x, e in used if isinstance(e, Elemental))
        lines: list[tuple[Fraction, Line]] = [
            *((x, e) for x, e in used if not isinstance(e, Elemental | Surplus | OrbitSum)),
            *joined,
        ]
        rest = combine((1, target), *((-x, _vector(label)) for x, label in lines))
        left, rewritten = space.reduction.explain(rest)
        if any(not constants.is_constant(key) for key in left):
            raise SolverError(f"the proof leaves {left}")
        if constants.sign(constants.logs(left)) < 0:
            raise SolverError(f"the constants are too near to one another: {left}")
        if left:
            lines.append((Fraction(1), Surplus(left)))
        total: dict[Fact, Fraction] = {}
        for x, f in (*((Fraction(x), f) for x, f in rewritten), *((x, f) for x, f in lines if isinstance(f, Fact))):
            total[f] = total.get(f, Fraction(0)) + x
        facts = [(x, f) for f, x in total.items() if x]
        used = [*lines]
    items = [_item(space, x, f) for x, f in facts]
    order = (Premise, Instance, OrbitSum, Elemental, Surplus)
    items += [_item(space, x, label) for kind in order for x, label in used if isinstance(label, kind)]
    expanded = signed_sum(
        (v, constants.name(k) if constants.is_constant(k) else f"H({space.text(mask_of(k))})") for k, v in target.items()
    )
    return Proof(written(terms), expanded, tuple(items))


def _averaged(item: OrbitSum) -> Vector:
    return item.symmetric.row(item.orbit)


def _vector(label: Line) -> Vector:
    return label.quantity.vector if isinstance(label, Fact) else label.vector


def _item(space: Single, x: Fraction, label: Label) -> Item:
    match label:
        case Fact(quantity, premise):
            return Item(x, space.show(quantity), f"is 0 by {premise}", zero=True)
        case Premise(_, text, zero, reason):
            return Item(x, text, reason, zero=zero)
        case Surplus(vector):
            return Item(x, signed_sum((v, constants.name(k)) for k, v in vector.items()), "a number")
        case Instance(axiom, sets, given):
            names = "; ".join(map(space.text, sets)) + (f"|{space.text(given)}" if given else "")
            return Item(x, f"{axiom.name}({names})", f"non-Shannon axiom ({axiom.source})")
        case Elemental():
            return Item(x, space.show(label), "mutual information" if label.b else "entropy of discrete variables")
        case OrbitSum():
            return Item(x, _sum(space, label), f"{label.symmetric.size(label.orbit)} terms by symmetry, none negative")
    assert_never(label)


def _sum(space: Single, item: OrbitSum) -> str:
    """``sum I(a;b|K) over a, b in {X,Y,Z}, 1 more of {X,Y,Z} in K``."""
    symmetric, orbit = item.symmetric, item.orbit
    names = ["{" + ",".join(map(space.text, g)) + "}" for g in symmetric.groups]
    if orbit.b is None:
        return f"sum[H(a|all others): a in {names[orbit.a]}]"
    where = f"a,b in {names[orbit.a]}" if orbit.a == orbit.b else f"a in {names[orbit.a]}, b in {names[orbit.b]}"
    inside = [f"{n} of {g}" for n, g in zip(orbit.counts, names, strict=True) if n]
    return f"sum[I(a;b{'|K' if inside else ''}): {where}" + (f", K = {' and '.join(inside)}" if inside else "") + "]"

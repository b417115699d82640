"""w_c = constant + sum_m c_m sum_e e_m at a cell c, and share_c dw_c: the loops inside of logarithms over draws and of sums over a class.

A cell is a draw and a row, or a draw, a class and a row, in the order of the tensors; its share is what it weighs in the loss.
"""

from __future__ import annotations

from ibsym.codegen.templating import render
from ibsym.codegen.torch.text import plain
from ibsym.codegen.triton import elements
from ibsym.codegen.triton.text import signature
from ibsym.lowering.fusion.calculus import Unfused
from ibsym.lowering.fusion.plan import Loop, event_axes, name
from ibsym.lowering.program import Axes, Load

INDEX = {"draw": "s", "class": "k", "row": "b"}
"""What counts the cells along each of their axes, the last one fastest."""
SIZES = {"class": "classes", "row": "rows"}
Kinds = tuple[str, ...]
OF_DRAWS: Kinds = ("draw", "row")
OF_CLASSES: Kinds = ("draw", "class", "row")


def place(load: Load, loop: Loop, kinds: Kinds) -> Kinds:
    """Which axes of the cells an operand has before its event."""
    event = event_axes(loop)
    lead: Axes = load.axes[: max(0, len(load.axes) - loop.event)]
    own = load.axes[len(lead) :]
    if own != event[len(event) - len(own) :] or len(lead) > len(kinds) or (lead and len(own) < loop.event):
        raise Unfused("an operand with a part of the event")
    return tuple(kind for kind, axis in zip(kinds[len(kinds) - len(lead) :], lead, strict=True) if axis != "1")


def _event(x: str, kinds: Kinds) -> str:
    """Which event of an operand is the cell's.

    >>> _event("x", ("row",)), _event("x", ("draw", "row"))
    ('b', '(s * DRAWN_x * rows + b)')
    """
    found = ""
    for kind in kinds:
        index = f"s * DRAWN_{x}" if kind == "draw" else INDEX[kind]
        found = f"{f'({found})' if ' + ' in found else found} * {SIZES[kind]} + {index}" if found else index
    return f"({found})" if " " in found else found


def written(k: int, loop: Loop, kinds: Kinds, terms: str) -> str:
    """The kernel of the ``k``-th loop inside."""
    found = elements.formulas(loop)
    places = {name(s): place(load, loop, kinds) for s, load in loop.operands.items()}
    partial = {name(s) for s, load in loop.operands.items() if len(load.axes) < loop.event}
    drawn = [x for x, own in places.items() if "draw" in own]
    used = [kind for kind in kinds if any(kind in own for own in places.values())]
    sizes = [SIZES[kind] for kind in kinds[1:]]
    before = ["b = c % rows"] if "row" in used else []
    if "class" in used:
        before.append("k = c // rows % classes")
    if "draw" in used:
        before.append(f"s = c // ({' * '.join(reversed(sizes))})" if len(sizes) > 1 else "s = c // rows")
    before += [f"at_{x} = in_{x} + {_event(x, own)}[:, None] * event" for x, own in places.items() if own]
    loads = []
    for x, own in places.items():
        start, within = f"at_{x}" if own else f"in_{x}", f"(e % n_{x})" if x in partial else "e"
        loads.append(f"v_{x} = tl.load({start} + {within}[None, :], here, 0.0).to(tl.float32)")
    parameters = [
        *(f"in_{x}" for x in places),
        *(f"d_{x}" for x in found.learned),
        "values",
        *["shares"] * bool(found.learned),
        *["up"] * bool(found.learned),
        *(f"n_{x}" for x in places if x in partial),
        "cells",
        *sizes,
        "event",
        "constant",
        *(f"factor_{m}" for m in range(len(loop.sums))),
        *(["n_shares", "scale"] if found.learned else []),
        *(f"DRAWN_{x}: tl.constexpr" for x in drawn),
        "VALUES: tl.constexpr",
        "ADDS: tl.constexpr",
        *(f"{flag}_{x}: tl.constexpr" for x in found.learned for flag in ("WANTS", "ADDS")),
        "CELLS: tl.constexpr",
        "BLOCK: tl.constexpr",
    ]
    return render(
        "triton/weighed.py.j2",
        {
            "signature": signature(f"weighed_{k}", parameters),
            "comment": plain(f"{terms}, at every {', '.join(kinds[:-1])} and row: {elements.text(loop)}."),
            "places": tuple(before),
            "loads": tuple(loads),
            "weights": tuple(f"s{m} = factor_{m} * share" for m in loop.weighted) if found.learned else (),
            "statements": found.statements,
            "values": tuple((str(m), e) for m, e in enumerate(found.values)),
            "gradients": tuple(zip(found.learned, found.slopes, strict=True)),
        },
    )

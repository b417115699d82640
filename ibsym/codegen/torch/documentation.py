"""What an emitted class says of itself: objective, bound, gap, constants, what is minimised, shapes, sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from ibsym.codegen.torch.text import wrapped, wrapped_sum
from ibsym.lowering.coupling import coupled, is_batch
from ibsym.lowering.program import Input, LossProgram

MEANINGS = {
    "value": "{of} under {joint}, observed or drawn",
    "sample": "draws of {of} under {joint}, through which gradients flow",
    "sample_reference": "draws of {of} under {joint}, the divergence's second argument",
    "critic": "critic of {of} on samples of its first argument",
    "critic_reference": "critic of {of} on samples of its second argument",
    "embedding": "embedding of {of} at each row, whose inner product with another's is a critic",
    "temperature": "temperature of {of}, above 0, over which its inner products are taken",
    "scores": "critic of {of} on all pairs, the i-th first with the j-th second; in a group, with all ranks' second",
}


def documentation(program: LossProgram) -> tuple[str, ...]:
    """The lines of the class's docstring, after its title."""
    about = program.about
    lines: list[str] = []
    apart = True  # whether a blank line stands before the next section

    def section(head: str, *body: str, total: bool = False, table: bool = False) -> None:
        nonlocal apart
        if apart or table:
            lines.append("")
        apart = table
        if len(body) < 2 and not table:
            lines.extend(wrapped_sum(" ".join((head, *body)), 4) if total else wrapped(" ".join((head, *body)), 4, 4))
            return
        lines.extend(wrapped(head, 4))
        for text in body:
            lines.extend(wrapped_sum(text, 8) if total else wrapped(text, 8, 4 if len(body) > 1 else 0))

    if about.notes:
        lines.extend(["", *wrapped(about.notes, 4)])
    section("Objective, in nats:", about.objective, total=True)
    says, bound = about.bound.split("\n")
    section(f"It is {says}:", bound, total=True)
    if len(about.gap) == 1:
        ((closing, total),) = about.gap
        section(f"Gap, never negative ({closing}):", total, total=True)
    elif about.gap:
        section("Gap, never negative:", *(f"{total}  ({closing})" for closing, total in about.gap), total=True)
    if about.constants:
        section("Left out, as no learned factor touches it:", about.constants, total=True)
    section("Minimised:", *_minimised(program))
    if any(not c.inputs for c in program.critics):
        section("A critic's logit f is log P - log Q at its best, of a divergence's arguments P and Q in that order.")
    section(
        "Arguments of `forward`"
        + (", of which a leading S, a Monte-Carlo axis, may be left out:" if _drawn(program.inputs) else ":"),
        *shapes(program.inputs),
        table=True,
    )
    for player in program.critics:
        if player.inputs:
            head = f"The player of {player.divergence} minimises `critic_loss` in its density's parameters, on detached draws; its inputs:"
            section(head, *shapes(player.inputs), table=True)
    limits = {limit.divergence: limit for limit in program.limits}
    for divergence, factor in program.through:
        held = limits.get(divergence)
        says = f", and {held.text}; its inputs:" if held else "."
        inputs = shapes(held.inputs) if held else ()
        section(f"The critic of {divergence} sees its samples through {factor}{says}", *inputs, table=bool(inputs))
    if program.parameters:
        section(
            "Parameters, attributes that may be reassigned between steps (numbers or 0-d tensors):",
            ", ".join(p.name for p in program.parameters),
        )
    section("Reductions: " + _reductions(program))
    if terms := coupled(program):
        section("Of the whole batch, of all ranks where it has a `group`: " + ", ".join(terms))
    if about.cite:
        section("Sources: " + "; ".join(about.cite))
    return tuple(lines)


def _drawn(inputs: Iterable[Input]) -> bool:
    return any(i.shape[:1] == ("S",) for i in inputs)


def _minimised(program: LossProgram) -> Iterator[str]:
    apart = [f"for {t.text} {t.note}" for t in program.terms if t.surrogate is not None]
    noted = [f"{t.text}: {t.note}" for t in program.terms if t.surrogate is None and t.note]
    if len(apart) == 1 and not noted:
        yield f"`loss`, the weighted sum of `terms`, but {apart[0]}"
    else:
        yield "`loss`, the weighted sum of `terms`" + (", but" if apart else "")
        yield from (*apart, *noted)


def shapes(inputs: Iterable[Input]) -> list[str]:
    """Names, shape, meaning: one line for each input, and for the parameters of one factor that have one shape."""
    entries = [
        list(alike) for _, alike in groupby(inputs, lambda i: (i.name if i.key.role in MEANINGS else "", i.key[::2], i.shape))
    ]
    names = [", ".join(i.name for i in alike) for alike in entries]
    sizes = [f"({', '.join(first.shape)}{',' if len(first.shape) == 1 else ''})" for first, *_ in entries]
    long, wide = max(map(len, names), default=0), max(map(len, sizes), default=0)
    return [f"{n:{long}}  {s:{wide}}  {meaning(alike)}" for n, s, alike in zip(names, sizes, entries, strict=True)]


def meaning(alike: Sequence[Input]) -> str:
    """What an input is, or several of one factor."""
    of, role, joint = alike[0].key
    if role in MEANINGS:
        text = MEANINGS[role].format(of=of, joint=joint)
        return f"{text}: {'a class index' if is_batch(alike[0].shape[-1]) else 'class indices'}" if alike[0].integer else text
    return f"{', '.join(i.key.role for i in alike)} of {of} under {joint}"


def _reductions(program: LossProgram) -> str:
    text = '"mean"; "sum", the mean times the size of the first batch'
    return f'{text}; "none", one loss a row' if program.rows is not None else text

"""What an emitted class says of itself: objective, bound, gap, constants, what is minimised, shapes, sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ibsym.codegen.torch.text import WIDTH, wrapped, wrapped_sum
from ibsym.lowering.coupling import coupled, is_batch
from ibsym.lowering.program import Input, LossProgram

MEANINGS = {
    "value": "{of} under {joint}, observed or drawn",
    "sample": "draws of {of} under {joint}, through which gradients flow",
    "sample_reference": "draws of {of} under {joint}, the divergence's second argument",
    "critic": "critic of {of} on samples of its first argument",
    "critic_reference": "critic of {of} on samples of its second argument",
    "scores": "critic of {of} on all pairs: entry i, j pairs the i-th first with the j-th second; in a group, each "
    "rank's rows with those of all",
}


def documentation(program: LossProgram) -> tuple[str, ...]:
    """The lines of the class's docstring, after its title."""
    about = program.about
    lines: list[str] = []
    short = False  # whether the section before is one line, which the next may follow without a blank one

    def section(head: str, *body: str, total: bool = False) -> None:
        nonlocal short
        if len(body) < 2 and len(line := " ".join(("   ", head, *body))) <= WIDTH:
            lines.extend([*([] if short else [""]), *wrapped(line.strip(), 4)])
            short = True
            return
        short = False
        lines.extend(["", *wrapped(head, 4)])
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
    )
    for player in program.critics:
        if player.inputs:
            head = f"The player of {player.divergence} minimises `critic_loss` in its density's parameters, on detached draws; its inputs:"
            section(head, *shapes(player.inputs))
    limits = {limit.divergence: limit for limit in program.limits}
    for divergence, factor in program.through:
        held = limits.get(divergence)
        says = f", and {held.text}; its inputs:" if held else "."
        section(f"The critic of {divergence} sees its samples through {factor}{says}", *(shapes(held.inputs) if held else ()))
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
    yield "`loss`, the weighted sum of `terms`" + (", except that" if any(t.surrogate for t in program.terms) else "")
    for term in program.terms:
        if term.surrogate is not None:
            yield f"for {term.text} {term.note}, while `terms` holds its value"
        elif term.note:
            yield f"{term.text}: {term.note}"


def shapes(inputs: Iterable[Input]) -> list[str]:
    """One line for each input: name, shape, meaning."""
    entries = list(inputs)
    names = max((len(i.name) for i in entries), default=0)
    sizes = [f"({', '.join(i.shape)}{',' if len(i.shape) == 1 else ''})" for i in entries]
    width = max(map(len, sizes), default=0)
    return [
        f"{i.name}{' ' * (names - len(i.name))}  {s}{' ' * (width - len(s))}  {meaning(i)}"
        for i, s in zip(entries, sizes, strict=True)
    ]


def meaning(entry: Input) -> str:
    """What an input is."""
    of, role, joint = entry.key
    text = MEANINGS.get(role, "{role} of {of} under {joint}").format(of=of, role=role, joint=joint)
    return f"{text}: {'a class index' if is_batch(entry.shape[-1]) else 'class indices'}" if entry.integer else text


def _reductions(program: LossProgram) -> str:
    text = '"mean"; "sum", the mean times the size of the first batch'
    return f'{text}; "none", one loss a row' if program.rows is not None else text

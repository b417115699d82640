"""[LossProgram] -> contexts: the strings that the templates lay out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ibsym.codegen.templating import Context
from ibsym.codegen.torch.copying import definitions
from ibsym.codegen.torch.documentation import documentation
from ibsym.codegen.torch.expressions import Code, render, total
from ibsym.codegen.torch.nodes import Torch, reached
from ibsym.codegen.torch.text import WIDTH, assigned, plain, quoted, tupled
from ibsym.lowering.program import CRITIC, REFERENCE, CriticLoss, Input, InputKey, Limit, LossProgram, Step, TermValue

Lines = tuple[str, ...]


def parameter(name: str) -> Code:
    """A parameter, as its loss knows it."""
    return Code(f"self.{name}", number=True)


def declared(entry: Input) -> str:
    """``Input("z_mean", "q(z|x)", "mean", ("B", "L"), "q")``."""
    of, role, joint = map(quoted, entry.key)
    return f"Input({quoted(entry.name)}, {of}, {role}, {tupled(map(quoted, entry.shape))}, {joint})"


def statements(torch: Torch, steps: Iterable[Step], like: str) -> Lines:
    """Each step under its comment, a blank line before each comment. A number becomes a tensor like the one named."""
    lines: list[str] = []
    for step in steps:
        if step.comment:
            lines.append("")
            lines += [f"# {plain(line)}" for line in step.comment]
        code = torch.code(step.node)
        lines += assigned(step.name, f"{like}.new_tensor({code.text})" if code.number and like else code.text)
    return tuple(lines)


def indented(lines: Iterable[str], width: int) -> Lines:
    """Lines moved to the right, blank ones left blank."""
    return tuple(" " * width + line if line else "" for line in lines)


def checked(source: str, names: Sequence[str], given: str) -> Lines:
    """``z_mean, x = _checked(self.INPUTS, [z_mean, x])``, broken where it is long."""
    target = f"({names[0]},)" if len(names) == 1 else ", ".join(names)
    call = f"_checked({source}, {given})"
    if len(f"{target} = {call}") + 12 <= WIDTH:
        return (f"{target} = {call}",)
    return ("(", *(f"    {n}," for n in names), f") = {call}")


def listed(name: str, names: Sequence[str]) -> Lines:
    """``given = [z_mean, x]``, broken where it is long."""
    line = f"{name} = [{', '.join(names)}]"
    return (line,) if len(line) + 12 <= WIDTH else (f"{name} = [", *(f"    {n}," for n in names), "]")


def module(program: LossProgram, settings: Lines, methods: Lines, helpers: Lines, imports: Lines) -> Context:
    """What ``module.py.j2`` lays out."""
    return {
        "name": program.name,
        "summary": plain(f"{program.about.title}: a loss in nats."),
        "imports": imports,
        "types": tuple(definitions()[name] for name in ("Input", "Output")),
        "class_name": program.class_name,
        "title": plain(program.about.title),
        "documentation": documentation(program),
        "inputs": tuple(declared(i) for i in program.inputs),
        "critics": tupled(quoted(c.divergence) for c in program.critics),
        "critic_inputs": _critic_inputs(program),
        "arguments": tuple(f"{p.name}: float | Tensor = {p.default!r}" for p in program.parameters),
        "parameters": tuple(p.name for p in program.parameters),
        "settings": settings,
        "methods": methods,
        "helpers": helpers,
    }


def _critic_inputs(program: LossProgram) -> Lines:
    """What each critic that sees its samples through a factor takes: its logits, and what its constraint is measured on."""
    lines: list[str] = []
    inputs = {limit.divergence: limit.inputs for limit in program.limits}
    for divergence, _ in program.through:
        entries = (*logits(program, divergence), *inputs.get(divergence, ()))
        lines += [f"    {quoted(divergence)}: (", *(f"        {declared(i)}," for i in entries), "    ),"]
    name = "CRITIC_INPUTS: dict[str, tuple[Input, ...]] = {"
    return (name, *lines, "}") if lines else (name + "}",)


def logits(program: LossProgram, divergence: str) -> tuple[Input, ...]:
    """The critic's inputs on both sides, as ``forward`` names them; a side that it does not take is named after the other."""
    known = {i.key.role: i for i in program.inputs if i.key.of == divergence}
    if "critic" not in known and "critic_reference" not in known:
        return ()
    heads = dict(zip(("critic", "critic_reference"), (part.split("(")[-2] for part in divergence.split("||")), strict=True))
    for role, other in (("critic", "critic_reference"), ("critic_reference", "critic")):
        if role not in known:
            like = known[other]
            axis = "B" if role == "critic" else f"B_{heads[role]}"
            name = like.name.replace(other, role)
            known[role] = Input(name, InputKey(divergence, role, heads[role]), (*like.shape[:-1], axis), integer=False)
    return known["critic"], known["critic_reference"]


def forward(program: LossProgram) -> Context:
    """What ``forward.py.j2`` lays out."""
    torch = Torch({i.key: i.name for i in program.inputs}, program.steps)
    names = [i.name for i in program.inputs]
    given = f"[{', '.join(names)}]"
    short = len(given) < 45
    read = checked("self.INPUTS", names, given if short else "given")
    if not short:
        read = (*listed("given", names), *read)
    needed = reached(program)
    steps = [step for k, step in enumerate(program.steps) if k in needed]
    return {
        "arguments": tuple(f"{n}: Tensor" for n in names),
        "read": read,
        "body": indented(statements(torch, steps, names[0] if names else ""), 8),
        "terms": tuple(f"{quoted(t.text)}: {_reported(program, torch, t)}" for t in program.terms),
        "loss": indented(assigned(*_loss(program, torch)), 8),
        "reduced": _reduced(program, torch),
    }


def _reported(program: LossProgram, torch: Torch, term: TermValue) -> str:
    value = torch.text(term.value)
    return f"{value}.mean().detach()" if program.rows is not None else f"{value}.detach()"


def _loss(program: LossProgram, torch: Torch) -> tuple[str, str]:
    parts = ((t.coefficient, torch.code(t.surrogate or t.value)) for t in program.terms)
    name = "per_row" if program.rows is not None else "loss"
    return name, total(parts, parameter)


def _reduced(program: LossProgram, torch: Torch) -> str:
    if program.rows is not None:
        return "_reduced(per_row, _reduction(self.reduction))"
    size = "1" if program.batch is None else torch.text(program.batch)
    return f"_reduced(loss, _reduction(self.reduction), {size})"


def why_no_rows(program: LossProgram) -> str:
    """Why a loss has no per-row values: the first term that is to blame."""
    first = program.terms[0].rows
    for term in program.terms:
        if term.rows is None:
            return f"{term.text} {term.why}"
    other = next(t for t in program.terms if t.rows != first)
    return f"{program.terms[0].text} is averaged over the batch {first}, {other.text} over {other.rows}"


def critics(program: LossProgram) -> Context:
    """What ``critic_loss.py.j2`` and ``held_critic_loss.py.j2`` lay out, one block for each critic."""
    torch = Torch({CRITIC.key: "critic", REFERENCE.key: "critic_reference"})
    held = {limit.divergence: limit for limit in program.limits}
    blocks = tuple(_critic(torch, c, held.get(c.divergence), bool(program.through)) for c in program.critics)
    return {"blocks": blocks}


def _critic(torch: Torch, critic: CriticLoss, limit: Limit | None, any_held: bool) -> tuple[str, Lines]:
    loss = torch.text(critic.node)
    comment = f"# {plain(critic.comment)}"
    if limit is not None:
        price = f"self.{limit.multiplier} * (self.constraint_value(name, **inputs) - {_budget(limit).at(2)})"
        return quoted(critic.divergence), (
            f"{comment}, + {limit.multiplier} (rate - {limit.budget})",
            f"loss = {loss}",
            f"return loss + {price}",
        )
    refuse = (f"_by_name((), inputs, {quoted(critic.divergence)})",) if any_held else ()
    return quoted(critic.divergence), (*refuse, comment, f"return {loss}")


def _budget(limit: Limit) -> Code:
    return render(limit.budget, parameter)


def constraints(program: LossProgram) -> Context:
    """What ``constraints.py.j2`` lays out."""
    values, steps = [], []
    for limit in program.limits:
        torch = Torch({i.key: i.name for i in limit.inputs}, limit.steps)
        read = (
            "given = _by_name(self.CRITIC_INPUTS[name], inputs, name)",
            *checked("_codes(self.CRITIC_INPUTS[name])", [i.name for i in limit.inputs], "given"),
        )
        lines = indented((*read, *statements(torch, limit.steps, limit.inputs[0].name), f"return {torch.text(limit.rate)}"), 12)
        values.append((quoted(limit.divergence), plain(limit.text), lines))
        update = f"self.{limit.multiplier} = _ascended(self.{limit.multiplier}, value, {_budget(limit).text}, step)"
        steps.append((quoted(limit.divergence), (update, "return")))
    return {"values": tuple(values), "steps": tuple(steps)}

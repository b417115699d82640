"""[LossProgram] -> contexts: the strings that the templates lay out, and the names that they use."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ibsym.codegen.formulas import Code
from ibsym.codegen.runtime import NOTHING_USED, Definition
from ibsym.codegen.templating import Text, render
from ibsym.codegen.torch.evaluation import Torch, loads, reached
from ibsym.codegen.torch.expressions import render as formula
from ibsym.codegen.torch.expressions import total
from ibsym.codegen.torch.sharing import shared
from ibsym.codegen.torch.text import WIDTH, assigned, plain, quoted, tupled
from ibsym.lowering.coupling import coupled, is_batch
from ibsym.lowering.naming import TAKEN
from ibsym.lowering.program import CRITIC, REFERENCE, CriticLoss, Input, InputKey, Limit, LossProgram, Step, TermValue

Lines = tuple[str, ...]


class Written(NamedTuple):
    """Lines of code, and the names that they use."""

    lines: Lines
    uses: frozenset[str] = NOTHING_USED


def parameter(name: str) -> Code:
    """A parameter, as its loss knows it."""
    return Code(f"self.{name}", number=True)


def declared(entry: Input) -> str:
    """``Input("z_mean", "q(z|x)", "mean", ("B", "L"), "q")``."""
    of, role, joint = map(quoted, entry.key)
    return f"Input({quoted(entry.name)}, {of}, {role}, {tupled(map(quoted, entry.shape))}, {joint})"


def statements(torch: Torch, steps: Iterable[Step], like: str) -> Written:
    """Each step under its comment, if that was not said before. A number becomes a tensor like the one named."""
    lines: list[str] = []
    uses = NOTHING_USED
    said: set[Lines] = set()
    computed = [(step, torch.code(step.node), tuple(torch.gathers())) for step in steps]
    texts, before = shared([code.text for _, code, _ in computed], {*TAKEN, *torch.names, *(s.name for s, _, _ in computed)})
    everything = " ".join(texts)
    for k, (step, found, gathers) in enumerate(computed):
        code = found._replace(text=texts[k])
        uses |= code.uses.union(*(g.uses for g in gathers))
        for gather in gathers:
            target, call = gather.text.split(" = ", 1)
            alone = target.strip("(,)")
            if target != alone and len(re.findall(rf"\b{alone}\b", everything)) == 1:
                code = code._replace(text=re.sub(rf"\b{alone}\b", f"{call}[0]", code.text))  # rows that are read once
            else:
                lines += broken(target, call, 8)
        if step.comment not in said:
            said.add(step.comment)
            together = "; ".join(map(plain, step.comment))
            comments = [together] if len(together) + 10 <= WIDTH else map(plain, step.comment)
            lines += [f"# {piece}" for line in comments for piece in textwrap.wrap(line, WIDTH)]
        lines += before.get(k, [])
        lines += assigned(step.name, f"{like}.new_tensor({code.text})" if code.number and like else code.text)
    return Written(tuple(lines), uses)


def indented(lines: Iterable[str], width: int) -> Lines:
    """Lines moved to the right, blank ones left blank."""
    return tuple(" " * width + line if line else "" for line in lines)


def signature(name: str, first: Sequence[str], arguments: Sequence[str], result: str) -> Lines:
    """``def forward(self, *, z_mean: Tensor) -> Output:``, over several lines where it is long."""
    return filled(f"def {name}(", (*first, *arguments), f") -> {result}:", WIDTH - 4)


def filled(head: str, parts: Sequence[str], tail: str, width: int) -> Lines:
    """Parts with commas between a head and a tail, as many a line as fit, each under the first.

    >>> filled("f(", ["a", "b", "c"], ")", 7)
    ('f(a, b,', '  c)')
    """
    *before, last = parts
    rows = [head]
    for part in (*(f"{p}," for p in before), f"{last}{tail}"):
        if rows[-1][len(head) :] and len(rows[-1]) + len(part) + 1 > width:
            rows.append(" " * len(head))
        rows[-1] += f" {part}" if rows[-1][len(head) :] else part
    return tuple(rows)


def broken(target: str, call: str, width: int = 12) -> Lines:
    """``a, b = f(x)``, the names apart where it is long."""
    line = f"{target} = {call}"
    return (line,) if len(line) + width <= WIDTH else ("(", *(f"    {n}," for n in target.split(", ")), f") = {call}")


def class_attributes(program: LossProgram) -> Lines:
    """Which terms couple rows; what each critic that sees its samples through a factor takes; where each parameter may lie."""
    coupling = f"BATCH_COUPLED: tuple[str, ...] = {tupled(map(quoted, coupled(program)))}"
    lines: list[str] = []
    inputs = {limit.divergence: limit.inputs for limit in program.limits}
    for divergence, _ in program.through:
        own = logits(program, divergence)
        entries = [*(["*INPUTS"] if own == program.inputs else map(declared, own)), *map(declared, inputs.get(divergence, ()))]
        lines += [f"    {quoted(divergence)}: (", *(f"        {entry}," for entry in entries), "    ),"]
    for critic in (c for c in program.critics if c.inputs):
        lines += [f"    {quoted(critic.divergence)}: (", *(f"        {declared(i)}," for i in critic.inputs), "    ),"]
    name = "CRITIC_INPUTS: dict[str, tuple[Input, ...]] = {"
    lines = [coupling, name, *lines, "}"] if lines else [coupling, name + "}"]
    if names := symbols(
        (*program.inputs, *(i for c in program.critics for i in c.inputs), *(i for x in program.limits for i in x.inputs))
    ):
        lines.append(f"SYMBOLS = {tupled(map(quoted, names))}")
    if program.parameters:
        intervals = ", ".join(f"{quoted(p.name)}: ({bound(p.least)}, {bound(p.most)})" for p in program.parameters)
        lines.append(f"PARAMETERS = {{{intervals}}}")
    return tuple(lines)


def symbols(inputs: Iterable[Input]) -> tuple[str, ...]:
    """The inputs that are arrays of class indices: what their shape does not tell."""
    return tuple(dict.fromkeys(i.name for i in inputs if i.integer and not is_batch(i.shape[-1])))


def bound(value: float) -> str:
    """An end of an interval.

    >>> bound(0.0), bound(float("-inf"))
    ('0.0', '-math.inf')
    """
    return repr(value) if value - value == 0 else "-math.inf" if value < 0 else "math.inf"


def logits(program: LossProgram, divergence: str) -> tuple[Input, ...]:
    """The critic's inputs on both sides, as ``forward`` names them; a side that it does not take is named after the other."""
    known = {i.key.role: i for i in program.inputs if i.key.of == divergence}
    if "critic" not in known and "critic_reference" not in known:
        return ()
    own = next(iter(known.values())).key.joint
    parts = [part.split("(")[-2] for part in divergence.split("||")] if "||" in divergence else [own, own]
    heads = dict(zip(("critic", "critic_reference"), parts, strict=True))
    for role, other in (("critic", "critic_reference"), ("critic_reference", "critic")):
        if role not in known:
            like = known[other]
            axis = like.shape[-1] if heads[role] == own else "B" if role == "critic" else f"B_{heads[role]}"
            name = like.name.replace(other, role)
            known[role] = Input(name, InputKey(divergence, role, heads[role]), (*like.shape[:-1], axis), integer=False)
    return known["critic"], known["critic_reference"]


def part(program: LossProgram, terms: Iterable[int]) -> LossProgram:
    """The program of some of its terms."""
    return replace(program, terms=tuple(program.terms[k] for k in terms))


def expression(program: LossProgram, rest: Sequence[int]) -> Definition:
    """The method that computes the program by tensor operations; the terms in ``rest`` are left to another one."""
    summary = "The same by tensor operations: what other devices, transforms and torch.compile run."
    arguments = [f"{i.name}: Tensor" for i in program.inputs]
    return _terms(program, signature("expression", ["self"], arguments, "Output"), summary, rest)


def others(program: LossProgram, rest: Sequence[int]) -> Definition:
    """The method that computes the terms in ``rest``."""
    summary = "The terms that the compiled pass leaves to tensor operations."
    own = part(program, rest)
    arguments = [f"{n}: Tensor" for n in used_inputs(own)]
    return _terms(own, signature("_rest", ["self"], arguments, "Output"), summary, ())


def used_inputs(program: LossProgram) -> list[str]:
    """The inputs that the program's terms read."""
    keys = {load.key for k in reached(program) for load in loads(program.steps[k].node)}
    if program.batch is not None and program.rows is None:
        keys |= {load.key for load in loads(program.batch)}
    return [i.name for i in program.inputs if i.key in keys]


def _terms(program: LossProgram, head: Lines, summary: str, rest: Sequence[int]) -> Definition:
    torch = Torch({i.key: i.name for i in program.inputs}, program.steps)
    own = part(program, (k for k in range(len(program.terms)) if k not in rest))
    needed = reached(own)
    first = next(iter(used_inputs(own)), "")
    body = statements(torch, [step for k, step in enumerate(program.steps) if k in needed], first)
    lines, uses = list(body.lines), body.uses
    if rest:
        call = f"rest = self._rest({', '.join(used_inputs(part(program, rest)))})"
        left = f"# {', '.join(program.terms[k].text for k in rest)}: what the compiled pass leaves"
        beside = len(f"{call}  {left}") + 8 <= WIDTH
        lines = [f"{call}  {left}", *lines] if beside else [left, call, *lines]
    values = [torch.code(t.surrogate or t.value) for t in own.terms]
    loss = total(zip((t.coefficient for t in own.terms), values, strict=True), parameter)
    reduced = _reduced(program, torch)
    reported = [
        f"{quoted(t.text)}: {f'rest.terms[{quoted(t.text)}]' if k in rest else _reported(program, torch, t)}"
        for k, t in enumerate(program.terms)
    ]
    result = assigned("loss" if program.rows is None else "per_row", loss.text)
    value = f"{reduced.text} + rest.loss" if rest else reduced.text
    at_once = f"return Output({value}, {{{', '.join(reported)}}})"
    if len(at_once) + 8 <= WIDTH:
        lines += [*result, at_once]
    else:
        lines += ["", *result, *_mapping("terms", reported), f"return Output({value}, terms)"]
    text = render("expression.py.j2", {"signature": head, "summary": summary, "body": indented(lines, 8)})
    uses |= {"_mean"} if program.rows is not None else frozenset()
    return Definition(text, uses | loss.uses | reduced.uses)


def _mapping(name: str, items: Sequence[str]) -> Lines:
    """``terms = {"a": 1, "b": 2}``, an item a line where it is long, many in columns."""
    line = f"{name} = {{{', '.join(items)}}}"
    if len(line) + 8 <= WIDTH:
        return (line,)
    head = f"{name} = {{"
    rows = table([f"{item}," for item in items], WIDTH - 8 - len(head))
    rows[-1] = rows[-1].removesuffix(",") + "}"
    return tuple(f"{' ' * len(head) if k else head}{row}" for k, row in enumerate(rows))


FEW = 5
"""What is listed one a line; more stand side by side."""


def table(items: Sequence[str], width: int) -> list[str]:
    """Few items one a line, many in columns that fit.

    >>> table(["a,", "bbb,", "cc,", "d,", "e,", "f,"], 11)
    ['a,   bbb,', 'cc,  d,', 'e,   f,']
    """
    column = max(map(len, items), default=0) + 1
    columns = max(1, (width + 1) // column) if len(items) > FEW else 1
    rows = [items[k : k + columns] for k in range(0, len(items), columns)]
    return ["".join(item.ljust(column) for item in row).rstrip() for row in rows]


def _reported(program: LossProgram, torch: Torch, term: TermValue) -> str:
    value = torch.text(term.value)
    return f"_mean({value}.detach(), self.group)" if program.rows is not None else f"{value}.detach()"


def _reduced(program: LossProgram, torch: Torch) -> Code:
    uses = frozenset({"_reduced"})
    if program.rows is not None:
        return Code("_reduced(per_row, self.reduction, self.group)", uses=uses)
    size = Code("1") if program.batch is None else Torch(torch.inputs).size(program.batch)
    return Code(f"_reduced(loss, self.reduction, {size.text}, self.group)", uses=uses | size.uses)


def why_no_rows(program: LossProgram) -> str:
    """Why a loss has no per-row values: the first term that is to blame."""
    first = program.terms[0].rows
    for term in program.terms:
        if term.rows is None:
            return f"{term.text} {term.why}"
    other = next(t for t in program.terms if t.rows != first)
    return f"{program.terms[0].text} is averaged over the batch {first}, {other.text} over {other.rows}"


def critic_loss(program: LossProgram) -> Definition:
    """What each critic minimises."""
    torch = Torch({CRITIC.key: "critic", REFERENCE.key: "critic_reference"}, group="group")
    held = {limit.divergence: limit for limit in program.limits}
    takes_inputs = bool(program.through) or any(c.inputs for c in program.critics)
    players = [_player(c) for c in program.critics if c.inputs]
    blocks = [_critic(torch, c, held.get(c.divergence), takes_inputs) for c in program.critics if not c.inputs]
    by_logits = {"_logits"} if takes_inputs and blocks else NOTHING_USED
    uses = NOTHING_USED.union(*(written.uses for _, written in (*players, *blocks)), by_logits)
    alike: dict[Lines, list[str]] = {}
    for divergence, written in blocks:
        alike.setdefault(written.lines, []).append(divergence)
    context: dict[str, Text] = {"blocks": tuple((named("name", names), lines) for lines, names in alike.items())}
    if not takes_inputs:
        return Definition(render("critic_loss.py.j2", context), uses)
    context = {**context, "players": tuple((named("name", [name]), written.lines) for name, written in players)}
    if program.through:
        return Definition(render("held_critic_loss.py.j2", context), uses)
    context["logits"] = ("critic, critic_reference = _logits((), inputs, critic, critic_reference)",) if blocks else ()
    return Definition(render("player_loss.py.j2", context), uses)


def apart(program: LossProgram) -> int | None:
    """How many axes the coordinates have that critics compare with coordinates of different rows; None where no critic does."""
    return max((c.coordinates or 1 for c in program.critics if c.coordinates is not None), default=None)


def named(subject: str, names: Sequence[str]) -> str:
    """The test of a name: ``name == "a"``, ``name in ("a", "b")``."""
    return f"{subject} == {names[0]}" if len(names) == 1 else f"{subject} in {tupled(names)}"


def _player(critic: CriticLoss) -> tuple[str, Written]:
    """What a player minimises that fits a density: its parameters and the draws in place of logits."""
    torch = Torch({i.key: i.name for i in critic.inputs}, critic.steps, "group")
    body, loss = statements(torch, critic.steps, critic.inputs[0].name), torch.code(critic.node)
    names = [i.name for i in critic.inputs]
    target = f"({names[0]},)" if len(names) == 1 else ", ".join(names)
    indices = ", Loss.SYMBOLS" if symbols(critic.inputs) else ""
    read = broken(target, f"_codes(Loss.CRITIC_INPUTS[name], inputs, name{indices})")
    lines = (f"# {plain(critic.comment)}", *read, *body.lines, f"return {loss.text}")
    return quoted(critic.divergence), Written(lines, body.uses | loss.uses | {"_codes"})


def _critic(torch: Torch, critic: CriticLoss, limit: Limit | None, any_held: bool) -> tuple[str, Written]:
    torch = Torch(torch.inputs, group=torch.group)
    loss = torch.code(critic.node)
    gathers = list(torch.gathers())
    loss = loss._replace(uses=loss.uses.union(*(g.uses for g in gathers)))
    comment = (*(g.text for g in gathers), f"# {plain(critic.comment)}")
    if limit is not None:
        budget = formula(limit.budget, parameter)
        budgeted = f"({budget.text})" if " + " in budget.text or " - " in budget.text else budget.text
        price = f"self.{limit.multiplier} * (self.constraint_value(name, group=group, **inputs) - {budgeted})"
        return quoted(critic.divergence), Written(
            (
                *comment[:-1],
                f"{comment[-1]}, + {limit.multiplier} (rate - {limit.budget})",
                f"loss = {loss.text}",
                f"return loss + {price}",
            ),
            loss.uses | budget.uses,
        )
    refuse = (f"_codes((), inputs, {quoted(critic.divergence)})",) if any_held else ()
    return quoted(critic.divergence), Written(
        (*refuse, *comment, f"return {loss.text}"), loss.uses | ({"_codes"} if refuse else NOTHING_USED)
    )


def constraints(program: LossProgram) -> Definition:
    """What critics are held to, and the step of its multiplier."""
    values, steps = [], []
    uses = frozenset({"_codes", "_ascended"})
    for limit in program.limits:
        torch = Torch({i.key: i.name for i in limit.inputs}, limit.steps, "group")
        body, rate, budget = (
            statements(torch, limit.steps, limit.inputs[0].name),
            torch.code(limit.rate),
            formula(limit.budget, parameter),
        )
        uses |= body.uses | rate.uses | budget.uses
        names = [i.name for i in limit.inputs]
        target = f"({names[0]},)" if len(names) == 1 else ", ".join(names)
        indices = ", self.SYMBOLS" if symbols(limit.inputs) else ""
        read = broken(target, f"_codes(self.CRITIC_INPUTS[name], inputs, name{indices})")
        last = f"{rate.text} = "  # the rate has a name where it is the last step: it is returned at once
        *before, final = body.lines
        rows = (
            (*before, f"return {final.removeprefix(last)}") if final.startswith(last) else (*body.lines, f"return {rate.text}")
        )
        lines = indented((*read, *rows), 12)
        values.append((quoted(limit.divergence), plain(limit.text), lines))
        update = f"self.{limit.multiplier} = _ascended(self.{limit.multiplier}, value, {budget.text}, step)"
        steps.append((quoted(limit.divergence), (update, "return")))
    return Definition(render("constraints.py.j2", {"values": tuple(values), "steps": tuple(steps)}), uses)

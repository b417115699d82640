"""[LossProgram] -> contexts: the strings that the templates lay out, and the names that they use."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ibsym.codegen.formulas import PRODUCT, WORD, Code
from ibsym.codegen.runtime import NOTHING_USED, Definition
from ibsym.codegen.templating import Text, render
from ibsym.codegen.torch.evaluation import Torch, Unpacked, loads, reached
from ibsym.codegen.torch.expressions import render as formula
from ibsym.codegen.torch.expressions import total
from ibsym.codegen.torch.sharing import Call, Reading, repeated
from ibsym.codegen.torch.text import WIDTH, assigned, plain, quoted, tupled
from ibsym.lowering.coupling import coupled, is_batch
from ibsym.lowering.naming import TAKEN, unused
from ibsym.lowering.program import CRITIC, REFERENCE, CriticLoss, Input, InputKey, Limit, LossProgram, Ref, Step, TermValue

Lines = tuple[str, ...]


class Written(NamedTuple):
    """Lines of code, and the names that they use."""

    lines: Lines
    uses: frozenset[str] = NOTHING_USED


def parameter(name: str) -> Code:
    """A parameter, as its loss knows it."""
    return Code(f"self.{name}", WORD, number=True)


def declared(entry: Input) -> str:
    """``Input("z_mean", "q(z|x)", "mean", ("B", "L"), "q")``."""
    of, role, joint = map(quoted, entry.key)
    return f"Input({quoted(entry.name)}, {of}, {role}, {tupled(map(quoted, entry.shape))}, {joint})"


class Block(NamedTuple):
    """A step's assignment, the lines before it, and the names that they use."""

    before: Lines
    name: str
    value: str
    uses: frozenset[str]

    @property
    def lines(self) -> Lines:
        """All of it."""
        return (*self.before, *assigned(self.name, self.value))


def statements(torch: Torch, steps: Iterable[Step], like: str) -> Written:
    """Each step under its comment, if that was not said before. A number becomes a tensor like the one named."""
    found = blocks(torch, steps, like)
    return Written(tuple(line for block in found for line in block.lines), NOTHING_USED.union(*(b.uses for b in found)))


def blocks(torch: Torch, steps: Iterable[Step], like: str) -> list[Block]:
    """The steps' assignments; what several of them call stands before the first under a name."""
    found: list[Block] = []
    said: set[Lines] = set()
    for step, code, gathers, calls in _shared(torch, list(steps)):
        lines = [line for gather in gathers for line in broken(gather, 8)]
        if step.comment not in said:
            said.add(step.comment)
            together = "; ".join(map(plain, step.comment))
            comments = [together] if len(together) + 10 <= WIDTH else map(plain, step.comment)
            lines += [f"# {piece}" for line in comments for piece in textwrap.wrap(line, WIDTH)]
        lines += [f"{', '.join(torch.ledger.named[call])} = {call.text}" for call in calls]
        value = f"{like}.new_tensor({code.text})" if code.number and like else code.text
        uses = code.uses.union(*(g.call.uses for g in gathers), *(c.uses for c in calls))
        found.append(Block(tuple(lines), step.name, value, uses))
    return found


def _shared(torch: Torch, steps: Sequence[Step]) -> Iterator[tuple[Step, Code, list[Unpacked], list[Call]]]:
    """Each step with its code, what is gathered before it, and the calls that get their names before it.

    A step is written again when a call of it has got a name, and when rows that were gathered for it are read there alone.
    """
    codes: list[Code] = []
    reads: list[tuple[Reading, ...]] = []
    gathers: list[list[Unpacked]] = []
    calls: list[list[Call]] = [[] for _ in steps]

    def write(step: Step) -> tuple[Code, tuple[Reading, ...]]:
        return torch.ledger.apart(lambda: torch.code(step.node))

    def again(reading: Reading) -> int:
        places = [k for k, read in enumerate(reads) if reading in read]
        for k in places:
            codes[k], reads[k] = write(steps[k])
        return places[0]

    for step in steps:
        code, read = write(step)
        codes.append(code)
        reads.append(read)
        gathers.append(list(torch.gathers()))
    taken = {*TAKEN, *torch.names, *(s.name for s in steps)}
    while call := repeated(reads):
        torch.ledger.named[call] = names = tuple(unused(name, taken) for name in call.names)
        taken.update(names)
        calls[again(call)].append(call)
    everything = [*(r for row in reads for r in row), *(c.argument for row in calls for c in row)]
    for unpacked in (g for row in gathers for g in row if g.tuple_of_one):
        (name,) = unpacked.names
        if everything.count(name) == 1 and any(name in row for row in reads):
            torch.in_place[name] = unpacked.call._replace(text=f"{unpacked.call.text}[0]")
            again(name)
    kept = ([g for g in row if not set(g.names) & set(torch.in_place)] for row in gathers)
    yield from zip(steps, codes, kept, calls, strict=True)


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


def broken(unpacked: Unpacked, width: int = 12) -> Lines:
    """``a, b = f(x)``, the names apart where it is long."""
    names, call, _ = unpacked
    line = f"{unpacked.target} = {call.text}"
    return (line,) if len(line) + width <= WIDTH else ("(", *(f"    {n}," for n in names), f") = {call.text}")


def codes(inputs: Sequence[Input], entries: str, more: str = "") -> Lines:
    """A player's inputs by name, as they were given by keyword."""
    call = Code(
        f"_codes({entries}.CRITIC_INPUTS[name], inputs, name{more and f', {entries}.{more}'})", uses=frozenset({"_codes"})
    )
    return broken(Unpacked(tuple(i.name for i in inputs), call, tuple_of_one=len(inputs) == 1))


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
    joints = next(c.joints for c in program.critics if c.divergence == divergence)
    heads = dict(zip(("critic", "critic_reference"), joints, strict=True))
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


def some(program: LossProgram, terms: Sequence[int], name: str, summary: str) -> Definition:
    """A method, or a function of the loss, that computes some of the terms by tensor operations."""
    own = part(program, terms)
    arguments = [f"{n}: Tensor" for n in used_inputs(own)]
    return _terms(own, signature(name, ["self"], arguments, "Output"), summary, ())


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
        about = f"# {', '.join(program.terms[k].text for k in rest)}: what the compiled pass leaves"
        beside = len(f"{call}  {about}") + 8 <= WIDTH
        above = textwrap.wrap(about, WIDTH - 8, subsequent_indent="# ", break_long_words=False)
        lines = [f"{call}  {about}", *lines] if beside else [*above, call, *lines]
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
    read = codes(critic.inputs, "Loss", "SYMBOLS" if symbols(critic.inputs) else "")
    lines = (f"# {plain(critic.comment)}", *read, *body.lines, f"return {loss.text}")
    return quoted(critic.divergence), Written(lines, body.uses | loss.uses | {"_codes"})


def _critic(torch: Torch, critic: CriticLoss, limit: Limit | None, any_held: bool) -> tuple[str, Written]:
    torch = Torch(torch.inputs, group=torch.group)
    loss = torch.code(critic.node)
    gathers = list(torch.gathers())
    loss = loss._replace(uses=loss.uses.union(*(g.call.uses for g in gathers)))
    comment = (*(f"{g.target} = {g.call.text}" for g in gathers), f"# {plain(critic.comment)}")
    if limit is not None:
        budget = formula(limit.budget, parameter)
        price = f"self.{limit.multiplier} * (self.constraint_value(name, group=group, **inputs) - {budget.at(PRODUCT)})"
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
        steps_of, rate = blocks(torch, limit.steps, limit.inputs[0].name), torch.code(limit.rate)
        budget = formula(limit.budget, parameter)
        uses = uses.union(rate.uses, budget.uses, *(b.uses for b in steps_of))
        rows = [line for block in steps_of for line in block.lines]
        last = steps_of[-1]
        if (
            isinstance(limit.rate, Ref)
            and limit.rate.index == len(limit.steps) - 1
            and len(assigned(last.name, last.value)) == 1
        ):
            rows[-1] = f"return {last.value}"  # at once
        else:
            rows.append(f"return {rate.text}")
        read = codes(limit.inputs, "self", "SYMBOLS" if symbols(limit.inputs) else "")
        lines = indented((*read, *rows), 12)
        values.append((quoted(limit.divergence), plain(limit.text), lines))
        update = f"self.{limit.multiplier} = _ascended(self.{limit.multiplier}, value, {budget.text}, step)"
        steps.append((quoted(limit.divergence), (update, "return")))
    return Definition(render("constraints.py.j2", {"values": tuple(values), "steps": tuple(steps)}), uses)

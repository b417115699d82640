"""[LossProgram] -> [Module text]: one file of PyTorch, complete alone; what it takes from the runtime is copied into it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from ibsym.codegen import runtime
from ibsym.codegen.c.source import OnePass
from ibsym.codegen.runtime import Definition
from ibsym.codegen.templating import render
from ibsym.codegen.torch import context
from ibsym.codegen.torch.documentation import documentation
from ibsym.codegen.torch.text import WIDTH, plain, quoted, tupled
from ibsym.lowering.coupling import coupled
from ibsym.lowering.program import LossProgram

Form: TypeAlias = Literal["beside", "bundle", "plain"]
"""Where the compiled pass is: in files beside the module, at its end, nowhere."""

WHERE: dict[Form, str] = {"beside": "beside", "bundle": "bundled", "plain": "lone"}
"""The module of the runtime that finds the files beside the loss, in each form."""

GRAPHED = "type(self)._traced = _one_pass() if torch.cuda.is_available() else None  # what graphs have of it"
"""Of a loss whose kernels are faster than its expression in a graph, too: which finds what is there before it is traced."""

LIBRARY = ("inputs", "means", "tensors", "functions")


class Import(NamedTuple):
    """``import package``, ``from package import member``, ``import package as alias``."""

    package: str
    member: str = ""
    alias: str = ""


IMPORTS: dict[str, Import] = {
    **{name: Import(name) for name in ("functools", "hashlib", "logging", "math", "os", "sys", "warnings")},
    "Callable": Import("collections.abc", "Callable"),
    "Sequence": Import("collections.abc", "Sequence"),
    "Path": Import("pathlib", "Path"),
    "ModuleType": Import("types", "ModuleType"),
    "Any": Import("typing", "Any"),
    "NamedTuple": Import("typing", "NamedTuple"),
    "torch": Import("torch"),
    "F": Import("torch.nn.functional", alias="F"),
    "Tensor": Import("torch", "Tensor"),
}
"""What an emitted module may import, by the name that it uses."""


def module(
    program: LossProgram,
    found: OnePass | None,
    neighbours: Mapping[str, str],
    form: Form,
    rest: tuple[int, ...],
    *,
    in_graphs: bool = False,
) -> str:
    """The text of a module. ``neighbours`` are the files of the compiled pass ``found``, by name; ``rest`` the terms that it leaves.

    ``in_graphs``, whether its kernels on a GPU are faster than the expression in a graph that torch.compile traces, too.
    """
    shared = (found is not None or bool(coupled(program))) and form != "plain"
    neighbours = {} if form == "plain" else neighbours
    methods = [_forward(program, shared, in_graphs), context.expression(program, rest)]
    if rest:
        methods.append(context.some(program, rest, "_rest", "The terms that the compiled pass leaves to tensor operations."))
    if program.critics:
        methods.append(context.critic_loss(program))
    if (axes := context.apart(program)) is not None:
        methods.append(
            Definition(
                render("permuted.py.j2", {"rows": str(-1 - axes)}),
                frozenset({"torch", "Tensor", "Any", "Sequence", "_permuted"}),
            )
        )
    if program.limits:
        methods.append(context.constraints(program))
    if any(i.key.role == "scores" for i in program.inputs):
        methods.append(Definition(render("gathered.py.j2", {}), frozenset()))
    uses = frozenset({"torch"}).union(*(m.uses for m in methods))
    names = [p.name for p in program.parameters]
    settings = [f"{', '.join(f'self.{n}' for n in names)} = {', '.join(names)}"] if names else []
    if "_unit_directions" in uses:
        methods.append(Definition(render("directions.py.j2", {}), frozenset({"torch"})))
        settings.append("self.directions: dict[str, Tensor] = {}  # by term; fixed here, or drawn afresh at every call")
    types = runtime.gathered(["Input", "Output"], ["inputs"])
    if program.parameters:
        types |= runtime.gathered(["_Parametrised"], ["parameters"])
    whole = ", 1" if program.rows is None else ""
    uses |= {"_runtime", "Any"}
    helpers = {n: d for n, d in _helpers(program, uses, form).items() if n not in types}
    arguments = [f"{p.name}: float | Tensor = {p.default!r}" for p in program.parameters]
    every = uses.union(
        *(d.uses for d in (*types.values(), *helpers.values())), {"Tensor", "math"} if program.parameters else ()
    )
    return render(
        "module.py.j2",
        {
            "version": runtime.VERSION,
            "name": program.name,
            "digest": program.about.digest,
            "summary": plain(f"{program.about.title}: a loss in nats."),
            "imports": _imports(every),
            "types": tuple(d.text for d in types.values()),
            "class_name": program.class_name,
            "base": "_Parametrised" if program.parameters else "torch.nn.Module",
            "title": plain(program.about.title),
            "documentation": documentation(program),
            "inputs": tuple(context.declared(i) for i in program.inputs),
            "critics": tupled(quoted(c.divergence) for c in program.critics),
            "attributes": context.class_attributes(program),
            "signature": context.signature(
                "__init__", ["self", "*"], [*arguments, 'reduction: str = "mean"', "group: Any = None"], "None"
            ),
            "settings": (
                *settings,
                'self.reduction, self.group = reduction, group and _runtime()["grouped"](group)  # by its name, which travels',
                f"_reduced(torch.zeros(1), reduction{whole})  # is it one?",
                *((GRAPHED,) if in_graphs else ()),
            ),
            "methods": tuple(m.text for m in methods),
            "constants": _constants(program, neighbours, form),
            "helpers": tuple(d.text for d in helpers.values()),
        },
    )


def _helpers(program: LossProgram, uses: Iterable[str], form: Form) -> dict[str, Definition]:
    """What some methods use of the runtime."""
    known = [WHERE[form], *LIBRARY, "whole" if program.rows is None else "rows"]
    met = runtime.gathered(uses, known)
    return {n: met[n] for library in known for n in runtime.definitions(library) if n in met}


def apart(program: LossProgram, left: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Imports of the kernels' file, and functions of a loss: ``left``, of terms that they leave, ``kept``, of those that they compute."""
    if not left:
        return _imports(("math", "Any")), ()
    others = tuple(k for k in range(len(program.terms)) if k not in left)
    functions = [
        context.some(program, left, "left", "The terms that the kernels leave, by tensor operations."),
        context.some(program, others, "kept", "Those that they compute: what a second derivative is taken of."),
    ]
    uses = frozenset({"math", "Any", "Tensor"}).union(*(f.uses for f in functions))
    found = runtime.gathered(["Output"], ["inputs"]) | _helpers(program, uses, "plain")
    every = uses.union(*(d.uses for d in found.values()))
    texts = (*(d.text for d in found.values()), *(textwrap.dedent(f.text).rstrip() for f in functions))
    return _imports(every), texts


def _forward(program: LossProgram, shared: bool, in_graphs: bool) -> Definition:
    """The method that is called; ``shared``, whether the runtime has a say: it runs the compiled pass, and warns of ranks apart."""
    names = [i.name for i in program.inputs]
    traced = 'None if self.group else getattr(self, "_traced", None) if' if in_graphs else "None if self.group or"
    run = f"run = {traced} torch.compiler.is_compiling() else _one_pass()"
    symbols = ", self.SYMBOLS" if context.symbols(program.inputs) else ""
    products = {"hidden", "embedding"} & {i.key.role for i in program.inputs}
    checked = "_checked_as_given" if products else "_checked"
    plain_way = f"self.expression(*{checked}(self.INPUTS, given, self.group{symbols}))"
    above = [f"_above_zero({quoted(i.name)}, {i.name})" for i in program.inputs if i.key.role == "temperature"]
    text = render(
        "forward.py.j2",
        {
            "signature": context.signature("forward", ["self", "*"], [f"{n}: Tensor" for n in names], "Output"),
            "given": context.filled("given = [", names, "]", WIDTH - 8),
            "run": (run, f"return run(self, given, {checked}) if run else {plain_way}") if shared else (f"return {plain_way}",),
            "positive": tuple(above),
        },
    )
    uses = {checked, *(["_one_pass"] if shared else []), *(["_above_zero"] if above else [])}
    return Definition(text, frozenset(uses))


def _constants(program: LossProgram, neighbours: Mapping[str, str], form: Form) -> tuple[str, ...]:
    lines = []
    if program.rows is None:
        lines.append(f"_WHY = {quoted(context.why_no_rows(program))}")
    if neighbours:
        digests = [f"{quoted(name)}: {quoted(runtime.digest(text))}" for name, text in neighbours.items()]
        lines += context.filled("_BESIDE = {", digests, "}", WIDTH)
    if neighbours and form == "bundle":
        lines.append("_FILES = {")
        lines += [f"    {quoted(name)}: r'''{text}'''," for name, text in neighbours.items()]
        lines.append("}")
    return tuple(lines)


def _imports(used: Iterable[str]) -> tuple[str, ...]:
    """The imports of what is used: of the standard library, then of PyTorch."""
    names = set(used)
    members: dict[str, list[str]] = {}
    for name, found in IMPORTS.items():
        if name in names and found.member:
            members.setdefault(found.package, []).append(found.member)
    own: list[str] = []
    of_torch: list[str] = []
    for name, (package, member, alias) in IMPORTS.items():
        if name in names and (not member or member == members[package][0]):
            line = f"from {package} import {', '.join(members[package])}" if member else f"import {package}"
            (of_torch if package.startswith("torch") else own).append(f"{line} as {alias}" if alias else line)
    return (*own, "", *of_torch)

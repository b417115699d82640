"""[Native] -> what an emitted module gains: dispatch, the pass as an autograd function, its loader, its C source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ibsym.codegen.c.source import Native
from ibsym.codegen.templating import Context, render
from ibsym.codegen.torch.context import forward, parameter
from ibsym.codegen.torch.expressions import render as formula
from ibsym.codegen.torch.nodes import Torch
from ibsym.codegen.torch.text import WIDTH, quoted, tupled
from ibsym.lowering.program import LossProgram

IMPORTS = (
    *("ctypes", "functools", "hashlib", "logging", "os"),
    *("platform", "shlex", "shutil", "subprocess", "tempfile"),
)
"""What the pass needs of the standard library."""

NAMES = ("_may_fuse", "_one_pass", "_called", "_library")
"""Functions that come with it."""


def methods(program: LossProgram, native: Native) -> list[str]:
    """Forward with its dispatch, the expression, the call of the pass; where terms are left over, both halves by themselves."""
    context = forward(program)
    result = [
        render(
            "dispatch.py.j2",
            {
                "arguments": context["arguments"],
                "read": _read([i.name for i in program.inputs]),
                "parameters": tupled(f"self.{p.name}" for p in program.parameters) if program.parameters else "()",
            },
        ),
        _expression(
            program, "expression", "The same by tensor operations: what other devices, transforms and torch.compile run."
        ),
        render("fused.py.j2", _fused(program, native)),
    ]
    if native.rest:
        result.append(_expression(part(program, native.terms), "_first", "The terms of the one pass, by tensor operations."))
        result.append(_expression(part(program, native.rest), "_rest", "The other terms."))
    return result


def _read(names: Sequence[str]) -> tuple[str, ...]:
    """The arguments, checked, as a tuple."""
    line = f"given = tuple(_checked(self.INPUTS, [{', '.join(names)}]))"
    if len(line) + 8 <= WIDTH:
        return (line,)
    return (
        "given = tuple(",
        "    _checked(",
        "        self.INPUTS,",
        "        [",
        *(f"            {n}," for n in names),
        "        ],",
        "    )",
        ")",
    )


def part(program: LossProgram, terms: Iterable[int]) -> LossProgram:
    """The program of some of its terms."""
    return replace(program, terms=tuple(program.terms[k] for k in terms))


def _expression(program: LossProgram, method: str, summary: str) -> str:
    context = dict(forward(program))
    del context["read"]
    return render("expression.py.j2", {**context, "method": method, "summary": summary})


def _fused(program: LossProgram, native: Native) -> Context:
    place = {i.key: f"given[{k}]" for k, i in enumerate(program.inputs)}
    torch = Torch(place, program.steps)
    order = {term: k for k, term in enumerate(native.terms)}
    terms = [
        f"{quoted(t.text)}: {f'terms[{order[k]}]' if k in order else f'rest.terms[{quoted(t.text)}]'}"
        for k, t in enumerate(program.terms)
    ]
    values = ", ".join(f"{quoted(p.name)}: float(self.{p.name})" for p in program.parameters)
    return {
        "rows": "rows" if program.rows is not None else "",
        "values": f"{{{values}}}",
        "batch": "1" if program.batch is None else torch.text(program.batch),
        "weights": tuple(formula(program.terms[k].coefficient, parameter).text for k in native.terms),
        "rest": "rest" if native.rest else "",
        "total": "loss + rest.loss" if native.rest else "loss",
        "terms": tuple(terms),
    }


def helpers(program: LossProgram, native: Native) -> str:
    """The functions beside the class, and the source."""
    place = {i.name: str(k) for k, i in enumerate(program.inputs)}
    floats = [i.name for i in program.inputs if i.name in native.inputs and not i.integer]
    count = len(program.inputs)
    used = [place[n] for n in native.inputs]
    contiguous = [f"given[{k}].contiguous()" if str(k) in used else f"given[{k}]" for k in range(count)]
    return render(
        "vehicle.py.j2",
        {
            "class_name": program.class_name,
            "stem": program.name.replace("-", "_"),
            "first": place[floats[0]],
            "arity": str(count + 3),
            "count": str(count),
            "method": "_first" if native.rest else "expression",
            "contiguous": tupled(contiguous),
            "terms": str(len(native.terms)),
            "differentiated": tupled(place[n] for n in native.gradients) if native.gradients else "()",
            "pointers": tuple(used),
            "sizes": tuple((place[name], str(axis)) for _, name, axis in native.sizes),
            "all_pointers": str(len(native.inputs) + len(native.gradients)),
            "all_sizes": str(len(native.inputs) + len(native.sizes)),
            "all_weights": str(len(native.terms)),
            "source": native.source.strip(),
        },
    )

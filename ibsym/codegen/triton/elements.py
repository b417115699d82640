"""sum e(v) over every element, and s de/dv: a loop's formulas over blocks, and the kernel of one by itself."""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from ibsym.codegen.templating import render
from ibsym.codegen.torch.text import plain
from ibsym.codegen.triton.printing import block
from ibsym.codegen.triton.text import shared, signature
from ibsym.lowering.fusion.calculus import Stable, derivative
from ibsym.lowering.fusion.plan import Loop, name


@dataclass(frozen=True)
class Formulas:
    """What a loop computes at an element: statements, then a value for each sum and a slope for each input that learns.

    ``learned`` are those inputs. A slope has the factors ``s0``, ``s1``, ...: what each sum weighs.
    """

    statements: tuple[str, ...]
    values: tuple[str, ...]
    learned: tuple[str, ...]
    slopes: tuple[str, ...]


def formulas(loop: Loop) -> Formulas:
    """A loop's values and slopes, over what they share."""
    stable = Stable()
    learned = loop.differentiated()
    values = [stable.formula(item.formula) for item in loop.sums]
    slopes = []
    for symbol in learned:
        each = ((m, stable.formula(derivative(loop.sums[m].formula, symbol))) for m in loop.weighted)
        slopes.append(sympy.Add(*(sympy.Symbol(f"s{m}", real=True) * e for m, e in each)))
    steps, written = shared([*values, *slopes])
    cut = len(values)
    return Formulas((*_logistic(stable), *steps), tuple(written[:cut]), tuple(map(name, learned)), tuple(written[cut:]))


def written(k: int, loop: Loop, terms: str) -> str:
    """The kernel of the ``k``-th loop, whose sums are for some terms."""
    found = formulas(loop)
    operands = [name(s) for s in loop.operands]
    loads = [f"v_{x} = tl.load(in_{x} + (at % n_{x} if REPEATS_{x} else at), here, 0.0).to(tl.float32)" for x in operands]
    if found.learned:
        loads += [f"s{m} = scale_{m} * tl.load(up).to(tl.float32)" for m in loop.weighted]
    parameters = [
        *(f"in_{x}" for x in operands),
        *(f"d_{x}" for x in found.learned),
        "sums",
        "up",
        *(f"n_{x}" for x in operands),
        "size",
        *(f"scale_{m}" for m in range(len(loop.sums))),
        *(f"REPEATS_{x}: tl.constexpr" for x in operands),
        *(f"{flag}_{x}: tl.constexpr" for x in found.learned for flag in ("WANTS", "ADDS")),
        "BLOCK: tl.constexpr",
    ]
    return render(
        "triton/elements.py.j2",
        {
            "signature": signature(f"elements_{k}", parameters),
            "comment": plain(f"{terms}: {text(loop)}."),
            "loads": tuple(loads),
            "statements": found.statements,
            "values": tuple((str(m), e) for m, e in enumerate(found.values)),
            "gradients": tuple(zip(found.learned, found.slopes, strict=True)),
        },
    )


def text(loop: Loop) -> str:
    """The formulas of a loop's sums, as a reader knows their inputs."""
    return ", ".join(str(i.formula) for i in loop.sums).replace("v_", "")


def _logistic(stable: Stable) -> list[str]:
    """e = exp(-|t|), 1/q and e/q by sign, log q."""
    lines: list[str] = []
    for k, t in enumerate(dict.fromkeys(t for _, t in stable.parts.values())):
        mine = {kind: s for s, (kind, argument) in stable.parts.items() if argument == t}
        lines += [f"a{k} = {block(t)}", f"e{k} = exponential(-tl.abs(a{k}))"]
        if {"toward", "away"} & mine.keys():
            lines.append(f"r{k} = 1 / (1 + e{k})")
        if "toward" in mine:
            lines.append(f"{mine['toward']} = tl.where(a{k} >= 0, r{k}, e{k} * r{k})")
        if "away" in mine:
            lines.append(f"{mine['away']} = tl.where(a{k} >= 0, e{k} * r{k}, r{k})")
        if "logq" in mine:
            lines.append(f"{mine['logq']} = log1p(e{k})")
    return lines

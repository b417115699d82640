"""All measurements of the losses on one dated page: benchmarks/page.py [docs/benchmarks-2026-11.md]. Takes some 25 minutes.

Run it where nothing else runs; ``--small`` takes a few rows of each table, to see that it works. Ratios, goals, whether they are met;
small sizes cold and hot; the expression; memory; floors; first use.
Last come the goals that are missed, each with what is known of why (`WHY`, below): a new page keeps it, for rows that still miss.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
LARGER = ("evidence", "Gaussian", "cross-entropy", "correlation", "discrepancy")
"""Losses with a goal of their own; those of the zoo have too few elements for a second thread."""

PARTS = (
    ("Losses, one thread; peak memory", ("losses.py", "--compile", "--large", "--memory")),
    ("Losses, two threads", ("losses.py", "--large", "--threads", "2", "--only", *LARGER)),
    ("The readable expression", ("expression.py",)),
    ("Products that are never stored", ("heads.py",)),
    ("Floors: a loss by hand, as exact as the expression", ("floors.py", "--expressions")),
    ("Floors: bandwidth and exponentials", ("floors.py",)),
    ("Floors: what a call costs around the pass", ("floors_calls.py",)),
    ("Start-up and first use", ("startup.py",)),
)

SMALL_PARTS = (
    ("losses.py", "--only", "32 x 784", "--seconds", "0.1"),
    ("losses.py", "--only", "32 x 784", "--seconds", "0.1", "--threads", "2"),
    ("expression.py", "--only", "vae", "--sizes", "32x784", "--seconds", "0.1"),
    ("heads.py", "--rows", "128", "--classes", "1000", "--pairs", "128", "--rounds", "1"),
    ("floors.py", "--expressions", "--only", "dib", "--seconds", "0.1"),
    ("floors.py", "--only", "32 x 784"),
    ("floors_calls.py", "--only", "32 x 784", "--seconds", "0.2"),
    ("startup.py", "--only", "vae"),
)

HOW = """\
Every loss is compared by value first; forward and backward, float32; competitors take turns in random order in one process; a ratio is the
median of paired ratios. The allocator keeps its pages, for every competitor alike. **Of eager**: of the loss as one writes it by hand
(`tests/references` for the zoo). **The readable expression**: functions of tensors, both; then both as modules called by keyword, checks of
the emitted one included. **Of compile**: of `torch.compile` of the emitted loss's own readable form. **x floor**: times a copy of
as many bytes as must be read and written, in cache. **Of pythae, of pixyz**: of those packages' own evidence bound, from the same logits;
empty where they have other values (a probability that rounds to 1 has no logarithm left)."""

CLASSES = """\
A class, or a bit, of probability 0 does not count, whatever its logarithm: 0 times -infinity is 0 here and NaN, with every gradient, in the
loss by hand. That takes a comparison and a selection beside each product. The table of floors has the loss by hand with its products
mended in the shortest way known: the expression takes as long, or less."""

WHY: dict[str, str] = {
    "evidence bound 32 x 784": """\
The pass, PyTorch's engine and an autograd function by hand that calls the one from the other, checks nothing and has no terms take most
of it (the last table of floors). What the loss does beside is prepared once for arguments of a kind; what is left are the module's call,
the look at kinds and sizes, the state of PyTorch that is asked for, the terms.""",
    "evidence bound 128 x 784": "As at 32 rows.",
    "evidence bound 256 x 3072": """\
The pass by itself takes 1.8 times what its exponentials and its bytes take one after the other (the table of floors): a quotient, a product
and two gradients beside each exponential. Between competitors that clear the cache it waits for the 9.6 MB that it reads and writes; the
prototype's hand-written kernel, in turns with it, had 0.24 of eager where it had 0.29.""",
    "evidence bound": """\
The pass by itself takes twice what its exponentials and its bytes take one after the other (the table of floors). Arithmetic decides, and
so does the processor: with vectors of four or eight numbers (AVX2) it takes .30 of eager, with sixteen (AVX-512) .19 to .23.""",
    "Gaussian decoder": """\
Bytes alone: the pass takes 1.3 times a copy of what it must read and write (the table of floors).""",
    "cross-entropy": """\
One exponential a class is half of the pass (the table of floors). The rest are trips through a row in cache: its maximum, the exponentials
and their sum, the gradient.""",
    "total correlation 256 rows": """\
As many exponentials as pairs and coordinates are a third of the pass (the table of floors); the rest are the quadratics of each pair and
their gradients, evaluated as differences so that nothing cancels.""",
    "total correlation": "As at 256 rows.",
    "linear head": """\
The three matrix products that any exact loss needs take more than the goal by themselves. With what must stand between them, for each entry
of a block in cache (the bias, a maximum, a difference, an exponential, a sum), they take as long as the loss (the columns beside:
processes of their own, which compute nothing else).""",
    "InfoNCE": """\
As for the linear head. In both directions the products alone are no floor: a column's sum is known after the last row only, so that a table
that is not stored is computed twice, and its exponentials with it. Memory is what the process's resident set grows by, some ten megabytes,
and differs from run to run: 1/92 of eager on one day, 1/74 on the next, of the same code.""",
    "blind-code": CLASSES + " A bit has two of each.",
    "generative-compression": CLASSES + " A bit has two of each.",
    "dib": CLASSES,
    "empowerment": CLASSES
    + """ The relaxed action is a weight with a gradient of its own where it is 0, which a selection by the weight alone would lose: the
logarithm must be looked at too.""",
    "vade": CLASSES,
    "gm-vae": CLASSES,
    "hyperprior-compression": """\
The mass of a cell is right to a rounding at every width and as far out as e^-1e9, with its gradient. The loss by hand, a difference of two
`log_ndtr` in single precision, is wrong by 1e-5 of itself at a width of 0.001, and its gradient by 5 per cent at 600 deviations (the table
of floors). With the cell's formula in its place, the loss by hand takes as long.""",
    "discrepancy": """\
A quotient for each pair and scale is a quarter of the pass (the table of floors). The rest are distances over the coordinates, and the
slopes of each pair by both of its rows.""",
}
"""What is known of why a row misses its goal, by the beginning of the row's title; the longest that fits."""


class Row(NamedTuple):
    """A row with a goal: its title, whether it is met, and the figures, each with its goal."""

    title: str
    met: bool
    figures: str


def judged(text: str) -> Iterator[Row]:
    r"""The rows of tables that have a column "met", with the ratios before it.

    >>> list(judged("| loss | of eager | goal | met |\n|---|---|---|---|\n| a | 0.50 | 0.45 | no |"))
    [Row(title='a', met=False, figures='of eager 0.50, goal 0.45')]
    """
    head: list[str] = []
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            head = []
        elif not head:
            head = cells
        elif "met" in head and any(c in ("yes", "no") for c in cells):
            ends = [k for k, name in enumerate(head) if name == "met"]
            starts = [1, *(k + 1 for k in ends)]
            found, met = [], True
            for start, end in zip(starts, ends, strict=False):
                if cells[end] == "no":
                    met = False
                if cells[end]:
                    found += [f"{head[k]} {cells[k]}" for k in range(start, end) if cells[k] and head[k] not in UNJUDGED]
            yield Row(cells[0] + thread(head, cells), met, ", ".join(found))


UNJUDGED = ("threads", "microseconds")


def thread(head: list[str], cells: list[str]) -> str:
    """How many threads a row had, where that is more than one."""
    number = cells[head.index("threads")] if "threads" in head else "1"
    return "" if number == "1" else f", {number} threads"


def reason(title: str) -> str:
    """What is known of why.

    >>> reason("total correlation 1024 rows, 10"), reason("a")
    ('As at 256 rows.', 'Not looked into yet.')
    """
    name = title.removeprefix("zoo: ")
    fitting = [key for key in WHY if name.startswith(key)]
    return WHY[max(fitting, key=len)] if fitting else "Not looked into yet."


def verdict(text: str) -> str:
    """How many goals are met, and every one that is missed, with why; rows of one reason together."""
    rows = list(judged(text))
    missed: dict[str, list[Row]] = {}
    for row in rows:
        if not row.met:
            missed.setdefault(reason(row.title), []).append(row)
    lines = [f"{sum(r.met for r in rows)} of {len(rows)} rows with a goal meet it."]
    for why, alike in missed.items():
        lines.append("* " + "; ".join(f"**{r.title}** ({r.figures})" for r in alike) + ". " + why.replace("\n", "\n  "))
    return "\n\n".join([lines[0], "\n".join(lines[1:])]).strip()


def measured(command: Sequence[str]) -> str:
    """What a benchmark prints; its own words where it fails."""
    done = subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks/{' '.join(command)} fails with status {done.returncode}\n{done.stderr.strip()[-4000:]}")
    return done.stdout.strip()


def main() -> None:
    """Write the page, part by part: what is measured is kept where a later part fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    today = datetime.date.today()
    parser.add_argument("page", nargs="?", type=Path, default=HERE.parent / f"docs/benchmarks-{today:%Y-%m}.md")
    parser.add_argument("--small", action="store_true", help="a few rows of each table")
    chosen = parser.parse_args()
    parts = PARTS if not chosen.small else tuple((t, c) for (t, _), c in zip(PARTS, SMALL_PARTS, strict=True))
    text = f"# Benchmarks, {today:%d %B %Y}\n\nWritten by `python benchmarks/page.py`.\n\n{HOW}\n"
    for title, command in parts:
        start = time.perf_counter()
        text += f"\n## {title}\n\n`python benchmarks/{' '.join(command)}`\n\n{measured(command)}\n"
        chosen.page.write_text(text, encoding="utf-8")
        print(f"{title}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    chosen.page.write_text(f"{text}\n## Goals that are missed, and why\n\n{verdict(text)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

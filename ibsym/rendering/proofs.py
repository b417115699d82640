"""Answers as text and JSON: a proof is a chain that ends in 0, every step shown."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ibsym.checking.answers import Answer
from ibsym.checking.counterexamples import Counterexample
from ibsym.proving.problem import Item, Proof, signed_sum


def answer_text(answer: Answer) -> str:
    """The answer for a terminal."""
    lines = [answer.claim, *(f"  given {p}" for p in answer.premises), ""]
    if answer.proved:
        lines.append("proved")
        for proof in answer.proofs:
            lines += ["", *proof_lines(proof)]
    elif answer.counterexample is not None:
        lines += [
            "refuted by a distribution (premises exact, violation strict)",
            "",
            *counterexample_lines(answer.counterexample),
        ]
    else:
        lines.append(answer.status)
        if answer.status.startswith("not provable"):
            lines.append("(no counterexample was found either: this is not a refutation)")
    return "\n".join(lines) + "\n"


def proof_lines(proof: Proof) -> Iterator[str]:
    """difference = entropies = zero and non-negative parts >= 0, one part at a time."""

    def show(items: tuple[Item, ...]) -> str:
        return signed_sum((i.multiplier, i.quantity if "=" not in i.quantity else f"[{i.quantity}]") for i in items)

    steps = [("=", proof.expanded, "definitions")]
    items = tuple(sorted(proof.items, key=lambda i: not i.zero))
    if not items:
        steps = [("=", "0", "definitions")]
    else:
        steps.append(("=", show(items), "chain rule"))
        while items:
            first, items = items[0], items[1:]
            if first.zero:
                what = (
                    f"{first.quantity} {first.reason}" if first.reason.startswith("is") else f"{first.reason} {first.quantity}"
                )
            else:
                what = (
                    f"{first.reason} {first.quantity}"
                    if first.reason == "premise"
                    else f"{first.quantity} >= 0, {first.reason}"
                )
            steps.append(("=" if first.zero else ">=", show(items), what))
    yield f"  {proof.difference}"
    width = min(64, max(len(s) for _, s, _ in steps) + 2)
    for relation, expression, reason in steps:
        yield f"    {relation:<2} {expression:<{width}} [{reason}]"


def counterexample_lines(example: Counterexample) -> Iterator[str]:
    """The tables, a row for each point of positive probability, and the difference."""
    for joint, table in example.tables.items():
        names = ",".join(example.variables)
        yield f"  {joint or 'p'}({names})"
        for values, p in table.items():
            yield f"    {' '.join(map(str, values))}   {p}"
    yield f"  right - left = {example.difference:.6g} nats"


def answer_json(answer: Answer) -> str:
    """``proved``, ``certificate`` and ``counterexample``, with the claim, its premises and the status."""
    record = {
        "claim": answer.claim,
        "given": list(answer.premises),
        "proved": answer.proved,
        "status": answer.status,
        "certificate": answer.certificate,
        "counterexample": None if answer.counterexample is None else answer.counterexample.record(),
    }
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"

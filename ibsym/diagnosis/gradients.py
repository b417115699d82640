"""d loss / d input = sum c_k d F_k / d input: what reaches which player, what is missing, turned round or leaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ibsym.diagnosis.report import NOTE, Finding
from ibsym.diagnosis.subject import gradients
from ibsym.diagnosis.worlds import World

if TYPE_CHECKING:
    from ibsym.diagnosis.calling import Called
    from ibsym.diagnosis.features import Feature
    from ibsym.diagnosis.fitting import Array
    from ibsym.diagnosis.subject import Subject


def compared(
    subject: Subject,
    called: Called,
    features: Sequence[Feature],
    coefficients: Sequence[float],
    worlds: Sequence[World],
    tolerance: float,
) -> tuple[list[Finding], list[Feature]]:
    """Findings about gradients, input by input and by player; and the features whose gradients they are, still ones where those fit."""
    names = list(worlds[0].leaves)
    user = _user(called, worlds, names)
    if user is None:
        words = "the loss that is returned carries no gradient at all"
        return [Finding("gradient missing", words, remedy="return the tensor, not .item()")], list(features)
    found = _differences(subject, user, worlds, names, features, coefficients, tolerance)
    if found and any(f.still is not None for f in features):
        still = [f if f.still is None else replace(f, call=f.still) for f in features]
        if not _differences(subject, user, worlds, names, still, coefficients, tolerance):
            words = "the density at the draw has its own parameters detached: the gradient is another, its expectation the same"
            return [Finding("path gradient", words, severity=NOTE)], still
    if found and any(f.cut is not None for f in features):
        cut = [f if f.cut is None else replace(f, call=f.cut) for f in features]
        if not _differences(subject, user, worlds, names, cut, coefficients, tolerance):
            term = next(f.term for f in features if f.cut is not None)
            words = f"no gradient flows through the draw of {term}: it is detached"
            return [Finding("gradient missing", words, term, remedy="mean + sigma * noise, not detached")], cut
    return found, list(features)


def _differences(
    subject: Subject,
    user: list[Array],
    worlds: Sequence[World],
    names: list[str],
    features: Sequence[Feature],
    coefficients: Sequence[float],
    tolerance: float,
) -> list[Finding]:
    columns = [_of_feature(f, worlds, names) for f in features]
    found: list[Finding] = []
    for place, name in enumerate(names):
        predicted = sum((c * g[place] for c, g in zip(coefficients, columns, strict=True)), np.zeros_like(user[place]))
        if not _near(user[place], predicted, tolerance):
            of_input = [g[place] for g in columns]
            explained = _explained(subject, name, user[place], of_input, features, coefficients, tolerance)
            found += [replace(finding, player=subject.player(name)) for finding in explained]
    return found


def _near(a: Array, b: Array, tolerance: float) -> bool:
    size = max(float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    return bool(np.all(np.isfinite(a))) and float(np.abs(a - b).max(initial=0)) <= tolerance * size + 1e-12


def _user(called: Called, worlds: Sequence[World], names: list[str]) -> list[Array] | None:
    rows: list[list[Array]] = []
    any_graph = False
    for world in worlds:
        value = called.value(world)
        any_graph |= value.requires_grad or any(leaf.grad is not None for leaf in world.leaves.values())
        rows.append([g.numpy().ravel() for g in called.gradients(world, value)])
    if not any_graph:
        return None
    return [np.concatenate([row[k] for row in rows]) for k in range(len(names))]


def _of_feature(feature: Feature, worlds: Sequence[World], names: list[str]) -> list[Array]:
    rows = []
    for world in worlds:
        with torch.enable_grad():
            rows.append([g.numpy().ravel() for g in gradients(feature.call(world), list(world.leaves.values()))])
    return [np.concatenate([row[k] for row in rows]) for k in range(len(names))]


def _explained(
    subject: Subject,
    name: str,
    user: Array,
    columns: list[Array],
    features: Sequence[Feature],
    coefficients: Sequence[float],
    tolerance: float,
) -> Iterator[Finding]:
    """What became of each term's gradient in one input."""
    of = next(i.of for i in subject.inputs if i.name == name)
    where = f"{name} of {of}" if of != name else name
    live = [k for k, g in enumerate(columns) if np.abs(g).max(initial=0) > 0]
    if not live:
        behind = subject.player(name)
        whose = "" if behind == "model" else f": only the {behind} learns there, a player with a loss of its own"
        words = f"a gradient reaches {where}, to which the spec sends none{whose}"
        yield Finding("gradient leaks", words, name, remedy=f"{name}.detach()")
        return
    if np.abs(user).max(initial=0) < 1e-14:
        terms = ", ".join(dict.fromkeys(features[k].term for k in live))
        yield Finding(
            "gradient missing",
            f"no gradient reaches {where}: {terms} is detached from it",
            name,
            remedy=f"no detach() on {name}",
        )
        return
    table = np.stack([columns[k] for k in live], 1)
    scale = np.abs(table).max(0)
    found, *_ = np.linalg.lstsq(table / scale, user, rcond=1e-11)
    found = found / scale
    if not _near(user, table @ found, max(tolerance, 1e-7)):
        wanted = np.sum([coefficients[k] * columns[k] for k in live], axis=0)
        share = float(np.linalg.norm(user - wanted)) / max(float(np.linalg.norm(user)), 1e-300)
        yield Finding(
            "gradient", f"the gradient in {where} is not that of the value: {100 * min(share, 1e6):.3g} % of it is off", name
        )
        return
    for k, value in zip(live, found, strict=True):
        ratio = value / coefficients[k] if coefficients[k] else float("inf")
        term = features[k].term
        if abs(ratio - 1) < 1e-4:
            continue
        if abs(ratio) < 1e-4:
            yield Finding(
                "gradient missing",
                f"the gradient of {term} does not reach {where}",
                name,
                remedy=f"no detach() between {name} and {term}",
            )
        elif abs(ratio + 1) < 1e-4:
            yield Finding("gradient sign", f"the gradient of {term} in {where} has the wrong sign", name)
        else:
            yield Finding(
                "gradient weight", f"the gradient of {term} in {where} is {ratio:.6g} times what the value says", name
            )

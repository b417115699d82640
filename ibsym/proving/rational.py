"""Exact linear algebra over the rationals: sparse systems, and a simplex method for what floating point cannot decide."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction

from ibsym.terms.vectors import Coordinate, Vector

Row = dict[int, Fraction]
RIGHT = -1
"""The place of a row's right-hand side."""


def solution(target: Vector, vectors: Sequence[Vector], deadline: float = float("inf")) -> list[Fraction] | None:
    """One rational x with target + sum_k x_k vector_k = 0, free unknowns at zero; None where there is none.

    Rows with fewest unknowns are used first, in which the systems of short proofs fall apart almost without arithmetic.
    """
    rows = _rows(target, vectors)
    where: dict[int, set[int]] = {}
    for r, row in enumerate(rows):
        for column in row:
            if column != RIGHT:
                where.setdefault(column, set()).add(r)
    pending = {r for r, row in enumerate(rows) if any(c != RIGHT for c in row)}
    pivots: list[tuple[int, int]] = []
    while pending:
        if len(pivots) % 16 == 15 and time.monotonic() > deadline:
            raise TimeoutError
        r = min(pending, key=lambda r: (len(rows[r]) - (RIGHT in rows[r]), r))
        pending.discard(r)
        row = rows[r]
        choices = [c for c in row if c != RIGHT]
        if not choices:
            continue
        column = min(choices, key=lambda c: (len(where[c]), c))
        pivots.append((r, column))
        for other in list(where[column]):
            if other != r and other in pending:
                _subtract(rows, other, rows[other][column] / row[column], row, where)
    if any(set(row) == {RIGHT} and row[RIGHT] for row in rows):
        return None
    found = [Fraction(0)] * len(vectors)
    for r, column in reversed(pivots):
        row = rows[r]
        rest = sum((v * found[c] for c, v in row.items() if c not in (RIGHT, column)), Fraction(0))
        found[column] = (row.get(RIGHT, Fraction(0)) - rest) / row[column]
    return found


def _rows(target: Vector, vectors: Sequence[Vector]) -> list[Row]:
    """The equations sum_k x_k vector_k = -target, one a coordinate, in a fixed order."""
    rows: dict[Coordinate, Row] = {}
    for k, vector in enumerate(vectors):
        for key, value in vector.items():
            rows.setdefault(key, {})[k] = Fraction(value)
    for key, value in target.items():
        rows.setdefault(key, {})[RIGHT] = -Fraction(value)
    return [rows[key] for key in sorted(rows, key=repr)]


def _subtract(rows: list[Row], r: int, factor: Fraction, by: Row, where: dict[int, set[int]]) -> None:
    row = rows[r]
    for column, value in by.items():
        new = row.get(column, Fraction(0)) - factor * value
        if new:
            row[column] = new
            if column != RIGHT:
                where[column].add(r)
        else:
            row.pop(column, None)
            if column != RIGHT:
                where[column].discard(r)


def feasible(
    target: Vector, vectors: Sequence[Vector], free: Sequence[bool], first: Sequence[int], deadline: float
) -> list[Fraction] | None:
    """x with target + sum_k x_k vector_k = 0, x_k >= 0 unless free; None where there is none. Raises ``TimeoutError``.

    The first phase of the simplex method with Bland's rule, in rationals throughout; columns in ``first`` enter first.
    """
    rows = _rows(target, vectors)
    count = len(vectors)
    split = {count + len(rows) + n: k for n, k in enumerate(k for k, f in enumerate(free) if f)}
    for row in rows:
        for column, k in split.items():
            if k in row:
                row[column] = -row[k]
    objective: Row = {}
    basis: list[int] = []
    for r, row in enumerate(rows):
        if row.get(RIGHT, Fraction(0)) < 0:
            for column in row:
                row[column] = -row[column]
        for column, value in row.items():
            objective[column] = objective.get(column, Fraction(0)) + value
        row[count + r] = Fraction(1)
        basis.append(count + r)
    artificial = set(basis)
    order = [*dict.fromkeys((*first, *range(count))), *split]
    while objective.get(RIGHT):
        if time.monotonic() > deadline:
            raise TimeoutError
        entering = next((c for c in order if objective.get(c, Fraction(0)) > 0), None)
        if entering is None:
            return None
        ratios = [
            (row.get(RIGHT, Fraction(0)) / row[entering], basis[r], r) for r, row in enumerate(rows) if row.get(entering, 0) > 0
        ]
        _, _, r = min(ratios)
        head = rows[r][entering]
        rows[r] = pivot = {c: v / head for c, v in rows[r].items()}
        for other in (*(row for n, row in enumerate(rows) if n != r), objective):
            factor = other.get(entering)
            if factor:
                for c, v in pivot.items():
                    new = other.get(c, Fraction(0)) - factor * v
                    if new:
                        other[c] = new
                    else:
                        other.pop(c, None)
        basis[r] = entering
        for c in artificial - set(basis):
            objective.pop(c, None)
    found = [Fraction(0)] * count
    for r, column in enumerate(basis):
        value = rows[r].get(RIGHT, Fraction(0))
        if column in split:
            found[split[column]] -= value
        elif column < count:
            found[column] += value
    return found

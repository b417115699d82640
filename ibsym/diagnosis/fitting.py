"""min |support| subject to y = sum c_k F_k + const: sparse exact regression over random inputs of one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EXACT, GUARDED, NEAR = 1e-9, 3e-7, 2e-5
BEAM, BRANCH = 10, 8


@dataclass(frozen=True)
class Fit:
    """Columns with their coefficients, a constant, and the residual relative to the spread of the values."""

    support: tuple[int, ...]
    coefficients: tuple[float, ...]
    constant: float
    residual: float
    cost: float = 0.0

    @property
    def explained(self) -> bool:
        """Whether nothing but rounding or a guard is left."""
        return self.residual < NEAR


def solve(columns: Array, values: Array, support: tuple[int, ...], cost: float = 0.0) -> Fit:
    """Least squares on a support, with a constant; columns are brought to one scale first."""
    centre = values.mean()
    spread = float(np.sqrt(np.mean((values - centre) ** 2)))
    if not support:
        return Fit((), (), float(centre), 0.0 if spread < 1e-12 * (1 + abs(centre)) else 1.0, cost)
    chosen = columns[:, support]
    means = chosen.mean(0)
    scales = np.sqrt(np.mean((chosen - means) ** 2, axis=0))
    scales[scales == 0] = 1.0
    found, *_ = np.linalg.lstsq((chosen - means) / scales, values - centre, rcond=1e-12)
    coefficients = found / scales
    rest = values - centre - (chosen - means) @ coefficients
    size = spread if spread > 1e-12 * (1 + abs(centre)) else 1 + abs(centre)
    residual = float(np.sqrt(np.mean(rest**2))) / size
    return Fit(support, tuple(map(float, coefficients)), float(centre - means @ coefficients), residual, cost)


def significant(fit: Fit, columns: Array, values: Array, threshold: float) -> tuple[int, ...]:
    """The columns of a fit that contribute more than its residual."""
    spread = float(np.std(values)) or 1.0
    shares = [abs(c) * float(np.std(columns[:, k])) / spread for k, c in zip(fit.support, fit.coefficients, strict=True)]
    return tuple(k for k, share in zip(fit.support, shares, strict=True) if share > threshold)


def pruned(columns: Array, values: Array, fit: Fit, costs: list[float]) -> Fit:
    """The same explanation without columns that it does not need, the dearest left out first."""
    level = max(10 * fit.residual, 1e-10) if fit.residual > EXACT else EXACT
    kept = significant(fit, columns, values, 1e-7 if fit.residual < EXACT else 30 * fit.residual)
    best = solve(columns, values, kept, sum(costs[k] for k in kept))
    if best.residual > max(level, 3 * fit.residual):
        best = solve(columns, values, fit.support, sum(costs[k] for k in fit.support))
    for k in sorted(best.support, key=lambda j: -costs[j]):
        fewer = tuple(j for j in best.support if j != k)
        trial = solve(columns, values, fewer, sum(costs[j] for j in fewer))
        if trial.residual <= max(level, 1.5 * best.residual if best.residual > EXACT else level):
            best = trial
    return best


def search(columns: Array, values: Array, costs: list[float], start: tuple[int, ...], deepest: int = 9) -> Fit | None:
    """The cheapest explanation that a beam of greedy selections finds, from nothing and from the spec's own columns."""
    spread = float(np.std(values))
    if spread == 0:
        return solve(columns, values, ())
    y = (values - values.mean()) / spread
    scales = columns.std(0)
    alive = scales > 1e-13 * (1 + np.abs(columns.mean(0)))
    scaled = (columns - columns.mean(0)) / np.where(alive, scales, 1.0)
    scaled[:, ~alive] = 0.0
    found: list[Fit] = []
    states = {(), *(tuple(k for k in start if k != out) for out in start), start}
    beam = [(1.0, tuple(sorted(s))) for s in states]
    seen: set[tuple[int, ...]] = set()
    for _ in range(deepest):
        grown: dict[tuple[int, ...], float] = {}
        for _, state in beam:
            if state in seen:
                continue
            seen.add(state)
            basis, rest = _projected(scaled, y, state)
            if float(np.sqrt(np.mean(rest**2))) < GUARDED:
                found.append(pruned(columns, values, solve(columns, values, state), costs))
                continue
            for gain, k in _candidates(scaled, basis, rest, state, costs):
                grown[tuple(sorted((*state, k)))] = gain
        exact = [f for f in found if f.residual < EXACT]
        if len(exact) >= 3:
            break
        beam = sorted(((r, s) for s, r in grown.items()), key=lambda t: t[0])[:BEAM]
        if not beam:
            break
    if not any(f.residual < EXACT for f in found):
        found += eliminated(columns, values, costs)
    good = [f for f in found if f.residual < GUARDED and len(f.support) <= len(values) // 2]
    best = min((f.residual for f in good), default=1.0)
    exact = [f for f in good if f.residual < max(EXACT, 10 * best)]
    return min(exact, key=lambda f: (round(f.cost, 6), f.residual)) if exact else None


def eliminated(columns: Array, values: Array, costs: list[float]) -> list[Fit]:
    """From all independent columns, the cheapest first, backwards: what contributes least is left out while nothing is lost."""
    order = sorted(range(columns.shape[1]), key=lambda k: costs[k])
    kept: list[int] = []
    basis = np.zeros((len(values), 0))
    for k in order:
        column = columns[:, k] - columns[:, k].mean()
        size = float(np.linalg.norm(column))
        if size == 0:
            continue
        rest = column / size
        rest = rest - basis @ (basis.T @ rest)
        rest = rest - basis @ (basis.T @ rest)
        norm = float(np.linalg.norm(rest))
        if norm > 1e-7 and len(kept) < len(values) - 5:
            basis = np.column_stack([basis, rest / norm])
            kept.append(k)
    fit = solve(columns, values, tuple(kept))
    if fit.residual > EXACT:
        return []
    while fit.support:
        shares = [abs(c) * float(np.std(columns[:, k])) for k, c in zip(fit.support, fit.coefficients, strict=True)]
        for place in np.argsort(shares):
            fewer = tuple(k for j, k in enumerate(fit.support) if j != place)
            trial = solve(columns, values, fewer)
            if trial.residual <= EXACT:
                fit = trial
                break
        else:
            break
    return [pruned(columns, values, fit, costs)] if len(fit.support) <= len(values) // 3 else []


def _projected(scaled: Array, y: Array, state: tuple[int, ...]) -> tuple[Array, Array]:
    if not state:
        return np.zeros((len(y), 0)), y
    basis, triangle = np.linalg.qr(scaled[:, state])
    keep = np.abs(np.diag(triangle)) > 1e-9
    basis = basis[:, keep]
    return basis, y - basis @ (basis.T @ y)


def _candidates(
    scaled: Array, basis: Array, rest: Array, state: tuple[int, ...], costs: list[float]
) -> list[tuple[float, int]]:
    """The columns that leave least when added, with what they leave; dearer ones must leave clearly less."""
    left = scaled - basis @ (basis.T @ scaled)
    norms = np.sum(left**2, axis=0)
    usable = norms > 1e-9 * len(rest)
    usable[list(state)] = False
    gains = np.where(usable, (left.T @ rest) ** 2 / np.where(usable, norms, 1.0), 0.0)
    total = float(rest @ rest)
    remaining = np.sqrt(np.maximum(total - gains, 0.0) / len(rest)) * (0.6 + 0.2 * np.array(costs))
    order = np.argsort(remaining)[:BRANCH]
    return [(float(remaining[k]), int(k)) for k in order if usable[k]]

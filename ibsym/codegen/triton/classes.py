"""Formulas in log softmax(logits), row by row: what is read off a row, and its gradient, as the kernel of one sum."""

from __future__ import annotations

from typing import NamedTuple

from ibsym.codegen.templating import render
from ibsym.codegen.torch.text import plain
from ibsym.codegen.triton.printing import block
from ibsym.codegen.triton.text import signature
from ibsym.lowering.fusion.plan import class_formulas
from ibsym.lowering.fusion.sums import Classes, LogMean, Matched, Picked, Relaxed

Item = Picked | Classes | Relaxed | Matched | LogMean
Lines = tuple[str, ...]
AGAIN = (
    "    if not WHOLE:",
    "        own = row[:, None] & (start + k < classes)[None, :]",
    '        a = tl.load(place + start, own, float("-inf")).to(tl.float32)',
)
"""A stretch of the row once more, where it is not the whole."""
SHARES = ("p = e * (1 / norm)[:, None]", "log_p = (a - highest[:, None]) - log_norm[:, None]")


class Reading(NamedTuple):
    """How a row is read: parameters beside the common ones; what comes before, at every stretch, after it; slopes, the gradient."""

    about: str
    finds: Lines
    gradient: str
    slopes: Lines = ()
    parameters: Lines = ()
    heads: Lines = ()
    picks: Lines = ()
    more_picks: Lines = ()


def written(k: int, item: Item, terms: str, logits: str) -> str:
    """The kernel of the ``k``-th sum, for some terms."""
    reading = _reading(item)
    parameters = ["logits", "d", *reading.parameters, "sums", "up", "rows", "classes", "scale"]
    parameters += [f"{n}: tl.constexpr" for n in ("WANTS", "ADDS", "ROWS", "WIDTH", "WHOLE")]
    if isinstance(item, Relaxed):
        parameters += ["WANTS_WEIGHTS: tl.constexpr", "ADDS_WEIGHTS: tl.constexpr"]
    return render(
        "triton/classes.py.j2",
        {
            "signature": signature(f"classes_{k}", parameters),
            "comment": plain(f"{terms}: {reading.about}, logits = {logits}."),
            "gradient": reading.gradient,
            "heads": reading.heads,
            "picks": reading.picks,
            "more_picks": reading.more_picks,
            "finds": reading.finds,
            "slopes": reading.slopes,
        },
    )


def _reading(item: Item) -> Reading:
    match item:
        case Classes():
            return _formula(item)
        case Relaxed():
            return _weighted()
        case LogMean():
            return _mean()
        case Picked():
            return _picked(
                "log softmax(logits) at a class", "tl.load(index + i % n_index, row, 0)[:, None]", ("index", "n_index")
            )
        case Matched():
            return _picked("log softmax(logits) of a row's own entry among its pairs", "(i % classes)[:, None]", ())


def _mean() -> Reading:
    """log of the mean e^logit of all, infinite where the largest is."""
    return Reading(
        "log of the mean e^logit of all",
        (
            "value, most = highest + (log_norm - shift), tl.max(top, 1)",
            "numbers = tl.sum(tl.where(rest == rest, 0.0, 1.0), 1) == 0",
            'value = tl.where((most == float("inf")) & numbers, float("inf"), value)',
            'value = tl.where((most <= -3.4e38) & numbers, float("-inf"), value)',
        ),
        "e * (1 / norm)[:, None]",
        parameters=("shift",),
    )


def _picked(about: str, chosen: str, parameters: Lines) -> Reading:
    """The entry of a class: its difference from the largest, and its slope, by what is left beside it."""
    pick = "tl.where(chosen == {}[None, :], a, 0.0)"
    return Reading(
        about,
        (
            "picked = tl.sum(picked, 1)",
            "others = tl.where(picked == highest, less, norm - tl.exp(picked - highest))",
            'one = tl.sum(tl.where((chosen >= 0) & (chosen < classes), 1.0, float("nan")), 1)  # a class that is none',
            "value = one * ((picked - highest) - log_norm)",
        ),
        "tl.where(chosen == (start + k)[None, :], (others * r)[:, None], -e * r[:, None])",
        slopes=("r = 1 / norm",),
        parameters=parameters,
        heads=(f"chosen = {chosen}",),
        picks=(f"picked = {pick.format('k')}",),
        more_picks=(f"picked += {pick.format('(start + k)')}",),
    )


def _formula(item: Classes) -> Reading:
    """The sum over classes of a formula."""
    value, slope, gradient = map(block, class_formulas(item.formula))
    return Reading(
        f"{item.formula} of classes",
        (
            "value, sum_of_slopes = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)",
            "for start in range(0, classes, WIDTH):",
            *AGAIN,
            "    e = tl.where(own, tl.exp(a - highest[:, None]), 0.0)",
            *(f"    {line}" for line in SHARES),
            f"    value += tl.sum(tl.where(own, {value}, 0.0), 1)",
            f"    sum_of_slopes += tl.sum(tl.where(own, {slope}, 0.0), 1)",
        ),
        gradient,
        slopes=(*SHARES, "slopes = sum_of_slopes[:, None]"),
    )


def _weighted() -> Reading:
    """The sum over classes with weights, which may learn: w_k (1 - p_k) - p_k (W - w_k) by a logit, W the sum of weights."""
    weights = "w = tl.load(weights + i[:, None] * classes + (start + k)[None, :], own, 0.0).to(tl.float32)"
    return Reading(
        "log softmax(logits) with weights",
        (
            "value, whole = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)",
            "for start in range(0, classes, WIDTH):",
            *AGAIN,
            f"    {weights}",
            f"    {SHARES[1]}",
            "    value += tl.sum(tl.where(own, weighted(w, log_p), 0.0), 1)",
            "    whole += tl.sum(w, 1)",
            "    if WANTS_WEIGHTS:",
            "        slope = scale * tl.load(up).to(tl.float32) * weighted_slope(w, log_p)",
            "        written(d_weights + i[:, None] * classes + (start + k)[None, :], slope, own, ADDS_WEIGHTS)",
        ),
        "w * (others * r) - e * r * (whole[:, None] - w)",
        slopes=(
            weights,
            "r, others = (1 / norm)[:, None], tl.where(a == highest[:, None], less[:, None], norm[:, None] - e)",
        ),
        parameters=("weights", "d_weights"),
    )

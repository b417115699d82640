"""Pictures of a sweep: rate against distortion, the information plane by epoch, bounds with their estimated gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibsym.sweeping.points import Point
from ibsym.training.failures import need
from ibsym.training.plots import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found = Mapping[Point, Mapping[str, Any]]


def axes_of(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which held-out numbers are the rate and the distortion: the metrics of that name, or relative entropies and log-densities."""
    metrics, terms = entry["held_out"]["metrics"], entry["held_out"]["terms"]
    if {"rate", "distortion"} <= metrics.keys():
        return "rate", "distortion"
    rates = [t for t in terms if t.startswith(("KL(", "CE("))]
    reads = [t for t in terms if t.startswith("E_") and "[log " in t]
    return (rates[0], reads[0]) if rates and reads else None


def coordinates(entry: Mapping[str, Any], names: tuple[str, str]) -> tuple[float, float]:
    """An epoch's rate and distortion, or rate and minus a log-density."""
    held = entry["held_out"]
    if names == ("rate", "distortion"):
        return held["metrics"]["rate"], held["metrics"]["distortion"]
    return held["terms"][names[0]], -held["terms"][names[1]]


def save(folder: Path, title: str, found: Found) -> dict[str, Path]:
    """The pictures that there are numbers for."""
    need("matplotlib", purpose="the plots", extra="sweep")
    from matplotlib.figure import Figure

    runs = {p: r for p, r in found.items() if r.get("history")}
    if not runs:
        return {}
    files: dict[str, Path] = {}
    names = axes_of(next(iter(runs.values()))["history"][-1])
    if names is not None:
        for kind, draw in (("rate-distortion", _last), ("information-plane", _paths)):
            figure = Figure(figsize=(6.4, 4.8), layout="constrained")
            axes = figure.add_subplot()
            axes.set_title(title, fontsize=9)
            draw(axes, runs, names)
            files[kind] = save_figure(folder / f"{kind}.png", figure)
    quantities = list(dict.fromkeys(g["quantity"] for r in runs.values() for g in r["gaps"]))
    if quantities:
        figure = Figure(figsize=(6.4, 3.2 * len(quantities) + 0.6), layout="constrained")
        figure.suptitle(f"{title}: bounds and what they bound, held out", fontsize=9)
        for place, quantity in enumerate(quantities):
            _gap(figure.add_subplot(len(quantities), 1, place + 1), runs, quantity)
        files["gaps"] = save_figure(folder / "gaps.png", figure)
    return files


def _labels(runs: Found) -> tuple[str, dict[tuple[tuple[str, float], ...], Any]]:
    from matplotlib import colormaps

    settings = list(dict.fromkeys(p.values for p in runs))
    colours = colormaps["viridis"]
    return ", ".join(n for n, _ in settings[0]), {s: colours(k / max(1, len(settings) - 1)) for k, s in enumerate(settings)}


def _named(axes: Axes, names: tuple[str, str]) -> None:
    rate, other = names
    axes.set_xlabel(f"{rate}, nats".replace("$", r"\$"))
    axes.set_ylabel(f"{other if other == 'distortion' else '-' + other}, nats".replace("$", r"\$"))


def _last(axes: Axes, runs: Found, names: tuple[str, str]) -> None:
    """One point a run, at its last epoch; a line through the means over seeds."""
    _, colours = _labels(runs)
    means = []
    for values, colour in colours.items():
        points = [coordinates(r["history"][-1], names) for p, r in runs.items() if p.values == values]
        across, up = zip(*points, strict=True)
        axes.scatter(across, up, color=[colour], s=18, label=", ".join(f"{n} = {v:g}" for n, v in values))
        means.append(tuple(sum(c) / len(points) for c in zip(*points, strict=True)))
    axes.plot(*zip(*sorted(means), strict=True), color="tab:gray", linewidth=0.8, zorder=0)
    _named(axes, names)
    if len(colours) <= 12:
        axes.legend(fontsize=7)


def _paths(axes: Axes, runs: Found, names: tuple[str, str]) -> None:
    """A line a run, from its first epoch to a dot at its last."""
    _, colours = _labels(runs)
    for point, result in runs.items():
        path = [coordinates(entry, names) for entry in result["history"]]
        axes.plot(*zip(*path, strict=True), color=colours[point.values], linewidth=0.8)
        axes.scatter(path[-1][0], path[-1][1], color=[colours[point.values]], s=18)
    axes.invert_yaxis()  # up is what the code says more of
    _named(axes, names)


def _gap(axes: Axes, runs: Found, quantity: str) -> None:
    """A quantity's bound and its estimates, run by run in the order of the sweep."""
    entries: Sequence[dict[str, Any]] = [next(g for g in r["gaps"] if g["quantity"] == quantity) for r in runs.values()]
    places = range(len(entries))
    axes.plot(places, [g["bound"] for g in entries], "o-", markersize=3, linewidth=0.8, label=_kind(entries[0]["side"]))
    low, high = [g["low"] for g in entries], [g["high"] if g["high"] is not None else g["low"] for g in entries]
    axes.fill_between(places, low, high, alpha=0.3, color="tab:orange")
    axes.plot(places, low, "-", color="tab:orange", linewidth=0.8, label=entries[0]["by"])
    axes.set_xticks(list(places), [p.name.replace(",", "\n") for p in runs], fontsize=6 if len(entries) < 12 else 4)
    axes.set_ylabel(f"{quantity}, nats", fontsize=8)
    axes.legend(fontsize=7)


def _kind(side: str) -> str:
    return "the run's critic" if side == "estimate" else f"{side} bound"

"""Pictures of a run: its terms over the epochs, samples of what it generates."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ibsym.errors import EmissionError
from ibsym.files import write
from ibsym.nn.draws import Draws
from ibsym.nn.randomness import untouched
from ibsym.training.checkpoint import SAMPLES, TERMS
from ibsym.training.failures import need
from ibsym.training.metrics import Meter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(path: Path, figure: Figure) -> Path:
    """A figure as PNG, the same bytes for the same picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    write(path, buffer.getvalue())
    return path


def save_terms(folder: Path, title: str, history: Sequence[Mapping[str, Any]]) -> Path:
    """One panel a term, then critics and metrics; training thin, held out thick."""
    need("matplotlib", purpose="the plot")
    from matplotlib.figure import Figure

    panels = [("terms", t) for t in history[-1]["held_out"]["terms"]]
    panels += [("critics", c) for c in history[-1]["held_out"]["critics"]]
    panels += [("metrics", m) for m in history[-1]["held_out"]["metrics"]]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.6 * lines + 0.5), layout="constrained")
    figure.suptitle(title)
    epochs = [entry["epoch"] for entry in history]
    for place, (group, name) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, place + 1)
        if group != "metrics":
            axes.plot(
                epochs, [entry["train"][group][name] for entry in history], linewidth=0.8, color="tab:gray", label="training"
            )
        axes.plot(
            epochs, [entry["held_out"][group][name] for entry in history], linewidth=1.6, color="tab:blue", label="held out"
        )
        axes.set_title({"critics": "critic of "}.get(group, "") + name.replace("$", r"\$"), fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.set_ylabel("nats" if group != "metrics" or "accuracy" not in name else "", fontsize=8)
        axes.tick_params(labelsize=8)
        if place == 0:
            axes.legend(fontsize=8)
    return save_figure(folder / TERMS, figure)


def save_samples(folder: Path, meter: Meter, views: Mapping[str, tuple[int, int]], seed: int) -> Path | None:
    """What the model makes of nothing: up to 40 images of every variable that a joint without data generates."""
    need("matplotlib", purpose="the plot")
    from matplotlib.figure import Figure

    spec = meter.players.spec
    found: list[tuple[str, float, torch.Tensor]] = []
    with untouched(), torch.no_grad():
        torch.manual_seed(seed)
        draws = Draws(meter.bank, next(meter.chunks(40)), mode="relaxed")
        for joint in spec.joints.values():
            if not joint.rooted or any(f.empirical or f.components for f in joint.factors):
                continue
            for variable in (v for v in joint.variables if v in views):
                try:
                    images = picture_of(draws, joint.name, variable).reshape(-1, *views[variable])
                except (EmissionError, KeyError):  # a factor that the loss does not use has no network
                    continue
                low = -1.0 if spec.variables[variable].kind == "real" else 0.0
                found.append((str(joint.by_variable[variable]), low, tiled(images, low)))
    if not found:
        return None
    figure = Figure(figsize=(8, 4.8 * len(found)), layout="constrained")
    for place, (name, low, grid) in enumerate(found):
        axes = figure.add_subplot(len(found), 1, place + 1)
        axes.imshow(grid.numpy(), cmap="gray_r", interpolation="nearest", vmin=low, vmax=1.0)
        axes.set_title(f"{name}, at draws of what it depends on", fontsize=9)
        axes.set_axis_off()
    return save_figure(folder / SAMPLES, figure)


def tiled(images: torch.Tensor, background: float) -> torch.Tensor:
    """Up to 40 images in five rows of eight, a pixel apart."""
    height, width = images.shape[1] + 1, images.shape[2] + 1
    tiles = torch.full((40, height, width), background)
    tiles[: len(images), :-1, :-1] = images[:40].float()
    return tiles.reshape(5, 8, height, width).permute(0, 2, 1, 3).reshape(5 * height, 8 * width)


def picture_of(draws: Draws, joint: str, variable: str) -> torch.Tensor:
    """The factor's mean at drawn conditioners where it has one, else a draw."""
    factor = draws.spec.joints[joint].by_variable[variable]
    given = [draws.value(joint, v) for v in factor.given]
    code = None
    if factor.evaluated:
        code = getattr(draws.bank.law(factor, given, draws.rows(joint)), "mean", None)
    if code is None:
        code = draws.value(joint, variable).code
    if draws.spec.variables[variable].kind != "categorical":
        return code
    return code @ torch.linspace(0, 1, code.shape[-1], dtype=code.dtype, device=code.device)  # levels of grey

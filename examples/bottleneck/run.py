"""Accuracy, calibration and robustness to noise along beta, beside the same layers without a bottleneck."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from examples.classifiers import LATENT, bottleneck, plain
from examples.measured import QUICK, Clock, best, credit, machine, output, spread, table, told
from ibsym.training.data import Images, load

SEEDS = (0,) if QUICK else (0, 1, 2)
BETAS = (100.0,) if QUICK else (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 10000.0)
STEPS = 20 if QUICK else 500
NOISES, BINS = (0.0, 0.2, 0.4), 15
NONE = "none"

Found = dict[str, dict[str, list[float]]]


def calibration(p: torch.Tensor, truth: torch.Tensor) -> float:
    """The expected calibration error: |confidence - accuracy| over bins of equal width, by how many rows are in them (Guo et al. 2017)."""
    sure, which = p.max(-1)
    right, place = (which == truth).double(), (sure * BINS).long().clamp(max=BINS - 1)
    total = 0.0
    for k in place.unique():
        inside = place == k
        total += float(inside.double().mean() * (sure[inside].double().mean() - right[inside].mean()).abs())
    return total


def judged(p: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Of class probabilities: accuracy, calibration and -log p of what is true."""
    accuracy = float((p.argmax(-1) == truth).double().mean())
    log = p[torch.arange(len(p)), truth].double().clamp_min(1e-12).log()
    return {"accuracy": accuracy, "ECE": calibration(p, truth), "-log p(c|x)": -float(log.mean())}


def measured(data: Images, clock: Clock) -> Found:
    """beta -> what was measured -> a number a seed."""
    found: Found = defaultdict(lambda: defaultdict(list))
    x, tests = (torch.from_numpy(2 * part.images - 1).float().flatten(1) for part in (data.train, data.held_out))
    c, truth = torch.from_numpy(data.train.labels), torch.from_numpy(data.held_out.labels)
    for seed in SEEDS:
        noise = torch.randn(tests.shape, generator=torch.Generator().manual_seed(seed))
        for beta in (*BETAS, None):
            torch.manual_seed(seed)
            name = NONE if beta is None else f"{beta:g}"
            if beta is None:
                network = plain(x, c, data.classes, STEPS)
            else:
                answer = bottleneck(x, c, data.classes, STEPS, beta)
                found[name]["rate"].append(float(answer(tests)[0].mean()))
            for level in NOISES:
                rows = (tests + 2 * level * noise).clamp(-1, 1)  # x is twice as wide as the image
                with torch.no_grad():
                    p = network(rows).softmax(-1) if beta is None else answer(rows)[2]
                for what, value in judged(p, truth).items():
                    found[name][f"{what}, noise {level:g}" if level else what].append(value)
        clock.say(f"seed {seed}: the most accurate is beta {best({n: f['accuracy'][-1] for n, f in found.items()})[0]}")
    return found


def drawn(path: Path, found: Found) -> None:
    """Each measure along beta; the network without a bottleneck as a line across."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for place, what in enumerate(("accuracy", "ECE", "-log p(c|x)")):
        axes = figure.add_subplot(1, 3, place + 1)
        for level, colour in zip(NOISES, ("tab:blue", "tab:orange", "tab:red"), strict=True):
            name = f"{what}, noise {level:g}" if level else what
            values = [spread(found[f"{b:g}"][name]) for b in BETAS]
            means, halves = (np.nan_to_num([v[k] for v in values]) for k in (0, 1))
            axes.errorbar(BETAS, means, halves, color=colour, marker=".", linewidth=0.9, label=f"noise {level:g}")
            axes.axhline(spread(found[NONE][name])[0], color=colour, linewidth=0.8, linestyle="--")
        axes.set_xscale("log")
        axes.set_xlabel("beta (dashed: no bottleneck)", fontsize=8)
        axes.set_title(what, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=6)
    figure.savefig(path, metadata={"Software": None}, dpi=110)


def page(data: Images, found: Found, seconds: float, picture: str) -> str:
    """The results, in words and tables."""
    plain_ones = ("accuracy", "ECE", "-log p(c|x)")
    columns = [*plain_ones, *(f"{w}, noise {n:g}" for n in NOISES if n for w in ("accuracy", "ECE"))]
    rows = [
        (name, told(f["rate"], ".2f") if name != NONE else "-", *(told(f[k]) for k in columns)) for name, f in found.items()
    ]
    wins = []
    for column in columns:
        sign = 1 if column.startswith("accuracy") else -1
        wins.append(", ".join(best({n: sign * spread(f[column])[0] for n, f in found.items()}, ties=True)))
    return (
        "\n\n".join(
            (
                f"# A supervised bottleneck, measured: {data.name}",
                "Written by `make -C examples bottleneck`; what it means is in the [README](README.md).",
                f"{credit(data)} {len(data.train)} to train on, {len(data.held_out)} held out. "
                f"Seeds {', '.join(map(str, SEEDS))}: networks, "
                f"batches, noise; ± is half of the 95 % interval of the mean over seeds (Student's t). {machine(seconds)}",
                f"![curves]({picture})",
                f"{STEPS} steps, a code of {LATENT} numbers, probabilities averaged over 12 draws of it; the rate "
                "KL(q(z|x)||p(z)) is in nats. "
                f"ECE has {BINS} bins. Noise is normal, of this deviation in images from 0 to 1, and was not trained with.",
                table(("beta", "rate", *columns), [*rows, ("**best**", "", *wins)]),
            )
        )
        + "\n"
    )


def main() -> None:
    torch.set_num_threads(1)
    clock, data = Clock(), load(os.environ.get("DATA", "digits"))
    found = measured(data, clock)
    name = "" if data.name == "digits" else f"-{data.name}"
    picture = f"bottleneck{name}.png"
    text = page(data, found, clock.seconds, picture)
    folder = output(Path(__file__))
    if folder is None:
        print(text)
        return
    folder.mkdir(parents=True, exist_ok=True)
    drawn(folder / picture, found)
    (folder / f"RESULTS{name}.md").write_text(text, encoding="utf-8")
    print(f"{folder / f'RESULTS{name}.md'}, {clock.seconds:.0f} s")


if __name__ == "__main__":
    main()

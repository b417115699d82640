"""ROC-AUC of each term as a score of novelty: one class as normal, and classes that a bottleneck never saw."""

import os
from collections import defaultdict
from pathlib import Path

import held_out
import numpy as np
import one_class
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from examples.measured import QUICK, Clock, best, credit, machine, output, photographs, spread, table, told
from ibsym.training.data import Images, load

SEEDS = (0,) if QUICK else (0, 1, 2)
STEPS = {"one class": 20 if QUICK else 250, "classes held out": 20 if QUICK else 1000}
PAIRS = ((8, 9),) if QUICK else ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
REPORTED = {
    "VIB: rate": "1.000 on noise",
    "VIB: prediction entropy": "0.947 on held-out digits",
    "VIB: both": "0.953 in the mean",
}
REPORTED |= {"no bottleneck: max softmax probability": "0.850 in the mean"}

PARTS = os.environ.get("PARTS", "one-class held-out").split()

Found = dict[str, dict[str, list[float]]]


def parts(data: Images, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A fifth held out, another one for every seed: rows and labels to train on, and to test on."""
    x = np.concatenate([data.train.images, data.held_out.images]).reshape(-1, data.height * data.width)
    c = np.concatenate([data.train.labels, data.held_out.labels])
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    return x[train], c[train], x[test], c[test]


def of_another_kind(data: Images, seed: int, rows: int) -> dict[str, np.ndarray]:
    """Uniform noise, and patches of photographs."""
    random = np.random.default_rng(seed)
    pictures = photographs(data.height, data.height)
    pictures = pictures[random.permutation(len(pictures))[:rows]]
    return {"noise": random.random((rows, data.height * data.width)), "photographs": pictures.reshape(len(pictures), -1)}


def measured(old: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """ROC-AUC and average precision, new rows being the ones to find."""
    truth, score = np.repeat([0, 1], [len(old), len(new)]), np.concatenate([old, new])
    return float(roc_auc_score(truth, score)), float(average_precision_score(truth, score))


def normal_classes(data: Images, clock: Clock) -> tuple[Found, Found]:
    """Score -> what is to be found ("3": all but threes, noise, ...) -> a number a seed; ROC-AUC, and average precision."""
    area: Found = defaultdict(lambda: defaultdict(list))
    precision: Found = defaultdict(lambda: defaultdict(list))
    for seed in SEEDS:
        x, c, tests, truth = parts(data, seed)
        others: Found = defaultdict(lambda: defaultdict(list))
        for label in range(1 if QUICK else data.classes):
            rows = {"normal": tests[truth == label], "others": tests[truth != label], **of_another_kind(data, seed, len(tests))}
            found = one_class.scores(x[c == label], rows, seed, STEPS["one class"])
            for name, old in found["normal"].items():
                auc, average = measured(old, found["others"][name])
                area[name][str(label)].append(auc)
                precision[name][str(label)].append(average)
                for kind in ("noise", "photographs"):
                    others[name][kind].append(measured(old, found[kind][name])[0])
            clock.say(f"seed {seed}, {label} as normal: the best is {best({n: a[str(label)][-1] for n, a in area.items()})[0]}")
        for name in area:
            for kind, values in others[name].items():
                area[name][kind].append(float(np.mean(values)))
    return area, precision


def held_classes(data: Images, clock: Clock) -> Found:
    """Score -> kind of new rows -> a number a seed, the mean over the pairs of classes that are held out."""
    area: Found = defaultdict(lambda: defaultdict(list))
    for seed in SEEDS:
        x, c, tests, truth = parts(data, seed)
        here: Found = defaultdict(lambda: defaultdict(list))
        for pair in PAIRS:
            kept, new = ~np.isin(c, pair), np.isin(truth, pair)
            rows = {"known": tests[~new], "held-out digits": tests[new], **of_another_kind(data, seed, len(tests))}
            found = held_out.scores(x[kept], c[kept], rows, seed, STEPS["classes held out"])
            for name, old in found["known"].items():
                for kind in ("noise", "photographs", "held-out digits"):
                    here[name][kind].append(measured(old, found[kind][name])[0])
        for name, kinds in here.items():
            for kind, values in kinds.items():
                area[name][kind].append(float(np.mean(values)))
            area[name]["mean"].append(float(np.mean([area[name][k][-1] for k in kinds])))
        clock.say(f"seed {seed}, pairs held out: the best is {best({n: a['mean'][-1] for n, a in area.items()})[0]}")
    return area


def averaged(found: Found) -> dict[str, np.ndarray]:
    """Over the classes that are normal, a number a seed."""
    return {n: np.mean([v for k, v in kinds.items() if k.isdigit()], 0) for n, kinds in found.items()}


def drawn(path: Path, area: Found, held: Found) -> None:
    """Each comparison as bars."""
    from matplotlib.figure import Figure

    both = {"one class as normal, mean over classes": averaged(area)} if area else {}
    both |= {"classes held out, mean of far and near": {n: np.asarray(a["mean"]) for n, a in held.items()}} if held else {}
    figure = Figure(figsize=(3 + 3 * len(both), 5), layout="constrained")
    for place, (title, found) in enumerate(both.items()):
        axes = figure.add_subplot(1, len(both), place + 1)
        rows = {n: spread(v) for n, v in found.items()}
        names = sorted(rows, key=lambda n: rows[n][0])
        halves = np.nan_to_num([rows[n][1] for n in names])
        axes.barh(names, [rows[n][0] for n in names], xerr=halves, color="tab:blue", alpha=0.7)
        axes.axvline(0.5, color="gray", linewidth=0.8)
        axes.set_xlim(0, 1.02)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("ROC-AUC", fontsize=8)
        axes.tick_params(labelsize=7)
    figure.savefig(path, metadata={"Software": None}, dpi=110)


def of_one_class(area: Found, precision: Found) -> tuple[str, ...]:
    """One class as normal, in tables."""
    digits = [k for k in next(iter(area.values())) if k.isdigit()]
    mean, average = averaged(area), averaged(precision)
    order = sorted(area, key=lambda n: -mean[n].mean())
    wins = {d: best({n: spread(a[d])[0] for n, a in area.items()}, ties=True) for d in digits}
    first = (
        (
            *(n, told(mean[n]), told(average[n]), told(area[n]["noise"]), told(area[n]["photographs"])),
            ", ".join(d for d in digits if n in wins[d]) or "-",
        )
        for n in order
    )
    each, others = (
        table(("score", *digits), ((n, *(told(found[n][d], ".2f") for d in digits)) for n in order))
        for found in (area, precision)
    )
    return (
        "## One class as normal",
        f"Trained on the images of one class ({STEPS['one class']} steps), tested on held-out ones of all; means over the "
        f"{len(digits)} classes. Of the test rows some nine in ten are new, which is what average precision begins at. Noise and "
        "photographs: ROC-AUC against the normal class.",
        table(("score", "ROC-AUC", "average precision", "noise", "photographs", "best for"), first),
        f"Best in the mean: {order[0]}.",
        "ROC-AUC by the class that is normal:",
        each,
        "Average precision:",
        others,
    )


def of_held_out(held: Found) -> tuple[str, ...]:
    """Classes held out, in a table."""
    kinds = ("noise", "photographs", "held-out digits", "mean")
    ranks = sorted(held, key=lambda n: -spread(held[n]["mean"])[0])
    wins = {k: best({n: spread(a[k])[0] for n, a in held.items()}, ties=True) for k in kinds}
    return (
        "## Classes held out",
        f"A bottleneck (beta = {held_out.PAPER:g}) and the same layers without one, trained on eight classes "
        f"({STEPS['classes held out']} steps); the pairs held out are {', '.join(f'{a}{b}' for a, b in PAIRS)}, means over them. "
        "Reported: Gondkar et al. (2026), arXiv 2605.11551, on the full MNIST; their far data are noise and a shift of domain.",
        table(("ROC-AUC", *kinds, "reported"), ((n, *(told(held[n][k]) for k in kinds), REPORTED.get(n, "-")) for n in ranks)),
        "Best: " + "; ".join(f"{k}: {', '.join(wins[k])}" for k in kinds) + ".",
    )


def main() -> None:
    torch.set_num_threads(1)
    clock, data = Clock(), load(os.environ.get("DATA", "digits"))
    area, precision = normal_classes(data, clock) if "one-class" in PARTS else ({}, {})
    held = held_classes(data, clock) if "held-out" in PARTS else {}
    name = "" if data.name == "digits" else f"-{data.name}"
    picture = f"novelty{name}.png"
    sections = (
        f"# Novelty, measured: {data.name}",
        "Written by `make -C examples novelty`; what it means is in the [README](README.md).",
        f"{credit(data)} Seeds {', '.join(map(str, SEEDS))}: split, networks, noise; ± is half of the 95 % interval of the mean over "
        f"seeds (Student's t). {machine(clock.seconds)}",
        f"![bars]({picture})",
        *(of_one_class(area, precision) if area else ()),
        *(of_held_out(held) if held else ()),
    )
    text = "\n\n".join(sections) + "\n"
    folder = output(Path(__file__))
    if folder is None:
        print(text)
        return
    folder.mkdir(parents=True, exist_ok=True)
    drawn(folder / picture, area, held)
    (folder / f"RESULTS{name}.md").write_text(text, encoding="utf-8")
    print(f"{folder / f'RESULTS{name}.md'}, {clock.seconds:.0f} s")


if __name__ == "__main__":
    main()

"""Accuracy from few labels, term by term: the label term alone, and what each further term of the derivation adds; M2 beside them."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import ibsym
from examples.measured import QUICK, Clock, best, credit, fit, machine, output, spread, table
from ibsym.nn import System
from ibsym.training.data import Images, load

SEEDS = (0,) if QUICK else (0, 1, 2)
LABELS = (20,) if QUICK else (20, 100)
STEPS = 10 if QUICK else 150
LATENT, HIDDEN, BATCH, RATE = 8, 128, 64, 2e-3
LABEL, M2 = "label term alone", "M2, exact sums"

OBJECTIVES = {
    LABEL: "minimize -beta_c*I_q(Z;C)",
    "+ class marginal": "minimize -beta_c*I_q(Z;C)",
    "+ latent": "minimize I_u(X;Z) - beta_c*I_q(Z;C)",
    "+ reconstruction": "minimize I_u(X;Z) - beta_c*I_q(Z;C) - beta_x*I_u(Z;X)",
    "+ data term": "minimize I_u(X;Z) - beta_c*I_q(Z;C) - beta_x*I_u(Z;X)",
}
"""Each with all that stands above it."""
ESTIMATORS = {"KL(q(c)||u(c))": "batch-marginal", "KL(u(z)||p(z))": "density-ratio", "KL(u(x)||p(x))": "density-ratio"}
VARIANTS = tuple(OBJECTIVES)


def spec(variant: str) -> ibsym.Spec:
    """``semi-supervised-ib`` with a part of its terms."""
    place = VARIANTS.index(variant)
    keys: dict[str, Any] = dict(ibsym.load("semi-supervised-ib").keys)
    keys |= {"name": "few-labels", "objective": OBJECTIVES[variant]}
    kept = [k for k, last in zip(ESTIMATORS, (1, 2, 4), strict=True) if place >= last]
    expansions = [e for e, last in (("H_q(C) with u(c)", 1), ("H_u(X) with p(x)", 4)) if place >= last]
    keys |= {"estimators": {k: ESTIMATORS[k] for k in kept}, "derivation": {"expand": expansions}}
    used = {"beta_c": keys["parameters"]["beta_c"]} | ({"beta_x": keys["parameters"]["beta_x"]} if place >= 3 else {})
    return ibsym.Spec(**(keys | {"parameters": used}))


def network(inputs: int, outputs: int) -> nn.Module:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))


class Beside(nn.Module):
    """A network of several variables: its inputs one beside the other."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.body = network(inputs, outputs)

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.body(torch.cat(values, -1))


def critic(inputs: int) -> nn.Module:
    """f, one number a row."""
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1), nn.Flatten(0))


def trained(variant: str, x: torch.Tensor, c: torch.Tensor, labelled: torch.Tensor, classes: int) -> nn.Module:
    """A classifier of images."""
    pixels = x.shape[1]
    if variant == M2:
        classifier = network(pixels, classes)
        networks: Mapping[str, nn.Module] = {
            "u(c|x)": classifier,
            "q(z|x,c)": Beside(pixels + classes, 2 * LATENT),
            "p(x|z,c)": Beside(LATENT + classes, pixels),
        }
        system = System("m2", networks, sizes={"K": classes}, alpha=50.0)
    else:
        encoder, head = network(pixels, 2 * LATENT), network(LATENT, classes)
        place, networks = VARIANTS.index(variant), {"q(z|x)": encoder, "p(c|z)": head}
        if place >= 2:
            networks |= {"KL(u(z)||p(z))": critic(LATENT)}
        if place >= 3:
            networks |= {"p(x|z)": network(LATENT, pixels)}
        if place >= 4:
            networks |= {"KL(u(x)||p(x))": critic(pixels)}
        system = System(spec(variant), networks, sizes={"K": classes}, beta_c=50.0)
        classifier = nn.Sequential(encoder, Half(), head)

    def batch() -> dict[str, dict[str, torch.Tensor]]:
        known, hidden = labelled[torch.randint(len(labelled), (BATCH,))], torch.randint(len(x), (BATCH,))
        return {"q": {"x": x[known], "c": c[known]}, "u": {"x": x[hidden]}}

    fit(system, batch, STEPS, RATE)
    return classifier


class Half(nn.Module):
    """The code's mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :LATENT]


def few(labels: np.ndarray, number: int, seed: int) -> torch.Tensor:
    """As many rows of every class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    classes = np.unique(labels)
    found = [order[labels[order] == k][: number // len(classes)] for k in classes]
    return torch.from_numpy(np.concatenate(found))


Found = dict[str, dict[int, list[float]]]


def measured(data: Images, clock: Clock) -> Found:
    """Variant -> labels -> a share of held-out images a seed."""
    found: Found = defaultdict(lambda: defaultdict(list))
    x, tests = (torch.from_numpy(part.images).float().flatten(1) for part in (data.train, data.held_out))
    c, truth = torch.from_numpy(data.train.labels), torch.from_numpy(data.held_out.labels)
    for seed in SEEDS:
        for number in LABELS:
            labelled = few(data.train.labels, number, seed)
            for variant in (*VARIANTS, M2):
                torch.manual_seed(seed)
                classifier = trained(variant, x, c, labelled, data.classes)
                with torch.no_grad():
                    found[variant][number].append(float((classifier(tests).argmax(-1) == truth).double().mean()))
            here = {v: f[number][-1] for v, f in found.items()}
            clock.say(f"seed {seed}, {number} labels: " + ", ".join(f"{v} {100 * a:.1f} %" for v, a in here.items()))
    return found


def drawn(path: Path, found: Found) -> None:
    """A line a variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for variant, numbers in found.items():
        means = [100 * float(np.mean(v)) for v in numbers.values()]
        halves = [100 * float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in numbers.values()]
        axes.errorbar(list(numbers), means, halves, marker=".", capsize=2, linewidth=0.9, label=variant)
    axes.set_xscale("log")
    axes.set_xticks(LABELS, [str(n) for n in LABELS])
    axes.set_xlabel("labels")
    axes.set_ylabel("held-out images, % right")
    axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Software": None}, dpi=110)


def page(data: Images, found: Found, seconds: float, picture: str) -> str:
    """The results, in words and tables."""

    def shown(values: list[float]) -> str:
        return f"{100 * np.mean(values):.1f}" + (f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else "")

    rows = [(variant, *(shown(numbers[n]) for n in LABELS)) for variant, numbers in found.items()]
    wins = [", ".join(best({v: spread(f[n])[0] for v, f in found.items()}, ties=True)) for n in LABELS]
    return (
        "\n\n".join(
            (
                f"# Few labels, measured: {data.name}",
                "Written by `make -C examples semi-supervised`; what it means is in the [README](README.md).",
                f"{credit(data)} {len(data.train)} to train on, of which so many keep their label, {len(data.held_out)} held out. "
                f"Seeds {', '.join(map(str, SEEDS))}: which labels, networks, batches; ± is the deviation over seeds. {machine(seconds)}",
                f"![curves]({picture})",
                f"Per cent of held-out images that are classified right; {STEPS} steps. Each row has the terms "
                "of all rows above it, M2 aside.",
                table(("terms", *(f"{n} labels" for n in LABELS)), [*rows, ("**best**", *wins)]),
            )
        )
        + "\n"
    )


def main() -> None:
    torch.set_num_threads(1)
    clock, data = Clock(), load(os.environ.get("DATA", "digits"))
    found = measured(data, clock)
    name = "" if data.name == "digits" else f"-{data.name}"
    picture = f"few-labels{name}.png"
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

"""min of the evidence bounds of labelled and unlabelled images and of a classification term, from a hundred labels."""

import os
from pathlib import Path

import torch
from torch import nn

from ibsym.nn import System
from ibsym.training.data import load

QUICK = bool(os.environ.get("QUICK"))
LABELS, LATENT, HIDDEN, STEPS = 100, 8, 128, 20 if QUICK else 2000


class Beside(nn.Module):
    """A network of several variables: its inputs one beside the other."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.body(torch.cat(values, -1))


def main() -> None:
    torch.manual_seed(0)
    data = load(os.environ.get("DATA", "digits"))
    x, held_out = (torch.from_numpy(part.images).float().flatten(1).round() for part in (data.train, data.held_out))
    c, truth = torch.from_numpy(data.train.labels), torch.from_numpy(data.held_out.labels)
    pixels, classes = x.shape[1], data.classes
    ranks = torch.stack([(c[:n] == k).sum() for n, k in enumerate(c)])  # the first of each class are labelled
    labelled = torch.nonzero(ranks < LABELS // classes).flatten()
    classifier = Beside(pixels, classes)
    system = System(
        Path(__file__).with_name("m2.toml"),
        {
            "u(c|x)": classifier,
            "q(z|x,c)": Beside(pixels + classes, 2 * LATENT),
            "p(x|z,c)": Beside(LATENT + classes, pixels),
        },
        alpha=50.0,
    )
    optimiser = torch.optim.Adam(system.players["model"], lr=1e-3)
    for step in range(1, STEPS + 1):
        known, hidden = labelled[torch.randint(len(labelled), (50,))], torch.randint(len(x), (50,))
        out = system({"q": {"x": x[known], "c": c[known]}, "u": {"x": x[hidden]}})
        optimiser.zero_grad()
        out.loss.backward()
        optimiser.step()
        if step % max(1, STEPS // 10) == 0:
            right = (classifier(held_out).argmax(-1) == truth).float().mean()
            print(
                f"step {step}: loss {out.loss.item():.2f}, {100 * right:.1f} % of held-out digits from {len(labelled)} labels",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""p(c|x), with a bottleneck and without one: the two that the pages compare."""

from collections.abc import Callable

import torch
from torch import nn

from examples.measured import fit
from ibsym.nn import System

LATENT, HIDDEN, BATCH = 8, 128, 64

Answer = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def plain(x: torch.Tensor, c: torch.Tensor, classes: int, steps: int) -> nn.Module:
    """The same layers without a bottleneck, by cross-entropy."""
    network = nn.Sequential(
        *(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, LATENT)),
        *(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)),
    )
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), c[rows]).backward()
        optimiser.step()
    return network


def bottleneck(x: torch.Tensor, c: torch.Tensor, classes: int, steps: int, beta: float, draws: int = 12) -> Answer:
    """A function from images to rates, class probabilities at the code's mean, and their means over draws of the code."""
    encoder = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))
    decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))
    system = System("vib", {"q(z|x)": encoder, "p(c|z)": decoder}, sizes={"K": classes}, beta=beta)

    def batch() -> dict[str, torch.Tensor]:
        rows = torch.randint(len(x), (BATCH,))
        return {"x": x[rows], "c": c[rows]}

    fit(system, batch, steps)

    @torch.no_grad()
    def answer(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        here = {"x": rows, "c": torch.zeros(len(rows), dtype=torch.long)}  # neither the rate nor the code looks at the labels
        drawn = [decoder(system.draw(here)["q"]["z"]).softmax(-1) for _ in range(draws)]
        mean = decoder(encoder(rows)[:, :LATENT]).softmax(-1)
        return system.score(here)["KL(q(z|x)||p(z))"], mean, torch.stack(drawn).mean(0)

    return answer

"""KL(P||Q) and JS(P||Q) from samples alone, twice: what a trained critic's estimate is held against where no density is at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from scipy.spatial import KDTree
from torch import Tensor, nn

from ibsym.nn.draws import Draws
from ibsym.nn.samples import Rows
from ibsym.training.metrics import Meter

STEPS, HIDDEN, NEIGHBOURS = 200, 64, 5
BY = f"a critic trained anew on other rows; {NEIGHBOURS} nearest neighbours (Wang et al. 2009)"
FEWEST = 8 * NEIGHBOURS  # rows of a side


def estimates(meter: Meter, rows: Mapping[str, Rows]) -> Iterator[tuple[str, float, float, float | None]]:
    """Each divergence that a critic of the run stands for: the run's own estimate, that of a new critic, that of neighbours."""
    wiring = meter.players.wiring
    draws = Draws(meter.bank, rows, mode="exact")
    with torch.no_grad():
        own = wiring.evaluate(draws)[1]
    for name, first, second in sides(meter, draws):
        if name in own and min(len(first), len(second)) >= FEWEST:
            yield name, float(own[name]), *twice(first, second, symmetric=name.startswith("JS("))


def sides(meter: Meter, draws: Draws) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Samples of both arguments of what is a relative entropy or a Jensen-Shannon divergence."""
    wiring = meter.players.wiring
    for name in wiring.judged:
        if not name.startswith(("F[", "R[", "W(")) and name not in meter.bank.through:
            yield name, flat(wiring.side(name, "critic", draws)), flat(wiring.side(name, "critic_reference", draws))
    for entry in wiring.inputs:
        if entry.role == "scores":
            first, second = (flat(part) for part in wiring.pairs(entry, draws))
            apart = second.roll(1 + len(second) // 3, 0)
            yield entry.of, torch.cat([first, second], 1), torch.cat([first, apart], 1)


def flat(rows: Rows) -> Tensor:
    """All variables of a row beside each other."""
    return torch.cat([v.flat.reshape(-1, v.flat.shape[-1]) for v in rows.values()], 1).detach().double().cpu()


def twice(first: Tensor, second: Tensor, *, symmetric: bool) -> tuple[float, float | None]:
    """The estimate of a critic, which is below in the mean whatever it has learned, and that of distances; nothing where rows are equal."""
    both = torch.cat([first, second])
    scale = both.std(0).clamp_min(1e-9)
    first, second = ((x - both.mean(0)) / scale for x in (first, second))
    p, q = (x.chunk(2) for x in (first, second))
    critic = sum(by_critic((p[k], q[k]), (p[1 - k], q[1 - k]), symmetric=symmetric) for k in (0, 1)) / 2
    if not symmetric:
        return critic, neighbours(first, second)
    middle = torch.cat([p[1], q[1]])
    halves = [neighbours(side[0], middle) for side in (p, q)]
    return critic, None if None in halves else sum(h for h in halves if h is not None) / 2


def by_critic(seen: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], *, symmetric: bool) -> float:
    """f learns log P - log Q from some rows; of others 1 + E_P f - E_Q e^f, or log 2 - 1/2 E_P s(-f) - 1/2 E_Q s(f)."""
    critic = nn.Sequential(nn.Linear(seen[0].shape[1], HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1)).double()
    optimiser = torch.optim.AdamW(critic.parameters(), 3e-3, weight_decay=0.1)
    soft = nn.functional.softplus
    with torch.enable_grad():
        for _ in range(STEPS):
            optimiser.zero_grad()
            f, g = (critic(x) for x in seen)
            (soft(-f).mean() + soft(g).mean()).backward()
            optimiser.step()
    with torch.no_grad():
        f, g = (critic(x) for x in others)
        if symmetric:
            return math.log(2) - float(soft(-f).mean() + soft(g).mean()) / 2
        return 1 + float(f.mean() - g.exp().mean())


def neighbours(first: Tensor, second: Tensor) -> float | None:
    """d/n sum log(r_Q / r_P) + log(m / (n-1)), by the distances of each row to its k-th neighbour among Q's rows and among P's others."""
    n, d = first.shape
    inside = KDTree(first.numpy()).query(first.numpy(), NEIGHBOURS + 1)[0][:, -1]
    across = KDTree(second.numpy()).query(first.numpy(), NEIGHBOURS)[0][:, -1]
    if not (inside.min() > 0 and across.min() > 0):
        return None
    ratio = torch.from_numpy(across).log() - torch.from_numpy(inside).log()
    return d * float(ratio.mean()) + math.log(len(second) / (n - 1))

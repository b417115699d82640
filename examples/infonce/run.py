"""max I(Z1;Z2) of the halves of an image, two encoders, on two processes: one loss of the whole batch."""

import os
import tempfile

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from ibsym.nn import System
from ibsym.training.data import load

QUICK = bool(os.environ.get("QUICK"))
WORLD, BATCH, LATENT, STEPS = 2, 128, 16, 10 if QUICK else 600


class Encoder(nn.Module):
    """A point of the sphere."""

    def __init__(self, inputs: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, LATENT))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.body(x), dim=-1)


class Scores(nn.Module):
    """<z1, z2> / temperature, for all pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return self.sharpness.exp() * first @ second.T


def work(rank: int, world: int) -> None:
    """One process: its rows of every batch."""
    torch.manual_seed(0)  # the same networks everywhere
    torch.set_num_threads(1)
    data = load("digits")
    views = [torch.from_numpy(part.images).float() for part in (data.train, data.held_out)]
    (left, right), (left_out, right_out) = ([h.flatten(1) for h in v.split(v.shape[-1] // 2, -1)] for v in views)
    scores = Scores()
    networks = {"q(z1|x1)": Encoder(left.shape[1]), "q(z2|x2)": Encoder(right.shape[1]), "I_q(Z1;Z2)": scores}
    networks["I_q(Z2;Z1)"] = lambda second, first: scores(second, first)
    system = System("clip", networks, group=dist.group.WORLD)
    system.prepare({"x1": left[:2], "x2": right[:2]})
    own = system.players["model"]
    optimiser = torch.optim.Adam(own, lr=1e-3)
    for step in range(1, STEPS + 1):
        rows = torch.randint(len(left), (BATCH,))[rank::world]  # the same draw everywhere: every process takes its share
        out = system({"x1": left[rows], "x2": right[rows]})
        optimiser.zero_grad()
        out.loss.backward()
        for parameter in own:  # what DistributedDataParallel does
            dist.all_reduce(parameter.grad)
            parameter.grad /= world
        optimiser.step()
        if rank == 0 and step % max(1, STEPS // 10) == 0:
            terms = ", ".join(f"{name} >= {float(value):.3f}" for name, value in out.terms.items())
            print(f"step {step}: {terms} nats, of {BATCH} pairs", flush=True)
    if rank == 0:
        with torch.no_grad():
            first, second = networks["q(z1|x1)"](left_out), networks["q(z2|x2)"](right_out)
        found = (scores(first, second).argmax(-1) == torch.arange(len(first))).float().mean()
        print(f"{100 * float(found):.1f} % of {len(first)} held-out halves find their other half", flush=True)


def started(rank: int, world: int, store: str) -> None:
    """A process that this script started."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    work(rank, world)
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    if "RANK" in os.environ:  # torchrun
        dist.init_process_group("gloo")
        work(dist.get_rank(), dist.get_world_size())
        dist.barrier()
        dist.destroy_process_group()
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(started, (WORLD, f"{folder}/store"), nprocs=WORLD)


if __name__ == "__main__":
    main()

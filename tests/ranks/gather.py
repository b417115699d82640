"""One of two ranks: means, gathered rows and matched scores of uneven shards against the whole; exit status 1 where one is off."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist


def main(rank, folder):
    path = Path(__file__).resolve().parents[2] / "ibsym/runtime/ranks.py"
    spec = importlib.util.spec_from_file_location("ranks", path)
    ranks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ranks)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    group = ranks.grouped(dist.group.WORLD)
    torch.manual_seed(0)
    whole = torch.randn(7, 3, dtype=torch.float64)
    mine = slice(0, 5) if rank == 0 else slice(5, 7)

    def averages(z, t, group):
        mean = z.exp().mean() if group is None else ranks.mean(z.exp(), group)
        return (t * mean) ** 2

    def compared(z, t, group):
        rows = z if group is None else ranks.rows(group, 0, z)[0]
        return (t * torch.cdist(rows, rows) ** 2).exp().mean()

    def contrasted(z, t, group):
        every = z if group is None else ranks.gathered(z, group)
        scores = t * (z * 2) @ every.T
        matched = scores.diagonal() if group is None else ranks.matched(scores, group)
        rows = matched - scores.logsumexp(1)
        return rows.mean() if group is None else ranks.mean(rows, group)

    off = 0.0
    for loss in (averages, compared, contrasted):
        z, t = whole.clone().requires_grad_(), torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)
        want = loss(z, t, None)
        want.backward()
        own, share = whole[mine].clone().requires_grad_(), torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)
        got = loss(own, share, group)
        got.backward()
        mean = share.grad.clone()
        dist.all_reduce(mean)
        gaps = (got - want, own.grad - 2 * z.grad[mine], mean / 2 - t.grad)
        off = max(off, *(float(g.detach().abs().max()) for g in gaps))
    dist.barrier()  # or one leaves while the other still talks to it
    dist.destroy_process_group()
    print("" if off < 1e-12 else f"off by {off:.1e}", end="", file=sys.stderr, flush=True)
    os._exit(off >= 1e-12)  # gloo's threads outlive the interpreter now and then, and end it by a signal


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

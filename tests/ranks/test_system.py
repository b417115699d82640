"""A system on two ranks is the system of the whole batch: values and every player's gradients, whatever wraps it."""

from __future__ import annotations

import json
import os
import traceback
import warnings
from contextlib import nullcontext
from functools import cache

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.nn.parallel import DistributedDataParallel as DDP  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import ibsym  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from ibsym.nn import System  # noqa: E402
from ibsym.nn.sizes import dimensions  # noqa: E402
from ibsym.sources import class_of  # noqa: E402
from ibsym.spec.loading import loads  # noqa: E402
from tests.nn.helpers import SIZE, batch, emitted  # noqa: E402

ROWS, L = 7, 4
CUT = {"uneven": (0, 5, 7), "empty": (0, 0, 7)}
PLAIN = ("vae", "beta-tcvae", "clip", "wae-mmd", "bib-ae", "factor-vae", "mine", "vdb")
CASES = [(name, "plain", "uneven") for name in PLAIN]
CASES += [("beta-tcvae", how, "uneven") for how in ("autocast", "checkpoint", "clip", "fsdp", "accumulate")]
CASES += [("clip", "accumulate", "uneven"), ("beta-tcvae", "plain", "empty"), ("bib-ae", "plain", "empty")]
CASES += [("mixed", *how) for how in (("plain", "uneven"), ("plain", "empty"), ("accumulate", "uneven"))]
MIXED = """
name = "mixed"
objective = "minimize JS(data(x)||m(x)) + KL(n(t,u)||r(t,u)) + KL(n(t|x)||r(t)) - E_n[log d(x|t)]"
[variables]
x = "real[D]"
z = "real[L]"
t = "real[L]"
u = "real[L]"
[joints]
q = "data(x) q(z|x)"
p = "p(z) p(x|z)"
m = "(0.3*data(x) + 0.7*p(x))"
n = "(0.3*data(x) + 0.3*q(x) + 0.4*m(x)) n(u) e(t|x)"
r = "r(t) r(u)"
d = "d(x|t)"
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(x|z)" = "deterministic"
"e(t|x)" = "diagonal-normal"
"d(x|t)" = "isotropic-normal"
"r(t)" = "standard-normal"
"r(u)" = "standard-normal"
"n(u)" = "diagonal-normal"
[estimators]
"JS(data(x)||m(x))" = "logistic"
"KL(n(t,u)||r(t,u))" = "density-ratio"
"""
"""Mixtures, one of them of the other: shares of the whole batch, networks at their draws, of critics and in terms of their parts."""


class Still(nn.Module):
    """A code that is its mean."""

    def __init__(self, inputs, recomputed):
        super().__init__()
        self.body, self.recomputed = nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, L)), recomputed

    def forward(self, x):
        mean = checkpoint(self.body, x, use_reentrant=False) if self.recomputed else self.body(x)
        return mean, torch.full_like(mean, -70.0)


@cache
def specification(name):
    return loads(MIXED) if name == "mixed" else ibsym.load(name)


@cache
def loss_class(name):
    return class_of(lower(ibsym.audit(specification(name), worlds=1))) if name == "mixed" else emitted(name)


def built(name, how, group, dtype=torch.float64):
    """The same networks everywhere."""
    torch.manual_seed(0)
    spec = specification(name)
    noisy = "q(z|x)" in spec.factors and spec.factors["q(z|x)"].family.name == "diagonal-normal"
    networks = {"q(z|x)": Still(SIZE.get(spec.variables["x"].kind, 5), how == "checkpoint").to(dtype)} if noisy else {}
    system = System.around(
        spec, loss_class(name)(group=group), networks, sizes={d: L for d in ("L", "T") if d in dimensions(spec)}, hidden=8
    )
    system.prepare(batch(spec, rows=ROWS, dtype=dtype))
    if how == "fsdp" and group is not None:
        for network in system.bank.networks.values():
            fully_shard(network.body)  # that of a default network too
    return system


def share(rows, part):
    return {s: {v: t[part] for v, t in values.items()} for s, values in rows.items()}


def learned(system, rows, how, together):
    """Values, and every player's gradient as the average over ranks leaves it."""
    wrapped = together and how not in ("fsdp", "accumulate")
    model = DDP(system, find_unused_parameters=bool(system.loss.CRITICS)) if wrapped else system
    if how == "accumulate":
        loss = system.accumulate([share(rows, slice(2)), share(rows, slice(2, None))]).loss
    else:
        with torch.autocast("cpu", torch.bfloat16) if how == "autocast" else nullcontext():
            loss = model(rows).loss
        loss.backward()
    torch.manual_seed(6)
    critics = system.critic_losses(rows)
    for one in critics.values():
        one.backward()
    for use in system.spec.critics:
        setattr(system.loss, use.multiplier, 0.5)
        system.dual_step(use.key, system.drawn(rows, still=True), 1.0)
        critics[use.multiplier] = torch.tensor(getattr(system.loss, use.multiplier))
    parameters = [p for own in system.players.values() for p in own]
    if together:
        for player, own in system.players.items():
            for p in own if how != "fsdp" and not (wrapped and player == "model") else ():
                dist.all_reduce(p.grad)  # what a player's DistributedDataParallel does
                p.grad /= dist.get_world_size()
    norm = nn.utils.clip_grad_norm_(parameters, 0.01) if how == "clip" else torch.zeros(())
    grads = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in parameters]
    return [loss.detach(), *(one.detach() for one in critics.values()), norm, *grads]


def off(case, rank):
    """The largest difference from the whole batch, relative to the size of what is wanted."""
    name, how, split = case
    dtype = torch.float32 if how == "autocast" else torch.float64
    rows, found = batch(specification(name), rows=ROWS, dtype=dtype), []
    table = torch.randn(ROWS, L, dtype=dtype)
    for together in (False, True):
        part = slice(*CUT[split][rank : rank + 2]) if together else slice(ROWS)
        noise = table[part] * (how != "accumulate")  # pieces are cut otherwise on ranks
        torch.distributions.normal._standard_normal = lambda shape, dtype, device, noise=noise: noise[: shape[-2]].expand(shape)
        system = built(name, how, dist.group.WORLD if together else None, dtype)
        torch.manual_seed(5)
        found.append(learned(system, share(rows, part), how, together))
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-3)) for b, a in zip(*found, strict=True))


def unwrapped(rank):
    """What a coupled loss of one rank's rows says, once."""
    system = built("clip", "plain", None)
    rows = batch(system.spec, rows=ROWS, dtype=torch.float64)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        system(rows), system(rows)
    return [str(w.message) for w in said if "compares" in str(w.message)]


def child(rank, folder):
    """One rank: what it found, in a file."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {"unwrapped": unwrapped(rank)}
    warnings.simplefilter("ignore")
    for case in CASES:
        torch.manual_seed(1)
        found[" ".join(case)] = off(case, rank)
    (folder / f"found{rank}.json").write_text(json.dumps(found))
    dist.barrier()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two forks of this process, which has imported what they need."""
    folder, pids = tmp_path_factory.mktemp("system"), []
    for name in (*PLAIN, "mixed"):
        built(name, "plain", None)
    for rank in range(2):
        if not (pid := os.fork()):
            status = 1
            try:
                child(rank, folder)
                status = 0
            except BaseException:
                (folder / f"said{rank}").write_text(traceback.format_exc())
            os._exit(status)
        pids.append(pid)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert ends == [0, 0], "\n".join(path.read_text() for path in folder.glob("said*"))
    return [json.loads((folder / f"found{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_two_ranks_are_the_whole_batch(found, case):
    limit = 2e-2 if "autocast" in case else 1e-12
    assert all(rank[" ".join(case)] <= limit for rank in found), [rank[" ".join(case)] for rank in found]


def test_rows_of_one_rank_are_told_of_once(found):
    for rank in found:
        (said,) = rank["unwrapped"]
        assert "write: ClipLoss(group=torch.distributed.group.WORLD)" in said

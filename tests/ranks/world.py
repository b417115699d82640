"""One rank of a world: every emitted loss on this rank's rows against the loss of the whole batch; what is off, in a file.

Only PyTorch is needed: modules are loaded from ``generated``, whole batches from a file.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.checkpoint import checkpoint

GENERATED = Path(__file__).resolve().parents[2] / "generated"


def module(stem, folder=GENERATED):
    spec = importlib.util.spec_from_file_location(f"emitted_{stem}", Path(folder) / f"{stem}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def cuts(rows, ranks, how):
    """Where each rank's rows begin: uneven, or all but the last rank empty-handed at first."""
    if how == "empty":
        return [0, *(rows if r else 0 for r in range(ranks))] if ranks == 2 else [0, 0, 2, rows, rows]
    return [0, *(1 + (rows - 1) * (r + 1) // ranks for r in range(ranks))]


def batch_axis(entry):
    return next((a for a in entry.shape if a == "B" or a.startswith("B_")), None)


def own_rows(entry, tensor, rank, ranks, how):
    """This rank's rows of an input, which learns where it can."""
    axis = batch_axis(entry)
    if axis is not None:
        place = entry.shape.index(axis) - len(entry.shape)
        edges = cuts(tensor.shape[place], ranks, how)
        tensor = tensor.narrow(place, edges[rank], edges[rank + 1] - edges[rank])
    return learning(tensor)


def learning(tensor):
    return tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor


def gap(found, wanted):
    """How far a tensor is off, relative to the size of what is wanted."""
    if found is None or wanted is None:
        return 0.0 if found is wanted or not (found if wanted is None else wanted).abs().sum() else float("inf")
    if not wanted.numel():
        return 0.0
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1))


def compared(loss_class, settings, whole, how, group):
    """The largest gaps of value, terms and gradients."""
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    entries = loss_class.INPUTS
    alone, together = loss_class(**settings), loss_class(**settings, group=group)
    if hasattr(alone, "directions"):
        generator = torch.Generator().manual_seed(3)
        like = next(t for t in whole.values() if t.is_floating_point())
        for term in loss_class.BATCH_COUPLED:
            width = next(whole[e.name].shape[-1] for e in entries if e.role == "sample_reference")
            fixed = torch.randn(width, 9, generator=generator, dtype=torch.float64).to(like.dtype)
            alone.directions[term] = together.directions[term] = fixed / fixed.norm(dim=0)
    every = {name: learning(t) for name, t in whole.items()}
    want = alone.expression(*every.values())
    want.loss.backward()
    mine = {e.name: own_rows(e, whole[e.name], rank, ranks, how) for e in entries}
    got = together(**mine)
    got.loss.backward()
    off = {"value": gap(got.loss.detach(), want.loss.detach())}
    off["terms"] = max([gap(got.terms[name], value) for name, value in want.terms.items()], default=0.0)
    off["gradient"] = 0.0
    for entry in entries:
        if not mine[entry.name].is_floating_point():
            continue
        mean = mine[entry.name].grad
        wanted = every[entry.name].grad
        wanted = torch.zeros_like(whole[entry.name]) if wanted is None else wanted
        if batch_axis(entry) is None:
            mean = torch.zeros_like(wanted) if mean is None else mean.clone()
            dist.all_reduce(mean, group=group)
            found = mean / ranks
        else:
            wanted = own_rows(entry, wanted, rank, ranks, how).detach() * ranks
            found = torch.zeros_like(wanted) if mean is None else mean
        off["gradient"] = max(off["gradient"], gap(found, wanted))
    return off


def critics(loss_class, settings, how, group, dtype):
    """The same of what each critic minimises."""
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    loss, off = loss_class(**settings), 0.0
    generator = torch.Generator().manual_seed(5)
    for name in loss_class.CRITICS:
        if name in loss_class.CRITIC_INPUTS:
            continue
        sides = [torch.randn(n, generator=generator, dtype=torch.float64).to(dtype) for n in (7, 5)]
        every = [learning(s) for s in sides]
        want = loss.critic_loss(name, *every)
        want.backward()
        mine = []
        for side in sides:
            edges = cuts(len(side), ranks, how)
            mine.append(learning(side[edges[rank] : edges[rank + 1]]))
        got = loss.critic_loss(name, *mine, group=group)
        got.backward()
        off = max(off, gap(got.detach(), want.detach()))
        for side, all_rows in zip(mine, every, strict=True):
            edges = cuts(len(all_rows), ranks, how)
            off = max(off, gap(side.grad, ranks * all_rows.grad[edges[rank] : edges[rank + 1]]))
    return {"critics": off}


def permuted(group):
    """Rows of a product on ranks are those of the whole batch, by the first rank's generator; gradients return to whose they are."""
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    whole = torch.arange(7 * 3.0).reshape(7, 3).requires_grad_()
    weights = torch.arange(7 * 3.0).reshape(7, 3) ** 2
    draw = module("factor_vae").Loss.permuted
    want = draw(whole, torch.Generator().manual_seed(1))
    (want * weights).sum().backward()
    edges = cuts(7, ranks, "uneven")
    mine = slice(edges[rank], edges[rank + 1])
    own = whole.detach()[mine].requires_grad_()
    got = draw(own, torch.Generator().manual_seed(1 + rank), group=group)
    (got * weights[mine]).sum().backward()
    return {"permuted": gap(got.detach(), want.detach()[mine]), "gradient": gap(own.grad, whole.grad[mine])}


class Encoder(torch.nn.Module):
    """A mean and a logarithmic variance of two codes from three numbers; a part that nothing uses."""

    def __init__(self, unused=False, recomputed=False):
        super().__init__()
        generator = torch.Generator().manual_seed(9)
        self.body, self.head = torch.nn.Linear(3, 5), torch.nn.Linear(5, 4)
        self.spare = torch.nn.Linear(2, 2) if unused else None
        self.recomputed = recomputed
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))

    def forward(self, x):
        body = checkpoint(self.body, x, use_reentrant=False) if self.recomputed else self.body(x)
        return self.head(body.tanh()).chunk(2, -1)


def step(network, loss, x, noise, learned, recomputed=False):
    """A training step of a coupled loss: total correlation of the codes, or InfoNCE between the codes' means and the data."""
    mean, logvar = network(x)
    if "scores" in loss.INPUTS[0].role:
        scores = mean @ loss.gathered(x[:, :2] * mean, loss.group).T * learned
        out = loss(z_y_scores=scores)
    else:
        given = {"z_mean": mean, "z_logvar": logvar, "z": mean + (logvar / 2).exp() * noise, "x": x.sigmoid()}
        given["x_logits"] = mean[:, :1] * x * learned
        run = lambda: loss(**{i.name: given[i.name] for i in loss.INPUTS}).loss  # noqa: E731
        out = checkpoint(run, use_reentrant=False) if recomputed else run()
        out.backward()
        return out.detach()
    out.loss.backward()
    return out.loss.detach()


def wrapped(how, network):
    match how:
        case "fsdp":
            for part in (network.body, network.head, network):
                fully_shard(part)
            return network
        case "unused":
            return DDP(network, find_unused_parameters=True)
    return DDP(network)


def trained(stem, how, split, group):
    """Gradients of a network's parameters and of a temperature, as the average over ranks leaves them."""
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    generator = torch.Generator().manual_seed(2)
    x, noise = torch.randn(7, 3, generator=generator), torch.randn(7, 2, generator=generator)
    edges = cuts(7, ranks, split)
    mine = slice(edges[rank], edges[rank + 1])
    found = []
    for together in (False, True):
        network = Encoder(how == "unused", how == "checkpoint")
        learned = torch.tensor(0.7, requires_grad=True)
        loss = module(stem).Loss(group=group if together else None)
        model = wrapped(how, network) if together else network
        rows = mine if together else slice(None)
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
            value = step(model, loss, x[rows], noise[rows], learned, how == "checkpoint")
        temperature = learned.grad.clone()
        if together:
            dist.all_reduce(temperature, group=group)
            temperature /= ranks
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1) if how == "clip" else torch.zeros(())
        grads = [p.grad for p in network.parameters() if p.grad is not None and p.grad.numel()]
        grads = [g.full_tensor() if hasattr(g, "full_tensor") else g for g in grads]
        found.append((value, temperature, torch.cat([g.flatten() for g in grads if g.abs().sum()]), norm))
    return {what: gap(b, a) for what, a, b in zip(("value", "temperature", "parameters", "norm"), *found, strict=True)}


def alone(stem, seen):
    """A loss that compares rows says once that it sees one rank's, and what to write."""
    for _ in range(2):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            loss = module(stem).Loss()
            for _ in range(2):
                loss(z_y_scores=torch.zeros(2, 2)) if stem == "infonce" else None
        seen.append([str(w.message) for w in said])
    return seen


def zoo(folder, ranks, group):
    """Every emitted loss, in some precision, split and reduction."""
    found = {}
    tried = [("float32", "uneven", "mean"), ("float64", "empty", "sum")] if ranks == 2 else [("float64", "empty", "mean")]
    for stem, settings, whole in torch.load(f"{folder}/batches.pt", weights_only=False):
        loss_class = module(stem, folder if Path(folder, f"{stem}.py").is_file() else GENERATED).Loss
        if ranks > 2 and not loss_class.BATCH_COUPLED:
            continue
        for real, how, reduction in tried:
            dtype = getattr(torch, real)
            batch = {n: t.to(dtype) if t.is_floating_point() else t for n, t in whole.items()}
            chosen = {**settings, "reduction": reduction}
            key = f"{stem} {real} {how} {reduction}"
            print(key, file=sys.stderr)
            found[key] = compared(loss_class, chosen, batch, how, group)
            found[key] |= critics(loss_class, chosen, how, group, dtype)
    return found


def main(rank, ranks, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting{ranks}", rank=rank, world_size=ranks)
    everyone = dist.group.WORLD
    found = {"zoo": zoo(folder, ranks, everyone), "permuted": {"factor-vae float64": permuted(everyone)}}
    if ranks == 2:
        found["steps"] = {
            f"{stem} {how} {split}": trained(stem, how, split, everyone)
            for stem in ("beta_tcvae", "infonce", "vae")
            for how, split in zip(
                ("plain", "unused", "checkpoint", "autocast", "clip", "fsdp"), ("empty", "uneven") * 3, strict=True
            )
            if stem != "vae" or how == "plain"
        }
        found["alone"] = alone("infonce", [])
    else:
        pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
        found["steps"] = {"beta_tcvae pairs": trained("beta_tcvae", "none", "uneven", pairs[rank // 2])}
        found["outside"] = refused(pairs[1 - rank // 2])
    Path(f"{folder}/found{ranks}-{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads outlive the interpreter now and then, and end it by a signal


def refused(group):
    try:
        module("vae").Loss(group=group)
    except ValueError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

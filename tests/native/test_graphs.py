"""Derivatives through the graphs of real models, first and second, of every module: against those of its expression.

Arguments depend on one another (a mean draws the code that the logits are of), share leaves, or are one and the same tensor. The
gradient is asked for with ``create_graph``, as a gradient penalty, a Hessian and an inner step of meta-learning do.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.native import worlds  # noqa: E402  once for all files: each program is lowered once

SMALL = {"B": 4, "S": 2, "L": 3, "D": 3, "D1": 3, "D2": 3, "K": 3, "M": 3, "L1": 3, "L2": 3, "T": 3}
EACH = pytest.mark.parametrize("name", worlds.SPECS)


def calls(name):
    """The loss and its expression, random directions fixed alike."""
    loss = worlds.module(name).Loss()
    if hasattr(loss, "directions"):
        generator = torch.Generator().manual_seed(5)
        for term in worlds.program(name).terms:
            noise = torch.randn(SMALL["L"], 4, generator=generator, dtype=torch.float64)
            loss.directions[term.text] = noise / noise.norm(dim=0)
    return lambda g: loss(**g).loss, lambda g: loss.expression(*(g[i.name] for i in loss.INPUTS)).loss


def base(name):
    return worlds.arguments(name, sizes=SMALL, dtype=torch.float64, seed=7)


def dependent(given, leaf):
    """Every floating argument moved by one leaf and by the argument before it; integer ones stay."""
    result, last = {}, leaf
    for k, (name, tensor) in enumerate(given.items()):
        if not tensor.is_floating_point():
            result[name] = tensor
            continue
        push = 0.1 * torch.tanh(leaf[k % 3] + last.mean() * (k + 1))
        if set(tensor.flatten().tolist()) <= {0.0, 1.0} or ((tensor >= 0) & (tensor <= 1)).all():
            push = 0 * push  # bits and shares stay what they are
        result[name] = tensor * (1 + push) if (tensor > 0).all() or _triangular(tensor) else tensor + push
        last = result[name]
    return result


def _triangular(tensor):
    return tensor.dim() > 1 and tensor.shape[-1] == tensor.shape[-2] and torch.equal(tensor, tensor.tril())


def close(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@EACH
def test_dependent_arguments_and_a_shared_leaf(name):
    """First derivatives with and without a graph, the gradient of a penalty on them, and a step of MAML."""
    given, results = base(name), []
    for call in calls(name):
        leaf = torch.tensor([0.3, -0.4, 0.8], dtype=torch.float64, requires_grad=True)
        loss = call(dependent(given, leaf))
        (plain,) = torch.autograd.grad(loss, leaf, retain_graph=True)
        (first,) = torch.autograd.grad(loss, leaf, create_graph=True)
        torch.testing.assert_close(first.detach(), plain, rtol=1e-8, atol=1e-10)
        (penalty,) = torch.autograd.grad((first**2).sum(), leaf, retain_graph=True)
        (outer,) = torch.autograd.grad(call(dependent(given, leaf - 0.1 * first)), leaf)
        results.append([first.detach(), penalty, outer])
    close(*results)


@EACH
def test_one_tensor_for_several_arguments(name):
    """Arguments of one shape are the same tensor, or a view and a multiple of it."""
    given, results = base(name), []
    groups = {}
    for entry in worlds.module(name).Loss.INPUTS:
        if entry.role in ("mean", "logvar", "logits", "critic", "critic_reference", "scores"):
            groups.setdefault((given[entry.name].shape, entry.role == "mean"), []).append(entry.name)
    for call in calls(name):
        leaves = {key: given[names[0]].clone().requires_grad_() for key, names in groups.items()}
        same = dict(given)
        for key, names in groups.items():
            for k, n in enumerate(names):
                same[n] = leaves[key] if k != 2 else 2 * leaves[key].view_as(leaves[key])
        loss = call(same)
        if not loss.requires_grad:
            return
        first = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, allow_unused=True)
        first = [g for g in first if g is not None]
        second = torch.autograd.grad(sum((g**2).sum() for g in first), list(leaves.values()), allow_unused=True)
        results.append([*(g.detach() for g in first), *(torch.zeros(()) if g is None else g for g in second)])
    close(*results)


@EACH
def test_hessian(name):
    given, (call, expression) = base(name), calls(name)
    leaf = torch.tensor([0.3, -0.4, 0.8], dtype=torch.float64)
    found, wanted = (torch.autograd.functional.hessian(lambda t, c=c: c(dependent(given, t)), leaf) for c in (call, expression))
    close([found], [wanted])


def test_two_heads_of_one_encoder():
    """Two linear heads, a reparameterised code, a decoder of that code: d loss/d theta with a graph is d loss/d theta without."""
    loss = worlds.module("vae").Loss()
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    x = (torch.rand(5, 4, generator=generator) > 0.5).double()
    noise = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    mean, logvar = x @ theta, torch.tanh(x @ theta)
    z = mean + (0.5 * logvar).exp() * noise
    value = loss(z_mean=mean, z_logvar=logvar, x=x, x_logits=z @ theta.T).loss
    (plain,) = torch.autograd.grad(value, theta, retain_graph=True)
    (graphed,) = torch.autograd.grad(value, theta, create_graph=True)
    torch.testing.assert_close(graphed.detach(), plain)

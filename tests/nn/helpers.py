"""Batches for any spec, and systems around emitted classes."""

from functools import cache
from importlib import import_module

import torch
import torch.nn.functional as F

import ibsym
from ibsym.nn import System
from ibsym.nn.sizes import dimensions

SIZE = {"binary": 6, "categorical": 4, "count": 5}


def batch(spec, rows=10, dtype=torch.float32, sizes=None):
    """Random rows of every source; a second source has one row fewer."""
    sizes = sizes or {}

    def values(variable, n):
        space = spec.variables[variable]
        shape = [n, *(int(d) if d.isdigit() else sizes.get(d, SIZE.get(space.kind, 5)) for d in space.dims)]
        match space.kind:
            case "categorical":
                return torch.arange(n) % shape[1]
            case "binary":
                return (torch.rand(shape) < 0.5).to(dtype)
            case "unit":
                return torch.rand(shape, dtype=dtype) * 0.9 + 0.05
            case "sphere":
                return F.normalize(torch.randn(shape, dtype=dtype), dim=-1)
            case "simplex":
                return torch.randn(shape, dtype=dtype).softmax(-1)
            case "positive":
                return torch.randn(shape, dtype=dtype).exp()
            case "count":
                return torch.poisson(torch.full(shape, 2.0, dtype=dtype))
        return torch.randn(shape, dtype=dtype)

    return {name: {v: values(v, rows - k) for v in source.of} for k, (name, source) in enumerate(spec.sources.items())}


@cache
def certificate(name):
    """Audited in one world: what is tested here is not the bound."""
    return ibsym.audit(ibsym.derive(name), worlds=1)


def emitted(name):
    """The committed module of a zoo entry."""
    return import_module(f"ibsym.losses.{name.replace('-', '_')}").Loss


def around(name, networks=None, **options):
    """A system around the committed class."""
    return System.around(ibsym.load(name), emitted(name)(), networks, **options)


def default_sizes(spec, size=4):
    return dict.fromkeys(dimensions(spec), size)

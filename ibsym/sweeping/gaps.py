"""bound - quantity: how loose the bounds of a trained model are on held-out rows: by its densities, else by two estimators."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ibsym.nn.bank import Bank
from ibsym.nn.draws import Draws
from ibsym.nn.randomness import untouched
from ibsym.nn.samples import Rows
from ibsym.spec.graphs import Factor
from ibsym.sweeping.critics import BY, estimates
from ibsym.training.metrics import Evidence, Meter, Readout

DRAWS, ROWS = 64, 500


def gaps(meter: Meter, seed: int) -> list[dict[str, Any]]:
    """Each quantity that is bounded, its bound, an estimate of itself from below and from above, and by which method."""
    with untouched(), torch.no_grad():
        torch.manual_seed(seed)
        rows = next(meter.chunks(ROWS))
        return [*_gaps(meter, rows), *_judged(meter, rows)]


def _gaps(meter: Meter, rows: Mapping[str, Rows]) -> Iterator[dict[str, Any]]:
    evidence = meter.evidence
    if evidence is None:
        return
    yield _evidence(meter.bank, evidence, rows)
    draws = Draws(meter.bank, rows, mode="exact")
    table = _table(draws, evidence)
    if table is None:
        return
    yield _rate(draws, evidence, table)
    for readout in meter.readouts:
        if readout.observed and readout.joint == evidence.joint:
            yield _label(draws, readout, table)


def _judged(meter: Meter, rows: Mapping[str, Rows]) -> Iterator[dict[str, Any]]:
    """What critics of the run stand for, by two estimators that know nothing of them."""
    for name, own, critic, distances in estimates(meter, rows):
        low, high = (critic, None) if distances is None else sorted((critic, distances))
        yield entry(name, "estimate", own, low, high, BY)


def _evidence(bank: Bank, evidence: Evidence, rows: Mapping[str, Rows]) -> dict[str, Any]:
    """E_q[log w] <= E log mean_K w <= log p(x), w = p(x,z)/q(z|x) (Burda et al. 2016)."""
    draws = Draws(bank, rows, mode="exact", copies=DRAWS)

    def log(factors: tuple[Factor, ...]) -> Tensor:
        found = [draws.log_prob(f, evidence.joint).double() for f in factors]
        return torch.stack([f.expand(DRAWS, -1) for f in found]).sum(0)

    weights = log(evidence.priors) + log(evidence.decoders) - log(evidence.encoders)
    bound, better = float(weights.mean()), float((weights.logsumexp(0) - math.log(DRAWS)).mean())
    observed = ",".join(v for f in evidence.decoders for v in f.of)
    return entry(f"log p({observed})", "lower", bound, better, None, f"importance sampling, {DRAWS} draws of the encoder")


def _table(draws: Draws, evidence: Evidence) -> Tensor | None:
    """log q(z_i | x_j), for codes that depend on nothing but what is observed."""
    total: Tensor | None = None
    codes = {v for f in evidence.encoders for v in f.of}
    for factor in evidence.encoders:
        law = draws.law(factor, evidence.joint)
        value = draws.value(evidence.joint, factor.of[0])
        if law is None or set(factor.given) & codes or not isinstance(law, torch.distributions.Distribution):
            return None
        part = law.log_prob(value.code.unsqueeze(1))
        if part.shape != (len(value.code), len(value.code)):
            return None
        total = part.double() if total is None else total + part.double()
    return total


def _rate(draws: Draws, evidence: Evidence, table: Tensor) -> dict[str, Any]:
    """E log q(z|x)/q(z): with the row itself in the mean that stands for q(z) from below, without it from above (Poole et al. 2019)."""
    prior = sum((draws.log_prob(f, evidence.joint).double() for f in evidence.priors), torch.zeros(()))
    own, n = table.diagonal(), len(table)
    below = own - (table.logsumexp(1) - math.log(n))
    others = table.masked_fill(torch.eye(n, dtype=torch.bool, device=table.device), -torch.inf)
    above = own - (others.logsumexp(1) - math.log(n - 1))
    codes = ",".join(v.upper() for f in evidence.encoders for v in f.of)
    how = f"the encoder's mean over {n} held-out rows, with and without the row itself"
    seen = ",".join(dict.fromkeys(v.upper() for f in evidence.encoders for v in f.given))
    return entry(f"I({seen};{codes})", "upper", float((own - prior).mean()), float(below.mean()), float(above.mean()), how)


def _label(draws: Draws, readout: Readout, table: Tensor) -> dict[str, Any]:
    """-H(C|Z) >= E log p(c|z): q(c|z) by Bayes' rule from the encoder's means over the other rows of each class."""
    (variable,) = readout.factor.of
    truth = draws.value(readout.joint, variable).index
    assert truth is not None
    bound = float(draws.log_prob(readout.factor, readout.joint).double().mean())
    others = table.masked_fill(torch.eye(len(table), dtype=torch.bool, device=table.device), -torch.inf)
    same = others.masked_fill(truth[:, None] != truth[None], -torch.inf).logsumexp(1) - others.logsumexp(1)
    estimate = float(same[same > -torch.inf].mean())
    how = f"Bayes' rule with the encoder's means over {len(table)} held-out rows"
    given = ",".join(v.upper() for v in readout.factor.given)
    return entry(f"-H({variable.upper()}|{given})", "lower", bound, estimate, None, how)


def entry(what: str, side: str, bound: float, low: float, high: float | None, by: str) -> dict[str, Any]:
    """A quantity, its bound and what was found of itself; the gap of a bound is not negative where estimates are exact.

    ``side`` is that of the bound; of what is only estimated by a critic the gap is how far it lies below the other estimates.
    """
    estimate = low if high is None else (low + high) / 2
    gap = bound - estimate if side == "upper" else estimate - bound
    return {"quantity": what, "side": side, "bound": bound, "low": low, "high": high, "gap": gap, "by": by}

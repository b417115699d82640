"""Critics, scores on pairs, kernels and tables of densities: what is put in the place of terms that compare samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ibsym.diagnosis.features import Feature
from ibsym.diagnosis.worlds import World

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject

soft = torch.nn.functional.softplus
LOGIT_FORMS: tuple[tuple[str, str, Callable[[Tensor], Tensor]], ...] = (
    ("mean f", "the critic's mean", lambda f: f.mean()),
    ("mean s(-f)", "the softplus of minus the critic", lambda f: soft(-f).mean()),
    ("mean s(f)", "the softplus of the critic", lambda f: soft(f).mean()),
    ("mean e^f", "the critic's exponential", lambda f: f.exp().mean()),
    ("mean e^-f", "the exponential of minus the critic", lambda f: (-f).exp().mean()),
    ("log mean e^f", "the log of the mean of the critic's exponential", lambda f: f.flatten().logsumexp(0)),
    ("mean (f-1)^2", "a squared distance of the critic from 1", lambda f: ((f - 1) ** 2).mean()),
    ("mean f^2", "the critic squared", lambda f: (f**2).mean()),
    ("mean (1-f)+", "a hinge at 1", lambda f: torch.relu(1 - f).mean()),
    ("mean (1+f)+", "a hinge at -1", lambda f: torch.relu(1 + f).mean()),
    ("mean sigmoid(f)", "the critic's probability, no logarithm", lambda f: f.sigmoid().mean()),
    ("sigmoid twice", "the sigmoid taken twice, on the side of 1", lambda f: soft(-f.sigmoid()).mean()),
    ("sigmoid twice, other side", "the sigmoid taken twice, on the side of 0", lambda f: soft(f.sigmoid()).mean()),
    (
        "mean (sigmoid(f)-1)^2",
        "a squared distance of the critic's probability from 1",
        lambda f: ((f.sigmoid() - 1) ** 2).mean(),
    ),
    ("mean |f|", "the critic's absolute value", lambda f: f.abs().mean()),
)


def critic_features(subject: Subject, text: str) -> Iterator[Feature]:
    """Functions of a critic on either side."""
    for entry in subject.inputs:
        if entry.of != text or entry.role not in ("critic", "critic_reference"):
            continue
        side = "first" if entry.role == "critic" else "second"
        for place, (name, words, form) in enumerate(LOGIT_FORMS):
            said = f"{words} on the samples of the {side} argument"
            yield Feature(f"{name} of {entry.name}", text, "critic", said, _of(entry.name, form), 2.0 + place / 100)


def _of(name: str, form: Callable[[Tensor], Tensor]) -> Callable[[World], Tensor]:
    return lambda world: form(world.inputs[name])


def _off(scores: Tensor) -> Tensor:
    """Minus infinity on the diagonal."""
    return scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), -math.inf)


def _off_values(scores: Tensor) -> Tensor:
    n = len(scores)
    return scores.flatten()[:-1].reshape(n - 1, n + 1)[:, 1:].reshape(n, n - 1)


SCORE_FORMS: tuple[tuple[str, str, str, Callable[[Tensor], Tensor]], ...] = (
    ("rows", "piece", "the log-sum-exp along rows", lambda s: s.logsumexp(1).mean()),
    ("diagonal", "piece", "the mean score of true pairs", lambda s: s.diagonal().mean()),
    ("columns", "transposed", "the log-sum-exp along columns", lambda s: s.logsumexp(0).mean()),
    (
        "rows, diagonal out",
        "diagonal",
        "the log-sum-exp along rows without the true pair",
        lambda s: _off(s).logsumexp(1).mean(),
    ),
    (
        "columns, diagonal out",
        "diagonal",
        "the log-sum-exp along columns without the true pair",
        lambda s: _off(s).logsumexp(0).mean(),
    ),
    ("all", "log of mean", "the log-sum-exp over the whole table", lambda s: s.flatten().logsumexp(0)),
    ("all, diagonal out", "diagonal", "the log-sum-exp over all false pairs", lambda s: _off_values(s).flatten().logsumexp(0)),
    ("mean", "diagonal", "the mean score of all pairs, the true ones included", lambda s: s.mean()),
    ("false pairs", "diagonal", "the mean score of false pairs", lambda s: _off_values(s).mean()),
    ("e^false", "dual", "the mean exponential of false pairs", lambda s: _off_values(s).exp().mean()),
    ("e^all", "diagonal", "the mean exponential of all pairs", lambda s: s.exp().mean()),
    ("softplus true", "logistic", "a logistic loss on true pairs", lambda s: soft(-s.diagonal()).mean()),
    ("softplus false", "logistic", "a logistic loss on false pairs", lambda s: soft(_off_values(s)).mean()),
    ("softmax twice", "softmax twice", "softmax taken twice", lambda s: s.softmax(1).logsumexp(1).mean()),
    ("share of true", "no logarithm", "the share of the true pair, no logarithm", lambda s: s.softmax(1).diagonal().mean()),
)


def pair_features(subject: Subject, text: str) -> Iterator[Feature]:
    """Functions of a table of scores."""
    for entry in subject.inputs:
        if entry.of == text and entry.role == "scores":
            for place, (name, kind, words, form) in enumerate(SCORE_FORMS):
                yield Feature(f"{name} of {entry.name}", text, kind, words, _of(entry.name, form), 2.0 + place / 100)


def sample_features(subject: Subject) -> Iterator[Feature]:
    """Kernels between two samples; tables of log q(z_i|x_j)."""
    yield from _kernels(subject)
    yield from _tables(subject)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return ((a[:, None, :] - b[None, :, :]) ** 2).sum(-1)


KERNELS: tuple[tuple[str, Callable[[Tensor, int], Tensor]], ...] = (
    ("exp(-d/2L)", lambda d, n: (-d / (2 * n)).exp()),
    ("exp(-d/L)", lambda d, n: (-d / n).exp()),
    ("exp(-d/L^2)", lambda d, n: (-d / n**2).exp()),
    ("exp(-d/2)", lambda d, n: (-d / 2).exp()),
    ("exp(-d)", lambda d, n: (-d).exp()),
    ("2L/(2L+d)", lambda d, n: 2 * n / (2 * n + d)),
)


def _kernels(subject: Subject) -> Iterator[Feature]:
    for entry in subject.inputs:
        other = next((i for i in subject.inputs if i.of == entry.of and i.role == "sample_reference"), None)
        if entry.role != "sample" or other is None:
            continue
        text = next((t.text for t in subject.terms if t.estimator in ("mmd", "sliced-wasserstein")), subject.terms[0].text)
        for place, (name, kernel) in enumerate(KERNELS):
            cost = 2.1 + place / 20
            words = f"kernel {name}"
            yield Feature(f"{name} within {entry.name}", text, "kernel", words, _within(entry.name, kernel), cost)
            yield Feature(f"{name} within {other.name}", text, "kernel", words, _within(other.name, kernel), cost)
            yield Feature(f"{name} between", text, "kernel", words, _between(entry.name, other.name, kernel), cost)


def _flat(world: World, name: str) -> Tensor:
    value = world.inputs[name]
    return value.reshape(-1, value.shape[-1])


def _within(name: str, kernel: Callable[[Tensor, int], Tensor]) -> Callable[[World], Tensor]:
    def value(world: World) -> Tensor:
        z = _flat(world, name)
        return _off_values(kernel(_distances(z, z), z.shape[-1])).mean()

    return value


def _between(name: str, other: str, kernel: Callable[[Tensor, int], Tensor]) -> Callable[[World], Tensor]:
    def value(world: World) -> Tensor:
        z, r = _flat(world, name), _flat(world, other)
        return kernel(_distances(z, r), z.shape[-1]).mean()

    return value


def _tables(subject: Subject) -> Iterator[Feature]:
    """log q(z_i|x_j) over all pairs of a batch: joint, by coordinate, the own row left out, stratified."""
    for factor in dict.fromkeys(i.of for i in subject.inputs if i.of in subject.spec.factors):
        roles = {i.role: i.name for i in subject.inputs if i.of == factor}
        of = subject.spec.factors[factor].of
        draw = next((i.name for i in subject.inputs if i.role == "sample" and i.of in of), None)
        if draw is None or "mean" not in roles or "logvar" not in roles:
            continue
        text = next((t.text for t in subject.terms if t.text.startswith("TC")), subject.terms[0].text)
        for name, kind, words, form in TABLE_FORMS:
            yield Feature(f"{name} of {factor}", text, kind, words, _table(roles, draw, form), 2.2)


def _table(roles: dict[str, str], draw: str, form: Callable[[Tensor, int], Tensor]) -> Callable[[World], Tensor]:
    def value(world: World) -> Tensor:
        z, mean, logvar = (world.inputs[n] for n in (draw, roles["mean"], roles["logvar"]))
        rows: Any = z if z.dim() > mean.dim() else z[None]
        pairs = -0.5 * ((rows.unsqueeze(-2) - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi))
        return torch.stack([form(p, world.sizes["N"]) for p in pairs]).mean()

    return value


def _stratified(table: Tensor, data: int, columns: bool) -> Tensor:
    """log of the stratified weights of a batch among ``data`` rows (Chen et al. 2018), the own row on the diagonal or in a column."""
    size = table.shape[0]
    last = size - 1
    own = torch.zeros(size, size, dtype=torch.bool)
    own[:, 0] = True
    if not columns:
        own = torch.eye(size, dtype=torch.bool)
    next_one = own.roll(1, 1)
    weight = torch.full((size, size), 1 / last, dtype=table.dtype)
    weight = torch.where(own, torch.full_like(weight, 1 / data), weight)
    return torch.where(next_one, torch.full_like(weight, (data - last) / (data * last)), weight).log()


TABLE_FORMS: tuple[tuple[str, str, str, Callable[[Tensor, int], Tensor]], ...] = (
    ("log sum_j q(z_i|x_j)", "aggregate", "the aggregated density in the batch", lambda p, n: p.sum(-1).logsumexp(1).mean()),
    (
        "sum_l log sum_j q(z_il|x_j)",
        "aggregate",
        "the product of aggregated marginals",
        lambda p, n: p.logsumexp(1).sum(-1).mean(),
    ),
    (
        "own row left out",
        "diagonal",
        "the aggregated density without the own row",
        lambda p, n: _off(p.sum(-1)).logsumexp(1).mean(),
    ),
    (
        "transposed table",
        "transposed",
        "the table of densities read along the wrong axis",
        lambda p, n: p.sum(-1).logsumexp(0).mean(),
    ),
    (
        "transposed marginals",
        "transposed",
        "the marginals' table read along the wrong axis",
        lambda p, n: p.logsumexp(0).sum(-1).mean(),
    ),
    ("mean of log q(z_i|x_j)", "log of mean", "a mean of logs where the log of a mean belongs", lambda p, n: p.sum(-1).mean()),
    (
        "log of mean over all",
        "log of mean",
        "the log of the mean over the whole table",
        lambda p, n: p.sum(-1).flatten().logsumexp(0),
    ),
    (
        "stratified",
        "stratified",
        "stratified weights in place of equal ones in the aggregated density",
        lambda p, n: (p.sum(-1) + _stratified(p, n, False)).logsumexp(1).mean(),
    ),
    (
        "stratified marginals",
        "stratified",
        "stratified weights in place of equal ones in the marginals",
        lambda p, n: (p + _stratified(p, n, False)[:, :, None]).logsumexp(1).sum(-1).mean(),
    ),
    (
        "stratified by column",
        "stratified",
        "stratified weights, those of the own row in a column in place of the diagonal, in the aggregated density",
        lambda p, n: (p.sum(-1) + _stratified(p, n, True)).logsumexp(1).mean(),
    ),
    (
        "stratified marginals by column",
        "stratified",
        "stratified weights, those of the own row in a column in place of the diagonal, in the marginals",
        lambda p, n: (p + _stratified(p, n, True)[:, :, None]).logsumexp(1).sum(-1).mean(),
    ),
)

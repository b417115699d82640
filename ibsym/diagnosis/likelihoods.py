"""E_q[log p(x|z)] and what is put in its place: squared errors, other conventions, saturating forms, pieces, logs of means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ibsym.diagnosis.features import Feature
from ibsym.diagnosis.laws import Parameters, leading
from ibsym.diagnosis.rates import CONVENTIONS, rows_mean
from ibsym.diagnosis.worlds import World, axes, is_batch

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject

F = torch.nn.functional
Elements = Callable[[World], Tensor]


class Likelihood:
    """A factor with the values at which its density is taken."""

    def __init__(self, subject: Subject, density: str):
        self.parameters = Parameters(subject, density)
        variable = self.parameters.of[0] if self.parameters.of else ""
        joints = {i.joint for i in self.parameters.entries.values()}
        values = [i for i in subject.inputs if i.of == variable and i.role in ("value", "sample")]
        self.value = next((i for i in values if i.joint in joints), values[0] if values else None)
        self.entry = next(iter(self.parameters.entries.values()), None)

    @property
    def usable(self) -> bool:
        """Whether its log-density can be evaluated from the inputs."""
        return self.value is not None and (self.entry is not None or self.parameters.family == "standard-normal")

    def at(self, world: World) -> Tensor:
        """The log-density of every row."""
        assert self.value is not None
        return world.inputs[self.value.name]

    def get(self, world: World, role: str) -> Tensor:
        """The input of a role."""
        return self.parameters.get(world, role)

    def lead(self, world: World) -> int:
        """How many axes stand before the event."""
        return leading(self.entry or self.value, world)


def likelihood_features(subject: Subject, text: str, density: str) -> Iterator[Feature]:
    """Columns for an expected log-density."""
    made = Likelihood(subject, density)
    if not made.usable:
        return

    def column(name: str, kind: str, words: str, elements: Elements, cost: float = 2.2) -> Feature:
        return Feature(
            f"{name} for {density}", text, kind, words, lambda world: rows_mean(elements(world), made.lead(world)), cost
        )

    match made.parameters.family:
        case "bernoulli" | "continuous-bernoulli":
            yield from _binary(made, density, column)
        case "diagonal-normal" | "isotropic-normal" | "laplace":
            yield from _real(made, density, column)
        case "categorical":
            yield from _classes(made, density, column)
    yield from _means_of_logs(made, text, density)


Column = Callable[..., Feature]
GUARDS = (1e-2, 1e-3, 1e-4, 1e-5)


def _guarded(x: Elements, p: Elements, eps: float) -> Elements:
    return lambda w: x(w) * (p(w) + eps).log() + (1 - x(w)) * (1 - p(w) + eps).log()


def _binary(at: Likelihood, density: str, column: Column) -> Iterator[Feature]:
    def x(world: World) -> Tensor:
        return at.at(world)

    def a(world: World) -> Tensor:
        return at.get(world, "logits")

    def s(world: World) -> Tensor:
        return a(world).sigmoid()

    squared = f"a squared error stands for log {density}: a normal density on the probabilities, not a Bernoulli"
    yield column("squared error", "squared error", squared, lambda w: (x(w) - s(w)) ** 2, 2.0)
    for eps in GUARDS:
        words = f"the epsilon {eps:g} in the logarithm of {density} is felt in the middle"
        yield column(f"log(p + {eps:g})", "guard", words, _guarded(x, s, eps), 2.1)
    yield column(
        "squared error on logits",
        "squared error",
        f"a squared error between data and logits stands for log {density}",
        lambda w: (x(w) - a(w)) ** 2,
    )
    yield column(
        "absolute error", "absolute error", f"an absolute error stands for log {density}", lambda w: (x(w) - s(w)).abs()
    )
    yield column(
        "absolute error on logits",
        "absolute error",
        f"an absolute error between data and logits stands for log {density}",
        lambda w: (x(w) - a(w)).abs(),
    )
    yield column("x*logit", "piece", "the data times the logits", lambda w: x(w) * a(w), 2.3)
    yield column("softplus(logit)", "piece", "the logits' softplus", lambda w: F.softplus(a(w)), 2.3)
    yield column("logit", "piece", "the logits themselves", lambda w: a(w) + 0 * x(w), 2.4)
    yield column("x log s(a)", "piece", "x log p without (1 - x) log (1 - p)", lambda w: x(w) * F.logsigmoid(a(w)), 2.2)
    yield column(
        "(1-x) log s(-a)", "piece", "(1 - x) log (1 - p) without x log p", lambda w: (1 - x(w)) * F.logsigmoid(-a(w)), 2.25
    )
    yield column(
        "sigmoid twice",
        "sigmoid twice",
        f"the sigmoid is taken twice in log {density}: probabilities are given where logits are expected",
        lambda w: x(w) * s(w) - F.softplus(s(w)),
    )
    yield column(
        "probabilities",
        "no logarithm",
        f"the logarithm is missing: the probability itself stands for log {density}",
        lambda w: x(w) * s(w) + (1 - x(w)) * (1 - s(w)),
    )
    yield column(
        "log of exchanged",
        "turned round",
        f"data and reconstruction are exchanged in log {density}",
        lambda w: s(w) * F.logsigmoid(x(w)) + (1 - s(w)) * F.logsigmoid(-x(w)),
        2.4,
    )


def _real(at: Likelihood, density: str, column: Column) -> Iterator[Feature]:
    p = at.parameters

    def x(world: World) -> Tensor:
        return at.at(world)

    def m(world: World) -> Tensor:
        return at.get(world, "mean")

    def deviation(world: World) -> Tensor:
        if p.has("logvar"):
            return (at.get(world, "logvar") / 2).exp()
        if p.has("scale"):
            return at.get(world, "scale")
        return torch.tensor(p.option("scale", 1.0), dtype=world.dtype)

    learned = p.has("logvar") or p.has("scale")
    laplace = p.family == "laplace"
    squared = f"a squared error stands for log {density}: a normal density of fixed variance"
    absolute = f"an absolute error stands for log {density}: a Laplace density of fixed scale"
    yield column("squared error", "squared error", squared, lambda w: (x(w) - m(w)) ** 2, 2.0)
    yield column("absolute error", "absolute error", absolute, lambda w: (x(w) - m(w)).abs(), 2.0)
    yield column(
        "huber",
        "robust error",
        f"a Huber error stands for log {density}",
        lambda w: F.smooth_l1_loss(m(w) + 0 * x(w), x(w) + 0 * m(w), reduction="none"),
        2.4,
    )
    yield column(
        "cross-entropy on means",
        "cross-entropy",
        f"a binary cross-entropy stands for log {density}, whose values are real",
        lambda w: x(w) * m(w) - F.softplus(m(w)),
        2.4,
    )
    if learned:
        yield column(
            "(x-m)^2/v",
            "piece",
            "the squared error over the variance",
            lambda w: (x(w) - m(w)) ** 2 / deviation(w) ** 2 / 2,
            2.1,
        )
        yield column(
            "|x-m|/b",
            "piece",
            "the absolute error over the scale",
            lambda w: (x(w) - m(w)).abs() / deviation(w),
            2.1 if laplace else 2.3,
        )
        yield column("log sigma", "piece", "the log of the standard deviation", lambda w: deviation(w).log() + 0 * x(w), 2.1)
        yield column(
            "(x-m)^2/sigma",
            "piece",
            "the squared error over the standard deviation",
            lambda w: (x(w) - m(w)) ** 2 / deviation(w) / 2,
            2.3,
        )
        yield column(
            "(x-m)^2 v", "piece", "the squared error times the variance", lambda w: (x(w) - m(w)) ** 2 * deviation(w) ** 2, 2.4
        )
        yield column(
            "(x-m)^2/v^2",
            "piece",
            "the squared error over the squared variance",
            lambda w: (x(w) - m(w)) ** 2 / deviation(w) ** 4 / 2,
            2.3,
        )
        yield column("variance", "piece", "the variance, no logarithm", lambda w: deviation(w) ** 2 + 0 * x(w), 2.4)
        yield column("deviation", "piece", "the standard deviation, no logarithm", lambda w: deviation(w) + 0 * x(w), 2.4)
    if p.family == "diagonal-normal" and p.has("logvar"):
        for name, words, change in CONVENTIONS:
            yield column(name, "convention", f"log {density} {words}", _reread(at, change), 2.2)


def _reread(at: Likelihood, change: Callable[[Tensor], Tensor]) -> Elements:
    def elements(world: World) -> Tensor:
        law = at.parameters.law(world, logvar=change(at.get(world, "logvar")))
        assert law is not None
        value: Tensor = law.log_prob(at.at(world))
        return value

    return elements


def _classes(at: Likelihood, density: str, column: Column) -> Iterator[Feature]:
    def hot(world: World) -> Tensor:
        logits = at.get(world, "logits")
        target = at.at(world)
        classes = torch.arange(logits.shape[-1])
        hot = (target.unsqueeze(-1) == classes).to(world.dtype) if target.dtype == torch.int64 else target
        return hot + 0 * logits

    def a(world: World) -> Tensor:
        return at.get(world, "logits")

    for eps in GUARDS:
        words = f"the epsilon {eps:g} in the logarithm of {density} is felt in the middle"
        yield column(f"log(p + {eps:g})", "guard", words, lambda w, eps=eps: hot(w) * (a(w).softmax(-1) + eps).log(), 2.1)
    yield column(
        "softmax twice",
        "softmax twice",
        f"softmax is taken twice in log {density}: probabilities are given where logits are expected",
        lambda w: hot(w) * a(w).softmax(-1).log_softmax(-1),
    )
    yield column("logit of the class", "piece", "the logit of the class, not normalised", lambda w: hot(w) * a(w), 2.2)
    yield column("log-sum-exp", "piece", "the normaliser of the logits", lambda w: a(w).logsumexp(-1, keepdim=True), 2.2)
    yield column(
        "probability of the class",
        "no logarithm",
        f"the logarithm is missing: the probability itself stands for log {density}",
        lambda w: hot(w) * a(w).softmax(-1),
    )
    yield column(
        "squared error to one-hot",
        "squared error",
        f"a squared error to the one-hot label stands for log {density}",
        lambda w: (hot(w) - a(w).softmax(-1)) ** 2,
        2.0,
    )
    yield column(
        "squared error of logits",
        "squared error",
        f"a squared error between one-hot label and logits stands for log {density}",
        lambda w: (hot(w) - a(w)) ** 2,
    )
    yield column(
        "binary cross-entropies",
        "binary",
        f"a binary cross-entropy a class stands for log {density}",
        lambda w: hot(w) * F.logsigmoid(a(w)) + (1 - hot(w)) * F.logsigmoid(-a(w)),
        2.1,
    )
    yield column("sum of log-probabilities", "smoothing", "the labels are smoothed", lambda w: a(w).log_softmax(-1), 2.2)
    yield column("sum of logits", "piece", "the logits of all classes", a, 2.4)


def _means_of_logs(at: Likelihood, text: str, density: str) -> Iterator[Feature]:
    """log of a mean over rows or draws where the mean of logs belongs."""

    def rows(world: World) -> Tensor:
        law = at.parameters.law(world)
        assert law is not None
        element: Tensor = law.log_prob(at.at(world))
        lead = at.lead(world)
        return element.flatten(lead).sum(-1) if element.dim() > lead else element

    def over_rows(world: World) -> Tensor:
        found = rows(world)
        return found.logsumexp(-1).mean() - math.log(found.shape[-1])

    def over_draws(world: World) -> Tensor:
        found = rows(world)
        return (found.logsumexp(0) - math.log(found.shape[0])).mean()

    def of_means(world: World) -> Tensor:
        law = at.parameters.law(world)
        assert law is not None
        element: Tensor = law.log_prob(at.at(world))
        return element.exp().mean().log()

    def exponential(world: World) -> Tensor:
        return rows(world).exp().mean()

    if at.parameters.family not in ("bernoulli", "categorical", "diagonal-normal", "isotropic-normal", "laplace"):
        return
    yield Feature(
        f"log mean_b {density}",
        text,
        "log of mean",
        f"the log of the batch's mean of {density} stands for the mean of logs",
        over_rows,
        2.2,
    )
    yield Feature(
        f"log mean {density}",
        text,
        "log of mean",
        f"the log of the mean over rows and coordinates of {density} stands for the mean of logs",
        of_means,
        2.4,
    )
    yield Feature(f"mean {density}", text, "no logarithm", f"the density itself stands for log {density}", exponential, 2.4)
    entry = at.entry
    if entry is not None and "S" in [str(s) for s in entry.shape]:

        def draws(world: World) -> Tensor:
            own = axes(entry.shape, world.layout)
            return over_draws(world) if own and own[0] == "S" and any(is_batch(o) for o in own) else rows(world).mean()

        yield Feature(
            f"log mean_s {density}",
            text,
            "log of mean",
            f"the log of the mean over draws of {density} stands for the mean of logs",
            draws,
            2.3,
        )

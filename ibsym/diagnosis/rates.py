"""KL(q(z|x)||p(z)) and what becomes of it: turned round, in pieces, sampled, of another convention, of the batch's mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributions

from ibsym.diagnosis.features import Feature
from ibsym.diagnosis.laws import Distribution, Parameters, leading
from ibsym.diagnosis.worlds import World

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Part, Subject

Normal = distributions.Normal
CONVENTIONS: tuple[tuple[str, str, Callable[[Tensor], Tensor]], ...] = (
    ("logvar as log sigma", "reads the log-variance as the log of the standard deviation", lambda t: 2 * t),
    ("log sigma as logvar", "reads the log of the standard deviation as the log-variance", lambda t: t / 2),
    ("logvar as sigma", "reads the log-variance as the standard deviation itself", lambda t: (t * t).log()),
    ("logvar as variance", "reads the log-variance as the variance itself", lambda t: t.abs().log()),
    ("sigma as logvar", "reads the standard deviation as the log-variance", lambda t: (t / 2).exp()),
    ("variance as logvar", "reads the variance as the log-variance", lambda t: t.exp()),
    ("sigma as log sigma", "reads the standard deviation as its logarithm", lambda t: 2 * (t / 2).exp()),
    ("sigma as variance", "reads the standard deviation as the variance", lambda t: t / 2),
    ("variance as sigma", "reads the variance as the standard deviation", lambda t: 2 * t),
)


def rows_mean(value: Tensor, lead: int) -> Tensor:
    """Sum over the event, mean over everything before it."""
    return (value.flatten(lead).sum(-1) if value.dim() > lead else value).mean()


def rate_features(subject: Subject, text: str, first: str, second: str) -> Iterator[Feature]:
    """Columns for KL(first||second)."""
    a, b = Parameters(subject, first), Parameters(subject, second)
    if not a.entries and not b.entries:
        return
    entry = next(iter(a.entries.values()), None)
    if entry is None:
        return

    def lead(world: World) -> int:
        return leading(entry, world)

    normals = {"diagonal-normal", "isotropic-normal", "standard-normal"}
    if a.family in normals and b.family in normals:
        yield from _normal_pieces(text, a, b, lead)
        yield from _conventions(text, a, b, lead)
    yield from _sampled(subject, text, a, b, lead)
    closed = _closed(a, b)
    if closed is not None:
        name = f"KL({second}||{first})"
        yield Feature(
            name, text, "turned round", f"{name} stands in place of {text}: the arguments are turned round", closed(lead, True)
        )
        if b.family not in ("standard-normal", "uniform"):
            yield from _plain_prior(text, a, lead)
    if a.family in ("categorical", "bernoulli"):
        yield from _discrete_pieces(text, a, b, lead)


def _closed(a: Parameters, b: Parameters) -> Callable[[Callable[[World], int], bool], Part] | None:
    same = {"diagonal-normal": "n", "isotropic-normal": "n", "standard-normal": "n", "laplace": "l", "bernoulli": "b"}
    same |= {"categorical": "c"}
    kinds = {same.get(a.family, a.family), same.get(b.family, b.family)} - {"uniform"}
    if len(kinds) != 1 or not kinds <= {"n", "l", "b", "c"}:
        return None

    def made(lead: Callable[[World], int], turned: bool) -> Part:
        def value(world: World) -> Tensor:
            p, q = _expanded(a.law(world), b.law(world))
            return rows_mean(distributions.kl_divergence(q, p) if turned else distributions.kl_divergence(p, q), lead(world))

        return value

    return made


def _expanded(p: Distribution | None, q: Distribution | None) -> tuple[Distribution, Distribution]:
    assert p is not None
    assert q is not None
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    return p.expand(shape), q.expand(shape)


def _normal_pieces(text: str, a: Parameters, b: Parameters, lead: Callable[[World], int]) -> Iterator[Feature]:
    """1/2 [(m - m')^2/v' + v/v' - log v + log v' - 1], piece by piece."""

    def moments(world: World) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        p, q = a.law(world), b.law(world)
        assert isinstance(p, Normal)
        assert isinstance(q, Normal)
        zero = torch.zeros_like(p.loc + q.loc)
        return p.loc + zero, 2 * p.scale.log() + zero, q.loc + zero, 2 * q.scale.log() + zero

    def piece(of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Part:
        return lambda world: rows_mean(of(*moments(world)), lead(world))

    learned_prior = bool(b.entries)
    yield Feature("mean^2/2", text, "piece", "the squared mean", piece(lambda m, v, n, w: (m - n) ** 2 / w.exp() / 2), 2.1)
    yield Feature("var/2", text, "piece", "the variance", piece(lambda m, v, n, w: (v - w).exp() / 2), 2.1)
    yield Feature("-logvar/2", text, "piece", "the log-variance", piece(lambda m, v, n, w: -v / 2), 2.1)
    if learned_prior:
        yield Feature("prior logvar/2", text, "piece", "the prior's log-variance", piece(lambda m, v, n, w: w / 2), 2.1)
        yield Feature(
            "(m-m')^2/2",
            text,
            "piece",
            "the squared distance of the means, unscaled",
            piece(lambda m, v, n, w: (m - n) ** 2 / 2),
            2.3,
        )
        yield Feature("var/2 alone", text, "piece", "the variance, unscaled", piece(lambda m, v, n, w: v.exp() / 2), 2.3)
        yield Feature(
            "m^2/2", text, "piece", "the squared mean, as if the prior's mean were 0", piece(lambda m, v, n, w: m**2 / 2), 2.3
        )
        yield Feature(
            "m^2/2 w",
            text,
            "piece",
            "the squared mean, as if the prior's mean were 0",
            piece(lambda m, v, n, w: m**2 / w.exp() / 2),
            2.3,
        )
        yield Feature(
            "(m-m')^2/2v",
            text,
            "piece",
            "the squared distance over the posterior's variance",
            piece(lambda m, v, n, w: (m - n) ** 2 / v.exp() / 2),
            2.3,
        )
    yield Feature("mean", text, "piece", "the mean, not squared", piece(lambda m, v, n, w: m - n), 2.4)
    yield Feature("|mean|", text, "piece", "the mean's absolute value", piece(lambda m, v, n, w: (m - n).abs()), 2.4)
    yield Feature(
        "sigma",
        text,
        "piece",
        "the standard deviation in place of the variance",
        piece(lambda m, v, n, w: ((v - w) / 2).exp()),
        2.4,
    )
    yield Feature("var^2", text, "piece", "the variance squared", piece(lambda m, v, n, w: (2 * (v - w)).exp()), 2.4)
    yield Feature("precision", text, "piece", "the inverse of the variance", piece(lambda m, v, n, w: (w - v).exp() / 2), 2.4)
    yield Feature("logvar^2", text, "piece", "the log-variance squared", piece(lambda m, v, n, w: v * v), 2.5)
    yield Feature("mean fourth", text, "piece", "the mean's fourth power", piece(lambda m, v, n, w: (m - n) ** 4), 2.6)

    def norm(world: World) -> Tensor:
        m, _, n, _ = moments(world)
        return (m - n).flatten(lead(world)).norm(2, -1).mean()

    yield Feature("|mean|_2", text, "piece", "the norm of the mean, not squared", norm, 2.5)

    def aggregate(world: World) -> Tensor:
        m, v, _, _ = moments(world)
        mean = m.flatten(0, lead(world) - 1).mean(0)
        variance = v.exp().flatten(0, lead(world) - 1).mean(0)
        return 0.5 * (mean**2 + variance - variance.log() - 1).sum()

    def squared(world: World) -> Tensor:
        m, v, n, w = moments(world)
        return (0.5 * ((m - n) ** 2 / w.exp() + (v - w).exp() - 1 - v + w)).flatten(lead(world)).sum(-1).square().mean()

    if not learned_prior:
        yield Feature(
            f"{text} of the batch's mean",
            text,
            "aggregate",
            "the divergence is taken of the batch's mean parameters, not row by row",
            aggregate,
            2.5,
        )
    yield Feature(f"{text}^2", text, "squared", "the divergence is squared row by row", squared, 2.5)


def _conventions(text: str, a: Parameters, b: Parameters, lead: Callable[[World], int]) -> Iterator[Feature]:
    if not a.has("logvar"):
        return

    def part(change: Callable[[Tensor], Tensor]) -> Part:
        def value(world: World) -> Tensor:
            p, q = _expanded(a.law(world, logvar=change(a.get(world, "logvar"))), b.law(world))
            return rows_mean(distributions.kl_divergence(p, q), lead(world))

        return value

    for name, words, change in CONVENTIONS:
        yield Feature(f"{text}, {name}", text, "convention", f"{text} {words}", part(change), 2.2)


def _plain_prior(text: str, a: Parameters, lead: Callable[[World], int]) -> Iterator[Feature]:
    if a.family != "diagonal-normal":
        return

    def value(world: World) -> Tensor:
        p = a.law(world)
        assert isinstance(p, Normal)
        return rows_mean(distributions.kl_divergence(p, Normal(torch.zeros_like(p.loc), torch.ones_like(p.loc))), lead(world))

    yield Feature(
        f"KL({a.factor}||N(0,1))",
        text,
        "prior",
        f"{text} is taken against a standard normal: the learned prior is ignored",
        value,
        2.2,
    )


def draws(subject: Subject, a: Parameters, world: World) -> list[tuple[str, Tensor]]:
    """Draws of a normal factor at a world: an input of role ``sample``, and mean + sigma * noise."""
    found = [(i.name, world.inputs[i.name]) for i in subject.inputs if i.of in a.of and i.role == "sample"]
    law = a.law(world)
    if not isinstance(law, Normal):
        return found
    return [*found, ("noise", law.loc + law.scale * world.noise(tuple(law.loc.shape)))]


def _sampled(subject: Subject, text: str, a: Parameters, b: Parameters, lead: Callable[[World], int]) -> Iterator[Feature]:
    """log q(z|x) and log p(z) at the draw."""
    entries = [i for i in subject.inputs if i.of in a.of and i.role == "sample"]
    names = [i.name for i in entries]

    def part(place: int, of: Parameters, still: bool = False, cut: bool = False) -> Part:
        def value(world: World) -> Tensor:
            changed = {role: of.get(world, role).detach() for role in of.entries} if still else {}
            law = of.law(world, **changed)
            if law is None:
                raise ValueError(f"{of.factor} has no law here")
            draw = draws(subject, a, world)[place][1]
            draw = draw.detach() if cut else draw
            return rows_mean(law.log_prob(draw), leading(entries[place], world) if place < len(entries) else lead(world))

        return value

    for place, name in enumerate([*names, "noise"]):
        first, second = f"log {a.factor} at {name}", f"log {b.factor} at {name}"
        yield Feature(
            first,
            text,
            "sampled",
            f"log {a.factor} at the draw",
            part(place, a),
            2.1,
            part(place, a, still=True),
            part(place, a, cut=True),
        )
        yield Feature(
            second, text, "sampled", f"log {b.factor} at the draw", part(place, b), 2.1, None, part(place, b, cut=True)
        )


def _discrete_pieces(text: str, a: Parameters, b: Parameters, lead: Callable[[World], int]) -> Iterator[Feature]:
    """sum q log q and -sum q log p, apart; q averaged over the batch first."""

    def entropy(world: World) -> Tensor:
        law = a.law(world)
        assert law is not None
        return -rows_mean(law.entropy(), lead(world))

    yield Feature(f"E log {a.factor}", text, "piece", "the negative entropy", entropy, 2.1)
    if a.family == "categorical":

        def mean_first(world: World) -> Tensor:
            shares = a.get(world, "logits").softmax(-1)
            mean = shares.flatten(0, -2).mean(0)
            return (mean * mean.log()).sum() + math.log(len(mean))

        def twice(world: World) -> Tensor:
            law = distributions.Categorical(logits=a.get(world, "logits").softmax(-1))
            return -rows_mean(law.entropy(), lead(world))

        def logs(world: World) -> Tensor:
            return rows_mean(a.get(world, "logits").log_softmax(-1), lead(world))

        yield Feature(
            "KL of the batch's mean",
            text,
            "aggregate",
            "the divergence is of the batch's mean, not row by row",
            mean_first,
            2.2,
        )
        yield Feature("softmax twice", text, "softmax twice", "softmax is taken twice", twice, 2.3)
        yield Feature(
            "sum of log q",
            text,
            "turned round",
            f"KL({b.factor}||{a.factor}) but for a constant: the arguments are turned round",
            logs,
            2.3,
        )
    else:

        def half(world: World) -> Tensor:
            shares = a.get(world, "logits").sigmoid()
            return rows_mean(shares * shares.log(), lead(world))

        yield Feature("q log q alone", text, "piece", "q log q without (1 - q) log (1 - q)", half, 2.3)

        def half_cross(world: World) -> Tensor:
            return rows_mean(
                a.get(world, "logits").sigmoid() * torch.nn.functional.logsigmoid(b.get(world, "logits")), lead(world)
            )

        if b.has("logits"):
            yield Feature("q log p alone", text, "piece", "q log p without (1 - q) log (1 - p)", half_cross, 2.3)

        def cross(world: World) -> Tensor:
            logits = b.get(world, "logits")
            return -rows_mean(a.get(world, "logits").sigmoid() * logits - torch.nn.functional.softplus(logits), lead(world))

        if b.has("logits"):
            yield Feature(f"-E log {b.factor}", text, "piece", "the cross-entropy to the prior", cross, 2.2)

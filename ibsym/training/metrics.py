"""Held-out numbers that do not come from the loss: accuracy, rate, distortion, evidence bound, critics' losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ibsym.nn.distributions import scored
from ibsym.nn.draws import Draws
from ibsym.nn.randomness import untouched
from ibsym.nn.samples import Rows
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import Spec
from ibsym.training.players import Players

COPIES = 4
CHUNK = 1000


@dataclass(frozen=True)
class Evidence:
    """-log model(x|...) <= rate + distortion: the latents' and the observed factors, under one sampling joint."""

    joint: str
    encoders: tuple[Factor, ...]
    priors: tuple[Factor, ...]
    decoders: tuple[Factor, ...]


@dataclass(frozen=True)
class Readout:
    """A categorical factor that reads a variable off the draws of a joint: observed, or drawn as a code."""

    factor: Factor
    joint: str
    observed: bool


def find_evidence(spec: Spec, built: set[str]) -> Evidence | None:
    """The first pair of a sampling joint and a model that decode what was encoded, with every density at hand."""
    for joint in spec.joints.values():
        observed = {v for f in joint.factors if f.empirical for v in f.of}
        if not observed or not joint.rooted:
            continue
        for model in spec.joints.values():
            found = _evidence(joint, observed, model, built)
            if found is not None:
                return found
    return None


def _evidence(joint: Joint, observed: set[str], model: Joint, built: set[str]) -> Evidence | None:
    if model is joint or any(f.empirical or f.components for f in model.factors):
        return None
    own = [f for f in joint.factors if not f.empirical]
    latents, encoded = {v for f in own for v in f.of}, {v for f in own for v in f.given} & observed
    parents = {v for f in model.factors for v in f.given}
    # An observed leaf that was not encoded (a label) is summed out of the model by leaving its factor away.
    kept = [f for f in model.factors if set(f.of) & (encoded | latents | parents)]
    priors, decoders = tuple(f for f in kept if f.of[0] in latents), tuple(f for f in kept if f.of[0] in encoded)
    named = {v for f in priors for v in f.of}
    encoders = tuple(f for f in own if set(f.of) <= named)
    closed = all(v in named | observed for f in kept for v in (*f.of, *f.given)) and len(priors) + len(decoders) == len(kept)
    if not (decoders and encoders and closed) or {v for f in encoders for v in f.of} != named:
        return None
    usable = all(
        f.family is not None and f.evaluated and scored(f.family) and f.family.facts.cell is None for f in (*encoders, *kept)
    )
    known = all(not f.learned or f.text in built for f in (*encoders, *kept))
    return Evidence(joint.name, encoders, priors, decoders) if usable and known else None


def find_readouts(spec: Spec, built: set[str]) -> tuple[Readout, ...]:
    """Classifiers that do not see their variable on the way."""
    found = []
    for factor in spec.factors.values():
        if factor.family is None or not factor.given or factor.text not in built:
            continue
        if factor.family.class_logits is None or not factor.learned:
            continue
        for joint in spec.joints.values():
            (variable,), scope = factor.of, {*factor.of, *factor.given}
            if not joint.rooted or not scope <= set(joint.by_variable) or factor in joint.factors:
                continue
            observed = joint.by_variable[variable].empirical
            if observed and any(
                variable in f.of or variable in f.given for f in joint.ancestral_factors(factor.given) if not f.empirical
            ):
                continue
            if joint.independent((variable,), factor.given):
                continue
            found.append(Readout(factor, joint.name, observed))
    return tuple(found)


class Meter:
    """Everything that is measured on held-out rows."""

    def __init__(self, players: Players, held_out: Mapping[str, Rows], batch: int):
        self.players, self.bank, self.held_out, self.batch = players, players.system.bank, held_out, batch
        built = set(self.bank.factors)
        self.evidence, self.readouts = find_evidence(players.spec, built), find_readouts(players.spec, built)

    def measure(self, seed: int) -> dict[str, dict[str, float]]:
        """Terms, critics' losses and metrics; the noise is the same at every call, and the caller's random state untouched."""
        with untouched(), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            torch.manual_seed(seed)
            terms = self.terms()
            metrics = self.accuracies()
            if self.evidence is not None:
                rate, distortion = (sum(part) for part in zip(*self.bounds(self.evidence), strict=True))
                metrics |= {"rate": rate, "distortion": distortion, "evidence bound": -rate - distortion}
            return {**terms, "metrics": metrics}

    def terms(self) -> dict[str, dict[str, float]]:
        """The loss, its terms and the critics' losses, averaged over batches of the size that is trained with."""
        total: dict[str, dict[str, float]] = {"loss": {}, "terms": {}, "critics": {}}
        chunks = list(self.chunks(self.batch, whole=True))
        for chunk in chunks:
            draws = Draws(self.bank, chunk)
            loss, terms = self.players.wiring.evaluate(draws)
            critics = {name: self.players.wiring.critic_loss(name, draws) for name in self.players.loss.CRITICS}
            for group, numbers in (("loss", {"loss": loss}), ("terms", terms), ("critics", critics)):
                for name, number in numbers.items():
                    total[group][name] = total[group].get(name, 0.0) + float(number) / len(chunks)
        return total

    def chunks(self, size: int, *, whole: bool = False) -> Iterator[dict[str, Rows]]:
        """The held-out rows in pieces; ``whole`` leaves out a last one that is short, unless it is the only one."""
        length = min(len(v.code) for rows in self.held_out.values() for v in rows.values())
        for start in range(0, length, size):
            if whole and start and start + size > length:
                return
            piece = slice(start, min(start + size, length))
            yield {name: {v: x.take(piece) for v, x in rows.items()} for name, rows in self.held_out.items()}

    def accuracies(self) -> dict[str, float]:
        """How often the likeliest class is the right one, without noise in the code."""
        found: dict[str, float] = {}
        for readout in self.readouts:
            right = rows = 0
            for chunk in self.chunks(CHUNK):
                draws = Draws(self.bank, chunk, mode="typical" if readout.observed else "exact")
                law = draws.law(readout.factor, readout.joint)
                assert isinstance(law, torch.distributions.Independent)
                logits = law.base_dist.logits
                truth = draws.value(readout.joint, readout.factor.of[0]).index
                assert truth is not None
                right += int((logits.argmax(-1) == truth).sum())
                rows += truth.numel()
            name = "accuracy" if readout.observed else f"accuracy of {readout.factor}"
            found.setdefault(name, right / rows)
        return found

    def bounds(self, evidence: Evidence) -> Iterator[tuple[float, float]]:
        """Rate and distortion of equal shares of the held-out rows, sampled: log-densities of exact draws, no closed form assumed."""
        rows = min(len(v.code) for source in self.held_out.values() for v in source.values())
        for chunk in self.chunks(CHUNK):
            draws = Draws(self.bank, chunk, mode="exact", copies=COPIES)
            share = draws.rows(evidence.joint) / rows

            def log(factors: tuple[Factor, ...], draws: Draws = draws) -> float:
                return sum(float(draws.log_prob(f, evidence.joint).mean()) for f in factors)

            yield (log(evidence.encoders) - log(evidence.priors)) * share, -log(evidence.decoders) * share

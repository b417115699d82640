"""x -> codes -> x': which factors of a spec encode an image, which are the entropy model, which one decodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ibsym.coding.container import CodeError
from ibsym.coding.fixed import FRACTION, SCALE, WEIGHT, Network, Whole, whole
from ibsym.coding.tables import Bits, Classes, Entropy, Even, Grid, Prior
from ibsym.families.facts import FAMILIES, Constraint, FamilyFacts, Role
from ibsym.nn.bank import Bank
from ibsym.nn.distributions import number
from ibsym.nn.own import OwnFactor
from ibsym.nn.samples import Value
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import Spec

LINE = {"Normal": "normal", "Laplace": "laplace", "Logistic": "logistic"}
"""Distributions on the real line that there are tables of."""
PICTURES = ("real", "unit", "binary", "positive", "count")


@dataclass(frozen=True)
class Layout:
    """The image variable of a source, the joint that encodes it, entropy models in the order of decoding, and the decoder."""

    source: str
    image: str
    joint: str
    encoders: tuple[Factor, ...]
    priors: tuple[Factor, ...]
    decoder: Factor


def layout(spec: Spec) -> Layout:
    """The first pair of a joint that encodes what is observed and a model that decodes it; else what is in the way."""
    reasons: list[str] = []
    for joint in spec.joints.values():
        for model in spec.joints.values():
            found = _paired(spec, joint, model, reasons)
            if found is not None:
                return found
    why = reasons[0] if reasons else "nothing observed is encoded and decoded"
    raise CodeError(
        f'{spec.name} does not compress: {why}\n  write: encoders "uniform-noise" (real), "bernoulli" (binary) or "categorical"'
    )


def _paired(spec: Spec, joint: Joint, model: Joint, reasons: list[str]) -> Layout | None:
    """The layout of a pair, or why it has none; a pair that is of another kind altogether says nothing."""
    sources = [f for f in joint.factors if f.empirical]
    if model is joint or len(sources) != 1 or any(f.empirical or f.components for f in model.factors):
        return None
    (source,) = sources
    decoders = [f for f in model.factors if set(f.of) & set(source.of)]
    if len(decoders) != 1 or not decoders[0].given or not model.rooted:
        return None
    (decoder,) = decoders
    latents = model.ancestral_factors(decoder.given)
    codes = {v for f in latents for v in f.of}
    encoders = tuple(joint.by_variable[v] for v in spec.ordered(codes) if v in joint.by_variable)
    if len(encoders) < len(codes):
        return None
    reasons += _faults(spec, source, encoders, latents)
    if reasons:
        return None
    return Layout(source.head, source.of[0], joint.name, encoders, tuple(_in_order(latents)), decoder)


def _faults(spec: Spec, source: Factor, encoders: tuple[Factor, ...], priors: Iterable[Factor]) -> Iterator[str]:
    if len(source.of) != 1 or spec.variables[source.of[0]].kind not in PICTURES:
        yield f"{source} is not one image"
    for factor in encoders:
        if factor.family is None or not symbolic(factor.family.facts, spec.variables[factor.of[0]].kind):
            yield f"{factor} is {_name(factor)}, whose draws are not symbols"
    for factor in priors:
        kind = spec.variables[factor.of[0]].kind
        if factor.family is None or not tabled(factor.family.facts, kind):
            known = ", ".join(f.name for f in FAMILIES.values() if tabled(f, kind)) or "none"
            yield f"{factor} is {_name(factor)}, which no table is made of; known are {known}"


def _name(factor: Factor) -> str:
    return factor.family.name if factor.family is not None else "a mixture"


def line(facts: FamilyFacts) -> str | None:
    """The tables of a law on the real line."""
    return None if facts.draws is None else LINE.get(facts.draws.distribution)


def tabled(facts: FamilyFacts, kind: str) -> bool:
    """Whether a table is made of a law: of one on the real line, of bits, of classes."""
    if kind not in facts.spaces or kind not in ("real", "binary", "categorical"):
        return False
    draws = facts.drawn_on(kind)
    return line(facts) is not None if kind == "real" else draws is not None and "logits" in draws.arguments


def symbolic(facts: FamilyFacts, kind: str) -> bool:
    """Whether draws stand for symbols: bits, classes, or codes with the noise of rounding."""
    return facts.cell is not None if kind == "real" else facts.learned and tabled(facts, kind)


def _in_order(factors: Iterable[Factor]) -> Iterator[Factor]:
    """Every factor after those of its conditioners, the same order in every process."""
    left, done = sorted(factors, key=lambda f: f.text), set[str]()
    while left:
        first = next(f for f in left if set(f.given) <= done)
        left.remove(first)
        done |= set(first.of)
        yield first


def cell(encoder: Factor) -> float:
    """The width of a symbol's cell on the real line."""
    assert encoder.family is not None
    return 1.0 if encoder.family.facts.cell is None else number(encoder.family, encoder.family.facts.cell)


@dataclass(frozen=True)
class Space:
    """Where a code variable lives: kind, axes, and the width of a symbol's cell on the real line."""

    kind: str
    event: tuple[int, ...]
    width: float

    @property
    def symbols(self) -> int:
        """How many symbols one value has."""
        return int(np.prod(self.event[:-1] if self.kind == "categorical" else self.event, dtype=np.int64))

    def value(self, codes: Whole, like: torch.Tensor) -> Value:
        """Symbols as a network of floating point sees them."""
        if self.kind == "categorical":
            index = torch.from_numpy(codes).reshape(len(codes), *self.event[:-1])
            return Value(torch.nn.functional.one_hot(index, self.event[-1]).to(like), len(self.event), index)
        return Value((torch.from_numpy(codes) * self.width).to(like).reshape(len(codes), *self.event), len(self.event))

    def whole(self, codes: Whole) -> Whole:
        """Symbols as an entropy model's network sees them, in multiples of 2^-12."""
        if self.kind == "categorical":
            codes = np.eye(self.event[-1], dtype=np.int64)[codes].reshape(len(codes), -1)
        return codes * round(self.width * (1 << WEIGHT)) >> WEIGHT - FRACTION


def prior(bank: Bank, factor: Factor, space: Space) -> Prior:
    """A factor's entropy model in whole numbers."""
    assert factor.family is not None
    roles, event = factor.family.roles, space.event
    sizes = tuple(int(np.prod(role.shape(event, 0), dtype=np.int64)) for role in roles)
    own = isinstance(bank.factors.get(factor.text), OwnFactor)
    network = None
    if not factor.learned:
        sizes = (space.symbols,)
        free = np.zeros(sizes, np.int64)
    elif factor.given:
        free = np.zeros(0, np.int64)
        made = bank.network(factor)
        body = made.function if own else made.body
        if not isinstance(body, torch.nn.Module) or (own and len(factor.given) > 1):
            raise CodeError(
                f"{factor}: its network is not one that whole numbers can stand for\n"
                "  write: a torch.nn.Sequential of Linear and ReLU, of one variable"
            )
        network = Network.of(body, factor.text)
    elif own:
        with torch.no_grad():
            parts = bank.parameters_of(factor, [])
        free = whole(torch.cat([parts[r.name].flatten() for r in roles]), FRACTION, factor.text)
    else:
        free = whole(bank.network(factor).free, FRACTION, factor.text)
    return Prior(factor.of[0], factor.given, network, free, sizes, _entropy(factor, space, own=own))


def _entropy(factor: Factor, space: Space, *, own: bool) -> Entropy:
    assert factor.family is not None
    law = line(factor.family.facts) if space.kind == "real" else None
    if law is None:
        classes = space.event[-1] if space.kind == "categorical" else 2
        if not factor.learned:
            return Even(classes, space.symbols)
        return Classes(classes) if space.kind == "categorical" else Bits()
    scale = next((r for r in factor.family.roles if r.name in ("logvar", "scale")), None)
    option = factor.family.option("scale")
    fixed = round((1 << SCALE) / option) if isinstance(option, int | float) else 1 << SCALE
    return Grid(law, round(space.width * (1 << WEIGHT)), _inverse(scale, own), fixed)


def _inverse(scale: Role | None, own: bool) -> str:
    """How one over the scale is had from what a network puts out: a user's is the parameter, a default one's is brought into its domain."""
    match scale.constraint if scale is not None else None:
        case None:
            return "number"
        case Constraint.LOGARITHM:
            return "logvar" if own else "logarithm"
        case _:
            return "scale" if own else "positive"

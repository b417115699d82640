"""Every dimension's size from one batch: what is observed, then what the networks return, then a default that is said."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch

from ibsym.nn.batches import Batch, Unsized, by_source, value_of
from ibsym.nn.callables import as_before
from ibsym.nn.draws import Draws, ancestors
from ibsym.nn.own import Own
from ibsym.nn.samples import Rows
from ibsym.nn.sizes import default_size, dimensions, quantised
from ibsym.nn.wiring import Wiring
from ibsym.spec.graphs import Factor, Joint

ROWS = 16  # of a batch are enough to see what a network returns
LOG = logging.getLogger("ibsym")


def learn_sizes(wiring: Wiring, batch: Batch) -> None:
    """Calls each of the user's networks once, without a trace: no gradient, running averages and random state as before."""
    bank = wiring.bank
    with torch.no_grad(), as_before(list(bank.networks.values())):
        learner = _Learner(wiring, batch)
        while not learner.done():
            if not learner.progress():
                learner.assume()


class _Learner:
    def __init__(self, wiring: Wiring, batch: Batch):
        self.wiring, self.bank, self.spec, self.sizes = wiring, wiring.bank, wiring.spec, wiring.bank.sizes
        self.tensors = by_source(self.spec, batch)
        given = [len(t) for part in self.tensors.values() for t in part.values() if isinstance(t, torch.Tensor) and t.dim()]
        self.number = max(1, min([ROWS, *given]))
        learned = [f for factors in wiring.factors.values() for f in factors]
        extra = [f for text, f in self.spec.factors.items() if text in self.bank.factors]
        self.waiting = list(dict.fromkeys([*learned, *extra]))
        self.ready: set[Factor] = set()
        self.least: dict[str, int] = {}

    def rows(self) -> dict[str, Rows]:
        """What is observed, as far as its sizes are known."""
        found: dict[str, Rows] = {}
        for head, tensors in self.tensors.items():
            source = self.spec.sources[head]
            for variable, tensor in tensors.items():
                try:
                    value = value_of(source, variable, tensor, self.sizes, self.bank.like)
                except Unsized as error:
                    self.least[error.dimension] = max(error.least, self.least.get(error.dimension, 2))
                else:
                    found.setdefault(head, {})[variable] = value.take(slice(ROWS))
        return found

    def done(self) -> bool:
        """Whether every network was called or can be made, and every dimension is known."""
        self.rows()
        return not self.waiting and not self.unknown()

    def unknown(self) -> list[str]:
        """The dimensions that are not known, of variables that the loss has anything to do with."""
        known = self.sizes.known
        return [d for d in dimensions(self.spec) if d not in known]

    def progress(self) -> bool:
        """Whether any network could be called or left to its default."""
        rows = self.rows()
        before = (len(self.waiting), len(self.sizes.known))
        for factor in list(self.waiting):
            if factor.text in self.bank.factors:
                if self.called(factor, rows):
                    self.settle(factor)
            elif all(self.sizes.whole(v) for v in (*factor.of, *factor.given)) and self.counted(factor):
                self.bank.add_factor(factor)
                self.settle(factor)
        return before != (len(self.waiting), len(self.sizes.known))

    def settle(self, factor: Factor) -> None:
        """A factor that can be drawn from and evaluated."""
        self.waiting.remove(factor)
        self.ready.add(factor)

    def counted(self, factor: Factor) -> bool:
        """Whether the number of components or features is known, where a family has some."""
        assert factor.family is not None
        lengths = [
            f.family.length for f in (factor, *(quantised(self.spec, v) for v in factor.given)) if f is not None and f.family
        ]
        return all(n is None or self.sizes.size(n) is not None for n in lengths)

    def called(self, factor: Factor, rows: Mapping[str, Rows]) -> bool:
        """Whether the factor's network could be called under some joint."""
        joint = next((j for j in self.spec.joints.values() if self.reaches(j, factor, rows)), None)
        if factor.given and joint is None:
            return False
        draws = Draws(self.bank, rows, rows=self.number)
        given = [draws.value(joint.name, v) for v in factor.given] if joint is not None else []
        number = draws.rows(joint.name) if joint is not None else self.number
        assert factor.family is not None
        network = self.bank.factors[factor.text]
        assert isinstance(network, Own)
        if factor.family.outside:
            self.bank.law(factor, given, number)
        elif factor.family.sampler:
            self.bank.sample(factor, given, number, "relaxed")
        else:
            self.bank.parameters_of(factor, given)
        return True

    def reaches(self, joint: Joint, factor: Factor, rows: Mapping[str, Rows]) -> bool:
        """Whether the factor's conditioners can be drawn under the joint by what is known."""
        if not factor.given or not joint.rooted or not set(factor.given) <= set(joint.by_variable):
            return False
        for above in ancestors(self.spec, joint.name, factor.given):
            if above.empirical:
                if not all(
                    v in rows.get(above.head, {}) for v in above.of if v in factor.given or self.feeds(joint, v, factor)
                ):
                    return False
            elif (above.learned and above not in self.ready) or not all(self.sizes.whole(v) for v in above.of):
                return False
        return True

    def feeds(self, joint: Joint, variable: str, factor: Factor) -> bool:
        """Whether a draw of the factor's conditioners looks at a variable."""
        return any(variable in f.given for f in joint.ancestral_factors(factor.given))

    def assume(self) -> None:
        """The default of the first dimension that nothing says; classes as many as were seen."""
        for dimension in self.unknown():
            size = self.least.get(dimension) or default_size(self.spec, dimension)
            why = "the classes of the first batch" if dimension in self.least else "the default"
            LOG.warning("%s = %d, %s\n  write: sizes={'%s': ...} to set it", dimension, size, why, dimension)
            self.sizes.learn(dimension, size, why)
            return
        stuck = self.waiting[0]
        raise self.bank.unreachable(stuck)

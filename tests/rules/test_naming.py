"""Under which name a gap is dropped and an expression rearranged: a table, since naming a rule is data."""

from __future__ import annotations

import pytest

from ibsym.facts import Side
from ibsym.rules.catalogue import RULES, dropping, rearrangement
from ibsym.spec.spaces import Space
from ibsym.terms.measures import CrossEntropy, Density, Entropy, ExpectedLog, MutualInformation, RelativeEntropy, Term
from ibsym.terms.premises import Discrete, Independent, Irrelevant, Nonnegative, Premise, SharedFactor

Q, P, CODE, PRIOR = Density("q", ("z",)), Density("p", ("z",)), Density("q", ("z",), ("x",)), Density("p", ("z",), ("x",))
INFORMATION = MutualInformation("q", (("x",), ("z",)))
MARGINAL, POSTERIOR = RelativeEntropy(Q, (P,)), RelativeEntropy(CODE, (PRIOR,))
OTHER = RelativeEntropy(Density("q", ("c",)), (Density("p", ("c",)),))


@pytest.mark.parametrize(
    ("side", "term", "gap", "name"),
    [
        (Side.UPPER, INFORMATION, MARGINAL, "variational rate bound"),
        (Side.LOWER, INFORMATION, MARGINAL, "variational decoder bound"),
        (Side.LOWER, INFORMATION, POSTERIOR, "variational decoder bound"),
        (Side.UPPER, INFORMATION, OTHER, "relative entropy dropped"),
        (Side.LOWER, INFORMATION, OTHER, "relative entropy dropped"),
        (Side.UPPER, MARGINAL, POSTERIOR, "evidence lower bound"),
        (Side.UPPER, CrossEntropy(Q, (P,)), POSTERIOR, "evidence lower bound"),
        (Side.LOWER, ExpectedLog("q", (P,)), POSTERIOR, "evidence lower bound"),
        (Side.UPPER, MARGINAL, OTHER, "relative entropy dropped"),
        (Side.UPPER, Entropy("q", ("z",)), POSTERIOR, "relative entropy dropped"),
        (Side.UPPER, INFORMATION, INFORMATION, "mutual information dropped"),
        (Side.UPPER, INFORMATION, Entropy("q", ("z",)), "entropy dropped"),
        (Side.UPPER, INFORMATION, CrossEntropy(Q, (P,)), "cross-entropy dropped"),
    ],
)
def test_dropping(side: Side, term: Term, gap: Term, name: str) -> None:
    assert dropping(side, term, gap).name == name


APART, SHARED = Independent(("c",), ("z",), ("x",), "q"), SharedFactor(CODE, "u")


@pytest.mark.parametrize(
    ("premises", "name"),
    [
        ((), "chain rule"),
        ((SHARED,), "shared factor"),
        ((APART,), "conditional independence"),
        ((SHARED, APART), "conditional independence"),
        ((SHARED, SharedFactor(CODE, "q")), "shared factor"),
    ],
)
def test_rearrangement(premises: tuple[Premise, ...], name: str) -> None:
    assert rearrangement(premises).name == name


def test_what_a_rule_rests_on() -> None:
    every: tuple[Premise, ...] = (
        APART,
        SHARED,
        Irrelevant(CODE, ("c",)),
        Nonnegative(MARGINAL),
        Discrete("x", Space("binary", ("D",))),
    )
    for rule in RULES.values():
        for premise in every:
            assert rule.rests_on((premise,)) is (
                isinstance(premise, (*rule.needs, *rule.allows)) and all(isinstance(premise, kind) for kind in rule.needs)
            )
        assert rule.rests_on(()) is not bool(rule.needs)


def test_equal_laws_change_one_term_into_another_of_its_kind() -> None:
    rule = RULES["equal laws"]
    assert rule.fits([Entropy("q", ("z",)), Entropy("p", ("z",))])
    assert not rule.fits([Entropy("q", ("z",))])
    assert not rule.fits([Entropy("q", ("z",)), INFORMATION])

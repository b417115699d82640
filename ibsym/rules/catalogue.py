"""The rules that a derivation is told in. A rule is a value that prints itself and carries an example that is checked by number.

The example is a claim in the language of :mod:`ibsym.spec.grammar` over the worlds of :data:`EXAMPLE`: three variables,
an inference joint q in which C - X - Z, a generative joint p, a backward encoder b.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import UnionType
from typing import get_args

from ibsym.facts import Relation, Side
from ibsym.terms.measures import CrossEntropy, Entropy, ExpectedLog, MutualInformation, RelativeEntropy, Term, TotalCorrelation
from ibsym.terms.premises import Discrete, Independent, Irrelevant, Nonnegative, Premise, SharedFactor

EXAMPLE: dict[str, object] = {
    "name": "example",
    "objective": "minimize I_q(X;Z)",
    "variables": {"x": "binary[D]", "c": "categorical[K]", "z": "categorical[M]"},
    "joints": {"q": "data(x,c) q(z|x)", "u": "unlabelled(x) q(z|x)", "p": "p(z) p(x|z) p(c|z)", "b": "b(z|c)"},
    "families": {
        "unlabelled(x)": "empirical",
        "q(z|x)": "categorical",
        "p(z)": "categorical",
        "p(x|z)": "bernoulli",
        "p(c|z)": "categorical",
        "b(z|c)": "categorical",
    },
}


@dataclass(frozen=True, slots=True)
class Drop:
    """Where a textbook drops ``0 <= gap`` under a rule's name: the kind of gap, the kinds of term bounded, from which side."""

    gap: type[Term]
    terms: tuple[type[Term], ...] = ()
    side: Side | None = None
    when: Callable[[Term, Term], bool] = lambda term, gap: True

    def matches(self, side: Side, term: Term, gap: Term) -> bool:
        """Whether dropping ``gap`` from ``term`` on this side goes by the name."""
        kind = isinstance(gap, self.gap) and (not self.terms or isinstance(term, self.terms))
        return kind and self.side in (None, side) and self.when(term, gap)


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be rewritten. ``name``: a noun. ``statement``: the rule as LaTeX. ``example``: a claim that shows it.

    ``changes``: the kinds of term whose coefficients a step by this rule changes, one of each; ``among``: those that it may change
    besides, ``fit``: what is required of all of them together. ``needs``: the kinds of premise without which it is not this rule;
    ``allows``: those that it may rest on besides. ``drop``: what it drops, for an inequality.
    """

    name: str
    relation: Relation
    statement: str
    sources: tuple[str, ...]
    example: str
    condition: str = ""
    changes: tuple[type[Term] | UnionType, ...] = ()
    among: tuple[type[Term], ...] = ()
    fit: Callable[[Collection[Term]], bool] = lambda changed: True
    needs: tuple[type[Premise], ...] = ()
    allows: tuple[type[Premise], ...] = ()
    drop: Drop | None = None

    def __str__(self) -> str:
        condition = f" [if {self.condition}]" if self.condition else ""
        return f"{self.name}: {self.example}{condition} ({'; '.join(self.sources)})"

    def matches(self, side: Side, term: Term, gap: Term) -> bool:
        """Whether dropping a non-negative gap from a term's bound on this side is this rule."""
        return self.drop is not None and self.drop.matches(side, term, gap)

    def fits(self, changed: Collection[Term]) -> bool:
        """Whether a step that changes the coefficients of these terms can be one by this rule."""
        every = all(any(isinstance(t, kind) for t in changed) for kind in self.changes)
        return every and all(isinstance(t, (*self.changes, *self.among)) for t in changed) and self.fit(changed)

    def rests_on(self, premises: Collection[Premise]) -> bool:
        """Whether a step with these premises can be one by this rule."""
        needed = all(any(isinstance(p, kind) for p in premises) for kind in self.needs)
        return needed and all(isinstance(p, (*self.needs, *self.allows)) for p in premises)


COVER = "Cover & Thomas 2006"

RULES: dict[str, Rule] = {}


def _rule(
    name: str,
    relation: Relation,
    statement: str,
    sources: tuple[str, ...],
    example: str,
    condition: str = "",
    *,
    changes: tuple[type[Term] | UnionType, ...] = (),
    among: tuple[type[Term], ...] = (),
    fit: Callable[[Collection[Term]], bool] = lambda changed: True,
    needs: tuple[type[Premise], ...] = (),
    allows: tuple[type[Premise], ...] = (),
    drop: Drop | None = None,
) -> Rule:
    if name in RULES:
        raise ValueError(f"the rule {name!r} is declared twice")
    if drop is not None:
        changes, allows = (drop.gap,), (Nonnegative, *allows)
    rule = RULES[name] = Rule(name, relation, statement, sources, example, condition, changes, among, fit, needs, allows, drop)
    return rule


def rearrangement(premises: Collection[Premise]) -> Rule:
    """The rule by which equal expressions are rearranged, from what the equality rests on."""
    return next(r for r in (chain_rule, shared_factor, conditional_independence) if r.rests_on(premises))


def dropping(side: Side, term: Term, gap: Term) -> Rule:
    """The rule under which a textbook drops a gap from a term's bound: the first that matches, special ones first."""
    return next(r for r in RULES.values() if r.matches(side, term, gap))


SUMMANDS = (Entropy, CrossEntropy, ExpectedLog)
EQ, LE, GE, APPROX = Relation.EQ, Relation.LE, Relation.GE, Relation.APPROX

definition_of_mutual_information = _rule(
    "definition of mutual information",
    EQ,
    r"I(A;B|C) = H(B|C) - H(B|A,C)",
    (COVER,),
    "I_q(X;Z) = H_q(Z) - H_q(Z|X)",
    changes=(MutualInformation, Entropy),
)
definition_of_relative_entropy = _rule(
    "definition of relative entropy",
    EQ,
    r"D(j\|r) = -E_j[\log r] - H_j",
    (COVER,),
    "KL(q(z)||p(z)) = CE(q(z)||p(z)) - H_q(Z)",
    changes=(RelativeEntropy,),
    among=(CrossEntropy, Entropy),
)
definition_of_total_correlation = _rule(
    "definition of total correlation",
    EQ,
    r"TC(A_1;\dots;A_n) = \sum_i H(A_i) - H(A_1,\dots,A_n)",
    ("Watanabe 1960",),
    "TC_q(X;C;Z) = H_q(X) + H_q(C) + H_q(Z) - H_q(X,C,Z)",
    changes=(TotalCorrelation, Entropy),
)
insertion_of_a_model = _rule(
    "insertion of a model density",
    EQ,
    r"H_j(A|B) = -E_j[\log r(a|b)] - D(j(a|b)\|r(a|b))",
    (COVER,),
    "H_q(Z) = CE(q(z)||p(z)) - KL(q(z)||p(z))",
    changes=(RelativeEntropy, CrossEntropy),
    among=(Entropy,),
)
insertion_of_an_information = _rule(
    "insertion of a mutual information",
    EQ,
    r"H(B|C) = H(B|A,C) + I(A;B|C)",
    (COVER,),
    "H_q(Z|C) = H_q(Z|X,C) + I_q(X;Z|C)",
    changes=(MutualInformation,),
    among=(Entropy,),
)
insertion_of_a_total_correlation = _rule(
    "insertion of a total correlation",
    EQ,
    r"H(A_1,\dots,A_n) = \sum_i H(A_i) - TC(A_1;\dots;A_n)",
    ("Watanabe 1960",),
    "H_q(X,C,Z) = H_q(X) + H_q(C) + H_q(Z) - TC_q(X;C;Z)",
    changes=(TotalCorrelation,),
    among=(Entropy,),
)
chain_rule = _rule(
    "chain rule",
    EQ,
    r"r(a,b) = r(a)\,r(b|a) = r(b)\,r(a|b)",
    (COVER,),
    "E_q[log p(x)] + E_q[log p(z|x)] = E_q[log p(z)] + E_q[log p(x|z)]",
    among=SUMMANDS,
)
conditional_independence = _rule(
    "conditional independence",
    EQ,
    r"A - B - C \;\Rightarrow\; j(c|a,b) = j(c|b)",
    ("Pearl 1988",),
    "H_q(Z|X,C) = H_q(Z|X)",
    "C - X - Z in q",
    among=SUMMANDS,
    needs=(Independent,),
    allows=(SharedFactor,),
)
shared_factor = _rule(
    "shared factor",
    EQ,
    r"q(a|b) = u(a|b)",
    (COVER,),
    "E_u[log q(z|x)] = E_u[log u(z|x)]",
    "both joints use the factor",
    among=SUMMANDS,
    needs=(SharedFactor,),
)
equal_laws = _rule(
    "equal laws",
    EQ,
    r"j(a) = u(a)",
    (COVER,),
    "KL(data(x)||p(x)) = KL(q(x)||p(x))",
    "both joints are made of the same factors there",
    among=get_args(Term),
    fit=lambda changed: len(changed) == 2 and len(set(map(type, changed))) == 1,
    allows=(Independent, SharedFactor),
)
collection = _rule(
    "definition of relative entropy, collected",
    EQ,
    r"-E_j[\log r(a|c)] - H_j(A|B) = D(j(a|b)\|r(a|c))",
    (COVER,),
    "CE(q(z)||p(z)) - H_q(Z|X) = KL(q(z|x)||p(z))",
    changes=(RelativeEntropy | ExpectedLog, Entropy | CrossEntropy),
    allows=(Irrelevant, SharedFactor),
)


def _of_the_second_argument(term: Term, gap: Term) -> bool:
    """The gap is a relative entropy of the variables whose entropies make up the information."""
    assert isinstance(term, MutualInformation)
    assert isinstance(gap, RelativeEntropy)
    return frozenset(gap.first.of) == frozenset(term.groups[-1])


def _conditional(term: Term, gap: Term) -> bool:
    """The gap is a relative entropy of conditionals: of a posterior to a model's."""
    return isinstance(gap, RelativeEntropy) and bool(gap.first.given)


rate_bound = _rule(
    "variational rate bound",
    LE,
    r"I(A;B) \le E\,D(j(b|a)\|r(b))",
    ("Barber & Agakov 2003", "Alemi et al. 2017"),
    "I_q(X;Z) <= KL(q(z|x)||p(z))",
    drop=Drop(RelativeEntropy, (MutualInformation,), Side.UPPER, _of_the_second_argument),
)
decoder_bound = _rule(
    "variational decoder bound",
    GE,
    r"I(A;B) \ge H(B) + E[\log r(b|a)]",
    ("Barber & Agakov 2003",),
    "I_q(Z;C) >= H_q(C) + E_q[log p(c|z)]",
    drop=Drop(RelativeEntropy, (MutualInformation,), Side.LOWER, _of_the_second_argument),
)
evidence_bound = _rule(
    "evidence lower bound",
    LE,
    r"-E[\log r(x)] \le E\,D(j(z|x)\|r(z)) - E[\log r(x|z)]",
    ("Jordan et al. 1999", "Kingma & Welling 2014"),
    "CE(q(x)||p(x)) <= KL(q(z|x)||p(z)) - E_q[log p(x|z)]",
    drop=Drop(RelativeEntropy, (RelativeEntropy, CrossEntropy, ExpectedLog), when=_conditional),
)
relative_entropy_dropped = _rule(
    "relative entropy dropped",
    GE,
    r"D(j\|r) \ge 0",
    ("Gibbs; " + COVER,),
    "KL(q(z)||p(z)) >= 0*H_q(Z)",
    drop=Drop(RelativeEntropy),
)
conditioning = _rule(
    "conditioning reduces entropy",
    LE,
    r"H(A|B,C) \le H(A|C)",
    (COVER,),
    "H_q(Z|X) <= H_q(Z)",
    drop=Drop(MutualInformation, (Entropy,)),
)
information_dropped = _rule(
    "mutual information dropped",
    GE,
    r"I(A;B|C) \ge 0",
    (COVER,),
    "I_q(X;Z|C) >= 0*H_q(Z)",
    drop=Drop(MutualInformation),
)
entropy_dropped = _rule(
    "entropy dropped", GE, r"H(A|B) \ge 0", (COVER,), "H_q(X|Z) >= 0*H_q(Z)", "A discrete", drop=Drop(Entropy)
)
cross_entropy_dropped = _rule(
    "cross-entropy dropped",
    GE,
    r"-E_j[\log r(a)] \ge 0",
    (COVER,),
    "CE(q(x)||p(x)) >= 0*H_q(Z)",
    "A discrete",
    allows=(Discrete,),
    drop=Drop(CrossEntropy),
)
expansion_of_entropy = _rule(
    "entropy through a model",
    EQ,
    r"H_j(A) = -E_j[\log r(a)] - D(j(a)\|r(a))",
    ("Voloshynovskiy et al. 2019",),
    "H_q(X) = CE(q(x)||p(x)) - KL(q(x)||p(x))",
    changes=(Entropy, CrossEntropy),
    among=(RelativeEntropy,),
)


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A step that changes what carries the gradient, and no term. ``known``: what is known of it."""

    name: str
    statement: str
    sources: tuple[str, ...]
    known: str


RELAXATION = Surrogate(
    "relaxation",
    r"E_{j(a|b)}[f(a)] \approx E[f(\tilde a)]",
    ("Bengio et al. 2013", "Jang et al. 2017; Maddison et al. 2017"),
    "surrogate: discrete draws carry no gradient, relaxed ones do",
)
CODEBOOK = Surrogate(
    "codebook",
    r"\|\mathrm{sg}[\mathrm{code}] - e\|^2",
    ("van den Oord et al. 2017",),
    "surrogate: moves the vectors that were chosen towards the codes",
)
COMMITMENT = Surrogate(
    "commitment",
    r"\|\mathrm{code} - \mathrm{sg}[e]\|^2",
    ("van den Oord et al. 2017",),
    "surrogate: keeps the codes near the vectors that they chose",
)
SURROGATES = {s.name: s for s in (RELAXATION, CODEBOOK, COMMITMENT)}

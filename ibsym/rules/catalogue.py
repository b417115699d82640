"""The rules that a derivation is told in. A rule is a value that prints itself and carries an example that is checked by number.

The example is a claim in the language of :mod:`ibsym.spec.grammar` over the worlds of :data:`EXAMPLE`: three variables,
an inference joint q in which C - X - Z, a generative joint p, a backward encoder b.
"""

from __future__ import annotations

from dataclasses import dataclass

from ibsym.facts import Relation, Side

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
class Rule:
    """``name``: a noun. ``statement``: the rule as LaTeX. ``example``: a claim that shows it. ``closable``: see MATHS of the docs."""

    name: str
    relation: Relation
    statement: str
    sources: tuple[str, ...]
    example: str
    condition: str = ""

    def __str__(self) -> str:
        condition = f" [if {self.condition}]" if self.condition else ""
        return f"{self.name}: {self.example}{condition} ({'; '.join(self.sources)})"


COVER = "Cover & Thomas 2006"

RULES: dict[str, Rule] = {}


def _rule(name: str, relation: Relation, statement: str, sources: tuple[str, ...], example: str, condition: str = "") -> Rule:
    if name in RULES:
        raise ValueError(f"the rule {name!r} is declared twice")
    rule = RULES[name] = Rule(name, relation, statement, sources, example, condition)
    return rule


EQ, LE, GE, APPROX = Relation.EQ, Relation.LE, Relation.GE, Relation.APPROX

definition_of_mutual_information = _rule(
    "definition of mutual information", EQ, r"I(A;B|C) = H(B|C) - H(B|A,C)", (COVER,), "I_q(X;Z) = H_q(Z) - H_q(Z|X)"
)
definition_of_relative_entropy = _rule(
    "definition of relative entropy", EQ, r"D(j\|r) = -E_j[\log r] - H_j", (COVER,), "KL(q(z)||p(z)) = CE(q(z)||p(z)) - H_q(Z)"
)
definition_of_total_correlation = _rule(
    "definition of total correlation",
    EQ,
    r"TC(A_1;\dots;A_n) = \sum_i H(A_i) - H(A_1,\dots,A_n)",
    ("Watanabe 1960",),
    "TC_q(X;C;Z) = H_q(X) + H_q(C) + H_q(Z) - H_q(X,C,Z)",
)
insertion_of_a_model = _rule(
    "insertion of a model density",
    EQ,
    r"H_j(A|B) = -E_j[\log r(a|b)] - D(j(a|b)\|r(a|b))",
    (COVER,),
    "H_q(Z) = CE(q(z)||p(z)) - KL(q(z)||p(z))",
)
insertion_of_an_information = _rule(
    "insertion of a mutual information", EQ, r"H(B|C) = H(B|A,C) + I(A;B|C)", (COVER,), "H_q(Z|C) = H_q(Z|X,C) + I_q(X;Z|C)"
)
chain_rule = _rule(
    "chain rule",
    EQ,
    r"r(a,b) = r(a)\,r(b|a) = r(b)\,r(a|b)",
    (COVER,),
    "E_q[log p(x)] + E_q[log p(z|x)] = E_q[log p(z)] + E_q[log p(x|z)]",
)
conditional_independence = _rule(
    "conditional independence",
    EQ,
    r"A - B - C \;\Rightarrow\; j(c|a,b) = j(c|b)",
    ("Pearl 1988",),
    "H_q(Z|X,C) = H_q(Z|X)",
    "C - X - Z in q",
)
shared_factor = _rule(
    "shared factor", EQ, r"q(a|b) = u(a|b)", (COVER,), "E_u[log q(z|x)] = E_u[log u(z|x)]", "both joints use the factor"
)
equal_laws = _rule(
    "equal laws",
    EQ,
    r"j(a) = u(a)",
    (COVER,),
    "KL(data(x)||p(x)) = KL(q(x)||p(x))",
    "both joints are made of the same factors there",
)
collection = _rule(
    "definition of relative entropy, collected",
    EQ,
    r"-E_j[\log r(a|c)] - H_j(A|B) = D(j(a|b)\|r(a|c))",
    (COVER,),
    "CE(q(z)||p(z)) - H_q(Z|X) = KL(q(z|x)||p(z))",
)
relative_entropy_dropped = _rule(
    "relative entropy dropped", GE, r"D(j\|r) \ge 0", ("Gibbs; " + COVER,), "KL(q(z)||p(z)) >= 0*H_q(Z)"
)
rate_bound = _rule(
    "variational rate bound",
    LE,
    r"I(A;B) \le E\,D(j(b|a)\|r(b))",
    ("Barber & Agakov 2003", "Alemi et al. 2017"),
    "I_q(X;Z) <= KL(q(z|x)||p(z))",
)
decoder_bound = _rule(
    "variational decoder bound",
    GE,
    r"I(A;B) \ge H(B) + E[\log r(b|a)]",
    ("Barber & Agakov 2003",),
    "I_q(Z;C) >= H_q(C) + E_q[log p(c|z)]",
)
evidence_bound = _rule(
    "evidence lower bound",
    LE,
    r"-E[\log r(x)] \le E\,D(j(z|x)\|r(z)) - E[\log r(x|z)]",
    ("Jordan et al. 1999", "Kingma & Welling 2014"),
    "CE(q(x)||p(x)) <= KL(q(z|x)||p(z)) - E_q[log p(x|z)]",
)
information_dropped = _rule("mutual information dropped", GE, r"I(A;B|C) \ge 0", (COVER,), "I_q(X;Z|C) >= 0*H_q(Z)")
entropy_dropped = _rule("entropy dropped", GE, r"H(A|B) \ge 0", (COVER,), "H_q(X|Z) >= 0*H_q(Z)", "A discrete")
cross_entropy_dropped = _rule(
    "cross-entropy dropped", GE, r"-E_j[\log r(a)] \ge 0", (COVER,), "CE(q(x)||p(x)) >= 0*H_q(Z)", "A discrete"
)
expansion_of_entropy = _rule(
    "entropy through a model",
    EQ,
    r"H_j(A) = -E_j[\log r(a)] - D(j(a)\|r(a))",
    ("Voloshynovskiy et al. 2019",),
    "H_q(X) = CE(q(x)||p(x)) - KL(q(x)||p(x))",
)


@dataclass(frozen=True, slots=True)
class EstimatorRule:
    """An estimator as a step: ``~`` unless it is a one-sided bound used on its ``side``. ``known``: what is known of its value."""

    name: str
    statement: str
    sources: tuple[str, ...]
    known: str
    side: Side | None = None


RELAXATION = EstimatorRule(
    "relaxation",
    r"E_{j(a|b)}[f(a)] \approx E[f(\tilde a)]",
    ("Bengio et al. 2013", "Jang et al. 2017; Maddison et al. 2017"),
    "surrogate: discrete draws carry no gradient, relaxed ones do",
)

ESTIMATOR_RULES: dict[str, EstimatorRule] = {
    r.name: r
    for r in (
        EstimatorRule(
            "density-ratio",
            r"D(P\|Q) \approx E_P[f],\; f \to \log P/Q",
            ("Sugiyama et al. 2012", "Mescheder et al. 2017"),
            "estimate, exact at the optimal critic",
        ),
        EstimatorRule(
            "dv",
            r"D(P\|Q) \approx E_P[f] - \log E_Q[e^f]",
            ("Donsker & Varadhan 1983", "Belghazi et al. 2018"),
            "estimate, biased upwards on minibatches: a lower bound with exact expectations only",
        ),
        EstimatorRule(
            "nwj",
            r"D(P\|Q) \ge 1 + E_P[f] - E_Q[e^f]",
            ("Nguyen, Wainwright & Jordan 2010",),
            "lower bound, exact at the optimal critic",
            side=Side.LOWER,
        ),
        EstimatorRule(
            "logistic",
            r"JS(P,Q) \ge \log 2 + \tfrac12 E_P[\log\sigma(f)] + \tfrac12 E_Q[\log\sigma(-f)]",
            ("Goodfellow et al. 2014", "Nowozin et al. 2016"),
            "lower bound, exact at the optimal critic",
            side=Side.LOWER,
        ),
        EstimatorRule(
            "dual",
            r"D_g(P\|Q) \ge E_P[g'(e^f)] - E_Q[e^f g'(e^f) - g(e^f)]",
            ("Nguyen, Wainwright & Jordan 2010", "Nowozin et al. 2016"),
            "lower bound, exact at the optimal critic",
            side=Side.LOWER,
        ),
        EstimatorRule(
            "mmd",
            r"D(P\|Q) \approx \mathrm{MMD}^2(P,Q)",
            ("Gretton et al. 2012", "Zhao et al. 2019"),
            "surrogate, zero iff equal",
        ),
        EstimatorRule(
            "sliced-wasserstein",
            r"D(P\|Q) \approx SW_2^2(P,Q)",
            ("Bonneel et al. 2015", "Kolouri et al. 2019"),
            "surrogate, zero iff equal",
        ),
        EstimatorRule(
            "minibatch-weighted",
            r"\log q(z_i) \approx \log \tfrac{1}{NM}\sum_j q(z_i|x_j)",
            ("Chen et al. 2018",),
            "biased estimate",
        ),
        EstimatorRule(
            "minibatch-stratified",
            r"\log q(z_i) \approx \log \sum_j w_{ij}\, q(z_i|x_j)",
            ("Chen et al. 2018",),
            "biased estimate",
        ),
        EstimatorRule(
            "batch-marginal",
            r"D(q(c)\|u(c)) \approx D(\hat q(c)\|\tfrac1B\sum_b u(c|z_b))",
            ("Springenberg 2016", "Voloshynovskiy et al. 2020"),
            "biased estimate, consistent in the batch size",
        ),
        EstimatorRule(
            "leave-one-out",
            r"I(A;B) \le E \log \frac{j(b_i|a_i)}{\frac{1}{K-1}\sum_{k\ne i} j(b_i|a_k)}",
            ("Poole et al. 2019",),
            "upper bound in expectation",
            side=Side.UPPER,
        ),
        EstimatorRule(
            "club",
            r"I(A;B) \le E\log j(b_i|a_i) - E \log j(b_k|a_i),\; k \ne i",
            ("Cheng et al. 2020",),
            "upper bound for the true conditional",
            side=Side.UPPER,
        ),
        EstimatorRule(
            "infonce",
            r"I(A;B) \ge E \log \frac{e^{f(a_i,b_i)}}{\frac1K\sum_k e^{f(a_i,b_k)}}",
            ("van den Oord et al. 2018",),
            "lower bound, at most log K",
            side=Side.LOWER,
        ),
        EstimatorRule(
            "iwae",
            r"E[\log p(x)] \ge E\log \tfrac1K \sum_k p(x,z_k)/q(z_k|x)",
            ("Burda et al. 2016",),
            "lower bound, tighter as K grows",
            side=Side.LOWER,
        ),
    )
}

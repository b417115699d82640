"""[Value of an estimator] -> [Node]: the words of a formula over the rows of a batch, as nodes of a program."""

from __future__ import annotations

from typing import cast

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import Edit, EmissionError
from ibsym.estimators.base import Estimator, Value
from ibsym.lowering import distances, importance, players, shares
from ibsym.lowering.pairs import conditional_pairs, divergences
from ibsym.lowering.players import density_of
from ibsym.lowering.program import (
    Diagonal,
    ExcludeDiagonal,
    Insert,
    LogPairShare,
    Node,
    OffDiagonalMean,
    OverDraws,
    QuantileDistance,
    Reduce,
    Setting,
    Size,
    Stratified,
)
from ibsym.lowering.section import Section
from ibsym.lowering.shares import Shares
from ibsym.lowering.terms import Estimated, mean, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.terms.measures import (
    CrossEntropy,
    Entropy,
    ExpectedLog,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    TotalCorrelation,
)

A, T = sympy.symbols("a t", real=True)


def estimated(section: Section, item: BoundTerm, estimator: Estimator, value: Value) -> Estimated:
    """The term by its estimator's formula."""
    words = Words(section, item, estimator)
    node = words.node(value.of(words))
    text = value.text
    if isinstance(plain(item), CrossEntropy):
        node, text = elementwise(-A, a=node), f"-{text}"
    comment = (f"{item.text} by {item.estimator}: {_named(text, item)}", *words.remarks)
    rows = None if value.why else section.sampling.rows(section.sampling.part(_sampler(item)))
    return Estimated(node, comment, rows=rows, why=value.why, note=_named(value.note, item))


def _named(text: str, item: BoundTerm) -> str:
    """A line in which names stand for what the term has of them."""
    for name, found in (("joint", _sampler(item)), ("density", density_of(item)), ("left_out", item.left_out)):
        text = text.replace(f"{{{name}}}", str(found))
    return text


def _sampler(item: BoundTerm) -> str:
    """The joint that the term is an expectation under."""
    match plain(item):
        case ExpectedLog(joint) | MutualInformation(joint) | TotalCorrelation(joint) | Entropy(joint):
            return joint
        case CrossEntropy(first) | RelativeEntropy(first) | JensenShannon(first) | FDivergence(_, first):
            return first.head
    raise refuse(item)


class Words:
    """The words of a value: what each gives is a symbol that stands for a node; between them is SymPy's arithmetic.

    ``axes`` is how many axes a table has after the columns j, of coordinates that are kept apart.
    """

    exp, log = sympy.exp, sympy.log

    def __init__(self, section: Section, item: BoundTerm, estimator: Estimator, axes: int = 0):
        self.section, self.item, self.axes = section, item, axes
        self.given = {o.name: o.default for o in estimator.options} | dict(item.options)
        self.nodes: dict[str, Node] = {}
        self.remarks: list[str] = []

    def node(self, value: sympy.Expr) -> Node:
        """What computes an expression over the symbols so far."""
        if isinstance(value, sympy.Symbol):
            return self.nodes[value.name]
        return elementwise(sympy.sympify(value), **self.nodes)

    def symbol(self, node: Node) -> sympy.Symbol:
        """What stands for a node in arithmetic."""
        name = f"v{len(self.nodes):03}"
        self.nodes[name] = node
        return sympy.Symbol(name, real=True)

    def conditional(self) -> sympy.Symbol:
        """log q(b_i|a_j)."""
        return self.symbol(conditional_pairs(self.section, self.item))

    def divergences(self) -> sympy.Symbol:
        """KL(q(b|a_i)||q(b|a_j))."""
        return self.symbol(divergences(self.section, self.item))

    def scores(self) -> sympy.Symbol:
        """An input: what a learned function says of every pair."""
        term = self.item.quantity
        if not isinstance(term, MutualInformation) or term.given or len(term.groups) != 2:
            raise refuse(self.item)
        return self.symbol(self.section.sampling.scores(self.item.text, term.joint))

    def pair_share(self) -> sympy.Symbol:
        """Of two inputs, the embeddings, and the term's temperature."""
        term, sampling = self.item.quantity, self.section.sampling
        if not isinstance(term, MutualInformation) or term.given or len(term.groups) != 2:
            raise refuse(self.item)
        if any(len(group) > 1 for group in term.groups):
            raise EmissionError(
                f"{self.item.text}: an inner product is of the embeddings of two variables\n"
                f'  write: estimators."{self.item.text}" = "infonce", whose scores are of any variables'
            )
        first, second = (sampling.embedding(term.joint, *group) for group in term.groups)
        scaled = elementwise(A / T, a=first, t=sampling.temperature(self.item.text, term.joint))
        return self.symbol(LogPairShare(scaled, second))

    def samples(self) -> tuple[sympy.Symbol, sympy.Symbol]:
        """Points of both arguments."""
        first, second = distances.samples(self.section, self.item)
        return self.symbol(first), self.symbol(second)

    def fitted(self) -> sympy.Symbol:
        """A step for each factor."""
        return self.symbol(players.fitted(self.section, self.item))

    def importance_weights(self) -> sympy.Symbol:
        """A step."""
        return self.symbol(importance.weights(self.section, self.item))

    def log_mean_of_draws(self, logs: sympy.Expr) -> sympy.Symbol:
        """Along the Monte-Carlo axis, where there is one."""
        return self.symbol(OverDraws("logmeanexp", self.node(logs)))

    def class_shares(self) -> tuple[Shares, Shares]:
        """Known by their logarithms, or counted."""
        found = shares.shares(self.section, self.item)
        if found.missing is not None:
            self.remarks.append(f"infinite where a class is missing from the batch of {found.missing}")
        return found.first, found.second

    def mean_log(self, own: Shares, others: Shares) -> sympy.Symbol:
        """A number."""
        return self.symbol(shares.mean_log(own, others))

    def own(self, table: sympy.Expr) -> sympy.Symbol:
        """The diagonal."""
        return self.symbol(Diagonal(self.node(table)))

    def others(self, table: sympy.Expr) -> sympy.Symbol:
        """-infinity on the diagonal."""
        return self.symbol(ExcludeDiagonal(self.node(table)))

    def log_sum_exp(self, table: sympy.Expr) -> sympy.Symbol:
        """Along the columns."""
        return self.symbol(Reduce("logsumexp", self.node(table), (-1 - self.axes,)))

    def mean_of_others(self, table: sympy.Expr) -> sympy.Symbol:
        """The mean off the diagonal."""
        return self.symbol(OffDiagonalMean(self.node(table)))

    def mean(self, values: sympy.Expr) -> sympy.Symbol:
        """The mean over everything."""
        return self.symbol(mean(self.node(values)))

    def rows(self, table: sympy.Expr) -> sympy.Symbol:
        """The number of columns."""
        return self.symbol(Size(self.node(table), (-1 - self.axes,)))

    coordinates = rows

    def size(self, number: object) -> sympy.Expr:
        """As it is, or a parameter by its name."""
        return self.symbol(Setting(number)) if isinstance(number, str) else sympy.Integer(int(str(number)))

    def stratified(self, table: sympy.Expr, number: object) -> sympy.Symbol:
        """The weights as a step."""
        if number is None:
            write = Edit(("estimators", self.item.text), {"estimator": self.item.estimator, "dataset_size": 60000})
            raise EmissionError(f"{self.item.estimator} needs the number of rows in the data set\n  write: {write}", (write,))
        pairs = self.node(table)
        total = Setting(number) if isinstance(number, str) else int(str(number))
        stratified = Stratified(Size(pairs, (-1 - self.axes,)), pairs, total)
        weights = self.section.let("log_weights", stratified, "log weights of the components j for row i (Chen et al. 2018)")
        for _ in range(self.axes):
            weights = Insert(weights, -1)
        return self.symbol(weights)

    def distances(self, first: sympy.Expr, second: sympy.Expr) -> sympy.Symbol:
        """A square for every pair."""
        return self.symbol(distances.squared(self.node(first), self.node(second)))

    def sorted_projections(self, points: sympy.Expr, other: sympy.Expr, number: object) -> tuple[sympy.Symbol, sympy.Symbol]:
        """On directions that the loss draws, or is given."""
        first, second = self.node(points), self.node(other)
        left, right = distances.sorted_projections(self.section, self.item, first, second, int(str(number)))
        return self.symbol(left), self.symbol(right)

    def quantile_distance(self, first: sympy.Expr, second: sympy.Expr) -> sympy.Symbol:
        """Of two sorted samples."""
        return self.symbol(QuantileDistance(self.node(first), self.node(second)))

    def first(self, h: sympy.Expr) -> sympy.Symbol:
        """A node of its own."""
        return self.symbol(self.node(h))

    def named(self, name: str, h: sympy.Expr, comment: str = "") -> sympy.Symbol:
        """A step."""
        return self.symbol(self.section.let(name, self.node(h), *([comment] if comment else [])))

    def option(self, name: str) -> object:
        """As it was written."""
        return self.given[name]

    def exact(self, number: object) -> sympy.Rational:
        """A decimal is a rational."""
        return cast(sympy.Rational, sympy.Rational(str(number)))

"""sup_f E_P[a(f)] - E_Q[b(f)]: values of critics, what the loss has in their place, what the critic does.

A critic's logit f is log P/Q at its optimum. For an f-divergence with generator g, a(f) = g'(e^f) and b(f) = e^f g'(e^f) -
g(e^f), written here in forms that do not overflow early (Nguyen, Wainwright & Jordan 2010; Nowozin et al. 2016).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import sympy

from ibsym.derivation.critics import VERBS
from ibsym.derivation.model import BoundTerm, ModelSide
from ibsym.estimators.base import Critic, Estimator
from ibsym.families.functions import expm1, logsigmoid, softplus
from ibsym.lowering.program import CRITIC, REFERENCE, CriticLoss, LogMeanExp, Node
from ibsym.lowering.section import Section
from ibsym.lowering.terms import Estimated, mean, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density, FDivergence, JensenShannon, MutualInformation, RelativeEntropy, Term, TotalCorrelation

F, A, B = sympy.symbols("f a b", real=True)
U = sympy.Symbol("u", positive=True)
HALF, ZERO, ONE = sympy.Rational(1, 2), sympy.Integer(0), sympy.Integer(1)
TWO_BATCHES = "has samples of two batches"


@dataclass(frozen=True)
class OfLogit:
    """A function of the critic's logit, and its mean in a line of mathematics; s is the softplus."""

    expression: sympy.Expr
    text: str


@dataclass(frozen=True)
class Dual:
    """Value: constant + E_P[first] - E_Q[second]. ``other`` and ``own`` are what the model minimises on samples of Q and P.

    ``other`` keeps its gradient where the critic is sure of Q's samples: -first, up to a constant, as in a game of two
    players (Goodfellow et al. 2014).
    """

    constant: sympy.Expr
    first: sympy.Expr
    second: sympy.Expr
    other: OfLogit
    own: OfLogit
    text: str


GENERATORS: dict[str, sympy.Expr] = {
    "kl": U * sympy.log(U),
    "reverse-kl": -sympy.log(U),
    "pearson": (U - 1) ** 2,
    "neyman": (1 - U) ** 2 / U,
    "squared-hellinger": (sympy.sqrt(U) - 1) ** 2,
    "jensen-shannon": HALF * (U * sympy.log(U) - (1 + U) * sympy.log((1 + U) / 2)),
    "jeffreys": (U - 1) * sympy.log(U),
}

EXP = OfLogit(-sympy.exp(F), "-E[e^f]")
PLAIN = OfLogit(F, "E[f]")
RELATIVE = Dual(ONE, F, sympy.exp(F), OfLogit(softplus(-F), "E[s(-f)]"), PLAIN, "1 + E_P[f] - E_Q[e^f]")
LOGISTIC = Dual(
    sympy.log(2),
    HALF * logsigmoid(F),
    -HALF * logsigmoid(-F),
    OfLogit(HALF * softplus(-F), "1/2 E[s(-f)]"),
    OfLogit(HALF * softplus(F), "1/2 E[s(f)]"),
    "log 2 - 1/2 E_P[s(-f)] - 1/2 E_Q[s(f)]",
)


def _dual(first: sympy.Expr, second: sympy.Expr, other: OfLogit, own: str, text: str, constant: sympy.Expr = ZERO) -> Dual:
    return Dual(constant, first, second, other, OfLogit(-other.expression, own), text)


DUALS: dict[str, Dual] = {
    "kl": RELATIVE,
    "jensen-shannon": LOGISTIC,
    "reverse-kl": _dual(-sympy.exp(-F), F, OfLogit(sympy.exp(-F), "E[e^-f]"), "-E[e^-f]", "1 - E_P[e^-f] - E_Q[f]", ONE),
    "pearson": _dual(
        2 * expm1(F), expm1(2 * F), OfLogit(-2 * sympy.exp(F), "-2 E[e^f]"), "2 E[e^f]", "E_P[2 (e^f - 1)] - E_Q[e^2f - 1]"
    ),
    "neyman": _dual(
        -expm1(-2 * F),
        -2 * expm1(-F),
        OfLogit(sympy.exp(-2 * F), "E[e^-2f]"),
        "-E[e^-2f]",
        "E_P[1 - e^-2f] - E_Q[2 (1 - e^-f)]",
    ),
    "squared-hellinger": _dual(
        -expm1(-F / 2),
        expm1(F / 2),
        OfLogit(sympy.exp(-F / 2), "E[e^(-f/2)]"),
        "-E[e^(-f/2)]",
        "E_P[1 - e^(-f/2)] - E_Q[e^(f/2) - 1]",
    ),
    "jeffreys": _dual(
        F - expm1(-F),
        F + expm1(F),
        OfLogit(sympy.exp(-F) - F, "E[e^-f - f]"),
        "E[f - e^-f]",
        "E_P[f + 1 - e^-f] - E_Q[f + e^f - 1]",
    ),
}


def arguments(term: Term) -> tuple[Density, tuple[Density, ...]] | None:
    """P and Q: an information is the divergence of a joint density from the product of its marginals."""
    match term:
        case RelativeEntropy(first, second) | JensenShannon(first, second) | FDivergence(_, first, second):
            return first, second
        case MutualInformation(joint, groups, given) if len(groups) == 2:
            return _product(joint, groups, given)
        case TotalCorrelation(joint, groups, given):
            return _product(joint, groups, given)
    return None


def _product(joint: str, groups: tuple[tuple[str, ...], ...], given: tuple[str, ...]) -> tuple[Density, tuple[Density, ...]]:
    return Density(joint, tuple(v for g in groups for v in g), given), tuple(Density(joint, g, given) for g in groups)


def explained(line: str) -> str:
    """A line of mathematics, and what s is where it has one."""
    return f"{line}, s = softplus" if re.search(r"\bs\(", line) else line


def dual_of(term: Term) -> Dual:
    """The dual of a divergence."""
    match term:
        case JensenShannon():
            return LOGISTIC
        case FDivergence(generator):
            return DUALS[generator]
    return RELATIVE


def with_critic(section: Section, item: BoundTerm, estimator: Estimator) -> tuple[Estimated, CriticLoss]:
    """A term that a critic estimates, and that critic's loss."""
    term, sampling = plain(item), section.sampling
    sides, dual, side, critic = arguments(term), dual_of(term), item.model_side, estimator.critic
    if sides is None or side is None or critic is None:
        raise refuse(item)
    first, second = sides
    reference = reference_of(first, second)
    f, g = sampling.critic(item.text, first), sampling.critic(item.text, reference, "critic_reference")
    given = {o.name: o.default for o in estimator.options} | dict(item.options)
    joints = first.head, reference.head
    loss = replace(critic_loss(item, critic, dual, given), coordinates=_apart(sampling.spec, term, second), joints=joints)
    value = estimate(critic, dual, given, f, g)
    formula = critic.text or dual.text
    comment = (explained(f"{item.text} by {item.estimator}: {formula}"),)
    if not side.surrogate:
        rows = f.axes[-1] if critic.first_only else None
        return Estimated(value, comment, rows=rows, why="" if rows else TWO_BATCHES), loss
    if side.form == "nwj" and dual is not RELATIVE:
        raise refuse(item)
    surrogate, text = surrogate_of(dual, side, f, g)
    note = explained(f"the model {VERBS.get(side.weight, 'takes')} {text}")
    return Estimated(mean(value), comment, surrogate, note, why=TWO_BATCHES, note=note), loss


def _apart(spec: Spec, term: Term, second: tuple[Density, ...]) -> int | None:
    """Whether samples of the second argument are parts of different rows, and of what: axes of a variable's coordinates, 0 for groups."""
    if isinstance(term, TotalCorrelation) and term.coordinatewise:
        return len(spec.variables[term.groups[0][0]].dims)
    return 0 if len(second) > 1 and len({d.head for d in second}) == 1 and not any(d.given for d in second) else None


def reference_of(first: Density, second: tuple[Density, ...]) -> Density:
    """What the second argument's samples are draws of; products and conditionals lie in the first argument's joint."""
    heads = {d.head for d in second}
    of = tuple(v for d in second for v in d.of)
    given = tuple({v: None for d in second for v in d.given if v not in of})
    outside = given or first.given
    return Density(second[0].head if len(heads) == 1 and not outside else first.head, of, tuple(outside))


def surrogate_of(dual: Dual, side: ModelSide, f: Node, g: Node) -> tuple[Node, str]:
    """What the loss has in place of the value: on samples of Q, and on those of P if they learn as well."""
    other, own = (EXP, PLAIN) if side.form == "nwj" else (dual.other, dual.own)
    text = other.text.replace("E[", "E_Q[")
    if not side.first:
        return average(other.expression, g), text
    both = f"{own.text.replace('E[', 'E_P[')} {f'- {text[1:]}' if text[0] == '-' else f'+ {text}'}"
    return elementwise(A + B, a=average(own.expression, f), b=average(other.expression, g)), both


def average(expression: sympy.Expr, f: Node) -> Node:
    """The mean of a function of the logit, its number kept outside of the mean."""
    number, rest = expression.as_coeff_Mul()
    if rest.is_Add:
        number, rest = ONE, expression
    inner = mean(f if rest == F else elementwise(rest, f=f))
    return inner if number == 1 else elementwise(number * A, a=inner)


def value_of(dual: Dual, f: Node, g: Node) -> Node:
    """constant + E_P[first] - E_Q[second]."""
    total, means = dual.constant, {}
    for name, sign, side, logit in (("a", 1, dual.first, f), ("b", -1, dual.second, g)):
        number, rest = side.as_coeff_Mul()
        if rest.is_Add:
            number, rest = ONE, side
        total += sign * number * sympy.Symbol(name, real=True)
        means[name] = mean(logit if rest == F else elementwise(rest, f=logit))
    return elementwise(total, **means)


class _P(sympy.Function):
    """E_P of a function of the logit."""

    nargs = 1
    is_real = True


class _Q(sympy.Function):
    """E_Q of a function of the logit."""

    nargs = 1
    is_real = True


class _Words:
    """The words of a critic's value as SymPy's."""

    f = F
    P, Q, exp, log, abs = _P, _Q, sympy.exp, sympy.log, sympy.Abs

    def __init__(self, given: Mapping[str, object]):
        self.given = given

    def option(self, name: str) -> sympy.Rational:
        """The decimal that was written."""
        return sympy.Rational(str(self.given[name]))


def estimate(critic: Critic, dual: Dual, given: Mapping[str, object], f: Node, g: Node) -> Node:
    """A critic's value: its own formula, each mean a node, or the divergence's dual."""
    if critic.value is None:
        return value_of(dual, f, g)
    formula: sympy.Expr = critic.value(_Words(given))
    means: dict[str, Node] = {}

    def named(node: Node) -> sympy.Symbol:
        name = "abcd"[len(means)]
        means[name] = node
        return sympy.Symbol(name, real=True)

    def of(body: sympy.Expr, logit: Node) -> Node:
        return logit if body == F else elementwise(body, f=logit)

    if isinstance(formula, _P):
        return of(formula.args[0], f)
    places = {part: named(mean(of(part.args[0], f))) for part in sorted(formula.atoms(_P), key=str)}
    for part in sorted(formula.atoms(_Q), key=str):
        (body,) = part.args
        if isinstance(body, sympy.exp) and formula.has(sympy.log(part)):
            places[sympy.log(part)] = named(LogMeanExp(of(body.args[0], g)))
        else:
            places[part] = named(mean(of(body, g)))
    return elementwise(formula.xreplace(places), **means)


def critic_loss(item: BoundTerm, critic: Critic, dual: Dual, given: Mapping[str, object]) -> CriticLoss:
    """What the critic minimises: the logistic loss of telling P from Q, or minus the estimate."""
    if critic.loss == "logistic":
        sides = {"a": mean(elementwise(logsigmoid(F), f=CRITIC)), "b": mean(elementwise(logsigmoid(-F), f=REFERENCE))}
        return CriticLoss(item.text, elementwise(-A - B, **sides), explained("E_P[s(-f)] + E_Q[s(f)]"))
    value = estimate(critic, dual, given, CRITIC, REFERENCE)
    return CriticLoss(item.text, elementwise(-A, a=value), f"-({critic.text or dual.text})")

"""Random claims and premises against the prover: what it proves holds in worlds that satisfy the premises, what it refutes is false.

Claims are kept as data, so that they are evaluated here without the code that reads and proves them. Worlds follow a random graph
with deterministic nodes; premises are what that graph implies, and relations that some of the worlds satisfy.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import mpmath
import networkx as nx
import numpy as np
from numpy.typing import NDArray

from ibsym.checking.answers import answer
from ibsym.checking.counterexamples import Counterexample
from ibsym.errors import SpecError
from ibsym.proving.densities import refuse_discrete
from ibsym.proving.problem import Problem
from tests.attack.bounds import Tally

Array = NDArray[np.float64]
NAMES = "ABCDE"
TOLERANCE = 1e-9
WORLDS = 16


@dataclass(frozen=True)
class Quantity:
    """H(A|C), I(A;B;...|C), TC(A;B;...|C) of one joint, or KL, CE between two; groups are strings of one-letter variables."""

    kind: str
    groups: tuple[str, ...]
    given: str = ""
    joint: str = ""
    model: str = ""

    def __str__(self) -> str:
        tail = f"|{','.join(self.given)}" if self.given else ""
        if self.model:
            inside = f"({','.join(self.groups[0]).lower()}{tail.lower()})"
            return f"{self.kind}({self.joint}{inside}||{self.model}{inside})"
        return f"{self.kind}{'_' + self.joint if self.joint else ''}({';'.join(','.join(g) for g in self.groups)}{tail})"

    def entropies(self) -> dict[str, int]:
        """The coefficients of H(S), for a quantity of one joint."""
        total: dict[str, int] = {}

        def add(names: str, x: int) -> None:
            key = "".join(sorted(set(names)))
            total[key] = total.get(key, 0) + x

        def entropy(names: str, x: int) -> None:
            add(names + self.given, x)
            add(self.given, -x)

        match self.kind:
            case "H":
                entropy(self.groups[0], 1)
            case "TC":
                for g in self.groups:
                    entropy(g, 1)
                entropy("".join(self.groups), -1)
            case "I":
                for size in range(1, len(self.groups) + 1):
                    for chosen in itertools.combinations(self.groups, size):
                        entropy("".join(chosen), 1 if size % 2 else -1)
            case _:
                raise AssertionError(self.kind)
        return {k: v for k, v in total.items() if k and v}


Sum = list[tuple[int, Quantity]]


def text(terms: Sum) -> str:
    parts = " ".join(f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c)}*'}{q}" for c, q in terms)
    return parts[2:] if parts.startswith("+ ") else "-" + parts[2:] if parts else "0"


@dataclass(frozen=True)
class Structure:
    """A graph over some variables; some nodes are functions of their parents."""

    names: str
    parents: dict[str, str]
    functions: frozenset[str]

    @staticmethod
    def random(rng: Random, size: int, *, functions: bool = True) -> Structure:
        names = NAMES[:size]
        order = rng.sample(names, size)
        parents = {v: "".join(rng.sample(order[:i], rng.randint(0, min(2, i)))) for i, v in enumerate(order)}
        if rng.random() < 0.3:  # a chain
            parents = {v: order[i - 1] if i else "" for i, v in enumerate(order)}
        fixed = [v for v in order if parents[v] and functions and rng.random() < 0.35]
        return Structure(names, parents, frozenset(fixed))

    def separated(self, a: str, b: str, given: str) -> bool:
        graph = nx.DiGraph((p, v) for v, ps in self.parents.items() for p in ps)
        graph.add_nodes_from(self.names)
        return bool(nx.is_d_separator(graph, set(a), set(b), set(given)))

    def premises(self, rng: Random) -> list[str]:
        """What the graph implies: some dependences, independences and chains."""
        found = [f"H({v}|{','.join(self.parents[v])}) = 0" for v in self.functions if rng.random() < 0.8]
        for _ in range(12):
            k = rng.randint(2, len(self.names))
            a, b, *rest = rng.sample(self.names, k)
            given = "".join(rest[: rng.randint(0, 2)])
            if self.separated(a, b, given):
                tail = f"|{','.join(given)}" if given else ""
                if given and rng.random() < 0.5:
                    found.append(f"{a} -> {','.join(given)} -> {b}")
                else:
                    found.append(f"I({a};{b}{tail}) {rng.choice(['=', '<='])} 0")
        return list(dict.fromkeys(found))[: rng.randint(0, 3)]

    def order(self) -> list[str]:
        done: list[str] = []
        while len(done) < len(self.names):
            done.append(next(v for v in self.names if v not in done and set(self.parents[v]) <= set(done)))
        return done

    def finite(self, rng: np.random.Generator, worlds: int) -> Array:
        """Joint tables, one axis a variable after the axis of worlds."""
        states = {v: int(rng.integers(2, 4)) for v in self.names}
        joint = np.ones([worlds, *(1 for _ in self.names)])
        axis = {v: i + 1 for i, v in enumerate(self.names)}
        for v in self.order():
            scope = sorted([*self.parents[v], v], key=lambda n: axis[n])
            shape = [worlds, *(states[n] for n in self.parents[v]), states[v]]
            if v in self.functions:
                table = np.eye(states[v])[rng.integers(states[v], size=shape[:-1])]
            else:
                table = rng.gamma(rng.choice([0.2, 1.0]), size=shape) + 1e-12
                table = table / table.sum(axis=-1, keepdims=True)
            names = [*self.parents[v], v]
            table = table.transpose([0, *(names.index(n) + 1 for n in scope)])
            joint = joint * table.reshape([worlds, *(states[n] if n in scope else 1 for n in self.names)])
        return joint

    def gaussian(self, rng: np.random.Generator, worlds: int) -> Array:
        """Covariances of linear models with noise of any size."""
        n = len(self.names)
        weights, noise = np.zeros((worlds, n, n)), np.zeros((worlds, n, n))
        for v in self.names:
            i = self.names.index(v)
            noise[:, i, i] = np.exp(rng.uniform(-3, 2, worlds))
            for p in self.parents[v]:
                weights[:, i, self.names.index(p)] = rng.normal(size=worlds)
        inverse = np.linalg.inv(np.eye(n) - weights)
        return inverse @ noise @ inverse.transpose(0, 2, 1)


def entropies(joint: Array, names: str) -> Callable[[str], Array]:
    """H of any set of variables, in every world."""

    def entropy(of: str) -> Array:
        drop = tuple(i + 1 for i, v in enumerate(names) if v not in of)
        p = joint.sum(axis=drop).reshape(len(joint), -1)
        return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)

    return entropy


def differential(covariance: Array, names: str) -> Callable[[str], Array]:
    def entropy(of: str) -> Array:
        index = [i for i, v in enumerate(names) if v in of]
        part = covariance[:, index][:, :, index]
        return 0.5 * (len(index) * np.log(2 * np.pi * np.e) + np.linalg.slogdet(part)[1])

    return entropy


def value(terms: Sum, entropy: Callable[[str], Array]) -> Array:
    return sum((c * x * entropy(s) for c, q in terms for s, x in q.entropies().items()), np.zeros(1))


def random_quantity(rng: Random, names: str) -> Quantity:
    shuffled = rng.sample(names, len(names))
    kind = rng.choice(["H", "H", "I", "I", "I", "TC"])
    count = 1 if kind == "H" else rng.choice([2, 2, 3]) if len(names) > 2 else 2
    groups = [shuffled.pop() for _ in range(count)]
    while shuffled and rng.random() < 0.25:
        i = rng.randrange(count)
        groups[i] += shuffled.pop()
    given = "".join(shuffled[: rng.choice([0, 0, 1, 2])])
    return Quantity(kind, tuple("".join(sorted(g)) for g in groups), "".join(sorted(given)))


def nonnegative(rng: Random, names: str, *, discrete: bool) -> Quantity:
    """A quantity that is never negative."""
    while True:
        q = random_quantity(rng, names)
        if q.kind == "TC" or (q.kind == "I" and len(q.groups) == 2) or (q.kind == "H" and discrete):
            return q


def disguised(rng: Random, terms: Sum) -> Sum:
    """The same sum with some terms written as entropies."""
    out: Sum = []
    for c, q in terms:
        if rng.random() < 0.6:
            out += [(c * x, Quantity("H", (s,))) for s, x in q.entropies().items()]
        else:
            out.append((c, q))
    rng.shuffle(out)
    return out


_ITEM = re.compile(r"(H|I|TC)\(([^|()]*)(?:\|([^()]*))?\)")


def read_quantity(item: str) -> Quantity:
    """A quantity as a proof prints it."""
    found = _ITEM.fullmatch(item)
    assert found, item
    groups = tuple(g.replace(",", "") for g in found[2].split(";"))
    return Quantity(found[1], groups, (found[3] or "").replace(",", ""))


def identity(difference: Sum, items: list[dict[str, object]], premises: dict[str, Sum]) -> dict[str, Fraction]:
    """difference - sum multiplier * quantity, over the entropies of sets: empty if the proof is one."""
    total: dict[str, Fraction] = {}
    for c, q in difference:
        for s, x in q.entropies().items():
            total[s] = total.get(s, Fraction(0)) + c * x
    for item in items:
        name, weight = str(item["quantity"]), Fraction(str(item["multiplier"]))
        for c, q in premises[name] if name in premises else [(1, read_quantity(name))]:
            for s, x in q.entropies().items():
                total[s] = total.get(s, Fraction(0)) - weight * c * x
    return {k: v for k, v in total.items() if v}


def attack_claim(seed: int) -> Tally:
    return attack_several(seed) if seed % 4 == 3 else attack_single(seed)


def determines(premise: str) -> bool:
    """Whether a premise makes one variable a function of others, which no densities allow."""
    try:
        refuse_discrete(Problem.read("0 >= 0", [premise]))
    except SpecError:
        return True
    return False


def attack_single(seed: int) -> Tally:
    """One claim about one joint, discrete or continuous, with what its structure and its worlds allow as premises."""
    tally, rng = Tally(), random.Random(seed * 31 + 7)
    source = np.random.default_rng((seed, 5))
    continuous = rng.random() < 0.25
    structure = Structure.random(rng, rng.choice((2, 3, 3, 4, 4, 5)), functions=not continuous)
    names = structure.names
    given = structure.premises(rng)
    if continuous:
        given = [g for g in given if not g.startswith("H")]
    linear: dict[str, Sum] = {}
    if rng.random() < 0.4:
        low, high = random_quantity(rng, names), random_quantity(rng, names)
        factor = rng.choice((1, 1, 2))
        relation_text = f"{low} <= {factor}*{high}"
        if not continuous or not determines(relation_text):
            linear[relation_text] = [(factor, high), (-1, low)]
    true = rng.random() < 0.6
    if true:
        terms: Sum = [(rng.randint(1, 3), nonnegative(rng, names, discrete=not continuous)) for _ in range(rng.randint(1, 3))]
        terms += [(c, q) for s in linear.values() if rng.random() < 0.7 for c, q in s]
        terms = disguised(rng, terms)
    else:
        terms = [(rng.choice((-3, -2, -1, 1, 1, 2, 3)), random_quantity(rng, names)) for _ in range(rng.randint(1, 3))]
    relation = ">=" if true or rng.random() < 0.8 else "="
    claim = f"{text(terms)} {relation} 0"
    if rng.random() < 0.5 and relation == ">=":
        claim = f"0 <= {text(terms)}"
    axioms = ["zhang-yeung"] if len(names) >= 4 and rng.random() < 0.15 else []
    premises = [*given, *linear]
    about = f"claim {seed}: {claim} given {premises}{' continuous' if continuous else ''}"
    found = answer(claim, premises, continuous=continuous, axioms=axioms, seconds=0.05)
    tally.claims[found.status] += 1
    if true and not found.proved:
        tally.violations.append(f"{about}: a sum of non-negative quantities is {found.status}")
    if found.proved:
        batch = (structure.gaussian if continuous else structure.finite)(source, WORLDS)
        entropy = (differential if continuous else entropies)(batch, names)
        scale = 1 + sum(abs(c * x) * np.abs(entropy(s)) for c, q in terms for s, x in q.entropies().items())
        holds = np.ones(WORLDS, bool)
        for premise in linear.values():
            holds &= value(premise, entropy) >= 0
        low = value(terms, entropy)
        wrong = holds & ((low < -TOLERANCE * scale) | ((relation == "=") & (np.abs(low) > TOLERANCE * scale)))
        tally.pairs["claims in worlds"] += int(holds.sum())
        tally.largest = max(tally.largest, float((-low / scale)[holds].max(initial=0.0)))
        if wrong.any():
            tally.violations.append(f"{about}: proved, and {low[wrong][0]:.3g} in a world")
        check_certificate(found.certificate or [], terms, relation, linear, entropy, tally, about)
    if found.counterexample is not None:
        check_counterexample(found.counterexample, terms, relation, given, linear, tally, about)
    return tally


def check_certificate(
    certificate: list[dict[str, object]],
    terms: Sum,
    relation: str,
    linear: dict[str, Sum],
    entropy: Callable[[str], Array],
    tally: Tally,
    about: str,
) -> None:
    """Each direction's identity over entropies, its signs, and its zeros in worlds: read from the printed items alone."""
    directions = [[(-c, q) for c, q in terms], terms] if relation == "=" else [terms]  # 0 <= right - left comes first
    for part, wanted in zip(certificate, directions, strict=True):
        items: list[dict[str, object]] = part["items"]  # type: ignore[assignment]
        if any("Zhang" in str(i["quantity"]) for i in items):
            continue
        left = identity(wanted, items, linear)
        if left:
            tally.violations.append(f"{about}: the certificate leaves {left}")
        for item in items:
            name = str(item["quantity"])
            if Fraction(str(item["multiplier"])) < 0 and not item["zero"]:
                tally.violations.append(f"{about}: a negative multiplier of {name}")
            if name not in linear:
                size = value([(1, read_quantity(name))], entropy)
                if size.min() < -TOLERANCE or (item["zero"] and size.max() > TOLERANCE):
                    tally.violations.append(f"{about}: the item {name} is {size.min():.3g} to {size.max():.3g} in worlds")
        tally.pairs["certificates"] += 1


def attack_several(seed: int) -> Tally:
    """One claim about two joints: relative entropies and informations of dense tables."""
    tally, rng = Tally(), random.Random(seed * 37 + 11)
    source = np.random.default_rng((seed, 6))
    names = NAMES[: rng.choice((2, 2, 3))]

    def quantity(anything: bool) -> Quantity:
        of = "".join(sorted(rng.sample(names, rng.randint(1, len(names)))))
        rest = [v for v in names if v not in of]
        given = "".join(sorted(rng.sample(rest, rng.randint(0, len(rest)))))
        kind = rng.choice(("KL", "KL", "KL", "CE", "I", "H"))
        first, second = rng.sample(("q", "p"), 2)
        if kind in ("KL", "CE"):
            return Quantity(kind, (of,), given, first, second)
        if kind == "I" or not anything:
            a, b, *others = rng.sample(names, len(names))
            return Quantity("I", (a, b), others[0] if others and rng.random() < 0.5 else "", first)
        return Quantity("H", (of,), given, first)

    true = rng.random() < 0.5
    terms = [
        (rng.randint(1, 2) if true else rng.choice((-2, -1, 1, 1, 2)), quantity(not true)) for _ in range(rng.randint(1, 3))
    ]
    if true and rng.random() < 0.7:
        terms = [(c * x, r) for c, q in terms for x, r in _expanded(q)]
        rng.shuffle(terms)
    claim = f"{text(terms)} >= 0"
    about = f"claim {seed}: {claim}"
    if len({j for _, q in terms for j in (q.joint, q.model) if j}) < 2:
        return tally
    found = answer(claim, [], seconds=0.05)
    tally.claims[found.status] += 1
    if true and not found.proved:
        tally.violations.append(f"{about}: a sum of non-negative quantities is {found.status}")
    states = [int(source.integers(2, 4)) for _ in names]
    shape = (WORLDS, *states)
    tables = {j: source.gamma(source.choice([0.3, 1.0]), size=shape) + 1e-9 for j in "qp"}
    tables = {j: t / t.sum(axis=tuple(range(1, t.ndim)), keepdims=True) for j, t in tables.items()}
    if found.proved:
        parts = [c * _between(q, tables, names) for c, q in terms]
        low, scale = sum(parts, np.zeros(1)), 1 + sum(map(np.abs, parts))
        tally.pairs["claims in worlds"] += WORLDS
        if (low < -TOLERANCE * scale).any():
            tally.violations.append(f"{about}: proved, and {low.min():.3g} in a world")
    if found.counterexample is not None:
        check_counterexample(found.counterexample, terms, ">=", [], {}, tally, about)
    return tally


def _expanded(q: Quantity) -> Sum:
    """KL as cross-entropy minus entropy; I as entropies."""
    if q.kind == "KL":
        return [(1, Quantity("CE", q.groups, q.given, q.joint, q.model)), (-1, Quantity("H", q.groups, q.given, q.joint))]
    if q.kind == "I":
        return [(x, Quantity("H", (s,), "", q.joint)) for s, x in q.entropies().items()]
    return [(1, q)]


def _between(q: Quantity, tables: dict[str, Array], names: str) -> Array:
    if not q.model:
        return value([(1, q)], entropies(tables[q.joint], names))

    def margin(joint: str, of: str) -> Array:
        return tables[joint].sum(axis=tuple(i + 1 for i, v in enumerate(names) if v not in of), keepdims=True)

    def conditional(joint: str) -> Array:
        return margin(joint, q.groups[0] + q.given) / margin(joint, q.given)

    law = margin(q.joint, q.groups[0] + q.given)
    logs = (np.log(conditional(q.joint)) if q.kind == "KL" else 0.0) - np.log(conditional(q.model))
    return (law * logs).reshape(len(law), -1).sum(axis=1)


def check_counterexample(
    found: Counterexample, terms: Sum, relation: str, given: list[str], linear: dict[str, Sum], tally: Tally, about: str
) -> None:
    """The tables again, in rationals and with sixty digits: premises hold, the claim does not."""
    names = "".join(found.variables).upper()
    tables = {j: {k: p for k, p in t.items() if p} for j, t in found.tables.items()}
    problems = [
        f"the table of {j} sums to {sum(t.values())}" for j, t in tables.items() if sum(t.values()) != 1 or min(t.values()) < 0
    ]

    def margin(joint: str, of: str) -> dict[tuple[int, ...], Fraction]:
        places = [names.index(v) for v in sorted(of)]
        total: dict[tuple[int, ...], Fraction] = {}
        for k, p in tables[joint].items():
            key = tuple(k[i] for i in places)
            total[key] = total.get(key, Fraction(0)) + p
        return total

    def logarithm(x: Fraction) -> mpmath.mpf:
        return mpmath.log(mpmath.mpf(x.numerator)) - mpmath.log(mpmath.mpf(x.denominator))

    def mean_log(joint: str, model: str, of: str) -> mpmath.mpf:
        other = margin(model, of)
        return mpmath.fsum(mpmath.mpf(p.numerator) / p.denominator * logarithm(other[k]) for k, p in margin(joint, of).items())

    def exact(sums: Sum) -> mpmath.mpf:
        total = mpmath.mpf(0)
        for c, q in sums:
            joint = q.joint or next(iter(tables))
            if q.model:
                of = q.groups[0] + q.given
                sides = [(-1, q.model)] + ([(1, joint)] if q.kind == "KL" else [])
                total += c * sum(
                    x * (mean_log(joint, r, of) - (mean_log(joint, r, q.given) if q.given else 0)) for x, r in sides
                )
            else:
                total -= sum((c * x * mean_log(joint, joint, s) for s, x in q.entropies().items()), mpmath.mpf(0))
        return total

    with mpmath.workdps(60):
        low = exact(terms)
        if not (low < -(mpmath.mpf(10) ** -40) or (relation == "=" and abs(low) > mpmath.mpf(10) ** -40)):
            problems.append(f"the difference is {mpmath.nstr(low, 5)}")
        problems += [f"{p} fails" for p, s in linear.items() if exact(s) < -(mpmath.mpf(10) ** -40)]
        for premise in given:
            if "->" in premise:
                a, b, c = (g.strip().replace(",", "") for g in premise.split("->"))
                zero = Quantity("I", (a, c), b)
            else:
                zero = read_quantity(re.split(r" <?= ", premise)[0])
            if abs(exact([(1, zero)])) > mpmath.mpf(10) ** -40:
                problems.append(f"{premise} fails")
    tally.pairs["counterexamples"] += 1
    tally.violations += [f"{about}: refuted, and {p}" for p in problems]

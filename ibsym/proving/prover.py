"""Deciding claims: right - left as a non-negative combination of elemental inequalities and premises, exactly.

``0 <= difference`` is of Shannon type if and only if the linear program has a solution; its multipliers are the proof. One joint
is treated in entropy space, several joints in cross-entropy space.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from ibsym.errors import SpecError
from ibsym.facts import Fact as Known
from ibsym.proving import entropic
from ibsym.proving.claims import Chain, Statement, linear, names_of, read_claim, read_premise, terms_of
from ibsym.proving.elemental import elemental_rows
from ibsym.proving.entropic import Elemental, Fact, Mask, Reduction, bits, h
from ibsym.proving.program import Column, LimitError, solve
from ibsym.spec.grammar import DensitySyntax, QuantitySyntax
from ibsym.spec.model import Spec
from ibsym.terms.reading import Reader
from ibsym.terms.vectors import Coordinate, Coordinates, Vector, combine


@dataclass(frozen=True)
class Item:
    """One line of a proof: multiplier times a quantity, and why it is non-negative or zero."""

    multiplier: Fraction
    quantity: str
    reason: str
    zero: bool = False


@dataclass(frozen=True)
class Proof:
    """``difference = sum of items``, each item zero or non-negative, hence ``0 <= difference``."""

    difference: str
    expanded: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Verdict:
    """What the linear program says of a claim: TRUE with proofs, FALSE for "no proof of Shannon type", UNKNOWN at a limit."""

    provable: Known
    proofs: tuple[Proof, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Problem:
    """A claim with its premises, read: variables, differences that must be non-negative, what is known."""

    claim: Statement
    premises: tuple[Statement, ...]
    chains: tuple[Chain, ...]
    variables: tuple[str, ...]
    joints: tuple[str, ...]

    @staticmethod
    def read(claim: str, given: Iterable[str] = ()) -> Problem:
        statement = read_claim(claim)
        read = [read_premise(g) for g in given]
        premises = tuple(p for p in read if isinstance(p, Statement))
        chains = tuple(p for p in read if isinstance(p, Chain))
        everything = (statement, *premises)
        variables = tuple(names_of(everything, chains))
        heads: dict[str, None] = {}
        for quantity in terms_of(everything):
            if quantity.kind in ("JS", "F"):
                raise SpecError(
                    f"{quantity.kind} is not linear in log-densities",
                    key="claim",
                    remedy="KL, CE, H, I, TC",
                    column=quantity.column,
                )
            if quantity.joint is not None:
                heads[quantity.joint] = None
            for density in (quantity.first, *quantity.second):
                if density is not None:
                    heads[density.head] = None
        for chain in chains:
            if chain.joint is not None:
                heads[chain.joint] = None
        bare = any(q.joint is None and q.first is None for q in terms_of(everything))
        if len(heads) > 1 and bare:
            raise SpecError(
                "with several joints every quantity needs a subscript", key="claim", remedy=f"I_{next(iter(heads))}(X;Z)"
            )
        return Problem(statement, premises, chains, variables, tuple(heads))

    @property
    def several(self) -> bool:
        return len(self.joints) > 1 or any(q.first is not None or q.kind == "E" for q in terms_of((self.claim, *self.premises)))

    def differences(self) -> list[list[tuple[Fraction, QuantitySyntax]]]:
        """What must be non-negative: right - left for ``<=``, left - right for ``>=``, both for ``=``."""
        return differences(self.claim)


def differences(statement: Statement) -> list[list[tuple[Fraction, QuantitySyntax]]]:
    left, right = linear(statement.syntax.left), linear(statement.syntax.right)
    up = right + [(-x, t) for x, t in left]
    down = left + [(-x, t) for x, t in right]
    return {"<=": [up], ">=": [down], "=": [up, down]}[statement.syntax.relation]


def decide(problem: Problem, *, continuous: bool = False, axioms: Sequence[str] = (), time_limit: float = 60.0) -> Verdict:
    """The verdict on a claim within the time limit (seconds)."""
    deadline = time.monotonic() + time_limit
    prover = reading(problem, continuous, axioms)
    proofs = []
    for difference in problem.differences():
        try:
            proof = prover.prove(difference, deadline)
        except LimitError:
            return Verdict(Known.UNKNOWN, note="undecided: limit")
        if proof is None:
            return Verdict(
                Known.FALSE,
                note="not provable by Shannon-type inequalities" + ("" if not axioms else " and the further axioms"),
            )
        proofs.append(proof)
    return Verdict(Known.TRUE, tuple(proofs))


FAMILY = 48
"""How many sets the first attempts look at."""


def reading(problem: Problem, continuous: bool = False, axioms: Sequence[str] = ()) -> _Single | _Several:
    """The space that the problem's quantities are vectors of."""
    return _Several(problem, continuous) if problem.several else _Single(problem, continuous, axioms)


class _Single:
    """Claims about one joint, in entropy space."""

    def __init__(self, problem: Problem, continuous: bool, axioms: Sequence[str]):
        self.names = problem.variables
        self.place = {n.casefold(): i for i, n in enumerate(self.names)}
        self.continuous, self.axioms = continuous, axioms
        independences: list[tuple[Mask, Mask, Mask, str]] = []
        dependences: list[tuple[Mask, Mask, str]] = []
        self.premises: list[tuple[Vector, str, bool]] = []
        for chain in problem.chains:
            groups = [self.mask(g) for g in chain.groups]
            independences += [
                (_union(groups[:i]), _union(groups[i + 1 :]), groups[i], chain.text) for i in range(1, len(groups) - 1)
            ]
        for statement in problem.premises:
            shape = _zero_quantity(statement)
            if shape is not None and shape.kind == "I" and len(shape.groups) == 2:
                a, b = (self.mask(g) for g in shape.groups)
                independences.append((a, b, self.mask(shape.given), statement.text))
            elif shape is not None and shape.kind == "H" and not continuous:
                dependences.append((self.mask(shape.given), self.mask(shape.groups[0]), statement.text))
            else:
                zero = statement.syntax.relation == "="
                self.premises += [(self.vector(d), statement.text, zero) for d in differences(statement)[:1]]
        self.reduction = Reduction(independences, dependences)
        self.atoms = self._atoms(problem)

    def mask(self, names: Iterable[str]) -> Mask:
        return _union(1 << self.place[n.casefold()] for n in names)

    def _atoms(self, problem: Problem) -> list[Mask]:
        """The finest sets of variables that the claim and the premises tell apart: the rest of the proof need not split them."""
        told = [self.mask(g) for q in terms_of((problem.claim, *problem.premises)) for g in (*q.groups, q.given)]
        told += [self.mask(g) for c in problem.chains for g in c.groups]
        classes: dict[tuple[bool, ...], Mask] = {}
        for i in range(len(self.names)):
            key = tuple(bool(m >> i & 1) for m in told)
            classes[key] = classes.get(key, 0) | 1 << i
        return list(classes.values())

    def text(self, mask: Mask) -> str:
        return ",".join(self.names[i] for i in bits(mask))

    def show(self, e: Elemental) -> str:
        given = f"|{self.text(e.c)}" if e.c else ""
        return f"I({self.text(e.a)};{self.text(e.b)}{given})" if e.b else f"H({self.text(e.a)}{given})"

    def vector(self, terms: Iterable[tuple[Fraction, QuantitySyntax]]) -> Vector:
        return combine(*((x, self.quantity(q)) for x, q in terms))

    def quantity(self, q: QuantitySyntax) -> Vector:
        groups, c = [self.mask(g) for g in q.groups], self.mask(q.given)
        match q.kind:
            case "H":
                return combine((1, h(groups[0] | c)), (-1, h(c)))
            case "TC":
                every = _union(groups)
                return combine(*((1, combine((1, h(g | c)), (-1, h(c)))) for g in groups), (-1, h(every | c)), (1, h(c)))
            case "I":
                return self.interaction(groups, c)
        raise SpecError(f"{q.kind} needs joints by name", key="claim", remedy="KL(q(z)||p(z))", column=q.column)

    def interaction(self, groups: Sequence[Mask], c: Mask) -> Vector:
        """I(A;B;...;Z|C) = I(A;B;...|C) - I(A;B;...|Z,C)."""
        if len(groups) < 2:
            raise SpecError("mutual information needs two arguments", key="claim", remedy="I(X;Y)")
        if len(groups) == 2:
            return entropic.information(groups[0], groups[1], c)
        return combine((1, self.interaction(groups[:-1], c)), (-1, self.interaction(groups[:-1], c | groups[-1])))

    def prove(self, terms: list[tuple[Fraction, QuantitySyntax]], deadline: float) -> Proof | None:
        """First among the sets that occur, where a textbook would look, then with every elemental inequality."""
        target = self.vector(terms)
        claimed: list[Mask] = [m for _, m in target]  # type: ignore[misc]
        for sets in (self.family(claimed), self.family([*claimed, *self.premised()]), None):
            if sets is None:
                cone, sets = self.elementals(deadline), list(_unions(self.atoms))
            else:
                cone = self.among(sets)
            extra: list[tuple[str, Vector]] = []
            if "zhang-yeung" in self.axioms:
                extra = [
                    (f"Zhang-Yeung({', '.join(map(self.text, chosen))})", v)
                    for chosen, v in entropic.zhang_yeung(tuple(self.atoms))
                ]
            equations = self.equations(sets, deadline)
            reduce = self.reduction.apply
            columns = [Column(combine((-1, v)), 1.0 + 0.01 * e.size) for e, v in cone]
            columns += [Column(combine((-1, reduce(v))), 2.0) for _, v in extra]
            columns += [Column(combine((-1, reduce(v))), 0.5, free=zero) for v, _, zero in self.premises]
            columns += [Column(combine((-1, v)), 0.01, free=True) for v, _ in equations]
            answer = solve(reduce(target), columns, time_limit=max(0.01, deadline - time.monotonic()))
            if answer is not None:
                return self._proof(target, terms, cone, extra, equations, answer)
        return None

    def premised(self) -> list[Mask]:
        """The sets that the premises speak of."""
        sets: list[Mask] = [m for v, _, _ in self.premises for _, m in v]  # type: ignore[misc]
        for a, b, c, _ in self.reduction.independences:
            sets += [a | c, b | c, c, a | b | c]
        for a, b, _ in self.reduction.dependences:
            sets += [a, a | b]
        return sets

    def family(self, sets: Iterable[Mask]) -> list[Mask]:
        """The sets with their unions and intersections while there are few; else with the unions of those before each."""
        given = list(dict.fromkeys(m for m in sets if m))
        found = dict.fromkeys((0, *given))
        pending = list(given)
        while pending and len(found) <= FAMILY:
            m = pending.pop(0)
            new = [k for other in list(found) for k in (m & other, m | other) if k not in found]
            found.update(dict.fromkeys(new))
            pending += new
        if len(found) > FAMILY:
            totals = [_union(given[: i + 1]) for i in range(len(given))]
            met = [total & other for total in totals for other in given]
            found = dict.fromkeys([0, *given, *totals, *met][: 2 * FAMILY])
        return sorted(found, key=lambda m: (m.bit_count(), m))

    def among(self, sets: Sequence[Mask]) -> list[tuple[Elemental, Vector]]:
        """I(A;B|C) for two sets that overlap in C, H(B|A) for one inside the other."""
        found = []
        for i, a in enumerate(sets):
            for b in sets[i + 1 :]:
                if a & ~b and b & ~a:
                    found.append(Elemental(a & ~b, b & ~a, a & b))
                elif not a & ~b and not self.continuous:
                    found.append(Elemental(b & ~a, 0, a))
        return self._unique((e, e.vector) for e in found)

    def elementals(self, deadline: float) -> list[tuple[Elemental, Vector]]:
        rows = []
        for e, vector in entropic.elementals(tuple(self.atoms), not self.continuous):
            rows.append((e, vector))
            if len(rows) % 512 == 0 and time.monotonic() > deadline:
                raise LimitError
        return self._unique(rows)

    def _unique(self, rows: Iterable[tuple[Elemental, Vector]]) -> list[tuple[Elemental, Vector]]:
        """Rows in the coordinates that are left, each once."""
        if self.reduction.trivial:
            return [*rows]
        found: dict[frozenset[object], tuple[Elemental, Vector]] = {}
        for e, vector in rows:
            small = self.reduction.apply(vector)
            if small:
                found.setdefault(frozenset(small.items()), (e, small))
        return list(found.values())

    def equations(self, sets: Iterable[Mask], deadline: float) -> list[tuple[Vector, Fact]]:
        """What the rewriting of a set by one fact leaves unsaid of its others: further zero vectors."""
        if self.reduction.trivial:
            return []
        found: dict[frozenset[object], tuple[Vector, Fact]] = {}
        for mask in sets:
            for fact in self.reduction.facts(mask):
                rest = self.reduction.apply(fact.quantity.vector)
                if rest:
                    found.setdefault(frozenset(rest.items()), (rest, fact))
            if time.monotonic() > deadline:
                raise LimitError
        return list(found.values())

    def _proof(
        self,
        target: Vector,
        terms: list[tuple[Fraction, QuantitySyntax]],
        cone: list[tuple[Elemental, Vector]],
        extra: list[tuple[str, Vector]],
        equations: list[tuple[Vector, Fact]],
        answer: list[Fraction],
    ) -> Proof:
        """The multipliers as lines of a proof, the facts behind every rewriting included; verified in the full space."""
        parts = iter(answer)
        used = entropic.join((x, e) for (e, _), x in zip(cone, parts, strict=False) if x)
        used_axioms = [(x, *a) for a, x in zip(extra, parts, strict=False) if x]
        premises = [(x, p) for p, x in zip(self.premises, parts, strict=False) if x]
        direct = [(x, f) for (_, f), x in zip(equations, parts, strict=False) if x]
        rest = combine(
            (1, target),
            *((-x, e.vector) for x, e in used),
            *((-x, v) for x, _, v in used_axioms),
            *((-x, p[0]) for x, p in premises),
        )
        rest = combine((1, rest), *((-x, f.quantity.vector) for x, f in direct))
        left, rewritten = self.reduction.explain(rest)
        if left:
            raise AssertionError(f"the proof leaves {left}")
        total: dict[Fact, Fraction] = {}
        for x, f in (*rewritten, *direct):
            total[f] = total.get(f, Fraction(0)) + x
        facts = [(x, f) for f, x in total.items() if x]
        items = [Item(x, self.show(f.quantity), f"is 0 by {f.premise}", zero=True) for x, f in facts]
        items += [Item(x, text, "premise", zero=zero) for x, (_, text, zero) in premises]
        items += [Item(x, text, "non-Shannon axiom") for x, text, _ in used_axioms]
        items += [Item(x, self.show(e), "mutual information" if e.b else "entropy of discrete variables") for x, e in used]
        expanded = combine((1, target))
        return Proof(
            _sum((x, _text(q)) for x, q in terms), _sum((v, f"H({self.text(k[1])})") for k, v in expanded.items()), tuple(items)
        )  # type: ignore[arg-type]


class _Several:
    """Claims about several joints, in cross-entropy space: relative entropies between them are further rows."""

    def __init__(self, problem: Problem, continuous: bool):
        self.problem = problem
        names = {n.casefold(): n for n in problem.variables}
        values = {folded: folded for folded in names}
        variables = {values[f]: "real[D]" if continuous else "binary[D]" for f in names}
        joined = ",".join(variables)
        self.heads = problem.joints or ("q",)
        keys = {
            "name": "claim",
            "objective": f"minimize H_{self.heads[0]}({','.join(v[:1].upper() + v[1:] for v in variables)})",
            "variables": variables,
            "joints": {h: f"{h}({joined})" for h in self.heads},
            "families": {f"{h}({joined})": "implicit" for h in self.heads},
        }
        self.spec = Spec(**keys)
        self.coordinates = Coordinates(self.spec)
        self.reader = Reader(self.spec, "claim")
        self.rows = elemental_rows(self.coordinates, self.heads)
        self.premises: list[tuple[Vector, str, bool]] = []
        for chain in problem.chains:
            self.premises += self._chain(chain)
        for statement in problem.premises:
            zero = statement.syntax.relation == "="
            self.premises += [(self.vector(d), statement.text, zero) for d in differences(statement)[:1]]

    def _chain(self, chain: Chain) -> Iterable[tuple[Vector, str, bool]]:
        """log r(a,c|b) = log r(a|b) + log r(c|b) under every joint, for every split of the chain."""
        if chain.joint is None:
            raise SpecError(f"{chain.text!r} in which joint?", key="given", remedy=f'"{chain.text} in {self.heads[0]}"')
        groups = [tuple(n.casefold() for n in g) for g in chain.groups]
        for middle in range(1, len(groups) - 1):
            before = [n for g in groups[:middle] for n in g]
            after = [n for g in groups[middle + 1 :] for n in g]
            for a in _nonempty(before):
                for b in _nonempty(after):
                    for sampler in self.heads:
                        log = self.coordinates.log
                        vector = combine(
                            (1, log(sampler, chain.joint, a, (*b, *groups[middle]))),
                            (-1, log(sampler, chain.joint, a, groups[middle])),
                        )
                        yield vector, chain.text, True

    def vector(self, terms: Iterable[tuple[Fraction, QuantitySyntax]]) -> Vector:
        return combine(*((x, self.coordinates.vector(self.reader.term(self._named(q)))) for x, q in terms))

    def _named(self, q: QuantitySyntax) -> QuantitySyntax:
        """The quantity with its variables as they were declared for the reader."""
        up = {n.casefold(): n.casefold()[:1].upper() + n.casefold()[1:] for n in self.problem.variables}

        def density(d: DensitySyntax) -> DensitySyntax:
            return DensitySyntax(d.head, tuple(v.casefold() for v in d.of), tuple(v.casefold() for v in d.given), d.column)

        groups = tuple(tuple(up[v.casefold()] for v in g) for g in q.groups)
        given = tuple(up[v.casefold()] for v in q.given)
        first = None if q.first is None else density(q.first)
        joint = q.joint if q.joint is not None or q.kind == "E" or q.first is not None else self.heads[0]
        return QuantitySyntax(q.kind, joint, groups, given, first, tuple(map(density, q.second)), q.generator, q.column)

    def prove(self, terms: list[tuple[Fraction, QuantitySyntax]], deadline: float) -> Proof | None:
        target = self.vector(terms)
        columns = [Column(combine((-1, r.vector)), 1.0) for r in self.rows]
        columns += [Column(combine((-1, v)), 0.01, free=zero) for v, _, zero in self.premises]
        answer = solve(target, columns, time_limit=max(0.01, deadline - time.monotonic()))
        if answer is None:
            return None
        n = len(self.rows)
        items = [Item(x, text, "premise", zero=zero) for x, (_, text, zero) in zip(answer[n:], self.premises, strict=True) if x]
        items += [Item(x, str(r.term), r.kind.value) for x, r in zip(answer[:n], self.rows, strict=True) if x]
        expanded = _sum((v, _log(k)) for k, v in target.items())
        return Proof(_sum((x, _text(q)) for x, q in terms), expanded, tuple(items))


def _log(coordinate: Coordinate) -> str:
    """A coordinate <J|R(S)> as E_J[log r(s)]; every joint here is one factor."""
    (sampler,), (model,), scope = coordinate
    head = str(sampler).split("(", 1)[0]
    return f"E_{head}[log {str(model).split('(', 1)[0]}({','.join(scope)})]"  # type: ignore[arg-type]


def _zero_quantity(statement: Statement) -> QuantitySyntax | None:
    """The quantity q of a premise ``q = 0`` (also ``q <= 0``, since it is never negative)."""
    left, right = linear(statement.syntax.left), linear(statement.syntax.right)
    if statement.syntax.relation == ">=":
        left, right = right, left
    if not right and len(left) == 1 and left[0][0] > 0:
        return left[0][1]
    if not left and len(right) == 1 and right[0][0] > 0 and statement.syntax.relation == "=":
        return right[0][1]
    return None


def _nonempty(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)


def _union(masks: Iterable[Mask]) -> Mask:
    total = 0
    for mask in masks:
        total |= mask
    return total


def _unions(atoms: Sequence[Mask]) -> Iterable[Mask]:
    for size in range(1, len(atoms) + 1):
        for chosen in combinations(atoms, size):
            yield _union(chosen)


def _text(q: QuantitySyntax) -> str:
    """A quantity as it was written."""
    name = {"F": f"F[{q.generator}]"}.get(q.kind, q.kind) + (f"_{q.joint}" if q.joint else "")
    if q.kind == "E":
        return f"{name}[log {''.join(map(str, q.second))}]"
    if q.first is not None:
        return f"{name}({q.first}||{''.join(map(str, q.second))})"
    inside = ";".join(",".join(g) for g in q.groups) + (f"|{','.join(q.given)}" if q.given else "")
    return f"{name}({inside})"


def _sum(parts: Iterable[tuple[Fraction, str]]) -> str:
    total: dict[str, Fraction] = {}
    for x, text in parts:
        total[text] = total.get(text, Fraction(0)) + x
    out = ""
    for text, x in total.items():
        if x:
            out += (" - " if x < 0 else " + ") + ("" if abs(x) == 1 else f"{abs(x)} ") + text
    return (out[3:] if out.startswith(" + ") else "-" + out[3:]) if out else "0"


signed_sum = _sum

"""The mutants of the mathematics, layer by layer, and the tests that should notice each."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from tests.mutants.mutation import Mutant

ROOT = Path(__file__).resolve().parents[2]

VECTORS = "tests/terms/test_vectors_in_worlds.py"
CONDITIONAL = "tests/terms/test_conditional_joints.py"
SPECS = "tests/spec/test_spec.py"
NAMING = "tests/rules/test_naming.py"
SIGNS = "tests/terms/test_signs.py"
RULES = "tests/rules/test_catalogue.py"
PREMISES = "tests/rules/test_premises.py"
SPEC = "tests/spec/test_spec.py"
ENGINE = "tests/derivation/test_engine.py"
GUARDS = "tests/derivation/test_premises.py"
CERTIFICATES = "tests/derivation/test_certificates.py"
PROGRAM = "tests/proving/test_program.py"
PROVER = "tests/proving/test_prover.py"
REDUCTION = "tests/terms/test_reduction.py"
LARGE_SPECS = "tests/derivation/test_large.py"
SPACE = "tests/proving/test_entropy_space.py"
LARGE = "tests/proving/test_large.py"
AXIOMS = "tests/proving/test_axioms.py"
WARM = "tests/proving/test_warm.py"
SUFFICIENT = "tests/proving/test_sufficiency.py"
NOTATION = "tests/proving/test_notation.py"
PLAIN = "tests/proving/test_plain.py"
DENSITIES = "tests/proving/test_densities.py"
DECIMALS = "tests/spec/test_decimals.py"
AUDIT = "tests/checking/test_audit.py"
NOTICED = "tests/checking/test_guards.py"
FINITE = "tests/checking/test_finite.py"
GAUSSIAN = "tests/checking/test_gaussian.py"
OPINION = "tests/checking/test_second_opinion.py"
ATTACK = "tests/attack/test_attack.py"
ACCEPTED = "tests/codegen/test_accepted.py"
UNUSED = "tests/derivation/test_unused.py"
UNOPPOSED = "tests/derivation/test_unopposed.py"
MINIMISED = "tests/checking/test_losses.py"
FAMILIES = "tests/families/test_families.py"
EDGES = "tests/families/test_edges.py"
ESTIMATORS = "tests/codegen/test_estimators.py"
REFERENCES = "tests/codegen/test_references.py::test_loss_terms_and_gradients"
EVERY_CRITIC = "tests/codegen/test_references.py::test_every_critic"
SAMPLED = "tests/lowering/test_sampled.py"
CONSTANT = "tests/derivation/test_constants.py"
SUMMED = "tests/lowering/test_enumerate.py"
CONSTRUCTS = "tests/derivation/test_constructs.py"
COUPLING = "tests/lowering/test_coupling.py"
EXTERNAL = "tests/families/test_external.py"
NOISE = "tests/families/test_uniform_noise.py"
SYMBOLS = "tests/lowering/test_symbols.py"


def own_tests() -> tuple[str, ...]:
    """The tests of single estimators that name mutants of their own."""
    return tuple(p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob("tests/estimators/test_*.py")) if _own(p))


def own_mutants() -> list[tuple[str, str, str]]:
    """(estimator's file, old, new) of the tables MUTANTS in the tests of single estimators; the tests are not imported for it."""
    paths = sorted(ROOT.glob("tests/estimators/test_*.py"))
    return [(p.stem.removeprefix("test_"), old, new) for p in paths for old, new in _own(p)]


def _own(path: Path) -> tuple[tuple[str, str], ...]:
    tables = [n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.Assign)]
    return next((ast.literal_eval(n.value) for n in tables if ast.unparse(n.targets[0]) == "MUTANTS"), ())


def mutants(file: str, tests: tuple[str, ...], *changes: tuple[str, str] | tuple[str, str, int]) -> list[Mutant]:
    """Several mutants of one file: (old, new) or (old, new, which occurrence)."""
    return [Mutant(file, c[0], c[1], tests, c[2] if len(c) == 3 else 0) for c in changes]


GRAPHS = mutants(
    "ibsym/spec/graphs.py",
    (SPEC, GUARDS, VECTORS, ENGINE),
    ("pending += factor.given", "pending += ()", 1),
    ("set(left), set(right), set(condition)", "set(left), set(right), set()"),
    ("if left & right: return False", "if left & right: return True"),
    ("(*factor.given, *factor.of[:i])", "(*factor.of[:i],)"),
    ('{("factor", f.text)}, set(a), set(b)', '{("factor", f.text)}, set(a), set()'),
    ("for size in range(len(rest) + 1)", "for size in range(len(rest))"),
    ("frozenset(a) - condition, frozenset(b) - condition", "frozenset(a), frozenset(b)"),
    ("if self.independent((a,), (b,), given)", "if self.independent((a,), (b,))"),
)

COORDINATES = mutants(
    "ibsym/terms/vectors.py",
    (VECTORS, RULES),
    ("total.get(key, 0) + coefficient * value", "total.get(key, 0) - coefficient * value"),
    ("*((-value, self.rows[key])", "*((value, self.rows[key])"),
    ("rest[pivot] if unit else Fraction(1) / rest[pivot]", "Fraction(1)"),
    ("(-other[pivot], row)", "(other[pivot], row)"),
    ("self._law(joint, both), both", "self._law(joint, a), both"),
    ("part | frozenset(factor.given)", "part"),
    ("combine((-1, self.log(joint, joint, of, given)))", "combine((1, self.log(joint, joint, of, given)))"),
    ("rest[0], (*first, *given)", "rest[0], (*first,)"),
    ("(-1, self.log(joint, joint, rest[0], given))", "(-1, self.log(joint, joint, rest[0], ()))"),
    (
        "(-1, self._information(joint, groups[:-1], (*given, *last)))",
        "(1, self._information(joint, groups[:-1], (*given, *last)))",
    ),
    ("(-1, self.log(joint, joint, g, given)) for g in groups", "(-1, self.log(joint, joint, g)) for g in groups"),
    ("(1, self.log(joint, joint, everything, given))", "(1, self.log(joint, joint, everything))"),
    (
        "(1, self.log_density(first.head, first)), *((-1, self.log_density(first.head, d))",
        "(1, self.log_density(first.head, first)), *((-1, self.log_density(d.head, d))",
    ),
    ("(1, self.log_density(first.head, first))", "(-1, self.log_density(first.head, first))"),
    (
        "combine(*((-1, self.log_density(first.head, d)) for d in second))",
        "combine(*((1, self.log_density(first.head, d)) for d in second))",
    ),
    ("(1, self.log_density(joint, d))", "(-1, self.log_density(joint, d))"),
    (
        "combine((1, self.vector(term.high)), (-1, self.vector(term.low)))",
        "combine((1, self.vector(term.low)), (-1, self.vector(term.high)))",
    ),
    ("estimator in ONE_SIDED and density is None", "estimator not in ONE_SIDED and density is None"),
    ("estimator in ONE_SIDED and density is None", "estimator in ONE_SIDED"),
    (
        "(self._law(self.spec.joints[d.head], d.scope), tuple(sorted(d.of)), tuple(sorted(d.given)))",
        "((), tuple(sorted(d.of)), tuple(sorted(d.given)))",
    ),
    ("for c in ((b, *given), given)", "for c in ((b,), given)"),
    ("(-1, self.log_factor(sampler, factor))", "(1, self.log_factor(sampler, factor))"),
    ("component.weight * weight", "Fraction(1)"),
    ("joint.ancestral_factors(scope)", "joint.factors"),
)

NUMBERS = mutants(
    "ibsym/spec/grammar.py",
    (DECIMALS,),
    ("Fraction(str(above)), Fraction(str(below or 1))", "Fraction(float(above)), Fraction(str(below or 1))"),
    (
        "Fraction(str(above)), Fraction(str(below or 1))",
        "Fraction(str(above)).limit_denominator(10**6), Fraction(str(below or 1))",
    ),
    ("return number / divisor if divisor else Fraction(0)", "return number"),
)

COEFFICIENTS = [
    *mutants(
        "ibsym/terms/signs.py",
        (SIGNS,),
        ("if low >= 0", "if high >= 0"),
        ("if high <= 0", "if low <= 0"),
        ("low, high = min(products), max(products)", "low, high = min(products), min(products)"),
        ("sum(e[0] for e in ends), sum(e[1] for e in ends)", "max(e[0] for e in ends), sum(e[1] for e in ends)"),
        ("if n % 2 == 0 and a < 0 < b", "if False"),
        ("if a < 0 < b or (a == 0 and b == 0): return REALS", "if (a == 0 and b == 0): return REALS"),
        ("if b > 0 else (-high, -low)", "if True else (-high, -low)"),
    ),
    *mutants(
        "ibsym/terms/measures.py",
        (SIGNS,),
        ("sympy.cancel(expanded) if is_ratio(expanded) else expanded", "expanded"),
        ("self + other.scaled(-1)", "self + other.scaled(1)"),
        ("sympy.sympify(factor) * w.coefficient", "w.coefficient"),
    ),
    *mutants(
        "ibsym/facts.py",
        (SIGNS,),
        ("{Relation.LE: Relation.GE, Relation.GE: Relation.LE}.get(self, self)", "self"),
        ("if other is Relation.EQ or other is self: return self", "if other is not Relation.APPROX: return self"),
        ("if self is Relation.EQ: return other", "if self is Relation.EQ: return self"),
        ('(Side.UPPER if sense == "minimize" else Side.LOWER)', '(Side.LOWER if sense == "minimize" else Side.UPPER)'),
        ("case Sign.NONPOSITIVE: return -self", "case Sign.NONPOSITIVE: return self"),
        ("return 1 if self is Side.UPPER else -1", "return -1 if self is Side.UPPER else 1"),
        ("Relation.LE if self is Side.UPPER else Relation.GE", "Relation.GE if self is Side.UPPER else Relation.LE"),
        ("Side.LOWER if self is Side.UPPER else Side.UPPER", "self"),
    ),
]

ROWS = mutants(
    "ibsym/proving/elemental.py",
    (VECTORS, GUARDS, ENGINE, CERTIFICATES, ATTACK),
    ("if all(map(discrete, second.of))", "if True"),
    ("for a in filter(spec.discrete, joint.variables)", "for a in joint.variables"),
    ("combine((-1, vector))", "combine((1, vector))"),
    (
        "(1, coordinates.log_density(sampler, first)), (-1, vector)",
        "(-1, coordinates.log_density(sampler, first)), (1, vector)",
    ),
    (
        "(1, coordinates.log_density(sampler, first)), (-1, vector)",
        "(1, coordinates.log_density(sampler, first)), (1, vector)",
    ),
    ("subsets(v for v in common if v != a)", "subsets(())"),
    ("for context in subsets(v for v in joint.variables if v not in (a, b))", "for context in subsets(())"),
    ("Slack(estimate, ONE_SIDED[estimate.estimator])", "Slack(estimate, -ONE_SIDED[estimate.estimator])"),
    ("for d in (term.first, *term.second)", "for d in (term.first,)"),
    ("if not isinstance(term, RelativeEntropy): return False", "if not isinstance(term, RelativeEntropy): return True"),
    ("learned = any(f.learned", "learned = not any(f.learned"),
)

ENTROPY_SPACE = mutants(
    "ibsym/proving/entropic.py",
    (SPACE, PROVER),
    ("(-1, a | b | c), (-1, c)", "(-1, a | b | c), (1, c)"),
    ("(-1, a | b | c), (-1, c)", "(-1, a | b), (-1, c)"),
    ("(1, a | c), (1, b | c), (-1, a | b | c), (-1, c)", "(1, a), (1, b | c), (-1, a | b | c), (-1, c)"),
    ("_sum((1, a | c), (-1, c))", "_sum((1, a | c))"),
    ("_sum((1, a | c), (-1, c))", "_sum((1, a), (-1, c))"),
    ('total.get(("H", mask), 0) + sign', 'total.get(("H", mask), 0) - sign'),
    ("for a in atoms if discrete else ()", "for a in atoms"),
    ("Elemental(a, 0, full ^ a)", "Elemental(a, 0, 0)"),
    ("for size in range(len(others) + 1)", "for size in range(len(others))"),
    ("if source & ~mask == 0 and target & ~mask", "if target & ~mask"),
    ("if self.closure(rest) >> i & 1", "if True"),
    ("if c & ~mask == 0 and mask & ~(a | b | c) == 0 and mask & a and mask & b", "if c & ~mask == 0 and mask & a and mask & b"),
    (
        "if c & ~mask == 0 and mask & ~(a | b | c) == 0 and mask & a and mask & b",
        "if mask & ~(a | b | c) == 0 and mask & a and mask & b",
    ),
    ("((1, e.a | e.c), (1, e.b | e.c), (-1, e.c))", "((1, e.a | e.c), (1, e.b | e.c), (1, e.c))"),
    ("((1, e.a | e.c), (1, e.b | e.c), (-1, e.c))", "((1, e.a), (1, e.b | e.c), (-1, e.c))"),
    ("(value if fact.quantity.b == 0 else -value)", "value"),
    ("if not e.b and not f.b and f.c == e.a | e.c", "if not e.b and not f.b and f.c == e.a"),
    ("if a == c and f.c == b | e.c", "if a == c"),
    ("Elemental(a, b | d, e.c)", "Elemental(a, b, e.c)"),
    ("parts = done.setdefault(x, [])", "parts = done.setdefault(Fraction(1), [])"),
)

PROOFS = [
    *mutants(
        "ibsym/proving/single.py",
        (SPACE, PROVER, ATTACK),
        (
            "(_union(groups[:i]), _union(groups[i + 1 :]), groups[i], chain.text)",
            "(_union(groups[:i]), groups[i + 1], 0, chain.text)",
        ),
        (
            "(_union(groups[:i]), _union(groups[i + 1 :]), groups[i], chain.text)",
            "(groups[0], _union(groups[i + 1 :]), groups[i], chain.text)",
        ),
        ("combine((1, h(groups[0] | c)), (-1, h(c)))", "combine((1, h(groups[0] | c)))"),
        ("(-1, h(every | c)), (1, h(c))", "(-1, h(every | c))"),
        ("(-1, self.interaction(groups[:-1], c | groups[-1]))", "(1, self.interaction(groups[:-1], c | groups[-1]))"),
        ("(-1, self.interaction(groups[:-1], c | groups[-1]))", "(-1, self.interaction(groups[:-1], groups[-1]))"),
    ),
    *mutants(
        "ibsym/proving/attempts.py",
        (SPACE, PROVER, LARGE),
        ("0.5, free=premise.zero", "0.5, free=True"),
        ("0.01, free=True", "0.01"),
        ("entropic.elementals(tuple(atoms), not self.space.continuous)", "entropic.elementals(tuple(atoms), True)"),
        ("textbook.among(sets, not self.space.continuous)", "textbook.among(sets, True)"),
        ("demand.Elementals(everything, not space.continuous)", "demand.Elementals(everything, True)"),
        ("(x / symmetric.size(o), e)", "(x, e)"),
        ("(x / symmetric.size(o), OrbitSum(symmetric, o))", "(x, OrbitSum(symmetric, o))"),
    ),
    *mutants(
        "ibsym/proving/textbook.py",
        (LARGE,),
        ("if a & b in known and a | b in known", "if True"),
        ("for other in found for k in (m & other, m | other)", "for other in found for k in (m | other,)"),
        ("elif discrete and", "elif"),
    ),
    *mutants(
        "ibsym/proving/orbits.py",
        (LARGE,),
        ("return mask ^ (a | b)", "return mask ^ a"),
        ('target.get(("H", swapped(mask_of(key), atom, group[0])), 0) == x', "True"),
        ("pairs = comb(self.sizes[orbit.a], 2)", "pairs = self.sizes[orbit.a] ** 2"),
        ("(-1, _plus(one, orbit.b))", "(-1, one)"),
        ("total.get(counts, 0) + value", "value"),
        ("[n - (k == a) - (k == b) for k, n in enumerate(self.sizes)]", "[n - (k == a) for k, n in enumerate(self.sizes)]"),
    ),
    *mutants(
        "ibsym/proving/demand.py",
        (LARGE,),
        ("h[p[:, 0]] + h[p[:, 1]] - h[p[:, 2]] - h[p[:, 3]]", "h[p[:, 0]] - h[p[:, 1]] - h[p[:, 2]] - h[p[:, 3]]"),
        ("slack < below", "slack > -below"),
        ("if not price: return None", "return None"),
        ("self.matrix @ h, abs", "h, abs"),
    ),
    *mutants(
        "ibsym/checking/sufficiency.py",
        (SUFFICIENT,),
        ("self.choices @ answer.x > POSITIVE", "self.choices @ answer.x < -POSITIVE"),
        ("csr_array(-np.array(self.never))", "csr_array(np.array(self.never))"),
    ),
    *mutants(
        "ibsym/proving/warm.py",
        (WARM,),
        ("rough[k] -= sign * float(x)", "rough[k] += sign * float(x)"),
        ("np.abs(np.array(solution.col_dual)).sum()", "np.array(solution.col_dual).sum()"),
        ("price * program.costs[row]", "program.costs[row]"),
        ("changeColBounds(place, -bound, bound)", "changeColBounds(place, -1.0, 1.0)"),
    ),
    *mutants(
        "ibsym/proving/rational.py",
        (PROGRAM,),
        ("rows[other][column] / row[column]", "rows[other][column]"),
        ("row[column] = -row[k]", "row[column] = row[k]"),
        ("if objective.get(c, Fraction(0)) > 0", "if objective.get(c, Fraction(0)) < 0"),
        ("if row.get(entering, 0) > 0", "if row.get(entering, 0)"),
        ("found[split[column]] -= value", "found[split[column]] += value"),
        ("(row.get(RIGHT, Fraction(0)) - rest) / row[column]", "row.get(RIGHT, Fraction(0)) / row[column]"),
    ),
    *mutants(
        "ibsym/proving/writing.py",
        (SPACE, PROVER, LARGE),
        ("*((-x, _vector(label)) for x, label in lines)", "*((x, _vector(label)) for x, label in lines)"),
        ("if left: raise", "if False: raise"),
    )[:1],
    *mutants(
        "ibsym/proving/several.py",
        (SPACE, PROVER, ATTACK),
        ("0.01, free=p.zero", "0.01, free=True"),
        ("0.01, free=p.zero", "0.01"),
        ("combine((-1, r.vector))", "combine((1, r.vector))"),
        ("(*b, *groups[middle])", "(*b,)"),
        ('"real[D]" if continuous else "binary[D]"', '"binary[D]"'),
        ('"real[D]" if continuous else "binary[D]"', '"real[D]"'),
    ),
    *mutants(
        "ibsym/proving/prover.py",
        (PROGRAM, PROVER),
        (
            'Verdict(Fact.UNKNOWN, note="undecided: limit")',
            'Verdict(Fact.FALSE, note="not provable by Shannon-type inequalities")',
        ),
    ),
    *mutants(
        "ibsym/proving/plain.py",
        (PLAIN,),
        ('(-number if found["sign"] == "-" else number, quantity)', "(number, quantity)"),
        ('Fraction(int(found["above"]), int(found["below"]))', 'Fraction(int(found["above"]))'),
        ('found["sign"] or place == start', "True"),
        ('found["kind"] == "H" and len(groups) > 1', "False"),
        ('_names(found["given"]) if found["given"] else ()', "()"),
    ),
    *mutants(
        "ibsym/proving/claims.py",
        (PROVER, NOTATION),
        (
            "[[[(-x, t) for x, t in f] for f in chosen] for chosen in self._choices(a)]",
            "[[[(-x, t) for x, t in f] for f in c] for c in a]",
        ),
        ("self._scaled(1 / factor, self.read(syntax.arguments[0]))", "self._scaled(factor, self.read(syntax.arguments[0]))"),
        ("return self._scaled(-factor, self._negative(a))", "return self._scaled(-factor, a)"),
        ("[[f + g for f in c for g in d] for c in a for d in b]", "[[f + g for f, g in zip(c, d)] for c in a for d in b]"),
        (
            "if len(form) != 1 or not isinstance(form[0][1], QuantitySyntax) or (form[0][0] > 0 and not equal)",
            "if len(form) != 1 or not isinstance(form[0][1], QuantitySyntax)",
        ),
        ('if found.comparison == ">="', "if False", 1),
        ('Constant(2 if self.unit == "bits" else 0)', "Constant(0)"),
        ("before, after = sum(groups[:m], ()), sum(groups[m + 1 :], ())", "before, after = groups[m - 1], groups[m + 1]"),
        ("if any(len(clause) > 1 for clause in forms)", "if False"),
        ("if own != name or (other is not None and other[1:] != name[1:])", "if other is not None and other[1:] != name[1:]"),
        ("if own != name or (other is not None and other[1:] != name[1:])", "if own != name"),
    ),
    *mutants(
        "ibsym/proving/densities.py",
        (DENSITIES,),
        ("if len(set(names)) < len(names)", "if False"),
        ("(*quantity.groups, quantity.given)", "quantity.groups"),
        ("if _determines(s)]", "]"),
        ("if any(not key[1] < large or found[key] != -size for key in rest)", "if rest"),
        ("return size > 0 or statement.zero", "return size > 0"),
        ("add(chosen, 1 if size % 2 else -1)", "add(chosen, 1)"),
    ),
    *mutants(
        "ibsym/proving/program.py",
        (PROGRAM,),
        ("right[keys[key]] = -float(value)", "right[keys[key]] = float(value)"),
        ("if answer.status == 2", "if answer.status in (2, 4)"),
        ("if answer.status != 0", "if answer.status > 3"),
        ("_allowed(few, near) and not residual(target, few, near)", "not residual(target, few, near)"),
        ("if not _allowed(few, near) or residual(target, few, near)", "if not _allowed(few, near)"),
        ("bounds=(0, None)", "bounds=(None, None)"),
        ("all(c.free or x is ZERO or x >= 0", "all(True or x >= 0"),
        ('raise LimitError("the time limit of the linear program was reached")', "return None"),
    ),
]

CATALOGUE = [
    *mutants(
        "ibsym/rules/catalogue.py",
        (RULES, PREMISES),
        ('"I_q(X;Z) = H_q(Z) - H_q(Z|X)"', '"I_q(X;Z) = H_q(Z) + H_q(Z|X)"'),
        ('"KL(q(z)||p(z)) = CE(q(z)||p(z)) - H_q(Z)"', '"KL(q(z)||p(z)) = CE(q(z)||p(z)) + H_q(Z)"'),
        ('"TC_q(X;C;Z) = H_q(X) + H_q(C) + H_q(Z) - H_q(X,C,Z)"', '"TC_q(X;C;Z) = H_q(X) + H_q(C) - H_q(X,C,Z)"'),
        ('"H_q(Z) = CE(q(z)||p(z)) - KL(q(z)||p(z))"', '"H_q(Z) = CE(q(z)||p(z)) - KL(p(z)||q(z))"'),
        ('"H_q(Z|C) = H_q(Z|X,C) + I_q(X;Z|C)"', '"H_q(Z|C) = H_q(Z|X,C) + I_q(X;Z)"'),
        (
            '"E_q[log p(x)] + E_q[log p(z|x)] = E_q[log p(z)] + E_q[log p(x|z)]"',
            '"E_q[log p(x)] + E_q[log p(z|x)] = E_q[log p(x|z)]"',
        ),
        ('"H_q(Z|X,C) = H_q(Z|X)"', '"H_q(Z|X,C) = H_q(Z|C)"'),
        ('"E_u[log q(z|x)] = E_u[log u(z|x)]"', '"E_u[log q(z|x)] = E_q[log u(z|x)]"'),
        ('"KL(data(x)||p(x)) = KL(q(x)||p(x))"', '"KL(data(x)||p(x)) = KL(u(x)||p(x))"'),
        ('"CE(q(z)||p(z)) - H_q(Z|X) = KL(q(z|x)||p(z))"', '"CE(q(z)||p(z)) - H_q(Z) = KL(q(z|x)||p(z))"'),
        ('"I_q(X;Z) <= KL(q(z|x)||p(z))"', '"I_q(X;Z) <= KL(q(z)||p(z))"'),
        ('"I_q(Z;C) >= H_q(C) + E_q[log p(c|z)]"', '"I_q(Z;C) >= H_q(C) - E_q[log p(c|z)]"'),
        ('"CE(q(x)||p(x)) <= KL(q(z|x)||p(z)) - E_q[log p(x|z)]"', '"CE(q(x)||p(x)) <= KL(q(z)||p(z)) - E_q[log p(x|z)]"'),
        ('"H_q(X) = CE(q(x)||p(x)) - KL(q(x)||p(x))"', '"H_q(X) = CE(q(x)||p(x)) - KL(p(x)||q(x))"'),
        ('"H_q(Z|X,C) = H_q(Z|X)", "C - X - Z in q"', '"H_q(Z|X,C) = H_q(Z|X)"'),
        ('"E_u[log q(z|x)] = E_u[log u(z|x)]", "both joints use the factor"', '"E_u[log q(z|x)] = E_u[log u(z|x)]"'),
        (', "both joints are made of the same factors there"', ""),
        ('"H_q(X|Z) >= 0*H_q(Z)", "A discrete"', '"H_q(X|Z) >= 0*H_q(Z)"'),
        ('"CE(q(x)||p(x)) >= 0*H_q(Z)", "A discrete"', '"CE(q(x)||p(x)) >= 0*H_q(Z)"'),
        ('"variational rate bound", LE', '"variational rate bound", GE'),
        ('"variational decoder bound", GE', '"variational decoder bound", LE'),
        ('"evidence lower bound", LE', '"evidence lower bound", GE'),
        ('"mutual information dropped", GE', '"mutual information dropped", LE'),
    ),
    *mutants(
        "ibsym/rules/catalogue.py",
        (NAMING, ENGINE, GUARDS),
        ("self.side in (None, side)", "True"),
        ("and self.when(term, gap)", ""),
        ("return needed and all(isinstance(p, (*self.needs, *self.allows)) for p in premises)", "return True"),
        ("return needed and all(isinstance(p, (*self.needs, *self.allows)) for p in premises)", "return needed"),
        ("for r in (chain_rule, shared_factor, conditional_independence)", "for r in (chain_rule, conditional_independence)"),
        ("frozenset(gap.first.of) == frozenset(term.groups[-1])", "True"),
        ("isinstance(gap, RelativeEntropy) and bool(gap.first.given)", "True"),
        ("and self.fit(changed)", ""),
    ),
]

ESTIMATOR_FACTS = [
    mutant
    for name, old, new in (
        ("club", "side=Side.UPPER", "side=Side.LOWER"),
        ("leave_one_out", "side=Side.UPPER,", ""),
        ("infonce", "side=Side.LOWER", "side=Side.UPPER"),
        ("iwae", "side=Side.LOWER,", ""),
        ("nwj", "side=Side.LOWER,", ""),
        ("dv", "normalised=False", "normalised=True"),
        ("density_ratio", "first_only=True", "first_only=False"),
        ("density_ratio", 'loss="logistic"', 'loss="value"'),
        ("logistic", 'Critic(loss="logistic")', "Critic()"),
        ("leave_one_out", "m.log(m.rows(table) - 1)", "m.log(m.rows(table))"),
        ("leave_one_out", "m.log_sum_exp(m.others(table))", "m.log_sum_exp(table)"),
        ("club", "m.mean_of_others(table)", "m.mean(table)"),
        ("infonce", " + m.log(m.rows(table))", ""),
        ("mmd", "w / (w + d)", "d / (w + d)"),
        ("mmd", "m.exp(-d / (2 * square))", "m.exp(-d / square)"),
        *own_mutants(),
    )
    for mutant in mutants(
        f"ibsym/estimators/{name}.py", (*own_tests(), RULES, ENGINE, ESTIMATORS, MINIMISED, EVERY_CRITIC, ATTACK), (old, new)
    )
]

PROGRAMS = mutants(
    "ibsym/derivation/programs.py",
    (ENGINE, GUARDS, ATTACK),
    ("TIER_4 if learned else TIER_3", "TIER_3 if learned else TIER_4"),
    ("_tag(1, combine((-1, cone[k])) if k < len(cone) else {})", "_tag(1, cone[k] if k < len(cone) else {})"),
    ("combine((sign, r.vector))", "combine((1, r.vector))"),
    ("Column(combine((-1, c.vector)), cost, free=True)", "Column(combine((-1, c.vector)), cost)"),
    (
        "return columns + [Column(combine((-1, e.vector)), EQUATION, free=True) for e in equations]",
        "return columns + [Column({}, EQUATION, free=True) for e in equations]",
    ),
)
LARGE_JOINTS = [
    *mutants(
        "ibsym/derivation/programs.py",
        (LARGE_SPECS,),
        ("if settled or len(within) >= widest", "if True"),
        ("(found is before or spent(found) < TIER_1)", "True"),
        ("columns, answer, Span(left))", "columns, answer, Span(()))"),
        ("[(side.sign * x, r.vector) for x, r in gaps]", "[(x, r.vector) for x, r in gaps]"),
    ),
    *mutants(
        "ibsym/spec/separation.py",
        (REDUCTION,),
        ("(down >> v & 1 & (ancestors >> v))", "0"),
        ("through = (up >> v & 1) & free", "through = up >> v & 1"),
        ("self._memory[a] = (up | down) & ~given", "self._memory[a] = up & ~given"),
    ),
    *mutants(
        "ibsym/terms/reduction.py",
        (REDUCTION,),
        ("(1, mask ^ a), (1, mask ^ b), (-1, mask ^ a ^ b)", "(1, mask ^ a), (1, mask ^ b), (1, mask ^ a ^ b)"),
        ("used.append((value, equation))", "used.append((-value, equation))"),
        ("for e in self.coordinates.factor_equations(self.spec.joints)", "for e in []"),
    ),
    *mutants(
        "ibsym/checking/separations.py",
        (REDUCTION,),
        ("if self.separated(model, (a,), (b,), (*rest, *model.external))", "if True"),
        ("(-1, {*rest})", "(1, {*rest})"),
    ),
    *mutants(
        "ibsym/checking/exact.py",
        (REDUCTION, LARGE_SPECS),
        ("inside and separated(model, a, b, given) and equation.vector in", "inside and equation.vector in"),
        ("and equation.vector in self._forms(model, a, b, given)", ""),
    ),
    *mutants(
        "ibsym/proving/contexts.py",
        (LARGE_SPECS,),
        ("(-1, b | c), (1, c)", "(-1, b | c), (-1, c)"),
        ("(-1, model_side, a | c), (1, model_side, c)", "(-1, model_side, a | c), (-1, model_side, c)"),
        ("found[exact] = factor.learned", "found[exact] = not factor.learned"),
        ("np.lexsort((-first, _counts(every)))", "np.lexsort((first, _counts(every)))"),
        ("np.lexsort(keys[::-1])", "np.arange(len(place))"),
    ),
]

PLANS = mutants(
    "ibsym/derivation/planning.py",
    (ENGINE, GUARDS, ATTACK),
    ("way = side or Side.UPPER", "way = Side.UPPER"),
    ("set(of) <= second", "True"),
    ("not self.serves(wanted, term, samplers)", "False"),
    ("[set(g) for g in a.groups] == [set(g) for g in b.groups]", "True"),
    ("if term in found", "if False"),
    ("if use.estimator in ONE_SIDED", "if False"),
    ("[*requested, *more]", "[*more]"),
    ("if factor.evaluated and", "if"),
    ("f.learned for _, part in", "f.learned and False for _, part in"),
)

PROOF_STEPS = mutants(
    "ibsym/derivation/steps.py",
    (ENGINE, GUARDS, AUDIT, CONSTRUCTS, ATTACK),
    ("sign = plan.side.sign", "sign = 1"),
    (
        "dropped = Expression.of(*((-sign * g.multiplier, g.term) for g in gaps))",
        "dropped = Expression.of(*((sign * g.multiplier, g.term) for g in gaps))",
    ),
    ("gap=Expression.of((gap.multiplier, gap.term))", "gap=Expression.of((2 * gap.multiplier, gap.term))"),
    ("relation=plan.side.relation", "relation=-plan.side.relation"),
    (
        "yield -1, Entropy(joint, groups[1], self.spec.ordered((*groups[0], *given)))",
        "yield -1, Entropy(joint, groups[1], groups[0])",
    ),
    (
        "yield -1, Entropy(joint, groups[1], self.spec.ordered((*groups[0], *given)))",
        "yield 1, Entropy(joint, groups[1], self.spec.ordered((*groups[0], *given)))",
    ),
    ("(-1, self.entropy(first))", "(1, self.entropy(first))"),
    (
        "parts = [(-coefficient, Entropy(joint, g, given)) for g in groups]",
        "parts = [(coefficient, Entropy(joint, g, given)) for g in groups]",
    ),
    ("(-1, Entropy(joint, everything, given))", "(1, Entropy(joint, everything, given))"),
    ("(-coefficient * sign, term)", "(coefficient * sign, term)"),
    ("(coefficient, self.entropy(first))", "(-coefficient, self.entropy(first))"),
    ("yield -x, CrossEntropy(first, (model,))", "yield x, CrossEntropy(first, (model,))"),
    ("w.coefficient == -part.coefficient", "w.coefficient == part.coefficient"),
    ("return self.spec.joints[entropy.joint].independent(entropy.of, model.given, entropy.given)", "return True"),
    ("or inner.multiplier != outer.multiplier", ""),
    ("if frozenset(s.given) != frozenset(r.given) | frozenset(r.of) or", "if"),
    ("rule = catalogue.dropping(plan.side, plan.term, gap.term)", "rule = catalogue.relative_entropy_dropped"),
    ("catalogue.rearrangement(premises)", "catalogue.chain_rule"),
    ("catalogue.rearrangement(premises)", "catalogue.shared_factor"),
    ("if not open_with(()): return tuple(found)", "if True: return tuple(found)"),
    ("more = more if open_with(others) else others", "pass"),
    ("self.completed(self.conditions(collected), target, final)", "self.completed((), target, final)"),
    ("return not any(f.learned for", "return any(f.learned for"),
    (
        "replace(part, coefficient=-part.coefficient, term=ExpectedLog",
        "replace(part, coefficient=part.coefficient, term=ExpectedLog",
    ),
    (
        "found.append((-part.coefficient, ExpectedLog(part.term.first.head, part.term.second)))",
        "found.append((part.coefficient, ExpectedLog(part.term.first.head, part.term.second)))",
    ),
)

ENGINE_MUTANTS = mutants(
    "ibsym/derivation/engine.py",
    (ENGINE, GUARDS, CERTIFICATES, AUDIT, ATTACK),
    ("wanted = side.times(direction)", "wanted = side"),
    ("flipped = self.sign(part.coefficient) is Sign.NONPOSITIVE", "flipped = False"),
    ("s.gap.scaled(-part.coefficient if flipped else part.coefficient)", "s.gap.scaled(part.coefficient)"),
    ("relation = -s.relation if flipped else s.relation", "relation = s.relation"),
    ("if direction is Sign.UNKNOWN", "if False"),
    ("if plan is None or (plan.gaps and not any(c.learned for _, c in plan.computed))", "if plan is None"),
    (
        "(-coefficient, entropy), (coefficient, cross), (-coefficient, kept)",
        "(-coefficient, entropy), (coefficient, cross), (coefficient, kept)",
    ),
    (
        "(-coefficient, entropy), (coefficient, cross), (-coefficient, kept)",
        "(-coefficient, entropy), (-coefficient, cross), (-coefficient, kept)",
    ),
    ("if continuous", "if False"),
    ("if self.sign(coefficient) is not (Sign.NONPOSITIVE if side is Side.UPPER else Sign.NONNEGATIVE)", "if False"),
    ("gap = -side.sign * coefficient", "gap = side.sign * coefficient"),
    ("relation=side.relation", "relation=-side.relation", 1),
    ("relation=side.relation", "relation=-side.relation", 2),
    ("rule.side is side.times(direction)", "rule.side is side"),
    ("rule.side is side.times(direction)", "rule.side is -side.times(direction)"),
    ("proved = direction is not Sign.UNKNOWN and rule.side is side.times(direction)", "proved = rule.side is not None"),
    ("Slack(estimate, side.times(direction))", "Slack(estimate, side)"),
    ("self.sign(coefficient if side is Side.UPPER else -coefficient)", "self.sign(coefficient)"),
    ("if proved and (model is None or model.bounds)", "if proved"),
    ("size = coefficient if direction is Sign.NONNEGATIVE else -coefficient", "size = coefficient"),
    ("relation = relation & s.relation", "relation = s.relation"),
    ("if use.estimator in ONE_SIDED and not proved", "if False"),
)

SAMPLING = mutants(
    "ibsym/derivation/sampling.py",
    (ENGINE, GUARDS, AUDIT),
    ('return "closed-form" if free and closed else "sampled"', 'return "closed-form" if closed else "sampled"'),
    ("independent(own.of, model.given, own.given)", "independent(own.of, model.given, model.given)"),
    ('return "closed-form" if a and b and closed_relative_entropy(a, b) else "sampled"', 'return "sampled"'),
    ("if not family.carries_gradient", "if False"),
    ("not factor.learned or family.reparameterised", "not factor.learned"),
)

UNUSED_MUTANTS = mutants(
    "ibsym/derivation/unused.py",
    (UNUSED,),
    ("f.text not in seen", "False"),
    ("if not {*f.of} & {*model.given}", "if spec.joints[model.head].rooted"),
    ("if p not in names", "if False"),
    ("seen = {f.text for c in limits for f in (c.critic.through,)}", "seen = set()"),
    ("yield from factors(spec, Density(sampler, spec.ordered(scope)))", "yield from ()"),
    ("names = {c.critic.multiplier for c in limits}", "names = set()"),
)

UNOPPOSED_MUTANTS = mutants(
    "ibsym/derivation/unopposed.py",
    (UNOPPOSED,),
    ('item.coefficient if spec.sense == "minimize" else -item.coefficient', "item.coefficient"),
    ("is not gains", "is gains"),
    ("factor.text in used - others", "factor.text in used"),
    ("factor.learned and", "True and"),
    ("gains, drawn = Sign.NONPOSITIVE,", "gains, drawn = Sign.NONNEGATIVE,"),
)

CRITICS = mutants(
    "ibsym/derivation/critics.py",
    (MINIMISED, *own_tests(), ATTACK),
    ("if weight is Sign.NONNEGATIVE", "if True"),
    ("elif use.model is None and b and not own", "elif use.model is None and b"),
    ("if not critic.normalised: form", "if False: form"),
    ('form = "nwj"', 'form = "value"'),
    ('bounds and form in ("value", "saturating")', "bounds"),
    ("critic.exact and not one_sided", "critic.exact"),
    ("critic.exact and not one_sided", "not one_sided"),
    ("a, b = learns(spec, (first,)), learns(spec, second)", "a, b = True, learns(spec, second)"),
    ("coordinates.equal(coordinates.vector(term), coordinates.vector(own))", "True"),
    ("yield from factors(spec, Density(component.joint, component.of))", "pass"),
)

EXACT = mutants(
    "ibsym/checking/exact.py",
    (NOTICED, VECTORS, AUDIT),
    ("if multiplier < 0", "if False"),
    ("if facts.nonnegative(row.term) != row.kind.value", "if False"),
    ("if not facts.vanishes(combine((1, vector), (-1, item.vector)))", "if False"),
    ("if not facts.legal(equation)", "if False"),
    ("if total: raise", "if False: raise"),
    ("combine((1, total), (plan.side.sign * multiplier, vector))", "combine((1, total), (multiplier, vector))"),
    ("pending += clique - reached - blocked", "pending += clique - reached"),
    ("joint.ancestral_factors(left | right | blocked)", "joint.factors"),
    ("[{*f.of, *f.given} for f in factors]", "[{*f.given} for f in factors]"),
    ("if sorted(covered) != sorted(first.of) or", "if"),
    (
        "if not extra <= set(self.spec.joints[first.head].variables) or not separated("
        " self.spec.joints[first.head], first.of, extra, first.given )",
        "if False",
    ),
    ("if ready is None: return False", "if ready is None: return True"),
    ("InequalityKind.ENTROPY.value if all(map(spec.discrete, of)) else", "InequalityKind.ENTROPY.value if True else"),
    (
        "InequalityKind.CROSS_ENTROPY.value if all(spec.discrete(v) for d in second for v in d.of) else",
        "InequalityKind.CROSS_ENTROPY.value if True else",
    ),
    ("if admits(estimate) and side(estimate) is bounded else", "if admits(estimate) else"),
    ("case MutualInformation(groups=(_, _)) | TotalCorrelation()", "case MutualInformation() | TotalCorrelation()"),
    ("if facts.sign(part.coefficient) not in (Sign.NONNEGATIVE, Sign.ZERO)", "if False"),
    ("if not facts.nonnegative(part.term)", "if False"),
    ("if factor is None or not factor.evaluated", "if False"),
    ("if any(f.learned for _, joint in parts for f in joint.ancestral_factors(scope))", "if False"),
    ("after - before + gap if relation is Relation.GE else after - before - gap", "after - before - gap"),
    ("if ratios else sympy.Integer(1)", "if False else sympy.Integer(1)"),
)

VALUES = (
    mutants(
        "ibsym/spec/schema.py",
        (ENGINE,),
        ("-math.inf if self.min is None else self.min", "0.0 if self.min is None else self.min"),
        ("math.inf if self.max is None else self.max", "0.0 if self.max is None else self.max"),
    )
    + mutants(
        "ibsym/spec/graphs.py",
        (SPECS, NOTICED),
        ("frozenset(f.of) == a and (b is None or frozenset(f.given) == b)", "frozenset(f.of) == a"),
        ("frozenset(f.of) == a and (b is None or frozenset(f.given) == b)", "set(f.of) >= a"),
    )
    + mutants(
        "ibsym/spec/model.py",
        (SPECS,),
        ('if getattr(self, "_whole", False)', "if False"),
        ("return spec if origin is None else spec.read_from(*origin)", "return spec"),
    )
)

CONDITIONING = (
    mutants(
        "ibsym/spec/graphs.py",
        (CONDITIONAL,),
        ("generated | {v for f in self.ancestral_factors(generated) for v in f.given if v in self.external}", "generated"),
        ("generated = frozenset(scope) - self.external", "generated = frozenset(scope)"),
        ("return not a & self.external and self.independent(a, self.external - b, b)", "return True"),
        ("return not a & self.external and self.independent(a, self.external - b, b)", "return self.external <= b"),
        ("if v in some or v in self.external", "if v in some"),
    )
    + mutants(
        "ibsym/terms/vectors.py",
        (CONDITIONAL, VECTORS),
        ("(joint.conditioned(s) for s in (a | b, b))", "(s for s in (a | b, b))"),
        ("parts.append((-1, self._atom(sampler, self._law(joint, below), below)))", "pass"),
        ("if shared or not joint.conditioned(scope) <= scope", "if shared"),
        ("if not self._marginals", "if True"),
        ("used & {*factor.of} <= {*m.of} <= {*factor.of}", "{*m.of} <= {*factor.of}"),
    )
    + mutants(
        "ibsym/terms/reading.py",
        (CONDITIONAL,),
        ("if not joint.exists(of, given)", "if False"),
        ("if not joint.rooted: raise self._without_law(joint, syntax.column)", "if False: pass"),
    )
    + mutants(
        "ibsym/spec/joints.py",
        (CONDITIONAL,),
        ("if not self.joints[name].rooted", "if False"),
        ("if (set(whole.of) - set(of)) & others else whole", "if False else whole"),
    )
    + mutants(
        "ibsym/checking/exact.py",
        (CONDITIONAL,),
        ("or not all(map(self.exists, second))", ""),
    )
    + mutants(
        "ibsym/checking/finite.py",
        (CONDITIONAL,),
        ("if factor.text not in self.tables: return", "if factor.text not in self.tables and False: return"),
        ("both = self.without(whole, density.scope)", "both = self.without(whole, density.of)"),
    )
    + mutants(
        "ibsym/proving/elemental.py",
        (CONDITIONAL, VECTORS),
        ("if model.external <= set(context)", "if True"),
    )
)

AUDITS = [
    *mutants(
        "ibsym/checking/audit.py",
        (NOTICED, AUDIT),
        ("if not step.before.same(state)", "if False"),
        ("if step.relation is -side.relation", "if False"),
        ("if not final(derivation).same(state)", "if False"),
        ("if relation is not derivation.relation", "if False"),
        ("if not total.same(gap)", "if False"),
        ("_check_rule(where, step)", "pass", 1),
        ("elif step.rule not in RULES", "elif False"),
        ("if step.relation is Relation.EQ: raise", "if False: raise"),
        ("if step.relation is Relation.APPROX and step.rule in ONE_SIDED", "if False"),
        ("elif (RULES[step.rule].relation is Relation.EQ) is not (step.relation is Relation.EQ)", "elif False"),
        ("elif step.relation is Relation.APPROX", "elif False"),
        ("if step.relation in (Relation.EQ, Relation.APPROX) and len(step.gap)", "if False"),
        ("if step.relation in (Relation.LE, Relation.GE) and not len(step.gap)", "if False"),
        ("if not step.before.same(standing(step.after, introduced(step)))", "if False"),
        ("if any(isinstance(t, Estimate) and t.estimator != step.rule for t in introduced(step))", "if False"),
        ("check_premises(facts, step, where)", "pass"),
        ("check_gap(facts, step.gap, where)", "pass"),
        ("if not facts.zero(difference(step.relation, step.before, step.after, step.gap))", "if False"),
        ("check_rule(facts, step, where, derivation.plans)", "pass"),
        ("check_plan(facts, plan)", "pass"),
        ("if not Expression.of(*((p.weight, p.term) for p in derivation.plans)).same(derivation.objective)", "if False"),
        ("if gap.closable is not closable(facts.coordinates, gap.term)", "if False"),
        ("check_computable(facts, item.term)", "pass"),
        ("check_constant(facts, constant.term)", "pass"),
        ("TOLERANCE = 1e-9", "TOLERANCE = 1e3"),
        ("if min(coefficient, value) < -TOLERANCE * scale", "if False"),
        ("if not error <= TOLERANCE * scale", "if False"),
        ("if worlds and not tally.worlds", "if False"),
        ("*((c.derivation, Side.UPPER) for c in derivation.constraints if c.derivation is not None)", ""),
        ("size = plan.weight if plan.side is side else -plan.weight", "size = plan.weight"),
        ("low - high if stage.relation is Relation.GE else high - low", "high - low"),
    ),
    *mutants(
        "ibsym/checking/premises.py",
        (NOTICED, AUDIT),
        ("return _apart(facts, name, a, b, given)", "return True"),
        ("return _apart(facts, name, a, b, given)", "return _apart(facts, name, a, given, b)"),
        ("return _apart(facts, density.head, density.of, further, density.given)", "return True"),
        ("str(density) in {f.text for f in spec.joints[name].factors}", "True"),
        ("return term in {w.term for w in step.gap} and bool(facts.nonnegative(term))", "return bool(facts.nonnegative(term))"),
        (
            "return term in {w.term for w in step.gap} and bool(facts.nonnegative(term))",
            "return term in {w.term for w in step.gap}",
        ),
        ("spec.variables.get(variable) == space and spec.discrete(variable)", "spec.variables.get(variable) == space"),
        ("spec.variables.get(variable) == space and spec.discrete(variable)", "spec.discrete(variable)"),
        ("known = joint is not None and {*a, *b, *given} <= set(joint.variables)", "known = joint is not None"),
        ("if not follows(facts, difference(step.relation, step.before, step.after, step.gap), step.premises)", "if False"),
        ("if not rule.rests_on(step.premises)", "if False"),
        ("if not rule.fits(changed)", "if False"),
        ("if len(step.gap) != 1", "if False"),
        ("if not named and Nonnegative(dropped) not in step.premises", "if False"),
        ("if not expanded and rule not in [dropping(plan.side, plan.term, dropped) for plan in losing]", "if False"),
        ("if unsaid is not None", "if False"),
    ),
]

WORLDS = [
    *mutants(
        "ibsym/checking/finite.py",
        (FINITE, OPINION, RULES),
        (
            "return -self.expected_log(joint, [(1, Density(joint, of, given))]) if of else 0.0",
            "return self.expected_log(joint, [(1, Density(joint, of, given))]) if of else 0.0",
        ),
        ("both / self.without(whole, density.given)", "both / self.without(whole, density.of)"),
        ("if not density.given: return both", "if density.given: return both"),
        ("float(c.weight) * self.marginal(c.joint, c.of)", "self.marginal(c.joint, c.of)"),
        ("(1 if chosen.bit_count() % 2 else -1)", "(1 if chosen.bit_count() == 1 else -1)"),
        (
            "return self.expected_log(first.head, [(1, first), *((-1, d) for d in second)])",
            "return self.expected_log(first.head, [(1, first), *((1, d) for d in second)])",
        ),
        ("[(-1, d) for d in second]", "[(1, d) for d in second]"),
        (
            "return side.sign * (self.value(estimate) - self.value(estimate.term))",
            "return self.value(estimate) - self.value(estimate.term)",
        ),
        ("total = total + sign * np.log(self.density(density))", "total = total + np.log(self.density(density))"),
        ("q = q * np.nan_to_num(self.without(p, {*group, *given}) / base)", "q = q * self.without(p, {*group, *given})"),
        ("return low + float(rng.exponential(2.0))", "return low - float(rng.exponential(2.0))"),
        ("return high - float(rng.exponential(2.0))", "return high + float(rng.exponential(2.0))"),
        (
            "sum(self.entropy(joint, g, given) for g in groups) - self.entropy(joint, everything, given)",
            "sum(self.entropy(joint, g, given) for g in groups) - self.entropy(joint, everything)",
        ),
        ("q = self.without(p, scope - set(first.of))", "q = self.without(p, ())"),
    ),
    *mutants(
        "ibsym/checking/gaussian.py",
        (GAUSSIAN, RULES),
        ("return -0.5 * (", "return 0.5 * ("),
        ("+ np.outer(mean, mean)", ""),
        ("np.hstack([np.eye(len(law.offset)), -law.weights])", "np.hstack([np.eye(len(law.offset)), law.weights])"),
        ("moments.covariance[np.ix_(a, a)] - weights @ cross.T", "moments.covariance[np.ix_(a, a)]"),
        ("moments.mean[a] - weights @ moments.mean[b]", "moments.mean[a]"),
        ("w * (s + np.outer(m - mean, m - mean))", "w * s"),
        ("@ new.weights.T + new.covariance", "@ new.weights.T"),
        ("new.weights @ known.mean[index] + new.offset", "new.offset"),
        ("self._information(joint, groups[:-1], (*given, *groups[-1]))", "self._information(joint, groups[:-1], groups[-1])"),
        ("if any(isinstance(w.term, Entropy | CrossEntropy) for w in gap): return False", ""),
    )[:9],
    *mutants(
        "ibsym/checking/estimates.py",
        (FINITE, RULES, ATTACK),
        ("return _mean_log(pairs, logs) - _mean_log(apart, logs)", "return _mean_log(pairs, logs)"),
        ("repeat=draws - 1", "repeat=draws", 1),
        ("repeat=draws - 1", "repeat=draws", 2),
        ("np.log((np.exp(scores) + rest) / draws)", "np.log(rest / draws)"),
        ("np.log(ratio[row, chosen].mean())", "np.log(ratio[row, chosen]).mean()"),
        ("return -_importance(world, first.head, density)", "return _importance(world, first.head, density)"),
        ('dict.fromkeys(("leave-one-out", "club"), Side.UPPER)', 'dict.fromkeys(("leave-one-out", "club"), Side.LOWER)'),
        (
            'dict.fromkeys(("nwj", "logistic", "dual", "infonce", "iwae", "adversary"), Side.LOWER)',
            'dict.fromkeys(("nwj", "logistic", "dual", "infonce", "iwae", "adversary", "mmd"), Side.LOWER)',
        ),
    ),
    *mutants(
        "ibsym/checking/losses.py",
        (MINIMISED,),
        ("if item.model_side.weight is not facts.sign(coefficient)", "if False"),
        ("above = item.model_side.weight is not Sign.NONPOSITIVE", "above = item.model_side.weight is Sign.NONPOSITIVE"),
        ("if not abs(met - exact) <= TOLERANCE * (1 + abs(exact))", "if False"),
        ("if not abs(got - wanted) <= SLOPE_TOLERANCE * (1 + abs(wanted))", "if False"),
        ("item.model_side.bounds is (step.relation is Relation.APPROX)", "False"),
    ),
    *mutants(
        "ibsym/checking/divergences.py",
        (FINITE, RULES),
        ("p * (np.log(p) - np.log(q))", "p * (np.log(q) - np.log(p))"),
        ("(p - q) ** 2 / q", "(p - q) ** 2 / p"),
        ("return (_kl(p, middle) + _kl(q, middle)) / 2", "return _kl(p, middle) + _kl(q, middle)"),
        ("(np.sqrt(p) - np.sqrt(q)) ** 2", "(np.sqrt(p) - np.sqrt(q)) ** 2 / 2"),
        ("_kl(p, q) + _kl(q, p)", "_kl(p, q)"),
        ("- np.log((q * np.exp(critic)).sum())", "- (q * np.exp(critic)).sum()"),
        ("np.log(2) - (p * np.logaddexp(0, -critic))", "-(p * np.logaddexp(0, -critic))"),
        ("(q * (u * slope(u) - g(u))).sum()", "(q * (u * slope(u) + g(u))).sum()"),
        ("sum(map(entropy, parts)) - entropy(p)", "sum(map(entropy, parts))"),
    ),
    *mutants(
        "ibsym/checking/counterexamples.py",
        (SPACE, PROVER, ATTACK),
        ("(not value if zero else sign(value) >= 0)", "True"),
        ("and all(_markov(world, c) for c in self.problem.chains)", ""),
        ("and all(_holds(world, v, zero) for v, zero in self.premises)", ""),
        ("((q.numerator, 1), (q.denominator, -1))", "((q.numerator, 1), (q.denominator, 1))"),
        ("if any(world.value(term) is None for term in self.terms)", "if False"),
        ("if not q: return None", "if not q: continue"),
    ),
]

LAWS = [
    *mutants(
        "ibsym/families/gaussian.py",
        (FAMILIES,),
        ("-HALF * EventSum(quadratic + logvar + LOG_TWO_PI)", "-HALF * EventSum(quadratic + LOG_TWO_PI)"),
        ("standardised(VALUE - mean, logvar) ** 2", "standardised(VALUE - mean, -logvar) ** 2"),
        ("LOG_TWO_PI = sympy.log(2 * sympy.pi)", "LOG_TWO_PI = sympy.log(sympy.pi)"),
        ("HALF * EventSum(logvar + LOG_TWO_PI + 1)", "HALF * EventSum(logvar + LOG_TWO_PI)"),
        ("standardised(mean - mean_r, logvar_r) ** 2", "standardised(mean - mean_r, logvar) ** 2", 1),
        ("expm1(ratio) - ratio + distance", "expm1(-ratio) + ratio + distance"),
        ("expm1(ratio) - ratio + distance", "expm1(ratio) - ratio"),
        ('2 * sympy.log(law.number("scale"))', 'sympy.log(law.number("scale"))'),
        ("HALF * EventSum(spread + logvar_r + LOG_TWO_PI)", "HALF * EventSum(spread + LOG_TWO_PI)"),
    ),
    *mutants(
        "ibsym/families/full_normal.py",
        (FAMILIES,),
        ("HALF * white**2 + sympy.log(Diagonal(root))", "HALF * white**2"),
        (
            "HALF * (trace - 1 + distance) + _log_root(second) - _log_root(first)",
            "HALF * (trace - 1 + distance) - _log_root(second) + _log_root(first)",
        ),
        ("HALF * (trace - 1 + distance)", "HALF * (trace + distance)"),
    ),
    *mutants(
        "ibsym/families/bernoulli.py",
        (FAMILIES,),
        ("binary_cross_entropy(VALUE, a)", "binary_cross_entropy(1 - VALUE, a)"),
        ("+ sympy.log(2)", "- sympy.log(2)"),
        ("_divergence(-a, -b)", "_divergence(-b, -a)"),
    ),
    *mutants(
        "ibsym/families/categorical.py",
        (FAMILIES,),
        ("-EventSum(ClassSum(expected(log_r, log_r)))", "EventSum(ClassSum(expected(log_r, log_r)))"),
        ("expected(log_a, log_a - log_b)", "expected(log_b, log_a - log_b)"),
        ("+ sympy.log(CLASSES)", ""),
    ),
    *mutants(
        "ibsym/families/laplace.py",
        (FAMILIES,),
        ("+ sympy.log(2 * b)", "+ sympy.log(b)"),
        ("sympy.log(2 * scale(law)) + 1", "sympy.log(2 * scale(law))"),
        ("+ sympy.log(b_r) - sympy.log(b)", "- sympy.log(b_r) + sympy.log(b)"),
    ),
    *mutants(
        "ibsym/families/continuous_bernoulli.py",
        (FAMILIES,),
        ("a * VALUE - unit_cumulant(a)", "a * VALUE"),
        (
            "(a - b) * unit_mean(a) - unit_cumulant(a) + unit_cumulant(b)",
            "(a - b) * unit_mean(b) - unit_cumulant(a) + unit_cumulant(b)",
        ),
    ),
    *mutants(
        "ibsym/families/von_mises_fisher.py",
        (FAMILIES,),
        ("-SIZE / 2 * sympy.log(2 * sympy.pi)", "-SIZE / 2 * sympy.log(sympy.pi)"),
        ("k * bessel_ratio(SIZE, k) + log_constant(k) + LOG_AREA", "k * bessel_ratio(SIZE, k) + log_constant(k)"),
    ),
    *mutants(
        "ibsym/families/log_normal.py",
        (FAMILIES,),
        ("LOG_TWO_PI + 2 * sympy.log(VALUE)", "LOG_TWO_PI"),
        ('LOG_TWO_PI + 1 + 2 * law.parameter("mean")', "LOG_TWO_PI + 1"),
        ("expm1(ratio) - ratio + distance", "expm1(ratio) - ratio"),
    ),
    *mutants(
        "ibsym/families/gamma.py",
        (FAMILIES,),
        ("a * sympy.log(b) + weighted", "a * b + weighted"),
        ("log_gamma(a) + (1 - a) * digamma(a)", "log_gamma(a) + a * digamma(a)"),
        ("+ a * (d - b) / b", "+ a * (d - b) / d"),
    ),
    *mutants(
        "ibsym/families/dirichlet.py",
        (FAMILIES,),
        ("EventSum(body) + log_gamma(total)", "EventSum(body)"),
        ("(total - SIZE) * digamma(total)", "total * digamma(total)"),
        ("- (total - total_r) * digamma(total)", "- (total - total_r) * digamma(total_r)"),
        ("return sympy.Integer(1), SIZE", "return sympy.Integer(1), sympy.Integer(1)"),
    ),
    *mutants(
        "ibsym/families/poisson.py",
        (FAMILIES,),
        ("- log_gamma(VALUE + 1)", "- log_gamma(VALUE + 2)"),
        ("expected(a, a - b) - sympy.exp(a) + sympy.exp(b)", "expected(a, a - b) + sympy.exp(a) - sympy.exp(b)"),
    ),
    *mutants(
        "ibsym/families/negative_binomial.py",
        (FAMILIES,),
        ("- log_gamma(r) + known", "+ known"),
        ("weighted(is_zero(VALUE), at_zero)", "at_zero"),
        ("softplus(gate - law", "softplus(gate + law"),
    ),
    *mutants(
        "ibsym/families/student_t.py",
        (FAMILIES,),
        ("(n + 1) * HALF * sympy.log", "n * HALF * sympy.log"),
        ("- log_constant(n) + spread", "+ log_constant(n) + spread"),
    ),
    *mutants(
        "ibsym/families/logistic.py",
        (FAMILIES,),
        ("logsigmoid(y) + logsigmoid(-y) -", "2 * logsigmoid(y) -"),
        ('sympy.log(law.parameter("scale")) + 2', 'sympy.log(law.parameter("scale")) + 1'),
        ("sympy.log(-expm1(-width))", "sympy.log(-expm1(-2 * width))"),
        ("opened(half - VALUE, -standard", "opened(half - VALUE - 1, -standard"),
        ("opened(VALUE + half - 1, above), opened(VALUE + half - 1, width)", "above, opened(VALUE + half - 1, width)"),
    ),
    *mutants(
        "ibsym/families/power_spherical.py",
        (FAMILIES,),
        ("- B * sympy.log(sympy.pi)", "- sympy.log(sympy.pi)"),
        ("-k * mean_log(k) - log_constant(k)", "k * mean_log(k) - log_constant(k)"),
        ("k * mean_log(k) + log_constant(k) + LOG_AREA", "k * mean_log(k) + log_constant(k)"),
    ),
    *mutants(
        "ibsym/families/uniform_noise.py",
        (NOISE,),
        ("- width / 2) + sympy.log(width)", "- width) + sympy.log(width)"),
        ("+ sympy.log(width)", ""),
    ),
    *mutants("ibsym/families/uniform_noise.py", (NOISE,), ('EventSum(sympy.log(law.number("width")))', 'law.number("width")')),
    *mutants(
        "ibsym/families/categorical.py",
        (SYMBOLS,),
        ("EventSum(Pick(log_r, VALUE))", "Pick(log_r, VALUE)"),
        (
            "EventSum(ClassSum(expected(log_a, log_a)) + sympy.log(CLASSES))",
            "EventSum(ClassSum(expected(log_a, log_a))) + sympy.log(CLASSES)",
        ),
    ),
    *mutants("ibsym/families/uniform.py", (SYMBOLS,), ("SIZE * sympy.log(CLASSES)", "sympy.log(CLASSES)")),
    *mutants(
        "ibsym/families/vector_quantised.py", (SYMBOLS,), ("Formula(SIZE * sympy.log(CLASSES)", "Formula(sympy.log(CLASSES)")
    ),
    *mutants(
        "ibsym/lowering/quantisation.py",
        (SYMBOLS,),
        ("(StopGradient(code), vectors)", "(code, vectors)"),
        ("(code, StopGradient(own))", "(code, own)"),
    ),
    *mutants("ibsym/derivation/quantisation.py", (SYMBOLS,), ("sign * weight", "weight")),
    *mutants("ibsym/nn/quantised.py", (SYMBOLS,), ("(vectors - self.code).detach()", "(vectors - self.code)")),
    *mutants("ibsym/spec/families.py", (SYMBOLS,), ("if use.enumerated and space.event:", "if False:")),
    *mutants("ibsym/families/base.py", (NOISE,), ("mass.expression - SIZE * sympy.log(width)", "mass.expression")),
    *mutants("ibsym/lowering/terms.py", (NOISE,), ("return integrated_log_density(law,", "return log_density(law) or (")),
    *mutants("ibsym/families/gaussian.py", (NOISE,), ("standardised(half, logvar)", "standardised(half, -logvar)")),
    *mutants("ibsym/families/laplace.py", (NOISE,), ("half / b)", "half)")),
    *mutants("ibsym/families/normal_mixture.py", (NOISE,), ('LogSoftmax(law.parameter("logits")) + cells', "cells")),
    *mutants("ibsym/families/uniform_sphere.py", (FAMILIES,), ("sympy.log(2) + SIZE / 2", "SIZE / 2")),
    *mutants(
        "ibsym/families/normal_mixture.py",
        (FAMILIES,),
        ('LogSumExp(LogSoftmax(law.parameter("logits")) + component)', "LogSumExp(component)"),
    ),
    *mutants("ibsym/families/uniform.py", (FAMILIES,), ("/ CLASSES - sympy.log(CLASSES)", "/ CLASSES")),
    *mutants("ibsym/families/relaxed_categorical.py", (FAMILIES,), ("+ (CLASSES - 1) * sympy.log(t)", "")),
    *mutants(
        "ibsym/families/gaussian.py",
        (EDGES,),
        ("standardised(VALUE - mean, logvar) ** 2", "(VALUE - mean) ** 2 * sympy.exp(-logvar)"),
    ),
    *mutants(
        "ibsym/families/categorical.py",
        (EDGES,),
        ("expected(log_a, log_a - log_b)", "sympy.exp(log_a) * (log_a - log_b)"),
        ("weighted(VALUE, log_r)", "VALUE * log_r"),
    ),
    *mutants(
        "ibsym/runtime/functions.py",
        (EDGES,),
        ("(weight.detach() != 0) | (values.detach().abs() < math.inf)", "(weight.detach() != 0) | (values == values)"),
        ("F.threshold(log_share, -math.inf, 0.0)", "log_share"),
        ("torch.where(share > 0, values, 0)", "values"),
        ("product + h <= 1e-3, narrow, wide", "product + h <= 1e3, narrow, wide"),
        ("1 / size - torch.exp(-size) / -torch.expm1(-size)", "1 / size"),
        ("torch.where(t >= 0, t, math.nan)", "t", 1),
    ),
    *mutants(
        "ibsym/lowering/numeric.py",
        (EDGES,),
        ("~np.isfinite(t), 0.0", "np.isnan(t), 0.0"),
        ("np.where(t == 0, 0.0, t * np.log(", "np.where(t <= 0, 0.0, t * np.log("),
    ),
    *mutants(
        "ibsym/lowering/interpreter.py",
        (EDGES,),
        ("+ 0 * np.sum(pairs[..., own])", ""),
        ("np.where(np.isinf(top), 0.0, top)", "top"),
    ),
    *mutants(
        "ibsym/codegen/c/pairs.py",
        (EDGES,),
        ("[ordered(e, columns | {row}) for e in slopes]", '[sympy.Symbol("weight", real=True) * e for e in slopes]'),
    ),
]

LAWS += [
    *mutants(
        "ibsym/families/beta.py",
        (FAMILIES,),
        ("sympy.log(1 - VALUE)) - log_beta(a, b)", "sympy.log(1 - VALUE)) + log_beta(a, b)"),
        ("+ (a + b - 2) * digamma(a + b)", "+ (a + b) * digamma(a + b)"),
        ("+ (c - a + d - b) * digamma(a + b)", "- (c - a + d - b) * digamma(a + b)"),
        ("log_beta(c, d) + c + d - 2", "log_beta(c, d) + c + d"),
    ),
]

LOSSES = [
    *mutants(
        "ibsym/lowering/divergences.py",
        (ESTIMATORS, EVERY_CRITIC, REFERENCES),
        ("Dual(ONE, F, sympy.exp(F)", "Dual(ZERO, F, sympy.exp(F)"),
        ("HALF * logsigmoid(F), -HALF * logsigmoid(-F)", "HALF * logsigmoid(F), HALF * logsigmoid(-F)"),
        ('OfLogit(HALF * softplus(-F), "1/2 E[s(-f)]")', 'OfLogit(HALF * softplus(F), "1/2 E[s(-f)]")'),
        ("EXP = OfLogit(-sympy.exp(F)", "EXP = OfLogit(sympy.exp(F)"),
        ("2 * expm1(F), expm1(2 * F)", "2 * expm1(F), expm1(F)"),
        ("-expm1(-2 * F), -2 * expm1(-F)", "-expm1(-2 * F), -expm1(-F)"),
        ("-expm1(-F / 2), expm1(F / 2)", "-expm1(-F / 2), expm1(F)"),
        ('(("a", 1, dual.first, f), ("b", -1, dual.second, g))', '(("a", 1, dual.first, f), ("b", 1, dual.second, g))'),
        ('(("a", 1, dual.first, f), ("b", -1, dual.second, g))', '(("a", 1, dual.first, g), ("b", -1, dual.second, f))'),
    ),
    *mutants(
        "ibsym/lowering/pairs.py",
        (ESTIMATORS, EVERY_CRITIC, REFERENCES),
        (
            "return Insert(load, -1 - after) if value else Insert(load, -2 - after)",
            "return Insert(load, -2 - after) if value else Insert(load, -1 - after)",
        ),
    ),
    *mutants(
        "ibsym/lowering/mixtures.py",
        (ESTIMATORS, EVERY_CRITIC, REFERENCES),
        ("elementwise(A - B, a=together, b=apart)", "elementwise(A + B, a=together, b=apart)"),
    ),
    *mutants(
        "ibsym/estimators/minibatch_weighted.py",
        (ESTIMATORS, EVERY_CRITIC, REFERENCES),
        ("m.log_sum_exp(table) - m.log(", "m.log_sum_exp(table) - 0 * m.log("),
        ("m.rows(table) * m.size(number)", "m.rows(table)"),
    ),
    *mutants(
        "ibsym/estimators/minibatch_stratified.py",
        (ESTIMATORS,),
        ('table + m.stratified(table, m.option("dataset_size"))', 'table + 0 * m.stratified(table, m.option("dataset_size"))'),
    ),
    *mutants(
        "ibsym/lowering/values.py",
        (ESTIMATORS,),
        (
            'Reduce("logsumexp", self.node(table), (-1 - self.axes,))',
            'Reduce("logsumexp", self.node(table), (-2 - self.axes,))',
        ),
        ("OffDiagonalMean(self.node(table))", "mean(self.node(table))"),
        ("Size(self.node(table), (-1 - self.axes,))", "Size(self.node(table), (-2 - self.axes,))"),
    ),
    *mutants(
        "ibsym/lowering/distances.py",
        (ESTIMATORS,),
        ("(A - B) ** 2", "(A - B)"),
    ),
    *mutants(
        "ibsym/lowering/shares.py",
        (ESTIMATORS, ACCEPTED, EVERY_CRITIC, REFERENCES),
        ('Reduce("mean", others.log, (-1,))', 'Reduce("sum", others.log, (-1,))'),
        ("elementwise(-sympy.log(N), n=Size(", "elementwise(sympy.log(N), n=Size("),
        ("weighted(SHARE, sympy.log(REFERENCE))", "weighted(SHARE, REFERENCE)"),
        ("weighted(SHARE, sympy.log(REFERENCE))", "SHARE * sympy.log(REFERENCE)"),
        ("counted=_counted(section, density, variable, like)", "counted=_counted(section, first, variable, like)"),
        ('A - sympy.log(N), a=Reduce("logsumexp", table, (-2,))', 'A, a=Reduce("logsumexp", table, (-2,))'),
    ),
    *mutants(
        "ibsym/estimators/batch_marginal.py",
        (ESTIMATORS, ACCEPTED),
        ("m.mean_log(r, r) - m.mean_log(r, s)", "m.mean_log(r, r) + m.mean_log(r, s)"),
        ("drawn=Drawn.CONDITIONERS", "drawn=Drawn.ARGUMENTS"),
    ),
    *mutants(
        "ibsym/estimators/iwae.py",
        (ESTIMATORS, EVERY_CRITIC, REFERENCES),
        ("m.log_mean_of_draws(m.importance_weights())", "m.mean(m.importance_weights())"),
    ),
    *mutants(
        "ibsym/derivation/sampling.py",
        (ENGINE,),
        ("yield from found.encoder.ancestral_factors(found.latents)", "pass"),
    ),
    *mutants(
        "ibsym/lowering/terms.py",
        (SAMPLED, REFERENCES, ESTIMATORS),
        ('total -= sympy.Symbol(f"second{k}", real=True)', 'total += sympy.Symbol(f"second{k}", real=True)'),
        ('total += weight * sympy.Symbol(f"mean{k}", real=True)', 'total += sympy.Symbol(f"mean{k}", real=True)'),
        (
            'total += sign * factor_sign * sympy.Symbol(f"log{k}", real=True)',
            'total += sign * sympy.Symbol(f"log{k}", real=True)',
        ),
        ("formula = cross_entropy(*laws(both)) return -1,", "formula = cross_entropy(*laws(both)) \n    return 1,"),
    )[:3],
]

NATIVE_GRAPHS = "tests/native/test_graphs.py"
NATIVE_PASSES = (
    "tests/native/test_passes.py::test_a_logarithm_over_draws_of_what_has_none_is_left_to_the_expression",
    "tests/native/test_passes.py::test_few_rows_and_the_sum",
)
NATIVE_CLASSES = "tests/native/test_class_sums.py"
NATIVE_CODEBOOKS = "tests/native/test_codebooks.py"
NATIVE_MIXTURES = "tests/native/test_mixtures.py"
NATIVE_VEHICLE = "tests/native/test_vehicle.py"
NATIVE_STATE = "tests/native/test_state.py"

PLAYERS = "tests/estimators/test_players.py"

BY_ROW = mutants(
    "ibsym/lowering/coupling.py",
    (COUPLING,),
    ("many > 1 or POINTS in node.axes or (not many and any(map(has_rows, children(node))))", "many > 1 or POINTS in node.axes"),
    (
        "return not _affine(expression, averages) or any(visit(n) for _, n in operands)",
        "return any(visit(n) for _, n in operands)",
    ),
    ("return self.whole(node) or (self.meets(node) and not isinstance(node, Mean))", "return self.whole(node)"),
)
DRAWN = mutants(
    "ibsym/derivation/engine.py",
    ("tests/estimators/test_sampled.py",),
    ("if ESTIMATORS[use.estimator].plain: continue", "if False: continue"),
    ("requested or estimator_of(self.spec, part.term)", "estimator_of(self.spec, part.term)"),
    ("[state] if ESTIMATORS[use.estimator].plain else [objective, *told]", "[objective, *told]"),
)

PLAYED = [
    *mutants(
        "ibsym/estimators/adversary.py",
        (PLAYERS,),
        ("side=Side.LOWER", "side=Side.UPPER"),
        ("player=True", "player=False"),
    ),
    *mutants(
        "ibsym/derivation/fitted.py",
        (PLAYERS,),
        ("if sides.get(frozenset(factor.of)) != frozenset(factor.given)", "if False"),
        ("if rule.player and learned is not None", "if False"),
        ("if d in owners:", "if False:"),
    ),
    *mutants(
        "ibsym/derivation/engine.py",
        (PLAYERS,),
        ("proved = proved and (density is None or rule.player)", "pass"),
        ("constants + Expression.of(*((i.coefficient, i.left_out)", "constants + Expression.of(*((0, i.left_out)"),
    ),
    *mutants(
        "ibsym/derivation/planning.py",
        (PLAYERS,),
        ("if factor.evaluated and factor.text not in players and", "if factor.evaluated and"),
    ),
    *mutants(
        "ibsym/lowering/players.py",
        (PLAYERS,),
        ("elementwise(-A, a=mean(value))", "elementwise(A, a=mean(value))"),
    ),
    *mutants(
        "ibsym/lowering/pairs.py",
        (PLAYERS,),
        ("return Batch(section, term.joint).declared(density)", "pass"),
    ),
]

MIXTURES = "tests/estimators/test_mixtures.py"

MIXED = [
    *mutants(
        "ibsym/lowering/mixtures.py",
        (MIXTURES,),
        (
            "elementwise(added(values) - A, a=_aggregated(batch, item, mine), **values)",
            "elementwise(-A, a=_aggregated(batch, item, mine))",
        ),
    ),
    *mutants(
        "ibsym/lowering/values.py",
        (MIXTURES,),
        ("return self.symbol(Setting(number)) if", "return sympy.Integer(1) if"),
    ),
    *mutants(
        "ibsym/estimators/pairwise_kl.py",
        (MIXTURES,),
        ("m.log(m.rows(table)) - m.log_sum_exp(-table)", "-m.log_sum_exp(-table)"),
    ),
    *mutants(
        "ibsym/lowering/pairs.py",
        (MIXTURES,),
        ("zip((True, False), laws(both), strict=True)", "zip((False, True), laws(both), strict=True)"),
    ),
]

INSIDE = "tests/terms/test_names_inside_mixtures.py"

NAMES = [
    *mutants(
        "ibsym/terms/vectors.py",
        (INSIDE,),
        ("for variable in hidden & outside:", "for variable in ():"),
        ("joint.name if names else inner.name", "inner.name"),
    ),
    *mutants("ibsym/lowering/expectations.py", (INSIDE,), ("InputKey(factor.declared, role", "InputKey(factor.text, role")),
]

CONDITIONED = "tests/estimators/test_conditional_critics.py"
OWN_MARGINALS = "tests/estimators/test_own_marginals.py"

CONDITIONED_CRITICS = [
    *mutants(
        "ibsym/derivation/critics.py",
        (OWN_MARGINALS,),
        (
            "case MutualInformation() | TotalCorrelation(): return True",
            "case MutualInformation() | TotalCorrelation(): return False",
        ),
    ),
    *mutants(
        "ibsym/derivation/critics.py",
        (CONDITIONED,),
        ("if real:", "if False:"),
        ("if d.given and spec.joints[d.head].factor_of(d.of, d.given) is None", "if False"),
    ),
    *mutants("ibsym/nn/draws.py", (CONDITIONED,), ("(place + 1) % counts[found]", "place % counts[found]")),
    *mutants(
        "ibsym/lowering/divergences.py", (CONDITIONED,), ("if len(heads) == 1 and not outside else", "if len(heads) == 1 else")
    ),
]

ACCUMULATING = "tests/nn/test_accumulating.py"
ACCUMULATED = [
    *mutants(
        "ibsym/nn/wiring.py",
        (ACCUMULATING,),
        ("return len(second) > 1 or isinstance(term, MutualInformation | TotalCorrelation)", "return False"),
        ("return (self.variable(entry), entry.joint) in self.products", "return False"),
        ("if any(len(f.components) > 1 for f in self.needs(entry)):", "if False:"),
        ("found += self.unmixed((c.joint, variable) for c in factor.components)", "found.append((joint, variable))"),
    ),
    *mutants(
        "ibsym/nn/accumulating.py",
        (ACCUMULATING,),
        ("length = -(-number // parts)", "length = number // parts; number = length * parts"),
        ("slopes[name].narrow(place, start, length)", "slopes[name].narrow(place, 0, length)"),
    ),
    *mutants(
        "ibsym/training/trainer.py",
        ("tests/training/test_machine.py",),
        ("players.critic_steps(name, batches, dual)", "players.critic_steps(name, batches[:1], dual)"),
    ),
]

GATHER = "tests/ranks/test_gather.py"
SYSTEM_ON_RANKS = "tests/ranks/test_system.py"

RANKS = [
    *mutants(
        "ibsym/nn/system.py",
        (SYSTEM_ON_RANKS,),
        ("(name, draws), **self.wiring.across_ranks())", "(name, draws))"),
    ),
    *mutants(
        "ibsym/nn/draws.py",
        (SYSTEM_ON_RANKS,),
        (
            "[mine]\n        return {v: x.take(order) for v, x in several",
            "[: mine.numel()]\n        return {v: x.take(order) for v, x in several",
        ),
        ("x.across(self.bank.group())", "x.across(None)"),
        ("order if group is None else ranks.shared(order, group)", "order.flip(0) if group else order"),
    ),
    *mutants(
        "ibsym/runtime/ranks.py",
        (GATHER,),
        ("upstream * ctx.ranks / ctx.number", "upstream / ctx.number"),
        (
            "torch.stack([values.sum(), values.new_tensor(values.numel())])",
            "torch.stack([values.mean(), values.new_tensor(1.0)])",
        ),
        ("g.narrow(ctx.dim, *p) * ctx.ranks", "g.narrow(ctx.dim, *p)"),
        ("None if g is None else g.narrow", "None if g is not None else g.narrow"),
        ("dist.all_reduce(everything, group=ctx.group)", "pass"),
        ("pairs.diagonal(sum(numbers[: dist.get_rank(found(group))]), -2, -1)", "pairs.diagonal(0, -2, -1)"),
    ),
]

STREAMS = "tests/codegen/test_streams.py"
SHAPES = "tests/codegen/test_shapes.py"

RUNTIME = [
    *mutants(
        "ibsym/runtime/streams.py",
        (STREAMS,),
        ("less - torch.log1p(others + torch.expm1(less))", "less - torch.log(others)"),
        ("scale = scale * weights[part]", "pass"),
        ("table.scatter_(0, own, -others.unsqueeze(0))", "table.scatter_(0, own, others.unsqueeze(0))"),
        ("if found is None or not alike:", "if found is None:"),
        ("alike = None if torch.is_grad_enabled() or _transformed()", "alike = None if _transformed()"),
    ),
    *mutants(
        "ibsym/runtime/both_ways.py",
        (STREAMS,),
        ("return weights * -torch.expm1(values)", "return weights * -values.exp()"),
        ("others.mul_(math.exp(most - new))", "others.mul_(1.0)"),
        ("most + others.log(), torch.ones_like(others)", "torch.full_like(others, most), others"),
        ("table.mul_(t).sub_(by_column.unsqueeze(1))", "table.mul_(s).sub_(by_column.unsqueeze(1))"),
        ("- s * ahead) / t", "- s * ahead) / s"),
        ("(-behind / back**2)", "(-behind / back)"),
        ("if not bool((others > torch.finfo(first.dtype).tiny * 1e12).all()):", "if False:"),
    ),
    *mutants(
        "ibsym/codegen/torch/evaluation.py",
        (STREAMS,),
        ("(parts[0], node.second, parts[1], other[1])", "(parts[0], node.second, other[1], parts[1])"),
    ),
    *mutants(
        "ibsym/runtime/tensors.py",
        (STREAMS,),
        ("_log_share(first, whole, None, own) + _log(len(whole))", "_log_share(first, whole, None, own)"),
    ),
    *mutants(
        "ibsym/runtime/tensors.py",
        (ESTIMATORS,),
        ("part.index_select(axis, order.roll(-k))", "part.index_select(axis, order)"),
        ("if len(parts) > size", "if False"),
    ),
    *mutants(
        "ibsym/checking/finite.py",
        (MINIMISED,),
        ("q = divergences.independent(p.reshape(self.product(variable))).reshape(p.shape)", "q = p"),
    ),
    *mutants(
        "ibsym/runtime/_ibsym_runtime.py",
        (NATIVE_GRAPHS,),
        ("own = [t.view_as(t) for t in given]", "own = list(given)"),
        ("if torch.is_grad_enabled():", "if False:"),
    ),
    *mutants(
        "ibsym/runtime/_ibsym_runtime.py",
        (NATIVE_VEHICLE,),
        ("gradients, ctx.gradients = ctx.gradients, None", "gradients = ctx.gradients"),
        ("dense[k].detach() if dense[k].requires_grad else dense[k]", "dense[k]"),
        ("then.__dict__.update(zip(library.parameters, parameters, strict=True))", "pass"),
    ),
    *mutants(
        "ibsym/runtime/parameters.py",
        (NATIVE_STATE,),
        ("not least <= float(number) <= most", "float(number) > most"),
        ("now.detach().clone().copy_(saved) if isinstance(now, Tensor) else float(saved)", "now"),
    ),
    *mutants(
        "ibsym/lowering/fusion/regions.py",
        NATIVE_PASSES,
        ('any(len(lead) != 2 or lead[0] != "S" for lead in leads)', "False"),
        ("parts.append(self.mean(others[name]).scaled(factor))", "parts.append(self.mean(others[name]))"),
    ),
    *mutants(
        "ibsym/lowering/fusion/class_sums.py",
        NATIVE_PASSES,
        ("constant = part.factor * found.constant", "constant = found.constant"),
    ),
    *mutants(
        "ibsym/lowering/fusion/class_sums.py",
        (NATIVE_CLASSES,),
        ("self.order.insert(right, number)", "self.order.append(number)"),
        ("return frame[:at] + frame[at + 1 :]", "return frame"),
        ("f * part.factor, s) for f, s in found.parts", "f, s) for f, s in found.parts"),
        ("(*frame, EVENT)), self._located(index, frame), event)", "(*frame, EVENT)), self._located(index, frame), 0)"),
    ),
    *mutants(
        "ibsym/runtime/codebook.h",
        (NATIVE_CODEBOOKS,),
        ("if (distance[j] < least)", "if (distance[j] <= least)"),
        ("if (distance[j] != distance[j]) return from + j;", ""),
        ("found = from + j;", "found = j;"),
        ("const REAL scale = (REAL)(2 * c->code_weight", "const REAL scale = (REAL)(c->code_weight"),
        ("(double)(vector[e] - code[e])", "(double)(code[e] - vector[e])"),
    ),
    *mutants(
        "ibsym/runtime/mixed.h",
        (NATIVE_CLASSES,),
        ("y = y * f + 1.0 / 6;", "y = y * f + 1.0 / 7;"),
        ("whole += part[j] + whole * part[j]", "whole += part[j]"),
        ("sums[r] += loop->factor[r] != 0 ? x + sums[r] * x : x", "sums[r] += x"),
    ),
    *mutants(
        "ibsym/runtime/relaxed.h",
        ("tests/native/test_relaxed.py",),
        ("if (c->shares != of->n) return 1;", ""),
        ("scale * weighted_slope(a[k],", "weighted_slope(a[k],"),
        ("weighted(a[k], (logit[k] - soft.top)", "R(1) * a[k] * ((logit[k] - soft.top)"),
        ("c->adds ? d_share[k] + slope", "0 ? d_share[k] + slope"),
        ("sure = e[k] > soft.norm / 2 ? k : sure", "sure = -1"),
        ("p * (REAL)(whole - (double)a[k]));\n        d[k]", "p * (REAL)whole);\n        d[k]"),
    ),
    *mutants(
        "ibsym/lowering/fusion/regions.py",
        ("tests/native/test_relaxed.py",),
        ("factor * size_of(item.logits.axes[-1 - event : -1])", "factor"),
        ("or found[0].axes != logits.axes", ""),
    ),
    *mutants(
        "ibsym/lowering/fusion/codebooks.py",
        (NATIVE_CODEBOOKS,),
        ("moves[values.index(code)])", "not moves[values.index(code)])"),
    ),
    *mutants(
        "ibsym/runtime/shares.h",
        ("tests/native/test_class_shares.py",),
        ("share[c] < RARE ?", "0 ?"),
        ("share[c] /= (double)rows;", ""),
        ("relative && slope[c] != 0 && b->share[c] < RARE;", "0;"),
        ("d[c] += u[c] - p[c] * (REAL)all", "d[c] += u[c]"),
        ("first.share[c] != 0 || log_share[c] != -INFINITY", "1"),
        ("same[k] ? first.log_share : second.log_share", "first.log_share"),
        ("slope[c] += counts ? weight[k]", "slope[c] = counts ? weight[k]"),
        ("law->index[i] >= classes", "law->index[i] > classes"),
    ),
    *mutants(
        "ibsym/runtime/bessel.h",
        ("tests/native/test_bessel.py",),
        ("(n - 4 * t * t * variance)", "(n - 2 * t * t * variance)"),
        ("b->t[i] >= 0 ? (double)b->t[i] : NAN", "(double)b->t[i]"),
        ("+ b->moment_weight * slope", ""),
        ("(b->log_weight + b->moment_weight) * ratio", "b->log_weight * ratio"),
        ("- lgamma(g.a)", "- lgamma(g.a + 1)"),
    ),
    *mutants(
        "ibsym/runtime/class_means.h",
        ("tests/native/test_log_means.py",),
        ("log(norm / (double)c->classes)", "log(norm)"),
        ("(REAL)((double)c->scale / norm)", "(REAL)(1 / norm)"),
        ("value = (double)soft.top;", ""),
    ),
    *mutants(
        "ibsym/lowering/fusion/regions.py",
        ("tests/native/test_bessel.py",),
        ("value = t * call if isinstance(call, heads.bessel_ratio) else call", "value = call"),
    ),
    *mutants(
        "ibsym/runtime/class_means.h",
        ("tests/native/test_each_row.py",),
        ("values[r * event + e]", "values[r + e]"),
    ),
    *mutants(
        "ibsym/runtime/points.h",
        ("tests/native/test_rule.py::test_sizes_and_scales",),
        ("p.in[c] = in, p.d[c]", "p.in[c] = points + rows * width, p.d[c]"),
        ("points_scattered(&column[c], d + rows * width + c * plane", "points_scattered(&column[c], d + rows * width"),
    ),
    *mutants(
        "ibsym/runtime/mixture.h",
        (NATIVE_MIXTURES,),
        ("slope[j] - share[j] * all", "slope[j]"),
        ("top - log(norm)", "top"),
    ),
    *mutants(
        "ibsym/runtime/pairs.h",
        (NATIVE_MIXTURES,),
        ("a[j] += p->log_weight[j]", "a[j] += 0"),
        ("p->slope[j] += (double)matrix[i * columns + j]", "p->slope[j] = (double)matrix[i * columns + j]"),
    ),
    *mutants(
        "ibsym/runtime/observed.h",
        (NATIVE_CLASSES,),
        ("(REAL)(c->weight * share)", "(REAL)c->weight"),
        ("if (share != 0) return", "return"),
        ("o->share[i / o->event]", "o->share[i % o->event]"),
        ("if (class < 0 || class >= c->classes) return 1;", ""),
    ),
    *mutants(
        "ibsym/lowering/fusion/plan.py",
        NATIVE_PASSES,
        ("total += factor * self.coefficient(k)", "total += factor"),
    ),
    *mutants(
        "ibsym/codegen/c/source.py",
        NATIVE_PASSES,
        ('f"-{grouped}" if coefficient == -1', 'f"{grouped}" if coefficient == -1'),
    ),
    *mutants(
        "ibsym/codegen/c/class_sums.py",
        (SHAPES,),
        ('(axis != "1" for axis in', "(True for axis in"),
    ),
]

CONSTRUCTED = [
    *mutants(
        "ibsym/derivation/quantisation.py",
        ("tests/attack/test_attack.py::test_what_was_found",),
        ("factor.text not in seen or", ""),
    ),
    *mutants(
        "ibsym/spec/model.py", (CONSTRUCTS,), ("new = density.head not in self.joints and len(density.of) == 1", "new = False")
    ),
    *mutants("ibsym/terms/reading.py", (CONSTRUCTS,), ("(*roots, *map(str, joint.factors))", "map(str, joint.factors)")),
    *mutants("ibsym/derivation/sampling.py", (ACCEPTED,), ("for d in (term.first, *term.second):", "for d in term.second:")),
]

OUTSIDE = [
    *mutants(
        "ibsym/lowering/expectations.py",
        (EXTERNAL,),
        ("if declared.at_value else factor.given", "if False else factor.given"),
    ),
    *mutants("ibsym/lowering/pairs.py", (EXTERNAL,), ("if factor.family.outside:", "if False:")),
    *mutants(
        "ibsym/derivation/sampling.py",
        (EXTERNAL,),
        ("if factor.family is not None and not factor.family.sampled:", "if False:"),
        ("not factor.learned or family.reparameterised", "not factor.learned or family.facts.reparameterised"),
    ),
]

CONSTANTS = [
    *mutants(
        "ibsym/derivation/steps.py",
        (AUDIT,),
        ("if not Span(v for p in others for v in self.coordinates.consequences(p)).reduce(rest): found = others", "pass"),
    ),
    *mutants(
        "ibsym/derivation/engine.py",
        (CONSTANT,),
        ("f.evaluated and not f.learned for f in evaluated", "f.evaluated for f in evaluated"),
        ("return fixed and not self.planner.learned_law", "return not self.planner.learned_law"),
    ),
    *mutants(
        "ibsym/checking/exact.py",
        (CONSTANT,),
        ("if any(f is None or f.learned for f in evaluated):", "if False:"),
        ("joint.ancestral_factors(scope)):", "joint.ancestral_factors(())):"),
    ),
]

SUMS = [
    *mutants(
        "ibsym/lowering/enumeration.py",
        (SUMMED,),
        ("variable = max(classes, key=graph.index)", "variable = min(classes, key=graph.index)"),
        ("{*classes, *own}", "{*classes}"),
    ),
    *mutants(
        "ibsym/lowering/classes.py",
        (SUMMED,),
        ("if variable in classes: return MoveLast(Diagonal", "if False: return MoveLast(Diagonal"),
        ("if variable not in have and len(node.axes) >= -dim:", "if False:"),
    ),
    *mutants("ibsym/spec/graphs.py", (SUMMED,), ("if factor is not None and factor.enumerated:", "if False:")),
    *mutants(
        "ibsym/derivation/sampling.py",
        (SUMMED,),
        ("if factor.enumerated and isinstance(item.term, Estimate):", "if False:"),
    ),
]

CAPPED = mutants(
    "ibsym/lowering/pairs.py",
    (EDGES,),
    ("Formula(with_capped_exponents(formula.expression), formula.text)", "Formula(formula.expression, formula.text)"),
)

DIAGNOSED = [
    *mutants(
        "ibsym/diagnosis/gradients.py",
        ("tests/diagnosis/test_core.py", "tests/diagnosis/test_corpus.py"),
        ("abs(ratio + 1) < 1e-4", "abs(ratio + 2) < 1e-4"),
        ("if abs(ratio) < 1e-4", "if abs(ratio) < -1"),
        ("if not _near(user[place], predicted, tolerance)", "if False"),
        ("if not live:", "if False:"),
    ),
    *mutants(
        "ibsym/diagnosis/subject.py",
        ("tests/diagnosis/test_core.py",),
        (
            'sides[0].second if entry.role == "critic_reference" else sides[0].first',
            'sides[0].first if entry.role == "critic_reference" else sides[0].second',
        ),
        ("bare(sign * b.coefficient)", "bare(b.coefficient)"),
    ),
    *mutants(
        "ibsym/diagnosis/fitting.py",
        ("tests/diagnosis/test_core.py", "tests/diagnosis/test_corpus.py"),
        ("rest = values - centre - (chosen - means) @ coefficients", "rest = values - centre"),
        ("float(centre - means @ coefficients)", "float(centre)"),
    ),
]

INTERPRETED = "tests/triton/cases.py::"
SPECIAL = ("tests/triton/functions.py",)
OF_DRAWS = (
    f"{INTERPRETED}test_against_float64[few-weighted-draws]",
    f"{INTERPRETED}test_a_logarithm_over_draws_of_large_weights",
)
OF_CLASSES = (
    f"{INTERPRETED}test_against_float64[odd-gm-vae]",
    f"{INTERPRETED}test_draws_of_some_inputs",
    f"{INTERPRETED}test_classes_of_extreme_logits",
    f"{INTERPRETED}test_a_class_of_probability_zero_does_not_count[gm-vae]",
)

KERNELS = [
    *mutants(
        "ibsym/runtime/triton/functions.py",
        OF_DRAWS,
        (
            "tl.exp(tl.load(values + s * rows + b, row, 0.0) - top) / norm",
            "tl.exp(tl.load(values + s * rows + b, row, 0.0) - top)",
        ),
        ("top + tl.log(norm) - log_draws", "top + tl.log(norm)"),
        ("tl.where(finite(top), top, 0.0)", "tl.where(finite(top), 0.0, 0.0)"),
    ),
    *mutants(
        "ibsym/runtime/triton/functions.py",
        OF_CLASSES,
        ("a - tl.max(a, 1)[:, None]", "a"),
        ("e / tl.sum(e, 1)[:, None]", "e"),
        ('own, float("-inf")).to(tl.float64)', "own, 0.0).to(tl.float64)"),
        ("tl.where(p == 0, 0.0, tl.load(values + cell, own, 0.0))", "tl.load(values + cell, own, 0.0)"),
        ("p * (w - mean[:, None])", "p * (w + mean[:, None])"),
    ),
    *mutants(
        "ibsym/runtime/weighed.py",
        (OF_DRAWS[0], *OF_CLASSES[:2]),
        ("weight / rows * self.rows", "weight * self.rows"),
        ("weight / (draws * rows) * self.rows", "weight / rows * self.rows"),
        ("d.sum(without) if without else d", "d"),
        ('"ADDS": first > 0', '"ADDS": False'),
    ),
    *mutants(
        "ibsym/codegen/triton/weighed.py",
        OF_CLASSES[1:2],
        ('f"s * DRAWN_{x}" if kind == "draw" else INDEX[kind]', "INDEX[kind]"),
    ),
    *mutants(
        "ibsym/codegen/triton/elements.py",
        (f"{INTERPRETED}test_against_float64[few-vae]",),
        (
            """f"{mine['toward']} = tl.where(a{k} >= 0, r{k}, e{k} * r{k})\"""",
            """f"{mine['toward']} = tl.where(a{k} >= 0, e{k} * r{k}, r{k})\"""",
        ),
    ),
    *mutants(
        "ibsym/runtime/kernels.py",
        (f"{INTERPRETED}test_against_float64[few-vae]",),
        ("weight / rows * self.rows for k", "weight * self.rows for k"),
    ),
    *mutants(
        "ibsym/runtime/triton/gamma.py",
        SPECIAL,
        ("(t + 6) * (t + 7)", "(t + 6)"),
        ("2 * u + 19", "2 * u + 18"),
    ),
    *mutants(
        "ibsym/runtime/triton/cells.py",
        SPECIAL,
        ("-sign(d) * normal_cell_edge(x, w)", "sign(d) * normal_cell_edge(x, w)"),
        ("tl.log(1 - far_share(x, w))", "0"),
    ),
]

MUTANTS: tuple[Mutant, ...] = (
    *(KERNELS if find_spec("triton") else ()),
    *CAPPED,
    *DIAGNOSED,
    *GRAPHS,
    *COORDINATES,
    *NUMBERS,
    *COEFFICIENTS,
    *ROWS,
    *ENTROPY_SPACE,
    *PROOFS,
    *CATALOGUE,
    *PROGRAMS,
    *LARGE_JOINTS,
    *PLANS,
    *PROOF_STEPS,
    *ENGINE_MUTANTS,
    *SAMPLING,
    *CRITICS,
    *ESTIMATOR_FACTS,
    *UNUSED_MUTANTS,
    *UNOPPOSED_MUTANTS,
    *EXACT,
    *VALUES,
    *CONDITIONING,
    *AUDITS,
    *WORLDS,
    *LAWS,
    *LOSSES,
    *PLAYED,
    *CONDITIONED_CRITICS,
    *NAMES,
    *MIXED,
    *RUNTIME,
    *ACCUMULATED,
    *RANKS,
    *OUTSIDE,
    *CONSTRUCTED,
    *SUMS,
    *CONSTANTS,
    *BY_ROW,
    *DRAWN,
)

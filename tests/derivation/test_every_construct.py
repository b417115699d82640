"""Every construct of a spec has worlds in the attack, a refusal with its remedy, a mutant, and the numbers that show what is true of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import ibsym
from ibsym.checking.audit import audit
from ibsym.derivation.model import BoundTerm, Derivation
from ibsym.derivation.unused import densities, touched
from ibsym.errors import IbsymError, SpecError
from ibsym.estimators import ESTIMATORS
from ibsym.families.facts import FAMILIES
from ibsym.lowering import lower
from ibsym.spec.families import USUAL
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import Estimate, MutualInformation, RelativeEntropy, Term, TotalCorrelation
from tests.attack.running import running_keys, sampled
from tests.derivation.test_constructs import REFUSED
from tests.mutants.catalogue import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 1500


def told(b: BoundTerm) -> Term:
    return b.term.term if isinstance(b.term, Estimate) else b.term


def factors(d: Derivation) -> set[Factor]:
    """The factors that the bound evaluates or draws from."""
    return {f for b in d.bound for f in touched(d.spec, b)}


def estimated(*names: str, kind: type | tuple[type, ...] = object, fits: Callable[[Term], bool] = lambda _: True) -> Seen:
    return lambda d: any(b.estimator in names and isinstance(told(b), kind) and fits(told(b)) for b in d.bound)


Seen = Callable[[Derivation], bool]
CRITICS = tuple(n for n, e in ESTIMATORS.items() if e.critic is not None)


def fitted(name: str) -> Seen:
    """By a density that a player of its own fits."""
    return lambda d: any(b.estimator == name and isinstance(b.term, Estimate) and b.term.density is not None for b in d.bound)


def both_ways(d: Derivation) -> bool:
    """Two informations of one pair, each by an estimator of its own."""
    pairs = [(frozenset(told(b).groups), b.estimator) for b in d.bound if isinstance(told(b), MutualInformation)]  # type: ignore[union-attr]
    return any(a[0] == b[0] and a[1] != b[1] for a, b in itertools.combinations(pairs, 2))


def conditioned(d: Derivation) -> bool:
    """A density of a joint that conditions on what it does not generate, and no declared factor."""
    terms = [w.term for w in d.objective]
    found = [p for t in terms for p in densities(d.spec, t)]
    return any(
        (j := d.spec.joints.get(p.head)) is not None and j.external and j.factor_of(p.of, p.given) is None for p in found
    )


def rooted(d: Derivation) -> bool:
    """A joint that draws from another source's marginal."""
    return any(
        f.head in d.spec.sources and d.spec.sources[f.head] != f and b in d.bound
        for b in d.bound
        for p in densities(d.spec, told(b))
        if p.head in d.spec.joints
        for f in d.spec.joints[p.head].factors
    )


def joint_code(term: Term) -> bool:
    match term:
        case MutualInformation(groups=groups):
            return len(groups[1]) > 1
        case RelativeEntropy(first):
            return len(first.of) > 1
    return False


def learned_first(term: Term) -> bool:
    return isinstance(term, RelativeEntropy) and term.first.head == "q"


def sized(d: Derivation) -> bool:
    return any(k == "dataset_size" and isinstance(v, str) for b in d.bound for k, v in b.options)


def family(name: str) -> Seen:
    return lambda d: any(f.family is not None and f.family.name == name for f in factors(d))


def spaces(kind: str) -> Seen:
    return lambda d: any(d.spec.variables[v].kind == kind for f in factors(d) for v in f.of)


def asked_sampled(d: Derivation) -> bool:
    return any(use.estimator == "sampled" for use in d.spec.estimators)


def by_row(d: Derivation) -> bool:
    return lower(audit(d, worlds=0)).rows is not None


@dataclass(frozen=True)
class Construct:
    """``refused``: part of a message in the table of refusals, or a test; ``mutant``: (file, part of it); ``numbers``: a test."""

    name: str
    seen: Seen
    refused: str
    mutant: tuple[str, str]
    numbers: str
    hint: str = ""
    """What is written in a spec that has it."""


def of_families() -> Iterator[Construct]:
    """Those with a density of their own: refused on another space, held to quadrature."""
    files = {"discretised-logistic": "logistic", "zero-inflated-negative-binomial": "negative_binomial"}
    files |= dict.fromkeys(("diagonal-normal", "isotropic-normal", "standard-normal"), "gaussian")
    for name, f in FAMILIES.items():
        if f.evaluated and name not in ("external", "vector-quantised"):
            path = f"ibsym/families/{files.get(name, name.replace('-', '_'))}.py"
            numbers = "families/test_families.py::test_log_density"
            yield Construct(name, family(name), "does not live on a", (path, ""), numbers, name)


NWJ = ("ibsym/estimators/nwj.py", "side=Side.LOWER")
OWN = ("ibsym/derivation/critics.py", "case MutualInformation() | TotalCorrelation(): return True")
ROWS = "is known at its draws alone, and a batch's mixture needs"
CONSTRUCTS = (
    Construct(
        "external",
        family("external"),
        ROWS,
        ("ibsym/lowering/pairs.py", "factor.family.outside"),
        "families/test_external.py::test_the_loss_is_that_of_the_density_that_is_handed_in",
        "external",
    ),
    Construct(
        "an exact sum over a class",
        lambda d: any(f.enumerated for f in factors(d)),
        "is summed over exactly",
        ("ibsym/lowering/enumeration.py", "{*classes, *own}"),
        "lowering/test_enumerate.py::test_the_sum_is_what_draws_have_in_expectation",
        "enumerate",
    ),
    Construct(
        "an estimator of its own for each reading of a pair",
        both_ways,
        "I_q(X;C) does not occur",
        ("ibsym/derivation/planning.py", "for g in a.groups"),
        "codegen/test_references.py::test_every_critic",
    ),
    Construct(
        "a critic of the total correlation of groups",
        estimated(*CRITICS, kind=TotalCorrelation, fits=lambda t: len(t.groups) > 1),  # type: ignore[attr-defined]
        "infonce does not estimate TC",
        OWN,
        "estimators/test_own_marginals.py::test_the_scale_of_the_codes",
        "TC_q(",
    ),
    Construct(
        "a critic of the total correlation of coordinates",
        estimated(*CRITICS, kind=TotalCorrelation, fits=lambda t: len(t.groups) == 1),  # type: ignore[attr-defined]
        "infonce does not estimate TC",
        ("ibsym/runtime/tensors.py", "order.roll(-k)"),
        "codegen/test_estimators.py::test_permuted_rows_have_the_law_of_the_product",
        "TC_q(",
    ),
    Construct(
        "a critic of a conditional information",
        estimated(*CRITICS, kind=MutualInformation, fits=lambda t: bool(t.given)),  # type: ignore[attr-defined]
        "no two rows share a value of y",
        ("ibsym/nn/draws.py", "(place + 1) % counts[found]"),
        "estimators/test_conditional_critics.py::test_a_difference_of_two_critics_bounds_nothing",
        "|S)",
    ),
    Construct(
        "a critic of a conditional divergence",
        estimated(*CRITICS, kind=RelativeEntropy, fits=lambda t: bool(t.first.given)),  # type: ignore[attr-defined]
        "q(z|c) is not declared",
        NWJ,
        "estimators/test_conditional_critics.py::test_the_best_critic_meets_a_conditional_divergence_and_no_other_passes_it",
    ),
    Construct(
        "CLUB with a declared conditional",
        fitted("club"),
        "needs the density of one argument given the other",
        ("ibsym/lowering/pairs.py", "declared(density)"),
        "estimators/test_players.py::test_a_learned_conditional_bounds_if_and_only_if_it_fits_the_joint_better_than_the_product",
        "club",
    ),
    Construct(
        "leave-one-out with a declared conditional",
        fitted("leave-one-out"),
        "needs the density of one argument given the other",
        ("ibsym/derivation/engine.py", "density is None or rule.player"),
        "estimators/test_players.py::test_a_learned_conditional_by_hand",
        "leave-one-out",
    ),
    Construct(
        "an adversary",
        fitted("adversary"),
        "needs the density that guesses one argument",
        ("ibsym/estimators/adversary.py", "side=Side.LOWER"),
        "estimators/test_players.py::test_any_decoder_bounds_the_information_from_below_and_the_best_one_meets_it",
        "adversary",
    ),
    Construct(
        "a joint that conditions on what it does not generate",
        conditioned,
        "no expectation can be taken under it",
        ("ibsym/terms/reading.py", "if not joint.exists(of, given)"),
        "terms/test_conditional_joints.py::test_a_density_exists_exactly_where_no_law_of_the_condition_changes_it",
    ),
    Construct(
        "a source's marginal that roots another joint",
        rooted,
        "data(c|x) is known by samples only",
        ("ibsym/spec/joints.py", "(set(whole.of) - set(of)) & others"),
        "terms/test_conditional_joints.py::test_a_source_s_marginal_is_the_source_s",
    ),
    Construct(
        "pairwise relative entropies",
        estimated("pairwise-kl"),
        "pairwise-kl of I_q(X;Z) needs the density",
        ("ibsym/estimators/pairwise_kl.py", "m.log(m.rows(table))"),
        "estimators/test_mixtures.py::test_the_pairwise_bound_holds_for_a_fixed_set_and_no_population",
        "pairwise-kl",
    ),
    *(
        Construct(
            f"{name} of {what}",
            estimated(name, fits=fits),
            refused,
            (f"ibsym/estimators/{name.replace('-', '_')}.py", ""),
            "estimators/test_mixtures.py::test_an_information_by_the_batchs_mixture",
            name,
        )
        for name, refused in (
            ("minibatch-weighted", ROWS),
            ("minibatch-stratified", "needs the number of rows in the data set"),
        )
        for what, fits in (
            ("an information", lambda t: isinstance(t, MutualInformation)),
            ("a joint code", joint_code),
            ("a total correlation", lambda t: isinstance(t, TotalCorrelation)),
        )
    ),
    *(
        Construct(
            f"batch-marginal of the {which} argument",
            estimated("batch-marginal", fits=fits),
            "takes the marginals of one categorical variable",
            ("ibsym/lowering/shares.py", "counted="),
            "codegen/test_accepted.py::test_a_law_of_classes_against_the_shares_of_a_batch",
            "batch-marginal",
        )
        for which, fits in (("first", learned_first), ("second", lambda t: not learned_first(t)))
    ),
    Construct(
        "the size of a data set as a parameter",
        sized,
        "'N2' is neither a number of rows nor a parameter",
        ("ibsym/lowering/values.py", "Setting(number)"),
        "estimators/test_mixtures.py::test_an_information_by_the_batchs_mixture",
        "'dataset_size': 'N'",
    ),
    Construct(
        "an array of symbols",
        lambda d: any(d.spec.variables[v].event for f in factors(d) for v in f.of),
        "stands between the classes of categorical symbols",
        ("ibsym/families/categorical.py", "EventSum(Pick(log_r, VALUE))"),
        "lowering/test_symbols.py::test_a_law_for_each_symbol_and_their_sum",
        "; ",
    ),
    Construct(
        "vector quantisation",
        family("vector-quantised"),
        "vector-quantised does not live on a real space",
        ("ibsym/lowering/quantisation.py", "StopGradient"),
        "lowering/test_symbols.py::test_the_rate_of_a_quantised_code_bounds_its_information",
        "vector-quantised",
    ),
    *(
        Construct(
            f"the space {kind}",
            spaces(kind),
            "does not live on a",
            (f"ibsym/families/{name}.py", ""),
            "spec/test_spaces.py::test_values_lie_in_it",
            f"'{kind}[",
        )
        for kind, name in (("positive", "gamma"), ("simplex", "dirichlet"), ("count", "poisson"))
    ),
    *of_families(),
    Construct(
        "sampled in place of closed",
        asked_sampled,
        "sampled does not estimate I_q(X;Z)",
        ("ibsym/derivation/engine.py", "if ESTIMATORS[use.estimator].plain: continue"),
        "estimators/test_sampled.py::test_it_agrees_with_the_closed_form_in_expectation",
    ),
    Construct(
        "a loss for each row",
        by_row,
        "derivation/test_constructs.py::test_no_row_has_a_loss_of_its_own_where_rows_are_compared",
        ("ibsym/lowering/coupling.py", "_affine"),
        "native/test_each_row.py::test_the_rows_are_those_of_the_expression",
    ),
)


def written(test: str) -> bool:
    """Whether there is such a test."""
    path, _, name = test.partition("::")
    return bool(name) and f"def {name}(" in (ROOT / "tests" / path).read_text(encoding="utf-8")


@cache
def worlds() -> dict[str, int]:
    """For every construct the first seed of the attack whose derivation has it."""
    found: dict[str, int] = {}
    for seed in range(SEEDS):
        if len(found) == len(CONSTRUCTS):
            break
        if seed % 6 in (3, 5):
            continue  # of random graphs, the longest: the attack has them as well
        keys = running_keys(seed)
        wanted = [c for c in CONSTRUCTS if c.name not in found and c.hint in str(keys)]
        if not wanted:
            continue
        try:
            derivation = ibsym.derive(Spec(**keys))
            again = sampled(keys, derivation)
            more = [ibsym.derive(Spec(**again))] if again is not None and "sampled in place of closed" not in found else []
        except IbsymError:
            continue
        for c in wanted:
            if any(c.seen(d) for d in (derivation, *more)):
                found[c.name] = seed
    return found


def test_every_construct_has_worlds_in_the_attack() -> None:
    assert [c.name for c in CONSTRUCTS if c.name not in worlds()] == []


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda c: c.name)
def test_every_construct_has_a_refusal_a_mutant_and_numbers(construct: Construct) -> None:
    assert any(construct.refused in message for _, _, message, _ in REFUSED) or written(construct.refused)
    file, part = construct.mutant
    assert any(m.file == file and " ".join(part.split()) in " ".join(m.old.split()) for m in MUTANTS), construct.mutant
    assert written(construct.numbers)


@pytest.mark.parametrize("name", [n for n, f in FAMILIES.items() if not f.source])
def test_every_family_is_refused_elsewhere_and_what_is_said_is_accepted(name: str) -> None:
    """On a space of another kind, and with an option of another family's: the first remedy leads to a spec that reads."""
    facts = FAMILIES[name]
    cases = [(k, {"family": name}, "does not live on a") for k in USUAL if k not in facts.spaces]
    alien = next(o for f in FAMILIES.values() for o in f.options if o not in facts.options)
    cases.append((facts.spaces[0], {"family": name, alien: 1}, f"unknown option of {name}: '{alien}'"))
    if not facts.options:
        cases.append((facts.spaces[0], {"family": name, "breadth": 1}, f"unknown option of {name}: 'breadth'; it has none"))
    for kind, entry, message in cases:
        keys: Mapping[str, Any] = {
            "name": "elsewhere",
            "objective": "minimize KL(q(x)||p(x))",
            "variables": {"x": f"{kind}[{'3' if kind == 'sphere' else 'D'}]", "z": "real[L]"},
            "joints": {"q": "data(x)", "p": "p(z) p(x|z)"},
            "families": {"p(z)": "standard-normal", "p(x|z)": entry},
        }
        with pytest.raises(SpecError, match=message) as error:
            Spec(**keys)
        for edit in error.value.ways[0]:
            keys = edit.applied(keys)
        assert Spec(**keys).factors["p(x|z)"].family is not None

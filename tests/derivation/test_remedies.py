"""What an error says to write is written, and leads to acceptance or to another refusal, and to no other objective."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

import ibsym
from ibsym.errors import Edit, PlacedError, Remedy, SpecError
from ibsym.spec.families import FAMILIES, USUAL
from ibsym.spec.model import Spec
from ibsym.spec.spaces import Space
from ibsym.terms.reading import read_objective
from ibsym.terms.vectors import Coordinates
from tests.attack.specs import random_case
from tests.derivation.refused import BASE, refused

DEEP, WIDE = 6, 2
"""How many refusals after each other, and how many of a remedy's alternatives are followed."""
CASES = dict(refused())


def tried(keys: Mapping[str, Any]) -> PlacedError | None:
    """The refusal of a spec, if it is refused."""
    try:
        ibsym.derive(Spec(**keys))
    except PlacedError as error:
        return error
    return None


def same_objective(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the objective is what it was: in words, without the joints that it names, or in value, term by term."""
    texts = [re.sub(r"_\w+(?=[(\[])", "", k["objective"]) for k in (before, after)]
    if texts[0] == texts[1]:
        return True
    spec = Spec(**after)
    old = read_objective(Spec(**{**after, "objective": before["objective"]}))
    coordinates, new = Coordinates(spec), read_objective(spec)
    return len(old) == len(new) and all(
        a.coefficient == b.coefficient and coordinates.equal(coordinates.vector(a.term), coordinates.vector(b.term))
        for a, b in zip(old, new, strict=True)
    )


@cache
def accepted(name: str) -> bool:
    """Whether what is said to one of the cases leads to acceptance."""
    return follow(CASES[name])


def follow(keys: Mapping[str, Any], seen: tuple[str, ...] = ()) -> bool:
    """Applies what a refusal says, then what the next says; whether one of the paths leads to acceptance."""
    error = tried(keys)
    if error is None:
        return True
    text = str(error)
    assert text not in seen, f"the remedy changed nothing: {text}"
    assert error.remedy, text
    if not error.ways:
        assert not re.search(r"(?:families|estimators|joints|parameters|variables)\.\S+ = ", error.remedy), (
            f"only words: {text}"
        )
        return False
    if len(seen) == DEEP:
        return False
    found = False
    for way in error.ways[:WIDE]:
        changed = dict(keys)
        for edit in way:
            changed = edit.applied(changed)
        assert same_objective(keys, changed), f"{way} makes another objective of {keys['objective']}"
        found |= follow(changed, (*seen, text))
    return found


WORDS_ALONE = {"no law", "a variable too many", "a cross-entropy of the model"}
"""Cases whose remedy is a choice that nobody can make for the author."""


@pytest.mark.parametrize("name", CASES)
def test_a_remedy_is_followed(name: str) -> None:
    assert accepted(name) or name in WORDS_ALONE or name.startswith("estimator: "), str(tried(CASES[name]))


def test_most_estimators_that_are_out_of_place_find_one() -> None:
    """The rest end in a choice of words: a density for the estimator, or another estimator."""
    names = [n for n in CASES if n.startswith("estimator: ")]
    assert sum(map(accepted, names)) > 0.7 * len(names)


@pytest.mark.parametrize("seed", range(200, 207))
def test_a_remedy_of_a_random_spec_is_followed(seed: int) -> None:
    follow(random_case(seed).keys)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("read the other way", "I_q(S;Z) in its place"),
        ("a wrong sign", "I_q(C;Z) in its place"),
        ("no family, categorical", 'families."p(c|z)" = "categorical"'),
        ("no subscript", "E_q[...] or E_p[...]"),
        ("the other cross-entropy", 'estimators."KL(p(z)||q(z))" = "density-ratio"'),
        ("a source and a factor", "leave out p(c|z) or data(c)"),
    ],
)
def test_what_is_said(name: str, said: str) -> None:
    error = tried(CASES[name])
    assert error is not None
    assert said in error.remedy


def test_a_source_is_called_as_it_was_written() -> None:
    with pytest.raises(SpecError, match=r"data\(c\) and p\(c\|z\) both give c"):
        Spec(**CASES["a source and a factor"])


def test_a_refused_bound_has_its_place(tmp_path: Any) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\nobjective = "minimize I_q(X;Z) - I_q(Z;X)"\n[variables]\nx = "real[D]"\nz = "real[L]"\n'
        '[joints]\nq = "data(x) q(z|x)"\np = "p(z)"\n[families]\n"q(z|x)" = "diagonal-normal"\n"p(z)" = "standard-normal"\n'
    )
    with pytest.raises(ibsym.DerivationError, match=r"mine.toml:2:34: objective: the only lower bound of I_q\(Z;X\)"):
        ibsym.derive(file)


def test_the_usual_family_of_a_space_has_a_density() -> None:
    for kind, name in USUAL.items():
        assert kind in FAMILIES[name].spaces
        assert FAMILIES[name].evaluated
    assert set(USUAL) == {kind for f in FAMILIES.values() for kind in f.spaces}
    assert Space.parse("real[D]", "").kind in USUAL


def test_an_edit_leaves_what_it_was_given() -> None:
    changed = Edit(("families", "p(c|z)")).applied(BASE)
    assert "p(c|z)" in BASE["families"]
    assert "p(c|z)" not in changed["families"]
    more = Edit(("joints", "r"), "r(z)", more=True).applied(BASE)
    assert more["joints"]["r"] == "r(z)"
    assert Remedy.of((Edit(("name",), "x"),), otherwise="y") == 'name = "x", or y'

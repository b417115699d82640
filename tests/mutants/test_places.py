"""Every mutant has its place in the source as it is, and tests that exist: one that went stale proves nothing."""

from __future__ import annotations

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutation import ROOT


def exists(test: str) -> bool:
    """Whether there is the file, and in it the function that a test is called by."""
    file, _, name = test.partition("::")
    path = ROOT / file
    return path.exists() and (not name or f"def {name.partition('[')[0]}(" in path.read_text(encoding="utf-8"))


def test_every_mutant_has_its_place_and_its_tests() -> None:
    stale = []
    for mutant in MUTANTS:
        stale += [test for test in mutant.tests if not exists(test)]
        try:
            mutant.apply((ROOT / mutant.file).read_text(encoding="utf-8"))
        except ValueError as error:
            stale.append(str(error))
    assert stale == []

"""Every mutant has its place in the source as it is, and tests that exist: one that went stale proves nothing."""

from __future__ import annotations

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutation import ROOT


def test_every_mutant_has_its_place_and_its_tests() -> None:
    stale = []
    for mutant in MUTANTS:
        stale += [test for test in mutant.tests if not (ROOT / test.partition("::")[0]).exists()]
        try:
            mutant.apply((ROOT / mutant.file).read_text(encoding="utf-8"))
        except ValueError as error:
            stale.append(str(error))
    assert stale == []

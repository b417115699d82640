"""No right loss is called wrong, no wrong one right, and of each wrong one what is wrong is said."""

from __future__ import annotations

import pytest

from tests.diagnosis import right_losses, wrong_losses  # noqa: F401  they register their losses
from tests.diagnosis.corpus import RIGHT, WRONG, diagnosed


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_a_right_loss_is_equal(case):
    report = diagnosed(case)
    assert report.equal, str(report)
    assert report.status == 0


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_wrong_loss_is_told(case):
    report = diagnosed(case)
    assert not report.equal, str(report)
    assert set(case.kinds) <= {f.kind for f in report.findings if f.severity == "wrong"}, str(report)
    assert {t: str(report.coefficients[t]) for t in case.weights} == case.weights


def test_there_are_forty_of_each_of_at_least_fifteen_systems():
    assert len(RIGHT) >= 40
    assert len(WRONG) >= 40
    assert len({case.spec for case in WRONG}) >= 15
    assert len({case.name for case in (*RIGHT, *WRONG)}) == len(RIGHT) + len(WRONG)

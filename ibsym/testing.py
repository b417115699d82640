"""assert loss = spec: what a test of one's own training code says about its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ibsym.api import diagnose
from ibsym.sources import Source


def assert_loss_is(
    function: Callable[..., Any],
    against: Source,
    inputs: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
    parameters: Mapping[str, float] | None = None,
) -> None:
    """The function is the spec's loss, in value and in every player's gradients; else an AssertionError that says what it is.

    Takes what :func:`ibsym.diagnose` takes.
    """
    __tracebackhide__ = True
    report = diagnose(function, against, inputs, output=output, parameters=parameters)
    if not report.equal:
        raise AssertionError(str(report))

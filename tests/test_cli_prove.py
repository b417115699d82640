"""ibsym prove: exit status, text and JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ibsym", "prove", *arguments], capture_output=True, text=True, check=False)


def test_a_proof_is_shown_in_full() -> None:
    done = run("I(X;Z) <= I(X;Y)", "--given", "X -> Y -> Z")
    assert done.returncode == 0
    assert "I(X;Y|Z) >= 0" in done.stdout
    assert "I(X;Z|Y) is 0 by X -> Y -> Z" in done.stdout


def test_a_counterexample_is_printed() -> None:
    done = run("I(X;Y|Z) <= I(X;Y)", "--format", "json")
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["proved"] is False
    assert record["certificate"] is None
    assert record["counterexample"]["difference"] < 0


def test_json_of_a_proof_has_a_certificate() -> None:
    record = json.loads(run("H(X,Y) <= H(X) + H(Y)", "--format", "json").stdout)
    assert record["proved"] is True
    assert record["counterexample"] is None
    assert record["certificate"][0]["items"] == [
        {"multiplier": "1", "quantity": "I(X;Y)", "reason": "mutual information", "zero": False}
    ]


@pytest.mark.parametrize("claim", ["H(X) <", "H(X) <= 3", "__import__('os')", ""])
def test_bad_claims_are_two_lines_on_stderr(claim: str) -> None:
    done = run(claim)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert 0 < len(done.stderr.strip().splitlines()) <= 3

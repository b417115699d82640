"""ibsym prove: exit status, text and JSON."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from xml.etree import ElementTree

import pytest

import ibsym
from ibsym.cli import main
from ibsym.rendering import proofs


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in this process: starting another takes a hundred times what it computes."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as leave:
        main(["prove", *arguments])
    code = leave.value.code
    return subprocess.CompletedProcess(
        list(arguments), code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue()
    )


def test_as_a_process() -> None:
    call = [sys.executable, "-m", "ibsym", "prove", "I(X;Y|Z) <= I(X;Y)", "--time-limit", "2"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    here = run(*call[4:])
    assert (done.returncode, done.stdout, done.stderr) == (1, here.stdout, "")


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


@pytest.mark.parametrize("claim", ["H(X) <", "H(X) < 3", "__import__('os')", ""])
def test_bad_claims_are_two_lines_on_stderr(claim: str) -> None:
    done = run(claim)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert 0 < len(done.stderr.strip().splitlines()) <= 3


def test_every_format_of_every_answer() -> None:
    """Proofs, refutations and neither, with numbers, orbits and cases: text, JSON, LaTeX and HTML, balanced and escaped."""
    many = ",".join(f"X{i}" for i in range(13))
    pairs = " + ".join(f"H(X{i},X{k})" for i in range(13) for k in range(i))
    for claim, given in (
        ("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"]),
        ("I(X;Y|Z) <= I(X;Y)", []),
        ("H(X_a|Y1) >= log 2", ["H(X_a) >= 3", "H(Y1) <= 2"]),
        ("min(H(X), H(Y)) <= 1/2 H(X) + 1/2 H(Y)", []),
        ("2*I(C;D) <= I(A;B) + I(A;C,D) + 3*I(C;D|A) + I(C;D|B)", []),
        (f"12 H({many}) <= {pairs}", []),
        ("X _|_ Z | Y", [r"X \perp\perp Z \mid Y", "A_1 || B", "X and U are independent given V", "Z <- W -> V", "Y : X"]),
    ):
        answer = ibsym.prove(claim, given)
        assert str(answer).split() == proofs.answer_text(answer).split()
        assert str(answer).split()[: len(claim.split())] == claim.split()
        assert max(map(len, answer.to_text(width=60).splitlines())) <= 60
        tex, page = proofs.answer_latex(answer), proofs.answer_html(answer)
        assert tex.count("{") - tex.count(r"\{") == tex.count("}") - tex.count(r"\}")
        assert tex.count(r"\begin") == tex.count(r"\end")
        displayed = tex.split(r"\]")[0]
        assert "$" not in displayed
        assert "backslash" not in tex
        assert not re.search(r"(?<!\\)#|_(?!\{)(?<!\\_)", tex.split(r"\begin{verbatim}")[0])
        assert page == answer._repr_html_()
        assert ElementTree.fromstring(page.replace("&ge;", ">=".replace(">", "&gt;"))) is not None
        assert json.loads(proofs.answer_json(answer))["proved"] is answer.proved


def test_options_reach_the_prover() -> None:
    assert run("H(X) <= 1", "--given", "H(X) <= log 2", "--unit", "bits").returncode == 0
    assert run("H(X) <= 0.6", "--given", "H(X) <= log 2").returncode == 1
    zhang_yeung = "2*I(C;D) <= I(A;B) + I(A;C,D) + 3*I(C;D|A) + I(C;D|B)"
    done = run(zhang_yeung, "--axiom", "zhang-yeung", "--format", "latex")
    assert done.returncode == 0
    assert r"\text{Zhang-Yeung}(C; " in done.stdout or r"\text{Zhang-Yeung}(A; " in done.stdout
    assert r" \ge  0$, non-Shannon axiom (Zhang" in done.stdout
    (proof,) = ibsym.prove(zhang_yeung, copies=["R = A | C,D"]).proofs
    equations = [item.quantity for item in proof.items if item.reason == "premise"]
    assert len(set(equations)) == len(equations) == 4
    assert "H(R,C,D) = H(A,C,D) (copy lemma)" in equations
    done = run("I(X;Y|Z) <= I(X;Y)", "--sufficient")
    assert done.returncode == 1
    assert "X _|_ Y | Z" in done.stdout
    assert run(zhang_yeung, "--axiom", "ingleton").returncode == 2
    assert "<table>" in run("H(X) <= H(X,Y)", "--format", "html").stdout

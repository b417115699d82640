"""ibsym diagnose, compare, identify as commands: statuses, the child process, errors that are a few lines."""

from __future__ import annotations

import json

import pytest

from ibsym.cli import child
from ibsym.cli import main as entry
from ibsym.errors import IbsymError

LOSSES = """
import os
import torch
import torch.nn.functional as F


def rate(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp())


def right(x, logits, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean() + rate(mu, logvar).sum(1).mean()


def averaged(x, logits, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean() + rate(mu, logvar).mean()


class Model:
    def loss(self, x, logits, mu, logvar):
        return right(x, logits, mu, logvar)


class Needy:
    def __init__(self, size):
        self.size = size

    def averaged(self, x, logits, mu, logvar):
        return averaged(x, logits, mu, logvar)


def make():
    return Needy(3)


def hangs(x, logits, mu, logvar):
    while True:
        pass


def dies(x, logits, mu, logvar):
    os.abort()


def fails(x, logits, mu, logvar):
    return x @ undefined  # noqa: F821
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "losses.py"
    path.write_text(LOSSES, encoding="utf-8")
    return str(path)


def call(*arguments):
    with pytest.raises(SystemExit) as left:
        entry(list(arguments))
    return left.value.code


@pytest.mark.torch
def test_a_factorys_method_runs_in_a_child(file, capfd):
    arguments = ("--against", "vae", "--input", "mu=z_mean", "--format", "json")
    assert call("diagnose", f"{file}:make().averaged", *arguments) == 1
    record = json.loads(capfd.readouterr().out)
    assert record["coefficients"]["KL(q(z|x)||p(z))"] == "1/L"
    assert not record["equal"]


@pytest.mark.torch
def test_a_crash_is_reported(file, capfd):
    assert call("diagnose", f"{file}:dies", "--against", "vae") == 2
    assert "SIGABRT" in capfd.readouterr().err


@pytest.mark.torch
def test_a_hang_is_reported_with_its_line(file, capfd):
    assert call("diagnose", f"{file}:hangs", "--against", "vae", "--time-limit", "1") == 2
    error = capfd.readouterr().err
    assert "did not end within 1 seconds" in error
    assert "losses.py:" in error


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", "has no 'nobody'"),
        ("Needy.averaged", "cannot be made without arguments"),
        ("1+1", "is not a function's name"),
    ],
)
def test_what_is_no_function_is_said(file, name, words):
    with pytest.raises(IbsymError, match=words) as failed:
        child.found(file, name)
    assert "write:" in str(failed.value)


def test_methods_are_found(file):
    assert callable(child.found(file, "Model.loss"))
    assert callable(child.found(file, "make().averaged"))


@pytest.mark.parametrize("place", ["losses.py", "nowhere.py:loss"])
def test_a_place_is_a_file_and_a_function(place, capfd):
    assert call("diagnose", place, "--against", "vae") == 2
    assert "write:" in capfd.readouterr().err


def test_systems_are_compared_and_identified(capfd, tmp_path):
    assert call("compare", "vae", "vib") == 0
    assert "All keep KL(q(z|x)||p(z))" in capfd.readouterr().out
    assert call("compare", "vae") == 2
    assert call("compare", "vae", "vib", "--format", "latex", "-o", str(tmp_path / "table.tex")) == 0
    assert "tabular" in (tmp_path / "table.tex").read_text(encoding="utf-8")
    assert call("identify", "vae") == 0
    assert "vae is vae" in capfd.readouterr().out

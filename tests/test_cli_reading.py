"""What people read: lines as wide as there is room, colour unless NO_COLOR, names that a shell completes, values that print themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import ibsym
from ibsym.cli import cli, guarded, main
from ibsym.cli.common import known, styled
from ibsym.derivation.model import Derivation
from ibsym.spec.loading import loads, zoo_text

WIDTHS = (60, 73, 100, 160, 240)
READ: dict[str, list[list[str]]] = {
    "derive": [["semi-supervised-ib"], ["vdb"], ["no-such"]],
    "prove": [["H(A,B,C,D) <= H(A)+H(B)+H(C)+H(D)"], ["I(X;Y|Z) <= I(X;Y)", "--given", "X -> Y -> Z"]],
    "compare": [["vae", "bib-ae"]],
    "identify": [["beta-vae"]],
    "check": [["no-such"], ["vae"]],
    "zoo": [["no-such"]],
}
"""What is prose or a derivation. Lists are a line an entry in a pipe, files are as they are."""


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    guarded(lambda: cli.main(args=list(arguments), prog_name="ibsym", standalone_mode=False))
    out, err = capsys.readouterr()
    return out + err


@pytest.mark.parametrize("name", READ)
def test_lines_are_as_wide_as_there_is_room(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in READ[name]:
        seen = {}
        for width in WIDTHS if name == "prove" else WIDTHS[::2]:
            monkeypatch.setenv("COLUMNS", str(width))
            lines = told(capsys, name, *arguments).splitlines()
            assert max(map(len, lines)) <= width, (width, max(lines, key=len))
            seen[width] = " ".join(" ".join(lines).split())
        assert len({re.sub(r"[\s─]", "", text) for text in seen.values()}) == 1 or name in ("compare", "derive"), arguments


@pytest.mark.parametrize("name", ["", *cli.commands])
def test_help_is_as_wide_as_there_is_room(name: str) -> None:
    """All but the examples, which are to be copied."""
    for width in (60, 100, 240):
        result = CliRunner(env={"COLUMNS": str(width)}).invoke(cli, [*name.split(), "--help"], terminal_width=width)
        assert result.exit_code == 0
        assert all(len(line) <= width for line in result.output.splitlines() if not line.strip().startswith("ibsym "))


@pytest.mark.parametrize("name", [*cli.commands])
def test_every_command_can_be_quiet(name: str) -> None:
    """By an option of its own, or by one before its name, which is its default then."""
    (own,) = [p for p in cli.commands[name].params if p.name == "quiet"]
    assert {"-q", "--quiet"} <= set(own.opts)
    (wide,) = [p for p in cli.params if p.name == "quiet"]
    group = click.Context(cli, info_name="ibsym")
    wide.handle_parse_result(group, {"quiet": True}, [])
    below = click.Context(cli.commands[name], parent=group, info_name=name)
    assert own.consume_value(below, {})[0] is True


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["-q", "prove", "H(X) >= 0"], 0),
        (["prove", "H(X) <= 0", "--quiet"], 1),
        (["--quiet", "prove", "H(X"], 2),
        (["derive", "vae", "-q"], 0),
        (["zoo", "-q"], 0),
    ],
)
def test_a_quiet_command_answers_by_its_status(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: cli.main(args=arguments, prog_name="ibsym", standalone_mode=False)) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert bool(err) is (status == 2)


def test_json_is_a_format_by_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("derive", "prove", "diagnose", "compare", "identify"):
        assert any("--json" in p.opts for p in cli.commands[name].params), name
    assert told(capsys, "prove", "H(X) >= 0", "--json") == told(capsys, "prove", "H(X) >= 0", "--format", "json")
    assert json.loads(told(capsys, "identify", "vae", "--json"))


def test_no_colour_where_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert styled("a", fg="red") != "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("a", fg="red") == "a"


def test_a_shell_completes_commands_options_and_systems() -> None:
    shell = ShellComplete(cli, {}, "ibsym", "_IBSYM_COMPLETE")
    assert [c.value for c in shell.get_completions([], "der")] == ["derive"]
    assert "--standalone" in [c.value for c in shell.get_completions(["derive"], "--")]
    assert [c.value for c in shell.get_completions(["derive", "vae", "--steps"], "")] == ["full", "short", "theorem"]
    for name in ("derive", "cite", "figure", "check", "generate", "build", "train", "compare", "identify"):
        found = [c.value for c in shell.get_completions([name], "va")]
        assert {"vae", "vae-gan"} <= set(found), name
    assert known(None, None, "zz")[0].type == "file"


def test_bash_itself_completes_the_names_of_systems(tmp_path: Path) -> None:
    """By the script that click writes, in a bash of its own."""
    bash, program = shutil.which("bash"), Path(sys.executable).with_name("ibsym")
    if bash is None or not program.exists():
        pytest.skip("no bash, or ibsym is not installed")
    script = (
        'eval "$(_IBSYM_COMPLETE=bash_source ibsym)"; compopt() { :; }; COMP_WORDS=(ibsym derive bib); COMP_CWORD=2; '
        '_ibsym_completion ibsym; echo "${COMPREPLY[@]}"'
    )
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        [bash, "-c", script], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PATH": path}, check=False
    )
    assert run.stdout.split() == ["bib-ae"], run.stderr


def test_a_spec_prints_the_file_that_it_is() -> None:
    for name in ibsym.zoo():
        spec = loads(zoo_text(name), file=name)
        again = loads(str(spec))
        assert again.keys == {k: v for k, v in spec.keys.items() if v not in ("", [], {}, ())}
        assert repr(spec) == f"<Spec {name}: {spec.objective_text}>"
        assert spec._repr_markdown_() == f"```toml\n{spec}\n```"


AWKWARD = 'a "quoted" \\ text\nof two lines\t\u007f é 😀'


def test_a_spec_of_ones_own_prints_the_same(derived: Derivation) -> None:
    keys = {**derived.spec.keys, "notes": AWKWARD, "title": "'x'", "parameters": {"beta": {"default": 1e20, "min": 0}}}
    spec = ibsym.Spec(**keys)
    assert loads(str(spec)).keys == spec.keys


@pytest.fixture(scope="module")
def derived() -> Derivation:
    return ibsym.derive("beta-vae")


class Printer:
    """What IPython gives a value to print itself to."""

    def text(self, what: str) -> None:
        self.said = what


def test_values_print_themselves(derived: Derivation) -> None:
    step = next(s for s in derived.steps if len(s.gap))
    assert str(step).startswith("≤ ")
    assert "dropped: " in str(step)
    assert step.rule in str(step)
    assert "\n" not in repr(step)
    assert step._repr_latex_().startswith("$$\n\\begin{aligned}\n&\\le ")
    assert json.loads(step.to_json())["rule"] == step.rule
    assert step.to_typst().startswith("$ <= ")
    assert max(map(len, step.to_text(width=60).splitlines())) <= 60
    assert str(derived.bound[0]) == "beta*KL(q(z|x)||p(z)) (closed-form)"
    assert str(derived.gap[0]).endswith("(closable)")
    values: list[Any] = [
        derived,
        step,
        ibsym.prove("H(X) <= H(X,Y)"),
        ibsym.compare(["vae", "beta-vae"]),
        ibsym.identify("vae"),
    ]
    for value in values:
        assert len(repr(value).splitlines()) == 1
        assert repr(value) != str(value)
        assert value._repr_html_() or value._repr_latex_()
        printer = Printer()
        value._repr_pretty_(printer, False)
        assert printer.said.strip() == str(value).strip()
        assert "_repr_pretty_" in vars(type(value))  # else IPython takes the class's own __repr__
    assert ibsym.compare(["vae", "beta-vae"])._repr_html_().startswith("<pre>")
    assert values[2]._repr_latex_() is None


def test_no_display_of_a_notebook_is_too_long_for_its_renderer() -> None:
    """MathJax 2 shows a formula of more than 5,120 characters as text."""
    several = 0
    for name in ibsym.zoo():
        displays = ibsym.derive(name)._repr_latex_().split("$$\n\\begin{aligned}")[1:]
        assert displays
        assert max(map(len, displays)) < 5000, name
        several += len(displays) > 1
    assert several


@pytest.mark.torch
def test_a_loss_prints_its_parameters(derived: Derivation) -> None:
    torch = pytest.importorskip("torch")
    loss = ibsym.compile(derived)(beta=torch.tensor(4.0))
    assert repr(loss) == "BetaVaeLoss(beta=4)"
    loss.beta = 0.25
    assert repr(loss) == "BetaVaeLoss(beta=0.25)"


def test_a_paper_needs_a_paper(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main(["derive", "vae", "--steps", "short"])
    assert leave.value.code == 2
    assert "--format latex or --format typst" in capsys.readouterr().err

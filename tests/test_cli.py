"""The command line: what it prints, what it writes, how it leaves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ibsym
from ibsym.cli import cli, main
from ibsym.spec.loading import zoo_names

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--set", "hidden=16", "--set", "batch=200")


@pytest.fixture
def ibsym_(tmp_path, monkeypatch, capsys):
    """Runs a command line in an empty folder: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as leave:
            main([str(a) for a in arguments])
        return leave.value.code, *capsys.readouterr()

    return call


def test_the_zoo_is_listed(ibsym_):
    status, out, err = ibsym_("zoo")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == zoo_names()
    assert "minimize I_q(X;Z) - beta*I_q(Z;C)" in out


def test_a_spec_is_printed_and_read_again(ibsym_):
    _, out, _ = ibsym_("zoo", "vib")
    Path("mine.toml").write_text(out)
    assert ibsym_("derive", "mine.toml")[1] == ibsym_("derive", "vib")[1]


def test_what_has_no_compiled_pass_is_checked_without_a_word_about_files(ibsym_, caplog):
    """In memory no files lie beside a loss; one that couples rows, and whose value no pass computes, asks for none."""
    keys = ('name = "m"', 'objective = "maximize I_q(X;Z)"', 'variables = { x = "real[D]", z = "real[L]" }')
    rest = ('joints = { q = "data(x) q(z|x)" }', 'families = { "q(z|x)" = "diagonal-normal" }')
    Path("m.toml").write_text("\n".join((*keys, *rest, 'estimators = { "I_q(X;Z)" = "dv" }')))
    assert ibsym_("check", "m.toml")[::2] == (0, "")
    assert not caplog.records


def test_a_new_spec_derives_and_is_not_overwritten(ibsym_):
    status, out, _ = ibsym_("new", "my-own")
    assert status == 0
    assert "my-own.toml" in out
    assert ibsym_("derive", "my-own.toml")[0] == 0
    assert ibsym_("check", "my-own.toml")[0] == 0
    before = Path("my-own.toml").read_text()
    assert before.count("#") > 10
    status, _, err = ibsym_("new", "my-own")
    assert status == 2
    assert "exists already" in err
    assert Path("my-own.toml").read_text() == before


@pytest.mark.parametrize("name", ["../up", "a b", "a/b", "", "9lives", "a.toml", "class", "x" * 100, "-x"])
def test_a_name_that_is_none_writes_nothing(ibsym_, tmp_path, name):
    status, _, err = ibsym_("new", name) if name[:1] != "-" else ibsym_("new", "--", name)
    assert status == 2
    assert err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["text", "latex", "json", "html"])
def test_a_derivation_in_every_format(ibsym_, form):
    status, out, err = ibsym_("derive", "bib-ae", "--format", form)
    assert (status, err) == (0, "")
    assert out.endswith("\n")
    assert ibsym_("derive", "bib-ae", "--format", form, "-o", "deep/file")[1] == "wrote deep/file\n"
    assert Path("deep/file").read_text() == out
    if form == "json":
        assert json.loads(out)["relation"] == "~"
    assert "\x1b" not in out


def test_what_is_generated_and_compared(ibsym_):
    status, out, _ = ibsym_("generate", "vib", "vae", "-o", "out")
    assert status == 0
    names = [f"{stem}{suffix}" for stem in ("vae", "vib") for suffix in (".c", ".py", ".tex", ".triton.py")]
    assert sorted(p.name for p in Path("out").iterdir()) == ["_ibsym_runtime.py", *names]
    assert Path("out/vib.py").read_text() == ibsym.generate(ibsym.derive("vib"))
    assert "wrote out/vib.py, out/vib.c, out/vib.triton.py, out/_ibsym_runtime.py, out/vib.tex" in out
    assert ibsym_("generate", "vib", "-o", "out", "--check") == (0, "5 files are as they should be\n", "")
    Path("out/vib.py").write_text("drifted")
    Path("out/vae.tex").unlink()
    status, out, _ = ibsym_("generate", "vib", "vae", "-o", "out", "--check")
    assert (status, out) == (1, "out/vib.py: differs\nout/vae.tex: missing\n")
    assert Path("out/vib.py").read_text() == "drifted"


def test_forms_of_one_file(ibsym_):
    """All in one file, or no compiled pass; each is compared in its own form."""
    for form in ("--bundle", "--plain"):
        status, out, _ = ibsym_("generate", "vae", "-o", form[2:], form)
        assert (status, out) == (0, f"wrote {form[2:]}/vae.py, {form[2:]}/vae.tex\n")
        assert ibsym_("generate", "vae", "-o", form[2:], form, "--check")[0] == 0
        assert ibsym_("generate", "vae", "-o", form[2:], "--check")[0] == 1
        assert sorted(p.name for p in Path(form[2:]).iterdir()) == ["vae.py", "vae.tex"]
    assert ibsym_("generate", "vae", "--bundle", "--plain")[0] == 2


@pytest.mark.slow
def test_the_whole_zoo_is_as_committed_and_strays_are_found(ibsym_):
    """That all of it can be written is told from the wheel."""
    shutil.copytree(ROOT / "generated", "out")
    assert len(list(Path("out").glob("*.tex"))) == len(zoo_names())
    Path("out/stray.py").write_text("")
    Path("out/vae.tex").write_text("another text")
    status, out, _ = ibsym_("generate", "--all", "-o", "out", "--check")
    assert status == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == ["out/vae.tex", "out/stray.py"]
    assert "out/stray.py: belongs to no spec" in out


def test_two_specs_of_one_name_are_refused(ibsym_):
    text = ibsym_("zoo", "vib")[1]
    Path("a.toml").write_text(text)
    status, _, err = ibsym_("generate", "vib", "a.toml", "-o", "out")
    assert status == 2
    assert "two specs" in err


@pytest.mark.parametrize("command", ["generate", "check"])
def test_some_specs_or_all(ibsym_, command):
    assert ibsym_(command)[0] == 2
    assert ibsym_(command, "vib", "--all")[0] == 2


@pytest.mark.torch
def test_a_check_that_holds(ibsym_):
    status, out, err = ibsym_("check", "vdb")
    assert (status, err) == (0, "")
    assert out.startswith("vdb: holds\n")
    assert "derivation: " in out
    assert "gradients as by differences" in out


def test_without_torch_the_derivation_is_checked_and_the_code_is_not(ibsym_, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    status, out, _ = ibsym_("check", "vib")
    assert status == 0
    assert "not run: that needs PyTorch" in out


def test_a_check_that_fails(ibsym_, monkeypatch):
    from ibsym import api

    def audit(derivation):
        raise ibsym.AuditError("step 3 (made up) does not hold")

    monkeypatch.setattr(api, "audit", audit)
    status, out, _ = ibsym_("check", "vib", "vae")
    assert status == 1
    assert out.count("fails") == 2
    assert "step 3 (made up)" in out
    status, out, _ = ibsym_("check", "vib", "--json")
    assert status == 1
    assert json.loads(out) == [{"name": "vib", "holds": False, "checked": ["step 3 (made up) does not hold"]}]


@pytest.mark.torch
def test_code_that_disagrees_fails(ibsym_, monkeypatch):
    from ibsym import codegen

    emit = codegen.emit
    monkeypatch.setattr(codegen, "emit", lambda program: emit(program).replace("self.beta *", "1.001 * self.beta *"))
    status, out, _ = ibsym_("check", "vib")
    assert status == 1
    assert "the interpreter's is" in out


@pytest.mark.torch
def test_a_model_is_trained_resumed_and_told_of(ibsym_):
    status, out, err = ibsym_("train", "vib", "--epochs", 1, *SMALL, "--set", "L=4", "-o", "run")
    assert (status, err) == (0, "")
    assert "L = 4" in out
    assert "epoch 1/1" in out
    assert "accuracy" in out
    assert "run/terms.png" in out
    assert sorted(p.name for p in Path("run").iterdir()) == ["checkpoint.pt", "metrics.json", "terms.png"]
    again = ("train", "vib", "--epochs", 2, *SMALL, "--set", "L=4", "-o", "run", "--resume", "-q")
    status, out, _ = ibsym_(*again)
    assert status == 0
    assert out.startswith("vib: 2 epochs")
    assert "epoch 2/2" not in out


@pytest.mark.torch
def test_runs_are_told_as_json(ibsym_):
    status, out, err = ibsym_("train", "vib", "--epochs", 1, *SMALL, "-o", "run", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(Path("run/metrics.json").read_text())
    assert ibsym_("train", "vib", "--epochs", 2, *SMALL, "-o", "run", "--resume", "--format", "json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (("new", "mine"), ["mine.toml"]),
        (
            ("generate", "vae", "-o", "out"),
            [f"out/{n}" for n in ("vae.py", "vae.c", "vae.triton.py", "_ibsym_runtime.py", "vae.tex")],
        ),
        (("figure", "vae", "-o", "vae.svg"), ["vae.svg"]),
    ],
    ids=lambda a: str(a[0]),
)
def test_what_was_written_is_told_as_json(ibsym_, arguments, files):
    if "figure" in arguments:
        pytest.importorskip("igraph")
    status, out, err = ibsym_(*arguments, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"wrote": files}
    assert all(Path(file).is_file() for file in files)


def test_drift_is_told_as_json(ibsym_):
    ibsym_("generate", "vae", "-o", "out", "-q")
    check = ("generate", "vae", "-o", "out", "--check", "--json")
    assert json.loads(ibsym_(*check)[1]) == {"files": 5, "drift": []}
    Path("out/vae.c").unlink()
    status, out, _ = ibsym_(*check)
    assert status == 1
    assert json.loads(out)["drift"] == ["out/vae.c: missing"]


@pytest.mark.torch
def test_the_default_folder_of_a_run(ibsym_):
    assert ibsym_("train", "beta-vae", "--epochs", 1, *SMALL, "-q", "--warmup", "beta=1")[0] == 0
    assert Path("runs/beta_vae/metrics.json").is_file()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "nowhere"), "nowhere: neither 'digits' nor a folder"),
        (("--set", "L"), "--set: 'L' sets nothing"),
        (("--set", "L=2", "--set", "L=3"), "L is set twice"),
        (("--set", "Q=2"), "unknown dimension, parameter or setting 'Q'"),
        (("--set", "D=63"), "vib.toml:"),
        (("--warmup", "L=3"), "unknown parameter that can rise 'L'"),
        (("--epochs", "0"), "0"),
        (("--seed", "-1"), "-1"),
        (("--labelled", "5000"), "5000 labelled images of 1438"),
        (("--resume",), "nothing to resume"),
    ],
)
def test_a_run_that_cannot_be(ibsym_, tmp_path, arguments, message):
    status, _, err = ibsym_("train", "vib", *arguments)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) <= 4
    assert not Path("runs").exists()


@pytest.mark.torch
def test_a_loss_that_is_no_number_is_the_answer_no(ibsym_):
    status, _, err = ibsym_("train", "vib", "--epochs", 3, "--set", "lr=1e9", *SMALL, "-q")
    assert status == 1
    assert "the loss is" in err
    assert "--set lr" in err


def test_missing_packages_are_named(ibsym_, monkeypatch):
    import ibsym.training.failures as failures

    monkeypatch.setattr(failures, "find_spec", lambda name: None)
    status, _, err = ibsym_("train", "vib", "--epochs", 1)
    assert status == 2
    assert "PyTorch and scikit-learn and matplotlib" in err
    assert "pip install 'ibsym[train]'" in err


@pytest.mark.parametrize("path", sorted((ROOT / "tests/specs/refused").glob("*.toml")), ids=lambda p: p.stem)
def test_a_spec_that_is_refused(ibsym_, path):
    status, out, err = ibsym_("derive", path)
    assert (status, out) == (2, "")
    assert err.startswith("ibsym: ")
    assert "write:" in err
    assert len(err.splitlines()) <= 6
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"name = ", b'name = "x"', b"[" * 5000, b"a=1\n" * 100_000, 'name = "é"\nobjective = "ü"'.encode()],
)
def test_files_that_are_no_specs(ibsym_, content):
    Path("bad.toml").write_bytes(content)
    status, _, err = ibsym_("derive", "bad.toml")
    assert status == 2
    assert err.startswith("ibsym: bad.toml")
    assert len(err) < 2000


@pytest.mark.parametrize(
    "arguments", [("derive", "nope"), ("derive", "."), ("zoo", "nope"), ("nope",), ("derive", "vib", "--format", "pdf")]
)
def test_wrong_input(ibsym_, arguments):
    status, out, err = ibsym_(*arguments)
    assert (status, out) == (2, "")
    assert err


def test_a_file_that_cannot_be_written(ibsym_):
    Path("folder").mkdir()
    status, _, err = ibsym_("derive", "vib", "-o", "folder")
    assert status == 2
    assert err == "ibsym: folder: is a folder\n"
    Path("file").write_text("")
    status, _, err = ibsym_("generate", "vib", "-o", "file/below")
    assert status == 2
    assert err.startswith("ibsym: file")
    assert len(err.splitlines()) == 1


def test_a_fault_of_our_own_is_one_line(ibsym_, monkeypatch):
    def derive(spec):
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(ibsym, "derive", derive)
    status, _, err = ibsym_("derive", "vib")
    assert status == 2
    assert "a fault of ibsym's own: ZeroDivisionError: boom" in err
    assert "Traceback" not in err


def test_an_interrupt(ibsym_, monkeypatch):
    def derive(spec):
        raise KeyboardInterrupt

    monkeypatch.setattr(ibsym, "derive", derive)
    assert ibsym_("derive", "vib")[0] == 130


@pytest.mark.parametrize("command", ["", "zoo", "new", "derive", "generate", "check", "train"])
def test_help_shows_examples_from_the_zoo(ibsym_, command):
    status, out, err = ibsym_(*command.split(), "--help")
    assert (status, err) == (0, "")
    examples = out.split("Examples:\n")[1].split("\n\n")[0]
    assert all(line.startswith("    ibsym ") for line in examples.replace("\\\n", "").splitlines())
    assert "{" not in out
    assert command in ("new",) or any(name in examples for name in zoo_names())


@pytest.mark.parametrize("command", ["", *cli.commands])
def test_help_fits_a_narrow_terminal(ibsym_, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "60")
    status, out, err = ibsym_(*command.split(), "--help")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 60


def test_the_version(ibsym_):
    assert ibsym_("--version") == (0, f"ibsym {ibsym.__version__}\n", "")


def shell(*arguments, **options):
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    return subprocess.run(
        [sys.executable, "-m", "ibsym", *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, **options
    )


def test_as_a_module():
    done = shell("zoo")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(zoo_names())


def test_a_reader_that_leaves_first():
    command = f"{sys.executable} -m ibsym derive bib-ae --format html | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_ascii_only():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "ibsym", "derive", "vib"], capture_output=True, cwd=ROOT, env=environment)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom ibsym.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'scipy', 'sklearn', 'matplotlib', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"

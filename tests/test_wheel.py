"""A built wheel does everything from another folder, and without PyTorch still derives, proves, prints and emits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKER = "import sys\nsys.modules.update(dict.fromkeys(('torch', 'sklearn', 'matplotlib')))\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files in a folder of their own."""
    where = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(where), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = where.glob("*.whl")
    target = where / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)], check=True
    )
    (where / "blocked").mkdir()
    (where / "blocked" / "sitecustomize.py").write_text(BLOCKER)
    return where


def run(installed: Path, cwd: Path, *arguments: str, torch: bool) -> subprocess.CompletedProcess[str]:
    paths = [str(installed / "site")] + ([] if torch else [str(installed / "blocked")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_what_is_imported_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-c", "import ibsym; print(ibsym.__file__)", torch=True)
    assert Path(done.stdout.strip()).is_relative_to(installed)


@pytest.mark.slow
@pytest.mark.parametrize("torch", [True, False], ids=["with torch", "without torch"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("zoo",),
        ("derive", "bib-ae", "--format", "latex"),
        ("derive", "vib", "--format", "html", "-o", "vib.html"),
        ("derive", "vae", "--format", "json"),
        ("generate", "--all", "-o", "out"),
        ("check", "vib"),
        ("prove", "I(X;Z) <= I(X;Y)", "--given", "X -> Y -> Z"),
    ],
    ids=lambda a: " ".join(a[:2]),
)
def test_commands(installed: Path, tmp_path: Path, arguments: tuple[str, ...], torch: bool) -> None:
    if torch and "--all" in arguments:  # the whole zoo is written without PyTorch, in the same bytes
        arguments = ("generate", "vae", "vib", "-o", "out")
    done = run(installed, tmp_path, "-m", "ibsym", *arguments, torch=torch)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    if arguments[0] == "generate":
        written = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")}
        kept = {path.name: path.read_bytes() for path in (ROOT / "generated").glob("*.*")}
        assert written == {name: text for name, text in kept.items() if "--all" in arguments or name in written}
        assert {"vae.py", "vae.c", "vib.py"} <= written.keys()


@pytest.mark.torch
@pytest.mark.slow
def test_losses_by_their_names(installed: Path, tmp_path: Path) -> None:
    code = (
        "from ibsym.losses import VaeLoss; import ibsym.losses.vae as m; print(VaeLoss().reduction, m._one_pass() is not None)"
    )
    done = run(installed, tmp_path, "-c", code, torch=True)
    assert (done.stdout.split(), done.stderr) == (["mean", "True"], "")
    assert (installed / "site/ibsym/losses/__init__.pyi").is_file()


@pytest.mark.slow
def test_training_needs_torch_and_says_so(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-m", "ibsym", "train", "vib", "--data", "digits", torch=False)
    assert done.returncode == 2
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_training_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-m", "ibsym", "train", "vib", "--data", "digits", "--epochs", "1", "-o", "run", torch=True)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"metrics.json", "checkpoint.pt"}

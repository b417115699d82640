"""The compiled pass as a process meets it: folders of others, damaged files, compilers that fail. Each in a process of its own.

Whatever stands in the way, the loss is right, nothing is raised, and one notice says what to do.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import traceback
import warnings
from pathlib import Path

import pytest

import ibsym
from ibsym.codegen.emit import files
from ibsym.lowering import lower

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.slow,  # sixty processes
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each is a child that has torch already"),
]

VALUE = """
import sys
sys.path.insert(0, {folder!r})
import torch
from vae import Loss
torch.manual_seed(0)
given = {{"z_mean": torch.randn(4, 3), "z_logvar": torch.randn(4, 3), "x": torch.ones(4, 5), "x_logits": torch.randn(4, 5)}}
loss = Loss()
a, b = float(loss(**given).loss), float(loss(**given).loss)
assert a == b and abs(a - float(loss.expression(*given.values()).loss)) < 1e-5, (a, b)
import vae
run = vae._one_pass()
print("compiled" if run is not None and run.known.get(torch.float32) is not None else "expression")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An emitted loss and its neighbours."""
    where = tmp_path_factory.mktemp("emitted")
    for name, text in files(lower(ibsym.audit("vae", worlds=1))).items():
        (where / name).write_text(text, encoding="utf-8")
    return where


def run(folder: Path, code: str = VALUE, **settings: str | Path | None) -> tuple[str, str]:
    """What a new process prints of the loss, and what it is told. A setting that is None is taken away."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CC", "IBSYM_NATIVE")}
    for name, value in settings.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = str(value)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads that wait
        child = os.fork()
        if not child:
            in_child(code.format(folder=str(folder)), environment, out.fileno(), err.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        said, told = out.read().decode(), err.read().decode(errors="replace")
    assert status == 0, told
    assert "Traceback" not in told
    return said.strip(), told.strip()


def in_child(code: str, environment: dict[str, str], out: int, err: int) -> None:
    """Runs code as a process of its own would, which has torch already; and ends that process."""
    status = 1
    try:
        signal.alarm(300)
        os.environ.clear()
        os.environ.update(environment)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", errors="replace", closefd=False)  # noqa: SIM115
        atexit._clear()
        tempfile.tempdir = None
        warnings.resetwarnings()
        warnings.simplefilter("error")
        logging.getLogger().handlers.clear()
        logging.getLogger("ibsym").__dict__.pop("told", None)
        sys.modules.pop("vae", None)
        exec(code, {"__name__": "__main__"})  # noqa: S102
        status = 0
    except BaseException:  # whatever it is, it is told
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def libraries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.so"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """A cache that a process has filled."""
    where = tmp_path_factory.mktemp("filled") / "cache"
    assert run(folder, IBSYM_CACHE_DIR=where) == ("compiled", "")
    assert len(libraries(where)) == 1
    return where


@pytest.fixture
def cache(tmp_path: Path, filled: Path) -> Path:
    """A cache with one library in it."""
    return Path(shutil.copytree(filled, tmp_path / "cache"))


def test_modes_whatever_the_umask(tmp_path: Path, folder: Path) -> None:
    where = tmp_path / "deep" / "cache"
    code = "import os; os.umask(0)\n" + VALUE
    assert run(folder, code, IBSYM_CACHE_DIR=where) == ("compiled", "")
    for path in (where, *libraries(where)):
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0
    assert run(folder, IBSYM_CACHE_DIR=where) == ("compiled", "")


DAMAGE = {
    "cut to half": lambda data: data[: len(data) // 2],
    "zeroed tail": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "empty": lambda data: b"",
    "one bit": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "no library": lambda data: b"#!/bin/sh\nexit 1\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_library_is_built_again(cache: Path, folder: Path, damage: object) -> None:
    (path,) = libraries(cache)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))  # type: ignore[operator]
    assert run(folder, IBSYM_CACHE_DIR=cache) == ("compiled", "")
    assert [p.read_bytes() for p in libraries(cache)] == [whole]


def test_a_library_without_the_symbol_ends_in_the_expression(cache: Path, folder: Path, tmp_path: Path) -> None:
    """A compiler that makes something else: it is what its name says, and still no pass."""
    wrong = tmp_path / "wrong.c"
    wrong.write_text("int other(void) { return 0; }\n")
    compiler = tmp_path / "cc"
    compiler.write_text(
        textwrap.dedent(
            f"""\
            #!{sys.executable}
            import subprocess, sys
            arguments = [{str(wrong)!r} if a.endswith("loss.c") else a for a in sys.argv[1:]]
            sys.exit(subprocess.run(["cc", *arguments]).returncode)
            """
        )
    )
    compiler.chmod(0o755)
    said, told = run(folder, IBSYM_CACHE_DIR=cache, CC=compiler)
    assert said == "expression"
    assert told.count("plain PyTorch") == 1
    assert "IBSYM_NATIVE=0" in told


@pytest.mark.parametrize("which", ["folder", "file"])
@pytest.mark.parametrize("mode", [0o777, 0o775], ids=["all", "group"])
def test_what_others_may_write_is_not_run(cache: Path, folder: Path, which: str, mode: int) -> None:
    (path,) = libraries(cache)
    (cache if which == "folder" else path).chmod(mode)
    said, told = run(folder, IBSYM_CACHE_DIR=cache)
    assert said == "compiled"
    assert told.count("others may write") == 1
    if which == "file":  # built again in a folder that is ours
        assert stat.S_IMODE(libraries(cache)[0].stat().st_mode) & 0o022 == 0
    else:
        assert "IBSYM_CACHE_DIR" in told


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("which", ["folder", "file"])
def test_what_belongs_to_another_is_not_run(cache: Path, folder: Path, which: str) -> None:
    (path,) = libraries(cache)
    os.chown(cache if which == "folder" else path, 12345, 12345)
    said, told = run(folder, IBSYM_CACHE_DIR=cache)
    assert said == "compiled"
    assert told.count("belongs to another user") == 1


def test_links_are_refused(cache: Path, folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(cache)
    said, told = run(folder, IBSYM_CACHE_DIR=link)
    assert (said, told.count("is a link")) == ("compiled", 1)
    (path,) = libraries(cache)
    elsewhere = tmp_path / "elsewhere.so"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    said, told = run(folder, IBSYM_CACHE_DIR=cache)
    assert (said, told.count("is a link")) == ("compiled", 1)
    assert not libraries(cache)[0].is_symlink()


def test_a_planted_constructor_does_not_run(cache: Path, folder: Path, tmp_path: Path) -> None:
    """A library of the right name whose constructor would write a file."""
    (path,) = libraries(cache)
    trace, source = tmp_path / "ran", tmp_path / "evil.c"
    source.write_text(
        f'#include <stdio.h>\n__attribute__((constructor)) void f(void) {{ FILE *x = fopen("{trace}", "w"); if (x) fclose(x); }}\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    assert run(folder, IBSYM_CACHE_DIR=cache)[0] == "compiled"
    assert not trace.exists()


def test_a_cache_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    """A file where the folder should be; with a folder that is full or read only it is the same."""
    (tmp_path / "file").write_text("")
    said, told = run(folder, IBSYM_CACHE_DIR=tmp_path / "file" / "cache", TMPDIR=tmp_path)
    assert said == "compiled"
    assert told.count("not kept") == 1
    assert list(tmp_path.glob("ibsym-private-*")) == []  # nothing is left behind


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs a user without a home")
def test_a_user_without_a_home(folder: Path, tmp_path: Path) -> None:
    """An unknown user id, and no HOME: with a cache of its own that is all, without one there is one notice."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        where = Path(name)
        where.chmod(0o755)
        for path in folder.glob("*.*"):
            (where / path.name).write_bytes(path.read_bytes())
        mine = where / "mine"
        mine.mkdir()
        os.chown(mine, 54321, 54321)
        drop = "import os; os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        late = VALUE.replace("loss = Loss()", "loss = Loss(); import vae, atexit; vae._one_pass()\n" + drop)
        settings = {"HOME": None, "XDG_CACHE_HOME": None, "TMPDIR": mine}
        assert run(where, late, IBSYM_CACHE_DIR=mine / "cache", **settings) == ("compiled", "")
        said, told = run(where, late, IBSYM_CACHE_DIR=None, **settings)
        assert said in ("compiled", "expression")
        assert told.count("write:") == 1
        assert "IBSYM_CACHE_DIR" in told


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("cc", ["gcc -D'X", "no-such-compiler", "false", "true", "/etc/passwd", ""], ids=str)
def test_compilers_that_are_none(folder: Path, tmp_path: Path, cc: str) -> None:
    said, told = run(folder, IBSYM_CACHE_DIR=tmp_path / "cache", CC=cc, **({"PATH": "/nowhere"} if not cc else {}))
    assert said == "expression"
    assert told.count("plain PyTorch") == 1
    assert "write: CC=" in told


def test_a_compiler_that_prints_no_text(folder: Path, tmp_path: Path) -> None:
    """Bytes that are not UTF-8, as its version and as its complaint."""
    compiler = script(tmp_path / "cc", "import sys; sys.stderr.buffer.write(b'\\xff\\xfe\\x80'); sys.exit('-o' in sys.argv)")
    said, told = run(folder, IBSYM_CACHE_DIR=tmp_path / "cache", CC=compiler)
    assert (said, told.count("plain PyTorch")) == ("expression", 1)


def test_a_compiler_that_never_ends(folder: Path, tmp_path: Path) -> None:
    """Also one whose child keeps its output open."""
    compiler = script(
        tmp_path / "cc", "import subprocess, sys, time\nif '-o' in sys.argv: subprocess.Popen(['sleep', '20']); time.sleep(20)"
    )
    said, told = run(folder, IBSYM_CACHE_DIR=tmp_path / "cache", CC=compiler, IBSYM_BUILD_SECONDS="1")
    assert (said, told.count("plain PyTorch")) == ("expression", 1)
    assert "timed out" in told


def test_no_notice_where_none_is_asked_for(folder: Path, tmp_path: Path) -> None:
    assert run(folder, IBSYM_CACHE_DIR=tmp_path / "cache", CC="false", IBSYM_NATIVE="0") == ("expression", "")


@pytest.mark.parametrize("gone", ["vae.c", "_ibsym_runtime.py"])
@pytest.mark.parametrize("how", ["missing", "cut", "another", "not text", "a folder"])
def test_neighbours(folder: Path, tmp_path: Path, gone: str, how: str) -> None:
    """Missing, damaged or from another version: the expression, and one notice that names the file."""
    for path in folder.glob("*.*"):
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    target = tmp_path / gone
    match how:
        case "missing":
            target.unlink()
        case "cut":
            target.write_bytes(target.read_bytes()[:-500])
        case "another":
            target.write_bytes(target.read_bytes().replace(b"ibsym", b"other", 1))
        case "not text":
            target.write_bytes(b"\xff\xfe\x00")
        case "a folder":
            target.unlink()
            target.mkdir()
    said, told = run(tmp_path, IBSYM_CACHE_DIR=tmp_path / "cache")
    assert said == "expression"
    assert told.count("plain PyTorch") == 1
    assert gone in told or how == "not text"
    assert "write: ibsym generate" in told


def test_line_ends_of_another_system(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*.*"):
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert run(tmp_path, IBSYM_CACHE_DIR=tmp_path / "cache") == ("compiled", "")


@pytest.mark.parametrize(("form", "says"), [("bundle", "compiled"), ("plain", "expression")])
def test_one_file(tmp_path: Path, form: str, says: str) -> None:
    from ibsym.codegen.emit import emit

    where = tmp_path / "one"
    where.mkdir()
    (where / "vae.py").write_text(emit(lower(ibsym.audit("vae", worlds=1)), form), encoding="utf-8")  # type: ignore[arg-type]
    code = VALUE if form == "bundle" else VALUE.replace("vae._one_pass()", "None")
    assert run(where, code, IBSYM_CACHE_DIR=tmp_path / "cache") == (says, "")

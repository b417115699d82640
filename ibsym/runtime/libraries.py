"""C to a library in the cache, built once: whole or not at all, by name and content, and never from where others may write."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

SECONDS = float(os.environ.get("IBSYM_BUILD_SECONDS") or 120)
"""How long a compiler may take."""

FLAGS = (
    ("-O3", "-march=native", "-fopenmp", "-DSIMD"),
    ("-O3", "-march=native", "-fopenmp-simd", "-DSIMD"),
    ("-O3",),
)
"""What is tried, in this order: threads and vector instructions, vector instructions, plain C."""

PRIVATE = "ibsym-private-"


@functools.cache
def folder() -> Path:
    """The cache: $IBSYM_CACHE_DIR, $XDG_CACHE_HOME/ibsym or ~/.cache/ibsym; where it cannot be trusted, a private folder and a notice."""
    try:
        chosen = os.environ.get("IBSYM_CACHE_DIR")
        home = os.environ.get("XDG_CACHE_HOME")
        path = Path(chosen) if chosen else (Path(home) if home else Path.home() / ".cache") / "ibsym"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if why := distrusted(path, stat.S_ISDIR):
            raise PermissionError(why)
        return path
    except (OSError, RuntimeError) as error:
        return private(str(error))


@functools.cache
def private(why: str) -> Path:
    """A folder of this process alone, and a notice that says why."""
    path = Path(tempfile.mkdtemp(prefix=PRIVATE))
    logging.getLogger("ibsym").warning(
        "compiled losses are not kept: %s\n  write: IBSYM_CACHE_DIR=<a folder of your own that nobody else may write to>", why
    )
    import atexit

    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def for_one_process(path: Path) -> bool:
    """Whether a library is not kept."""
    return path.parent.name.startswith(PRIVATE)


def distrusted(path: Path, kind: Callable[[int], bool]) -> str:
    """Why code from here may not be run: a link, another's, or writable by others; "" where it may."""
    found = os.lstat(path)
    if not kind(found.st_mode):
        return f"{path} is a link, or not of the kind expected"
    if hasattr(os, "geteuid"):
        if found.st_uid not in (os.geteuid(), 0):
            return f"{path} belongs to another user"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others may write to {path} (chmod go-w)"
    return ""


def library_path(source: str, stem: str, real: str) -> Path:
    """The library's file. Its name tells source, compiler, flags and processor, and what it holds: a damaged one is built again, once."""
    compiler = shlex.split(os.environ.get("CC", "")) or [
        shutil.which("cc") or shutil.which("gcc") or shutil.which("clang") or "cc"
    ]
    version = _printed([*compiler, "--version"])
    trouble: Exception = OSError("no compiler")
    for flags in FLAGS:
        options = [*flags, "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", f"-DREAL={real}"]
        options += ["-DDOUBLE"] if real == "double" else []
        identity = "\0".join((source, *compiler, *options, processor())).encode() + version
        name = f"{stem}_{real}_{hashlib.sha256(identity).hexdigest()[:32]}"
        found = kept(folder(), name)
        if found is not None:
            return found
        try:
            return built(folder(), name, source, [*compiler, *options])
        except PermissionError as error:  # a folder that may be read only
            return built(private(str(error)), name, source, [*compiler, *options])
        except OSError as error:
            if error.errno is not None:  # of the disk, and no word of the compiler
                return built(private(str(error)), name, source, [*compiler, *options])
            trouble = error
    raise trouble


def kept(where: Path, name: str) -> Path | None:
    """The library of this name in the cache, if it is ours and holds what its name says; damaged ones are removed."""
    for path in sorted(where.glob(f"{name}_*.so")):
        try:
            if why := distrusted(path, stat.S_ISREG):
                logging.getLogger("ibsym").warning("a compiled loss is not trusted and built again: %s", why)
            elif digest(path.read_bytes()) == path.stem.rpartition("_")[2]:
                return path
            path.unlink()
        except OSError:
            continue
    return None


def built(where: Path, name: str, source: str, command: Sequence[str]) -> Path:
    """A library compiled into the cache under its name and its content's digest: whole or not at all, several processes at once too."""
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        text, result = Path(scratch) / "loss.c", Path(scratch) / "loss.so"
        text.write_text(source, encoding="utf-8")
        _printed([*command, str(text), "-o", str(result), "-lm"])
        path = where / f"{name}_{digest(result.read_bytes())}.so"
        result.chmod(0o700)
        os.replace(result, path)
    return path


def digest(data: bytes) -> str:
    """A content's name."""
    return hashlib.sha256(data).hexdigest()[:32]


def _printed(command: Sequence[str]) -> bytes:
    """What a command writes; an error with its own words where it fails."""
    with tempfile.TemporaryFile() as words:  # a file: nobody waits for what a command's own children keep open
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT, timeout=SECONDS, check=False
        )
        words.seek(0)
        said = words.read()
    if done.returncode:
        told = said.decode(errors="replace").strip()[:500]
        raise OSError(f"{shlex.join(command)} fails with status {done.returncode}{f': {told}' if told else ''}")
    return said


@functools.cache
def processor() -> str:
    """What tells this machine's instructions from another's."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join(sorted(set(told))) or platform.platform() + platform.processor()


def tell(why: str) -> None:
    """One notice in a process."""
    log = logging.getLogger("ibsym")
    if not getattr(log, "told", False):
        log.told = True  # type: ignore[attr-defined]
        log.warning(
            "losses run as plain PyTorch, which is right and slower: %s\n"
            "  write: CC=<a C compiler> and IBSYM_CACHE_DIR=<a folder of your own>; or IBSYM_NATIVE=0, which asks for no compiled code",
            why,
        )

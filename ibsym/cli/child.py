"""A user's file in a process of its own, under a time limit: a crash or a hang there is told here."""

from __future__ import annotations

import ast
import contextlib
import faulthandler
import functools
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ibsym.diagnosis.failures import DiagnosisError
from ibsym.errors import IbsymError

BACKSTOP = 600.0


def run(place: str, spec: str, inputs: Mapping[str, str], options: Mapping[str, Any], limit: float) -> dict[str, Any]:
    """The record of a diagnosis of ``FILE.py:FUNCTION``; raises where the child fails, dies or takes too long."""
    file, _, name = place.rpartition(":")
    if not file or not name:
        raise DiagnosisError(f"{place!r} is not FILE.py:FUNCTION\n  write: losses.py:loss")
    if not Path(file).is_file():
        raise DiagnosisError(f"{file}: no such file\n  write: the path of a Python file, a colon, and the function's name")
    with tempfile.TemporaryDirectory(prefix="ibsym-") as folder:
        target, hang = Path(folder) / "answer.json", Path(folder) / "hang.txt"
        asked: dict[str, Any] = {"file": file, "name": name, "spec": spec, "inputs": dict(inputs), "options": dict(options)}
        asked |= {"target": str(target), "hang": str(hang), "limit": limit}
        status = _child(json.dumps(asked).encode(), limit + BACKSTOP)
        if not target.exists():
            raise DiagnosisError(_ended(file, name, status, hang, limit))
        answer: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    if "error" in answer:
        raise DiagnosisError(answer["error"])
    return answer


def _child(asked: bytes, longest: float) -> int | None:
    """The exit status of the child; None where it had to be stopped from here."""
    shown = sys.stderr.fileno() if _has_file(sys.stderr) else subprocess.DEVNULL
    command = [sys.executable, "-c", "from ibsym.cli.child import main; main()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=shown, stderr=shown, env=environment, start_new_session=True
    ) as child:
        try:
            child.communicate(asked, timeout=longest)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return None
    return child.returncode


def _ended(file: str, name: str, status: int | None, hang: Path, limit: float) -> str:
    """Why a child has no answer."""
    trace = hang.read_text(encoding="utf-8") if hang.exists() else ""
    if trace or status is None:
        path = str(Path(file).resolve())
        lines = [m[1] for m in re.finditer(rf'File "{re.escape(path)}", line (\d+)', trace)]
        place = f"{file}:{lines[0]}: " if lines else ""
        return f"{place}{name} did not end within {limit:g} seconds and was stopped\n  write: a longer --time-limit, or no endless loop"
    said = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"left with status {status}"
    return f"the process that ran {name} {said} before it had an answer\n  write: a loss that neither exits nor crashes"


def _has_file(stream: Any) -> bool:
    try:
        stream.fileno()
    except (OSError, AttributeError, ValueError):
        return False
    return True


def main() -> None:
    """The child: what it is asked on standard input, its answer in a file."""
    asked = json.loads(sys.stdin.buffer.read())
    target = Path(asked["target"])
    try:
        answer = _answer(asked)
    except IbsymError as error:
        answer = {"error": str(error)}
    except Exception as error:  # what a user's module raises when it is imported or called
        answer = {"error": _told(error, asked["file"])}
    temporary = target.with_suffix(".part")
    temporary.write_text(json.dumps(answer), encoding="utf-8")
    temporary.replace(target)


def _answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    from ibsym.api import diagnose
    from ibsym.spec.loading import load

    torch.set_num_threads(1)
    spec = load(asked["spec"])
    with Path(asked["hang"]).open("w", encoding="utf-8") as hang:
        watch = Watch(hang, float(asked["limit"]))
        with watch:
            function = found(asked["file"], asked["name"])
        report = diagnose(watch.over(function), spec, asked["inputs"], **asked["options"])
    return {"text": str(report), "record": report.record(), "status": report.status}


class Watch:
    """Ends this process, with a trace in a file, once a user's code has run for ``limit`` seconds in all."""

    def __init__(self, file: Any, limit: float):
        self.file, self.left, self.start = file, limit, 0.0

    def __enter__(self) -> None:
        self.start = time.monotonic()
        faulthandler.dump_traceback_later(max(self.left, 0.05), exit=True, file=self.file)

    def __exit__(self, *_: object) -> None:
        faulthandler.cancel_dump_traceback_later()
        self.left -= time.monotonic() - self.start

    def over(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        @functools.wraps(function.forward if hasattr(function, "forward") else function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return watched


def _told(error: BaseException, file: str) -> str:
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(Path(file).resolve())]
    place = f"{file}:{lines[-1].lineno}" if lines else file
    return f"{place}: {type(error).__name__}: {str(error)[:300]}\n  write: a file that can be imported, and a function in it"


def found(file: str, name: str) -> Callable[..., Any]:
    """The callable that ``name`` says: ``loss``, ``Model.loss`` (the class made without arguments), ``make().loss``."""
    path = Path(file).resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem if path.stem.isidentifier() else "losses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SystemExit as leave:
        raise DiagnosisError(
            f"{file} ends the process when it is imported (status {leave.code})\n"
            "  write: what it runs under  if __name__ == '__main__':"
        ) from None
    try:
        tree = ast.parse(name, mode="eval").body
    except SyntaxError:
        raise DiagnosisError(f"{name!r} is not a function's name\n  write: loss, Model.loss or make().loss") from None
    target = _resolved(module, tree, file)
    if isinstance(target, type):
        target = _made(target, name)
    if not callable(target):
        raise DiagnosisError(f"{name} in {file} is not a function\n  write: a function, a module or a method")
    result: Callable[..., Any] = target
    return result


def _resolved(module: Any, node: ast.expr, file: str) -> Any:
    match node:
        case ast.Name(id=name):
            if not hasattr(module, name):
                known = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
                raise DiagnosisError(f"{file} has no {name!r}\n  write: one of {', '.join(known) or 'its functions'}")
            return getattr(module, name)
        case ast.Call(func=inner, args=[], keywords=[]):
            return _resolved(module, inner, file)()
        case ast.Attribute(value=inner, attr=name):
            owner = _resolved(module, inner, file)
            if isinstance(owner, type) and not isinstance(vars(owner).get(name), staticmethod | classmethod):
                owner = _made(owner, ast.unparse(inner))
            if not hasattr(owner, name):
                raise DiagnosisError(f"{ast.unparse(inner)} has no {name!r}\n  write: the name of one of its methods")
            return getattr(owner, name)
    raise DiagnosisError(f"{ast.unparse(node)!r} is not a function's name\n  write: loss, Model.loss or make().loss")


def _made(owner: type[Any], name: str) -> Any:
    try:
        return owner()
    except TypeError as error:
        raise DiagnosisError(
            f"{name} cannot be made without arguments: {error}\n  write: a factory  def make(): return {name}(...)  and FILE.py:make().loss"
        ) from None

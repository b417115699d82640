"""Runs one input under guard: a limit of time, and a hook that sees everything executed, started, connected or written."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import ibsym
from ibsym.checking.answers import answer
from ibsym.errors import DerivationError, IbsymError, SolverError, SpecError
from ibsym.spec.grammar import WHAT, parse
from tests.fuzz.inputs import Input, claims, specs

LIMIT = 5.0  # seconds of processor time for one input
TERM = re.compile(r"(I|H|TC|E|KL|CE|JS|F)(_\w+)?[\[(].*[\])]")
WATCHED = (
    "os.",
    "shutil.",
    "subprocess.",
    "socket.",
    "pty.",
    "ctypes.",
    "marshal.",
    "pickle.",
    "code.",
    "urllib.",
    "tempfile.",
)
HARMLESS = ("os.listdir", "os.scandir", "os.walk", "ctypes.dlsym", "marshal.loads")


class Hang(BaseException):
    """The limit of time; no ``Exception``, so that nobody handles it."""


@dataclass(frozen=True)
class Outcome:
    """What became of an input: ``accepted``, ``refused``, or what is wrong with that."""

    kind: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        return self.kind not in ("accepted", "refused")


class Watch:
    """An audit hook (they cannot be removed, so there is one) that keeps forbidden events while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[str] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple[object, ...]) -> None:
        if self.on and self.forbidden(event, args):
            self.events.append(f"{event} {args!r:.200}")

    @staticmethod
    def forbidden(event: str, args: tuple[object, ...]) -> bool:
        match event, args:
            case "open", (_, mode, flags):
                writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                return bool(writing) or (isinstance(mode, str) and any(c in mode for c in "wax+"))
            case "compile", (source, name):
                return not (library(str(name)) or (isinstance(source, bytes) and source.startswith(b"def monomial_")))
            case "exec", (CodeType() as code,):
                return not (library(code.co_filename) or all(n.startswith("monomial_") for n in code.co_names or ("",)))
        return event.startswith(WATCHED) and event not in HARMLESS


def library(name: str) -> bool:
    """Whether code comes from a file that is there (an import), or from the decorators of NetworkX.

    SymPy's polynomials compile functions too, ``monomial_mul`` and the like, from the number of their symbols.
    """
    return name.startswith(("<class 'networkx", "<frozen")) or (name.endswith(".py") and Path(name).is_file())


WATCH: list[Watch] = []


def warm() -> Watch:
    """Everything imported and every cache filled that valid inputs need; then the hook."""
    if not WATCH:
        for text in specs():
            with suppress(IbsymError):
                ibsym.derive(ibsym.loads(text))
        for start in WHAT:  # a parser is made at its first use, and Lark compiles its terminals
            with suppress(IbsymError):
                parse("", start)
        for claim, *given in claims()[:3] + claims()[-9:]:
            answer(claim, given, seconds=0.05)
        WATCH.append(Watch())
    return WATCH[0]


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def call(item: Input, folder: Path) -> None:
    """The function that an input is for."""
    match item.target, item.parts:
        case "spec", (str(text),):
            ibsym.derive(ibsym.loads(text))
        case "file", (bytes(),):
            ibsym.derive(ibsym.load(folder / "input.toml"))
        case "parse", (str(start), str(text)):
            parse(text, start, "somewhere")
        case "prove", (str(claim), *given):
            answer(claim, [str(g) for g in given], time_limit=1, seconds=0.05)
        case _:
            raise AssertionError(item)


def complaint(error: IbsymError) -> str:
    """What is wrong with a refusal's message; empty if it is on a few printable lines and names the place."""
    text = str(error)
    if "Traceback" in text or len(text) > 2000 or text.count("\n") > 6:
        return "long message"
    if not text.replace("\n", "").isprintable():
        return "unprintable message"
    match error:
        case SpecError(place=place, key=key):
            placed = bool(place.file or key)
        case DerivationError() | SolverError():
            placed = TERM.search(text) is not None
        case _:
            placed = False
    return "" if placed else "message without a place"


def run(item: Input, seconds: float = LIMIT) -> Outcome:
    """Calls the target; whatever it does is an outcome."""
    watch = warm()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if item.target == "file":
            (folder / "input.toml").write_bytes(bytes(item.parts[0]))  # type: ignore[arg-type]
        watch.events.clear()
        begin = time.process_time()
        watch.on = True
        try:
            with limit(seconds):
                call(item, folder)
            kind, detail = "accepted", ""
        except IbsymError as error:
            wrong = complaint(error)
            kind, detail = ("message" if wrong else "refused"), f"{wrong}: {error}" if wrong else str(error)
        except Hang:
            kind, detail = "hang", f"more than {seconds:g} s"
        except BaseException as error:
            kind, detail = "exception", f"{type(error).__name__}: {error}"
        finally:
            watch.on = False
        spent = time.process_time() - begin
        if watch.events:
            kind, detail = "event", "; ".join(watch.events[:3])
        return Outcome(kind, detail, spent)

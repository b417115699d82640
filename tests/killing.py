"""SIGKILL between any two things that a process does to files: what is left has to be whole, and the same call has to go on."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

EVENTS = ("open", "os.chmod", "os.rename", "os.remove", "os.rmdir", "os.mkdir")
ENDED, FAILED = 0, 3


def killed_at(number: int, stems: Sequence[str], start: Callable[[], object]) -> bool:
    """Whether a child that runs ``start()`` was killed before it touched a file of such a name for that time, and had not ended before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that forking beside threads is not for everyone
        child = os.fork()
    if not child:
        status = FAILED
        try:
            dies_at(number, stems)
            start()
            status = ENDED
        except SystemExit as leave:  # a command ends so
            status = int(leave.code or ENDED)
        finally:
            os._exit(status)
    found = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert found in (-signal.SIGKILL, ENDED), found
    return found != ENDED


def dies_at(number: int, stems: Sequence[str]) -> None:
    """From now on this process dies as it opens, changes, renames, makes or removes such a file or folder for that time."""
    left = [number]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in EVENTS and any(stem in Path(str(arguments[0])).name for stem in stems):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)

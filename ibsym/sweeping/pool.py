"""Worker processes that end with their parent, each with a run at a time."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
Job = Mapping[str, Any]


class Worker:
    """A process, and a thread that hands on what it says."""

    def __init__(self, number: int, said: queue.Queue[tuple[int, dict[str, Any]]]):
        self.number, self.said = number, said
        environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        command = [sys.executable, "-m", "ibsym.sweeping.worker"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        )
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        """Every line, and that there are no more."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put((self.number, json.loads(line)))
        status = self.process.wait()
        self.said.put((self.number, {"kind": "gone", "message": f"the process ended with status {status}"}))

    def give(self, job: Job) -> None:
        """A run to do."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it is gone, and its thread says so
            return


@contextmanager
def workers(number: int) -> Iterator[tuple[list[Worker], queue.Queue[tuple[int, dict[str, Any]]]]]:
    """So many processes; however this ends, so do they."""
    said: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    made = [Worker(k, said) for k in range(number)]
    try:
        yield made, said
    finally:
        for worker in made:
            worker.process.kill()
        for worker in made:
            worker.process.wait()
            for stream in (worker.process.stdin, worker.process.stdout):
                if stream is not None:
                    stream.close()


def done(
    items: Iterable[T], number: int, begin: Callable[[T], Job], told: Callable[[T, dict[str, Any]], None]
) -> Iterator[tuple[T, dict[str, Any]]]:
    """Each item with its worker's result or error, as they come; ``told`` hears of epochs on the way.

    A process that is gone before it has a result ends that run with an error, and another one takes its place.
    """
    left = list(items)
    if not left:
        return
    with workers(min(number, len(left))) as (made, said):
        busy: dict[int, T] = {}
        for worker in made:
            busy[worker.number] = left.pop(0)
            worker.give(begin(busy[worker.number]))
        while busy:
            place, entry = said.get()
            if place not in busy:
                continue
            if entry["kind"] == "epoch":
                told(busy[place], entry)
                continue
            yield busy.pop(place), entry
            if entry["kind"] == "gone" and left:
                made[place] = Worker(place, said)
            if left:
                busy[place] = left.pop(0)
                made[place].give(begin(busy[place]))

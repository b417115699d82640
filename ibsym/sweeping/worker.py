"""One process of a sweep: runs come in on standard input, a line of JSON each; epochs and results go out the same way.

When its standard input ends, because the sweep has ended or was killed, the process ends at once.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Job = Mapping[str, Any]
Networks = Mapping[str, Callable[..., Any]] | None


class Heard:
    """A reporter that hands every epoch on."""

    def __init__(self, say: Callable[[dict[str, Any]], None]):
        self.say, self.total = say, 0

    def start(self, title: str, notes: Sequence[str], epochs: int, done: int) -> None:
        """How many epochs there will be."""
        self.total = epochs
        self.say({"kind": "epoch", "epoch": done, "of": epochs})

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """One more."""
        self.say({"kind": "epoch", "epoch": entry["epoch"], "of": self.total})

    def stop(self) -> None:
        """Nothing."""


def main() -> None:
    """Trains what it is told to, until there is nothing more to read."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no result
    jobs: queue.Queue[str] = queue.Queue()

    def say(entry: Mapping[str, Any]) -> None:
        out.write(json.dumps(entry) + "\n")
        out.flush()

    def listen() -> None:
        for line in sys.stdin:
            jobs.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    compiled: dict[str, Any] = {}
    while True:
        say(answered(json.loads(jobs.get()), Heard(say), compiled))


def answered(job: Job, report: Heard, compiled: dict[str, Any], networks: Networks = None) -> dict[str, Any]:
    """A run's result, or why it has none."""
    from ibsym.errors import IbsymError

    try:
        return {"kind": "result", **trained(job, report, compiled, networks)}
    except IbsymError as error:
        return {"kind": "error", "name": type(error).__name__, "message": str(error)}
    except Exception as error:  # said by the sweep, which goes on with the other runs
        return {"kind": "error", "name": "fault", "message": f"{type(error).__name__}: {str(error)[:500]}"}


def trained(job: Job, report: Heard, compiled: dict[str, Any], networks: Networks = None) -> dict[str, Any]:
    """A run from its beginning or from where it was: its history and the gaps of its bounds."""
    from ibsym.lowering import lower
    from ibsym.sources import certificate_of, class_of
    from ibsym.spec.model import Spec
    from ibsym.sweeping.gaps import gaps
    from ibsym.training.checkpoint import CHECKPOINT
    from ibsym.training.train import run

    if job["spec"] not in compiled:
        spec = Spec(**json.loads(job["spec"]))
        compiled[job["spec"]] = (spec, class_of(lower(certificate_of(spec))))
    spec, loss = compiled[job["spec"]]
    resume = (Path(job["out"]) / CHECKPOINT).is_file()
    where = {"out": job["out"], "resume": resume, "overwrite": not resume}
    result = run(spec, loss, **job["options"], **where, seed=job["seed"], report=report, networks=networks)
    assert result.meter is not None
    return {"history": result.history, "seconds": result.seconds, "gaps": gaps(result.meter, job["seed"])}


if __name__ == "__main__":
    main()

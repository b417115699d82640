"""A grid of runs in one folder: those that are not done yet are trained, then tables and pictures are written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibsym.errors import TrainingError
from ibsym.spec.model import Spec
from ibsym.sweeping import plots, results
from ibsym.sweeping.points import Point, grid
from ibsym.sweeping.pool import done
from ibsym.sweeping.study import STUDY, Study
from ibsym.sweeping.worker import Heard, answered
from ibsym.training.checkpoint import locked, written
from ibsym.training.failures import DataError
from ibsym.training.settings import sort_out

RUNS = "runs"
FILES = (STUDY, results.RESULTS, results.EPOCHS, "rate-distortion.png", "information-plane.png", "gaps.png")


@dataclass(frozen=True)
class Swept:
    """What a sweep found: each point's result, the files, and how many points had been done before."""

    found: dict[Point, dict[str, Any]]
    files: dict[str, Path]
    before: int

    @property
    def failed(self) -> dict[Point, str]:
        """The runs that could not go on, and why."""
        return {p: r["error"] for p, r in self.found.items() if "error" in r}


def sweep(
    spec: Spec,
    over: Sequence[str],
    *,
    out: Path,
    seeds: int = 1,
    seed: int = 0,
    jobs: int = 2,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    networks: Callable[[], Mapping[str, Callable[..., Any]]] | None = None,
    told: Callable[[Point, Mapping[str, Any]], None] = lambda point, entry: None,
    start: Callable[[int, int], None] = lambda points, before: None,
) -> Swept:
    """Trains ``spec`` at every point of ``over`` with every seed, as :func:`ibsym.training.train.run` with these ``options``.

    The folder keeps what is done; the same call goes on after a kill at any moment, each run from its last whole epoch. ``networks``
    makes a run's networks of one's own; as they belong to this process, runs are then one after another in it.
    """
    options = dict(options or {})
    fixed = dict(options.get("settings") or {})
    points = grid(over, seeds, seed, fixed)
    sort_out(spec, fixed)
    for point in points:  # every value is looked at before anything is trained
        sort_out(spec, {n: f"{v:.6g}" for n, v in point.values}, "--over")
    keys = json.dumps(dict(spec.keys), default=dict)
    about = {"spec": keys, "over": list(over), "seeds": seeds, "seed": seed, **{k: str(v) for k, v in sorted(options.items())}}
    about = {"data": "digits"} | about
    with written(out):
        out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        if overwrite:
            begin_anew(out)
        elif (out / "checkpoint.pt").exists():
            raise DataError(f"{out}: holds a run, and not a sweep\n  write: -o with another folder")
        study = Study(out, spec.name, about, points)
        before = study.finished
        start(len(points), len(before))

        def job(point: Point) -> dict[str, Any]:
            settings = fixed | {n: f"{v:.6g}" for n, v in point.values}
            return {
                "spec": keys,
                "seed": point.seed,
                "out": str(out / RUNS / point.name),
                "options": options | {"settings": settings},
            }

        left = [p for p in points if p not in before]
        trials: dict[Point, Any] = {}

        def begin(point: Point) -> dict[str, Any]:
            trials[point] = study.begin(point)
            return job(point)

        along = done(left, jobs, begin, told) if networks is None else alone(left, begin, told, networks)
        for point, entry in along:
            told(point, entry)
            match entry["kind"]:
                case "result":
                    study.end(trials[point], {k: v for k, v in entry.items() if k != "kind"})
                case "error" if entry["name"] in ("TrainingError", "fault"):
                    study.end(trials[point], {"error": entry["message"]})
                case _:  # its input is wrong, which all the others share, or its process was killed: nothing is done
                    raise TrainingError(
                        f"{point.name}: {entry['message']}\n  write: the same command, to go on with what is done"
                    )
        found = study.finished
        with written(out):
            files = results.save(out, found, about) | plots.save(out, f"{spec.title}: {spec.objective_text}", found)
        return Swept(found, files, len(before))


def alone(
    left: Sequence[Point],
    begin: Callable[[Point], Mapping[str, Any]],
    told: Callable[[Point, Mapping[str, Any]], None],
    networks: Callable[[], Mapping[str, Callable[..., Any]]],
) -> Iterator[tuple[Point, dict[str, Any]]]:
    """Each point's result or error, one after another in this process."""
    compiled: dict[str, Any] = {}
    for point in left:
        heard = Heard(lambda entry, point=point: told(point, entry))  # type: ignore[misc]
        yield point, answered(begin(point), heard, compiled, networks())


def begin_anew(out: Path) -> None:
    """An earlier sweep's files away; others stay."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / RUNS, ignore_errors=True)

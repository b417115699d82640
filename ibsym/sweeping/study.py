"""Which points are done: Optuna's storage, a SQLite file that only the sweep itself writes, so that nothing stays locked after a kill."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ibsym.sweeping.points import Point
from ibsym.training.failures import DataError, need

need("optuna", purpose="a sweep", extra="sweep")

import optuna  # noqa: E402
from optuna.distributions import BaseDistribution, CategoricalDistribution  # noqa: E402
from optuna.trial import Trial, TrialState  # noqa: E402

STUDY = "study.db"


class Study:
    """A sweep's points, as Optuna's trials."""

    def __init__(self, folder: Path, name: str, about: Mapping[str, Any], points: Sequence[Point]):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.points = points
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SQLAlchemy's and Optuna's, of their own futures
            try:
                self.study = optuna.create_study(
                    storage=f"sqlite:///{(folder / STUDY).resolve()}", study_name=name, load_if_exists=True
                )
                was = self.study.user_attrs.get("about")
            except Exception as error:  # SQLAlchemy has many
                raise DataError(
                    f"{folder / STUDY}: not a sweep of ours: {str(error).splitlines()[0][:200]}\n  write: --overwrite to begin anew"
                ) from None
        for key, value in about.items():
            if was is not None and was.get(key) != json.loads(json.dumps(value)):
                raise DataError(
                    f"{folder}: another sweep: {key} was {was.get(key)!r:.60}, now {value!r:.60}\n"
                    "  write: -o with another folder, or --overwrite"
                )
        self.study.set_user_attr("about", dict(about))
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            if trial.state is TrialState.RUNNING:  # a sweep that was killed was at it
                self.study.tell(trial.number, state=TrialState.FAIL)

    @property
    def finished(self) -> dict[Point, dict[str, Any]]:
        """What was found at the points that are done, in their order; a run that cannot go on is done as well."""
        found: dict[str, dict[str, Any]] = {}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL)):
            if "result" in trial.user_attrs:
                found[trial.user_attrs["point"]] = trial.user_attrs["result"]
        return {p: found[p.name] for p in self.points if p.name in found}

    def begin(self, point: Point) -> Trial:
        """A trial with the values of a point."""
        values = dict(point.values) | {"seed": point.seed}
        space: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(list(dict.fromkeys(dict(p.values).get(name, p.seed) for p in self.points)))
            for name in values
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.study.enqueue_trial(values, user_attrs={"point": point.name})
            return self.study.ask(space)

    def end(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """What was found there."""
        trial.set_user_attr("result", dict(result))
        if "error" in result:
            self.study.tell(trial, state=TrialState.FAIL)
            return
        loss = result["history"][-1]["held_out"]["loss"]["loss"]
        self.study.tell(trial, loss)

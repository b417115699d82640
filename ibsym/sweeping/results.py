"""What a sweep found, as tables: a row a run, and a row an epoch, each with what is needed to do it again."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ibsym.files import write
from ibsym.runtime import VERSION
from ibsym.sweeping.points import Point
from ibsym.training.failures import need

need("pyarrow", purpose="a sweep", extra="sweep")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

RESULTS, EPOCHS = "results.parquet", "epochs.parquet"


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    found = {f"version of {name}": version(name) for name in ("torch", "numpy", "optuna", "pyarrow")}
    return {
        "version of ibsym": VERSION,
        "version of Python": platform.python_version(),
        **found,
        "machine": platform.platform(),
    }


def numbers(entry: Mapping[str, Any], part: str) -> dict[str, float]:
    """The loss, the terms, the critics' losses and the metrics of a part, by name."""
    found = dict(entry[part]["loss"])
    found |= {f"term {name}": value for name, value in entry[part]["terms"].items()}
    found |= {f"critic {name}": value for name, value in entry[part]["critics"].items()}
    return found | dict(entry[part].get("metrics", {}))


def row(point: Point, result: Mapping[str, Any]) -> dict[str, Any]:
    """A run in one row: what was set, held-out numbers of the last epoch, gaps, or why there are none."""
    found: dict[str, Any] = {**dict(point.values), "seed": point.seed, "error": result.get("error")}
    if "history" not in result:
        return found
    found |= {"epochs": len(result["history"]), "seconds": result["seconds"]} | numbers(result["history"][-1], "held_out")
    for gap in result["gaps"]:
        found |= {f"{gap['quantity']} {key}": gap[key] for key in ("bound", "low", "high", "gap", "by")}
    return found


def table(rows: list[dict[str, Any]], about: Mapping[str, str]) -> bytes:
    """Rows as Parquet; every row has every column, and ``about`` stands in the file's metadata."""
    names = list(dict.fromkeys(name for r in rows for name in r))
    made = pyarrow.table({name: [r.get(name) for r in rows] for name in names})
    made = made.replace_schema_metadata({k.encode(): v.encode() for k, v in about.items()})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(made, buffer)
    return buffer.getvalue()


def save(folder: Path, found: Mapping[Point, Mapping[str, Any]], about: Mapping[str, Any]) -> dict[str, Path]:
    """Both tables."""
    common = {"spec": about["spec"], "data": str(about["data"]), **versions()}
    rows = [row(point, result) | common for point, result in found.items()]
    epochs = [
        dict(point.values) | {"seed": point.seed, "epoch": entry["epoch"]} | numbers(entry, "held_out")
        for point, result in found.items()
        for entry in result.get("history", ())
    ]
    told = {"ibsym sweep": json.dumps(dict(about), default=str), **common}
    write(folder / RESULTS, table(rows, told))
    write(folder / EPOCHS, table(epochs, told))
    return {"results": folder / RESULTS, "epochs": folder / EPOCHS}

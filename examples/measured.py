"""mean +- t s / sqrt(n): what the pages of the examples have in common."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import scipy.stats
import sklearn
import torch

import ibsym
from ibsym.nn import System
from ibsym.training.data import Images

QUICK = bool(os.environ.get("QUICK"))
MNIST = (
    "Data: the 10,000 images of MNIST's test part (Y. LeCun, C. Cortes, C. Burges), "
    "[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)."
)
DIGITS = "Data: scikit-learn's digits, 1797 images of 8 x 8 (E. Alpaydin, C. Kaynak; UCI, CC BY 4.0)."


def output(example: Path) -> Path | None:
    """Where the page goes: ``OUT``, else beside the script; a quick run writes none unasked."""
    out = os.environ.get("OUT")
    return Path(out) if out else (None if QUICK else example.parent)


def credit(data: Images) -> str:
    """Whose images they are; a folder of the user's own is named by its last part."""
    if data.name == "digits":
        return DIGITS
    return MNIST if "mnist" in data.name.lower() else f"Data: {len(data.train) + len(data.held_out)} images of {data.name}."


def machine(seconds: float) -> str:
    """What the numbers were made with."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    versions = f"ibsym {ibsym.__version__}, torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    processors = f"{os.cpu_count()} cores of {model or platform.processor() or 'an unnamed processor'}"
    return (
        f"Machine: {processors}, {platform.system()} {platform.machine()}, one thread; {versions}; {seconds / 60:.1f} minutes."
    )


def _lines(path: str) -> Sequence[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()


def fit(system: System, batch: Callable[[], dict], steps: int, lr: float = 1e-3, last: float = 1.0) -> System:
    """Critics first, then the model, so many times; the model's steps shrink evenly to ``last`` of the first."""
    system.notices = False
    system.prepare(batch())
    optimisers = {player: system.adam(player, lr) for player in system.players}
    for step in range(steps):
        for group in optimisers["model"].param_groups:
            group["lr"] = lr * (1 + (last - 1) * step / steps)
        here = batch()
        for name, loss in system.critic_losses(here).items():
            optimisers[name].zero_grad()
            loss.backward()
            optimisers[name].step()
        optimisers["model"].zero_grad()
        system(here).loss.backward()
        optimisers["model"].step()
    return system


def spread(values: Iterable[float]) -> tuple[float, float]:
    """The mean over seeds, and half of its 95 % interval by Student's t."""
    found = np.asarray(list(values), dtype=float)
    if len(found) < 2:
        return float(found.mean()), float("nan")
    half = scipy.stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return float(found.mean()), float(half)


def told(values: Iterable[float], form: str = ".3f") -> str:
    """A mean with half of its interval."""
    mean, half = spread(values)
    return f"{mean:{form}} ± {half:{form}}" if half == half else f"{mean:{form}}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows as Markdown."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    told = [f"| {' | '.join(row)} |" for row in lines]
    return "\n".join([told[0], "|" + "---|" * len(head), *told[1:]])


def best(found: dict[str, float], *, ties: bool = False) -> list[str]:
    """The names of the largest; ``ties``: and of what a third digit does not tell from it."""
    most = max(found.values())
    return [n for n, v in found.items() if (round(v, 3) == round(most, 3) if ties else v == most)]


class Clock:
    """Seconds of processor time so far, which other work on the machine does not add to, and a line now and then."""

    @property
    def seconds(self) -> float:
        """Of this process."""
        return time.process_time()

    def say(self, line: str) -> None:
        """A line with the time."""
        print(f"{self.seconds:6.0f} s  {line}", flush=True)


def photographs(size: int, step: int) -> np.ndarray:
    """Patches in [0, 1] of scikit-learn's two photographs, grey."""
    from sklearn.datasets import load_sample_images

    found = []
    for picture in load_sample_images().images:
        grey = picture.astype(float) @ (0.299, 0.587, 0.114) / 255
        height, width = grey.shape
        for top in range(0, height - size + 1, step):
            found += [grey[top : top + size, left : left + size] for left in range(0, width - size + 1, step)]
    return np.stack(found)

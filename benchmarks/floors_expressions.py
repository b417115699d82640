"""What a hand-written loss costs that is as exact as the expression: the floor of an expression's ratio, for every system above the goal.

    python benchmarks/floors_expressions.py [--size 32x784] [--only NAME ...] [--seconds 0.5] [--all]

Beside the loss by hand: `loss.expression`; and the loss by hand with each place mended, in the shortest way known, that is wrong at an edge
which the expression has right. All are functions of tensors. The errors are of the gradients in single precision at that edge, against the
expression's in double precision, relative to the largest; "nan" where there is no number. Without ``--all``, only systems above the goal.
"""

from __future__ import annotations

import argparse
import importlib
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
import torch.nn.functional as F
from torch import Tensor

from ibsym.runtime.functions import _log_normal_cell

expression = importlib.import_module("expression")  # which sets the allocator, and asks for no compiled code
losses, ROOT = expression.losses, expression.ROOT
Axes, GOAL = expression.Axes, expression.GOAL


def entropic(log_share: Tensor) -> Tensor:
    """p log p, 0 where p is 0."""
    return log_share.exp() * F.threshold(log_share, -math.inf, 0.0)


def expected(share: Tensor, values: Tensor) -> Tensor:
    """p t, 0 where p is 0."""
    return share * torch.where(share > 0, values, 0)


def weighted(weight: Tensor, values: Tensor) -> Tensor:
    """w t with its slope in w, 0 where w is 0 and t infinite."""
    return weight * torch.where((weight.detach() != 0) | (values.detach().abs() < math.inf), values, 0)


def bits(share: Tensor, logits: Tensor) -> Tensor:
    """p log s(a) + (1 - p) log s(-a), a bit that is certain left out."""
    return expected(share, F.logsigmoid(logits)) + expected(1 - share, F.logsigmoid(-logits))


HELPERS = {"entropic": entropic, "expected": expected, "weighted": weighted, "bits": bits, "cell": _log_normal_cell}
PRIOR, READ = 'inputs["p(z)", "logits", "q"].log_softmax(-1)', 'inputs["r(a|s,t)", "logits", "w"].log_softmax(-1)'
BITS = (("(value * logits - F.softplus(logits)).sum(-1)", "bits(value, logits).sum(-1)"),)
CLUSTERS = "kl_normals(mean, logvar, centre, width)"
MENDED: dict[str, tuple[tuple[str, str], ...]] = {
    "empowerment": (
        ("policy.exp() * policy", "entropic(policy)"),
        (f'inputs["a", "sample", "w"] * {READ}', f'weighted(inputs["a", "sample", "w"], {READ})'),
    ),
    "dib": ((f"share * {PRIOR}", f"expected(share, {PRIOR})"),),
    "vade": (
        ("clusters.exp() * (clusters - prior)", "expected(clusters.exp(), clusters - prior)"),
        (f"clusters.exp().T * {CLUSTERS}", f"expected(clusters.exp().T, {CLUSTERS})"),
    ),
    "gm-vae": (
        ("(parts + math.log(parts.shape[-1])) * parts.exp()", "entropic(parts) + math.log(parts.shape[-1]) * parts.exp()"),
        ("parts.exp().transpose(-1, -2) * prior", "expected(parts.exp().transpose(-1, -2), prior)"),
    ),
    "blind-code": BITS,
    "generative-compression": BITS,
    "hyperprior-compression": (
        ("(value - mean).abs()", "value - mean"),
        ("near, far = torch.special.log_ndtr((0.5 - distance) / scale), torch.special.log_ndtr((-0.5 - distance) / scale)", ""),
        ("(near + torch.log1p(-(far - near).exp())).sum(-1)", "cell(distance / scale, 0.5 / scale).sum(-1)"),
    ),
}
"""Places in the hand-written losses that are wrong at an edge, and what is right there, in the shortest way known."""

NORMALS = (
    (
        "quadratic = (logvar.exp() + (mean - mean_r) ** 2) / logvar_r.exp()",
        "quadratic = torch.expm1(logvar - logvar_r) + ((mean - mean_r) * torch.exp(-0.5 * logvar_r)) ** 2",
    ),
    ("(quadratic - 1 + logvar_r - logvar)", "(quadratic + logvar_r - logvar)"),
    ("(logvar.exp() + mean**2 - 1 - logvar)", "(torch.expm1(logvar) + mean**2 - logvar)"),
    ("(value - mean) ** 2 / logvar.exp()", "((value - mean) * torch.exp(-0.5 * logvar)) ** 2"),
)
"""The same of normals, in whichever reference has it: the value of e^l - 1 has no digits near 0, and e^l none far out."""

MASKED = -math.inf
EDGES: dict[str, dict[str, float]] = {
    "empowerment": {"w_a_logits": MASKED, "a": 0.0, "r_a_logits": MASKED},
    "dib": {"q_z_logits": MASKED, "p_z_logits": MASKED},
    "vade": {"q_c_logits": MASKED, "p_c_logits": MASKED},
    "gm-vae": {"y_logits": MASKED},
    "blind-code": {"q_z_logits": MASKED, "p_z_logits": MASKED},
    "generative-compression": {"q_z_logits": MASKED, "p_z_logits": MASKED},
    "hyperprior-compression": {"y_logvar": -13.0},
    "s-vae": {"z_concentration": 600.0},
}
"""Where the loss by hand is wrong: what the first entry of each row of these inputs is there."""


def mended(name: str, by_hand: ModuleType) -> ModuleType:
    """The hand-written loss with its places mended."""
    text = Path(str(by_hand.__file__)).read_text(encoding="utf-8")
    for old, new in MENDED.get(name, ()):
        assert old in text, f"{name}: no {old} in the reference"
        text = text.replace(old, new)
    for old, new in NORMALS:
        text = text.replace(old, new)
    found = ModuleType(name)
    vars(found).update(HELPERS, torch=torch, mended=text != Path(str(by_hand.__file__)).read_text(encoding="utf-8"))
    exec(compile(text, str(by_hand.__file__), "exec"), vars(found))  # noqa: S102  our own text
    return found


class System:
    """A system's losses at one size, edges put in or not."""

    def __init__(self, name: str, sizes: dict[str, int], precision: torch.dtype, edge: bool = False):
        spec, stem = expression.ibsym.load(name), name.replace("-", "_")
        self.loss = losses.of_file(ROOT / f"generated/{stem}.py").Loss()
        torch.manual_seed(0)
        given = {i.name: expression.sample(spec, i, sizes, drawn=False) for i in self.loss.INPUTS}
        for n, value in EDGES[name].items() if edge else ():
            given[n].view(-1, given[n].shape[-1])[:, 0] = value
        self.given = {n: t.to(precision) if t.is_floating_point() else t for n, t in given.items()}
        self.leaves = [self.given[i.name].requires_grad_() for i in self.loss.INPUTS if i.role != "value"]
        self.parameters = {n: float(p.default) for n, p in spec.parameters.items()}
        self.by_hand = expression.reference(stem)
        self.mended = mended(name, self.by_hand)

    def gradients(self, value: Tensor) -> list:
        """The value and its gradients."""
        return [value.detach(), *torch.autograd.grad(value, self.leaves, allow_unused=True)]

    def competitors(self) -> list[Callable[[], list]]:
        """By hand, the expression, by hand and mended."""
        keyed = {(i.of, i.role, i.joint): self.given[i.name] for i in self.loss.INPUTS}
        return [
            lambda: self.gradients(self.by_hand.loss(keyed, **self.parameters)[0]),
            lambda: self.gradients(self.loss.expression(*self.given.values()).loss),
            lambda: self.gradients(self.mended.loss(keyed, **self.parameters)[0]),
        ]


def ratios(runs: list[Callable[[], list]], seconds: float) -> list[float]:
    """Of each to the first, in turns: medians of paired ratios, of this thread's own time."""
    times: list[list[float]] = []
    for run in runs * 3:
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 21:
        took = [0.0] * len(runs)
        for k in random.sample(range(len(runs)), len(runs)):
            start = time.thread_time()
            runs[k]()
            took[k] = time.thread_time() - start
        times.append(took)
    return [statistics.median(t[k] / t[0] for t in times) for k in range(len(runs))]


def errors(name: str, sizes: dict[str, int]) -> tuple[str, str]:
    """Of the loss by hand and of the expression at the edge, in single precision: the worst gradient, relative to its largest entry."""
    exact = System(name, sizes, torch.float64, edge=True)
    truth = exact.competitors()[1]()
    single = System(name, sizes, torch.float32, edge=True).competitors()
    found = []
    for run in single[:2]:
        worst = 0.0
        for a, b in zip(run(), truth, strict=True):
            if a is not None and b is not None:
                error = float((a.double() - b).abs().max() / b.abs().max().clamp(min=1e-30))
                worst = error if math.isnan(error) else worst if math.isnan(worst) else max(error, worst)
        found.append(f"{worst:.0e}")
    return found[0], found[1]


def rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """A line of the table for each system above the goal."""
    batch, width = map(int, options.size.split("x"))
    sizes = Axes(B=batch, D=width, L=32, K=10)
    for path in sorted(ROOT.glob("ibsym/zoo/*.toml")):
        if options.only and path.stem not in options.only:
            continue
        system = System(path.stem, sizes, torch.float32)
        _, ours, floor = ratios(system.competitors(), options.seconds)
        if round(ours, 2) > GOAL or options.all:
            off = errors(path.stem, sizes) if path.stem in EDGES else ("", "")
            yield [path.stem, f"{ours:.2f}", f"{floor:.2f}" if system.mended.mended else "", f"{ours / floor:.2f}", *off]


def main() -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="32x784")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--all", action="store_true", help="systems that meet the goal, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for line in losses.machine():
        print(line)
    head = ["of the loss by hand", "expression", "by hand, mended", "expression, of that", "error by hand", "of the expression"]
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows(options):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()

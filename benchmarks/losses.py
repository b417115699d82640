"""Time of emitted losses, forward and backward, against hand-written ones, torch.compile, and the memory that must move.

    python benchmarks/losses.py [--compile] [--large] [--threads 1 2] [--only NAME ...] [--markdown FILE]

Everything is compared by value first. Competitors take turns within one process; a ratio is the median of the paired
ratios of many rounds. The allocator keeps its pages, for every competitor alike (it sets that and starts itself again).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

NEUTRAL = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184"}
ROOT = Path(__file__).resolve().parents[1]
if any(os.environ.get(k) != v for k, v in NEUTRAL.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **NEUTRAL})
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import ibsym  # noqa: E402
from ibsym.codegen import emit  # noqa: E402
from ibsym.conformance import constraint_of, in_domain, on_space, space_of  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from ibsym.sources import load_module  # noqa: E402

BOUND = {
    "objective": "minimize I_q(X;Z) - I_q(Z;X)",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}
AGGREGATED = "KL(q(z)||p(z))"
DISCREPANCY = {
    **BOUND,
    "name": "discrepancy",
    "objective": f"minimize {AGGREGATED} - I_q(Z;X)",
    "estimators": {AGGREGATED: {"estimator": "mmd", "kernel": "inverse-multiquadratic"}},
}


@dataclass(frozen=True)
class Case:
    """A loss at a size; ``eager`` is what one would write by hand, or the hand-written reference of that name."""

    title: str
    spec: object
    sizes: dict[str, int]
    eager: Callable[..., torch.Tensor] | str
    goals: tuple[float | None, float | None] = (None, None)
    large: bool = False
    parameters: dict[str, float] = field(default_factory=dict)


def bernoulli(z_mean, z_logvar, x, x_logits):
    """KL(N(m, e^l)||N(0, 1)) - log Bernoulli(x), as one writes it."""
    fit = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(1)
    return (fit - 0.5 * (1 + z_logvar - z_mean**2 - z_logvar.exp()).sum(1)).mean()


def gaussian(z_mean, z_logvar, x, x_mean):
    """KL(N(m, e^l)||N(0, 1)) - log N(x; mean, 1), as one writes it."""
    fit = 0.5 * ((x - x_mean) ** 2 + 1.8378770664093453).sum(1)
    return (fit - 0.5 * (1 + z_logvar - z_mean**2 - z_logvar.exp()).sum(1)).mean()


def matmul_discrepancy(z, z_reference, x, x_mean):
    """Squared distances by centred matrix products."""
    centre = z.mean(0)
    a, b = z - centre, z_reference - centre
    squares_a, squares_b = (a * a).sum(1), (b * b).sum(1)

    def kernels(s, t, u, v):
        d = (s[:, None] + t[None] - 2 * u @ v.T).clamp_min(0)
        return sum(2 * c * z.shape[1] / (2 * c * z.shape[1] + d) for c in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))

    n, m = len(a), len(b)
    aa, bb, ab = kernels(squares_a, squares_a, a, a), kernels(squares_b, squares_b, b, b), kernels(squares_a, squares_b, a, b)
    off = (aa.sum() - aa.diagonal().sum()) / (n * (n - 1)) + (bb.sum() - bb.diagonal().sum()) / (m * (m - 1))
    return off - 2 * ab.mean() + (0.5 * ((x - x_mean) ** 2 + 1.8378770664093453).sum(1)).mean()


def cases() -> list[Case]:
    """Losses with a goal, and the zoo."""
    bound = {"L": 32}
    correlation = [
        Case(
            f"total correlation {b} rows, {n}",
            "beta-tcvae",
            {"B": b, "L": n, "D": 64},
            "beta_tcvae",
            (0.11, 0.20),
        )
        for b in (256, 1024)
        for n in (10, 64)
    ]
    return [
        Case("evidence bound 32 x 784", "vae", {**bound, "B": 32, "D": 784}, bernoulli, (0.45, 0.45)),
        Case("evidence bound 128 x 784", "vae", {**bound, "B": 128, "D": 784}, bernoulli),
        Case("evidence bound 256 x 3072", "vae", {**bound, "B": 256, "D": 3072}, bernoulli, (0.22, 0.30)),
        Case("evidence bound 1024 x 12288", "vae", {**bound, "B": 1024, "D": 12288}, bernoulli, (0.22, 0.30)),
        Case("evidence bound 4096 x 12288", "vae", {**bound, "B": 4096, "D": 12288}, bernoulli, (0.22, 0.30), large=True),
        Case(
            "Gaussian decoder 256 x 3072", {**BOUND, "name": "gaussian"}, {**bound, "B": 256, "D": 3072}, gaussian, (0.15, 0.40)
        ),
        Case("cross-entropy, 1000 classes, 512 rows", "vib", {"B": 512, "L": 32, "K": 1000}, "vib", (0.30, 0.25)),
        *correlation,
        Case(
            "discrepancy, 7 scales, 256 rows, 16", DISCREPANCY, {"B": 256, "L": 16, "D": 16}, matmul_discrepancy, (0.25, None)
        ),
        Case(
            "discrepancy, 7 scales, 1024 rows, 16", DISCREPANCY, {"B": 1024, "L": 16, "D": 16}, matmul_discrepancy, (0.25, None)
        ),
        *(
            Case(
                f"zoo: {path.stem}", path.stem, {"B": 128, "D": 784, "L": 32, "K": 10}, path.stem.replace("-", "_"), (None, 1.0)
            )
            for path in sorted(ROOT.glob("ibsym/zoo/*.toml"))
        ),
    ]


def module_of(spec: object) -> tuple[ibsym.Spec, ModuleType]:
    """A spec and its emitted module."""
    found = ibsym.Spec(**spec) if isinstance(spec, dict) else ibsym.load(spec)
    return found, load_module(emit(lower(ibsym.audit(ibsym.derive(found), worlds=1)), "bundle"), found.module_name)


def of_file(path: Path) -> ModuleType:
    """A module by its file."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(name: str) -> ModuleType:
    """The hand-written module of a name."""
    return of_file(ROOT / f"tests/references/{name}.py")


def arguments(spec: ibsym.Spec, loss: torch.nn.Module, sizes: dict[str, int]) -> dict[str, torch.Tensor]:
    """Random arguments in their domains, without a Monte-Carlo axis; everything but values learns."""
    torch.manual_seed(0)
    result = {}
    for entry in loss.INPUTS:
        length = lambda a: int(a) if a.isdigit() else sizes.get(a, sizes["B"])  # noqa: E731
        raw = torch.randn([length(a) for a in entry.shape if a != "S"])
        kind, dims = space_of(spec, entry)
        if entry.role == "value" and kind == "categorical":
            value = torch.randint(0, length(dims[-1]), raw.shape)  # any class, as far apart in memory as in use
        elif entry.of in spec.variables:
            value = on_space(raw, kind, entry.role == "value", [length(d) for d in dims])
        else:
            value = in_domain(constraint_of(spec, entry), raw) * (3 if entry.role == "logits" else 1)
        learns = value.is_floating_point() and entry.role not in ("value", "sample_reference")
        result[entry.name] = value.requires_grad_() if learns else value
    return result


def peers(case: Case, given: dict[str, torch.Tensor]) -> dict[str, Callable[[], torch.Tensor]]:
    """The same evidence bound by other packages' own code, where they are installed (pip install --no-deps pythae pixyz)."""
    found: dict[str, Callable[[], torch.Tensor]] = {}
    if case.eager is not bernoulli:
        return found
    mean, logvar, x, logits = (given[n] for n in ("z_mean", "z_logvar", "x", "x_logits"))
    if importlib.util.find_spec("pythae"):
        from pythae.models.vae.vae_model import VAE

        model = SimpleNamespace(model_config=SimpleNamespace(reconstruction_loss="bce"))
        found["pythae"] = lambda: VAE.loss_function(model, torch.sigmoid(logits), x, mean, logvar, None)[0]
    if importlib.util.find_spec("pixyz"):
        from pixyz.distributions import Bernoulli, Normal
        from pixyz.losses import KullbackLeibler

        class Encoder(Normal):
            def forward(self, x):
                return {"loc": mean, "scale": (0.5 * logvar).exp()}

        class Decoder(Bernoulli):
            def forward(self, z):
                return {"probs": torch.sigmoid(logits)}

        q, p = Encoder(var=["z"], cond_var=["x"], name="q"), Decoder(var=["x"], cond_var=["z"], name="p")
        prior = Normal(
            loc=torch.zeros(mean.shape[1]), scale=torch.ones(mean.shape[1]), var=["z"], features_shape=mean.shape[1:]
        )
        bound = (KullbackLeibler(q, prior) - p.log_prob().expectation(q)).mean()
        found["pixyz"] = lambda: bound.eval({"x": x.clone()})  # what it knows of a tensor it keeps, graph and all
    return found


def competitors(case: Case, compiled: bool) -> tuple[dict[str, Callable[[], list[torch.Tensor]]], dict[str, torch.Tensor]]:
    """Each gives the loss and the gradients of all that learns."""
    spec, module = module_of(case.spec)
    loss = module.Loss()
    given = arguments(spec, loss, case.sizes)
    leaves = [t for t in given.values() if t.requires_grad]
    parameters = {name: float(p.default) for name, p in spec.parameters.items()}

    def gradients(call: Callable[[], torch.Tensor]) -> Callable[[], list[torch.Tensor]]:
        def run() -> list[torch.Tensor]:
            value = call()
            return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True)]

        return run

    if isinstance(case.eager, str):
        by_hand, keys = reference(case.eager), {(i.of, i.role, i.joint): given[i.name] for i in loss.INPUTS}
        eager = lambda: by_hand.loss(keys, **parameters)[0]  # noqa: E731
    else:
        names = case.eager.__code__.co_varnames[: case.eager.__code__.co_argcount]
        eager = lambda: case.eager(*(given[n] for n in names))  # noqa: E731
    found = {"emitted": gradients(lambda: loss(**given).loss), "eager": gradients(eager)}
    found |= {name: gradients(call) for name, call in peers(case, given).items()}
    if compiled:
        torch._dynamo.reset()
        readable = torch.compile(lambda: loss(**given).loss, dynamic=False)
        found["compile"] = gradients(readable)
    return found, given


PEERS = ("pythae", "pixyz")


def check(case: Case, found: dict[str, Callable[[], list[torch.Tensor]]]) -> None:
    """The same values, before anything is timed. A peer whose values are others (probabilities instead of logits) is not timed."""
    results = {name: run() for name, run in found.items()}
    for name, result in results.items():
        try:
            for a, b in zip(result, results["eager"], strict=True):
                if a is not None and b is not None:
                    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))
        except AssertionError as error:
            if name not in PEERS:
                raise AssertionError(f"{case.title}: {name} differs: {error}") from None
            print(f"{case.title}: {name} has other values: not timed", file=sys.stderr)
            del found[name]


def timed(found: dict[str, Callable[[], list[torch.Tensor]]], seconds: float, repeat: int = 1) -> dict[str, list[float]]:
    """Seconds of each, in turns: cold, one call a turn; or hot, several. One thread's are its own time alone, whoever else is at work."""
    times: dict[str, list[float]] = {name: [] for name in found}
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    for run in found.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["emitted"]) < 5:
        for name, run in random.sample(
            list(found.items()), len(found)
        ):  # what the one before left in the caches is no one's alone
            start = clock()
            for _ in range(repeat):
                run()
            times[name].append((clock() - start) / repeat)
    return times


def floor(given: dict[str, torch.Tensor]) -> float:
    """Seconds to read every argument and to write every gradient once: a copy of as many bytes, timed."""
    count = sum(t.numel() * t.element_size() * (2 if t.requires_grad else 1) for t in given.values()) // 8
    source, target = torch.zeros(count), torch.empty(count)
    best = []
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        best.append(time.perf_counter() - start)
    return min(best)


def met(ratio: str, goal: float | None) -> str:
    """Whether a ratio is at most its goal, where there are both."""
    return "" if goal is None or not ratio else "yes" if float(ratio) <= goal else "no"


def row(case: Case, threads: int, options: argparse.Namespace, repeat: int = 1) -> list[str]:
    """A line of the table."""
    torch.set_num_threads(threads)
    found, given = competitors(case, options.compile)
    check(case, found)
    times = timed(found, options.seconds, repeat)
    mine = statistics.median(times["emitted"])

    def ratio(other: str) -> str:
        return (
            f"{statistics.median(a / b for a, b in zip(times['emitted'], times[other], strict=True)):.2f}"
            if other in times
            else ""
        )

    goals = ["" if g is None else f"{g:.2f}" for g in case.goals]
    return [
        case.title + (", hot" if repeat > 1 else ""),
        str(threads),
        f"{mine * 1e6:.0f}",
        ratio("eager"),
        goals[0],
        met(ratio("eager"), case.goals[0]),
        ratio("compile"),
        goals[1],
        met(ratio("compile"), case.goals[1]),
        f"{mine / floor(given):.1f}",
        ratio("pythae"),
        ratio("pixyz"),
    ]


HEAD = [
    "loss",
    "threads",
    "microseconds",
    "of eager",
    "goal",
    "met",
    "of compile",
    "goal",
    "met",
    "x floor",
    "of pythae",
    "of pixyz",
]


def machine() -> list[str]:
    """What it was measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    compiler = subprocess.run(
        [os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True, check=False
    ).stdout.split("\n")[0]
    vector = torch.backends.cpu.get_cpu_capability()
    return [
        f"{model}, {os.cpu_count()} cores, {vector}; {platform.system()} {platform.release()}",
        f"torch {torch.__version__}, {compiler}, Python {platform.python_version()}",
    ]


def peak(spec: object, sizes: dict[str, int], which: str) -> float:
    """MB that one forward and backward adds to the peak of a process."""
    code = (
        "import sys; sys.argv = ['losses.py']\n"
        f"import importlib.util as u; s = u.spec_from_file_location('losses', {str(Path(__file__))!r}); m = u.module_from_spec(s)\n"
        "sys.modules['losses'] = m; s.loader.exec_module(m)\n"
        f"c = next(c for c in m.cases() if c.title == {spec!r}); f, g = m.competitors(c, False)\n"
        "m.torch.set_num_threads(1)\n"
        "high = lambda: next(int(x.split()[1]) for x in open('/proc/self/status') if x.startswith('VmHWM')) / 1024\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        f"before = high(); f[{which!r}](); print(high() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **NEUTRAL}
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    """The tables, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--compile", action="store_true", help="against torch.compile of the readable form as well (10 s a loss)"
    )
    parser.add_argument("--large", action="store_true", help="with the largest sizes")
    parser.add_argument("--memory", action="store_true", help="peak memory of the total correlations")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each loss")
    parser.add_argument("--only", nargs="+", default=[], help="parts of titles")
    options = parser.parse_args()
    for line in machine():
        print(line)
    print(f"\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for threads in options.threads:
        for case in cases():
            if (not case.large or options.large) and (not options.only or any(o in case.title for o in options.only)):
                for repeat in (1, 50) if case.sizes["B"] <= 32 else (1,):
                    print(f"| {' | '.join(row(case, threads, options, repeat))} |", flush=True)
    if options.memory:
        print("\n| loss | MB, emitted | MB, eager |\n|---|---|---|")
        for case in cases():
            if "total correlation" in case.title:
                print(
                    f"| {case.title} | {peak(case.title, case.sizes, 'emitted'):.1f} | {peak(case.title, case.sizes, 'eager'):.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

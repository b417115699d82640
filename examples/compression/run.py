"""PSNR at -log2 p(code) bits, as files: learned codes, principal components through the same coder, JPEG and WebP."""

import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import models
import numpy as np
import torch
from PIL import Image
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

import ibsym
from examples.measured import QUICK, Clock, best, credit, fit, machine, output, spread, table, told
from ibsym.coding.codec import Codec
from ibsym.nn import System
from ibsym.training.data import load

BATCH, RATE = 64, 1e-3
STRIP = 192  # columns of each photograph that are held out
LINEAR, HYPER, GENERATIVE = "PCA + scalar quantisation", "hyperprior-compression", "generative-compression"
PERCEPTION = "rate-distortion-perception"
PHOTOGRAPHS = "Photographs: scikit-learn's `load_sample_images` (CC BY). "
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of MS-SSIM (Wang et al. 2003), the finest scale first


@dataclass(frozen=True)
class Set:
    """Square images to train on; held-out ones, and how they lie beside each other in pictures."""

    name: str
    about: str
    train: np.ndarray
    test: np.ndarray
    pictures: Callable[[np.ndarray], list[np.ndarray]]
    widths: tuple[float, ...]
    lams: tuple[float, ...]
    bits: tuple[int, ...]
    at: tuple[float, ...]
    steps: int
    seeds: tuple[int, ...]
    whole: bool  # whether likeness is that of the pictures, and not of each image
    scales: int  # as many as fit

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return int(self.train.shape[1])

    @property
    def likeness(self) -> str:
        """What likeness is measured by."""
        return "MS-SSIM" if self.scales > 1 else "SSIM"


@dataclass(frozen=True)
class Point:
    """A file: its size, the model's rate, and what is read back from it."""

    bytes: int
    rate: float
    psnr: float
    likeness: float
    frechet: float


def montage(rows: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """All images in so many rows of one picture."""

    def laid(images: np.ndarray) -> list[np.ndarray]:
        n, h, w = images.shape
        return [images.reshape(rows, n // rows, h, w).transpose(0, 2, 1, 3).reshape(rows * h, -1)]

    return laid


def digits() -> tuple[Set, str]:
    """scikit-learn's digits, or a folder of IDX files; so many held-out ones that they fill a rectangle."""
    data = load(os.environ.get("DATA", "digits"))
    train, test = (np.rint(255 * part.images).astype(np.uint8) for part in (data.train, data.held_out))
    rows, side = 4 if QUICK else 16, data.height
    small = (
        side <= 8
    )  # a larger set has more held-out images, smaller shares of its pixels are told, and its networks train longer
    test = test[: 16 if QUICK else 352 if small else rows * min(63, len(test) // rows)]
    about = f"{len(train)} images of {side} x {side} to train on, {len(test)} held out"
    about += f"; for JPEG and WebP they are one picture of {rows} rows"
    bits = (8,) if QUICK else (16, 32, 64) if small else (32, 64, 128)
    lams, widths = ((3.0, 10.0, 30.0), (0.5, 0.8, 1.2, 2.0)) if small else ((1.0, 3.0, 10.0), (1.0, 1.6, 2.5, 4.0))
    at = (0.45, 0.6, 0.8, 1.0) if small else (0.1, 0.15, 0.2, 0.3)
    steps, seeds = (250, (0,)) if small else (300, (0,))
    if QUICK:
        lams, widths, steps, seeds = (10.0,), (0.6,), 20, (0,)
    scales = 1 if small else 3
    return Set(
        data.name, about, train, test, montage(rows), widths, lams, bits, at, steps, seeds, whole=False, scales=scales
    ), credit(data)


def photographs() -> Set:
    """16 x 16 patches of scikit-learn's two photographs, grey; the last columns of each are held out."""
    from sklearn.datasets import load_sample_images

    side, train, test = 16, [], []
    for picture in load_sample_images().images:
        grey = np.rint(picture.astype(float) @ (0.299, 0.587, 0.114)).astype(np.uint8)[:416]
        seen, strip = grey[:, :-STRIP], grey[:, -STRIP:]
        for top in range(0, 416 - side + 1, side // 2):
            train += [seen[top : top + side, left : left + side] for left in range(0, seen.shape[1] - side + 1, side // 2)]
        test.append(strip.reshape(416 // side, side, STRIP // side, side).transpose(0, 2, 1, 3).reshape(-1, side, side))

    def laid(images: np.ndarray) -> list[np.ndarray]:
        halves = np.split(images, 2)
        return [montage(416 // side)(half)[0] for half in halves]

    about = f"{len(train)} patches of 16 x 16 to train on, from all but the last {STRIP} columns"
    about += f"; those are held out, as two pictures of 416 x {STRIP}"
    lams, widths = (15.0, 50.0, 150.0), (0.3, 0.5, 0.9, 1.5)
    return Set(
        "photographs",
        about,
        np.stack(train),
        np.concatenate(test),
        laid,
        widths,
        lams,
        (),
        (0.2, 0.3, 0.4, 0.5),
        250,
        (0,),
        whole=True,
        scales=5,
    )


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^1/2) of the pixels, in [0, 1]: how far the law of the one is from that of the other."""
    a, b = (x.reshape(len(x), -1) / 255 for x in (first, second))
    c, d = (np.cov(x.T) + 1e-6 * np.eye(x.shape[1]) for x in (a, b))
    values, vectors = np.linalg.eigh(c)
    half = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    root = np.sqrt(
        np.maximum(np.linalg.eigvalsh(half @ d @ half), 0)
    ).sum()  # of C^1/2 C' C^1/2, whose eigenvalues are those of C C'
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c + d) - 2 * root)


def judged(data: Set, size: int, rate: float, back: np.ndarray) -> Point:
    """A file's numbers."""

    def tensor(images: Iterable[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(list(images)).astype(np.float32) / 255)[:, None]

    psnr = peak_signal_noise_ratio(tensor(back), tensor(data.test), data_range=1.0)
    if data.whole:
        pair = tensor(data.pictures(back)), tensor(data.pictures(data.test))
        likeness = multiscale_structural_similarity_index_measure(*pair, data_range=1.0)
    else:
        pair, window = (tensor(back), tensor(data.test)), {"gaussian_kernel": False, "kernel_size": 7, "data_range": 1.0}
        if data.scales > 1:
            window |= {"betas": tuple(np.asarray(SCALES[: data.scales]) / sum(SCALES[: data.scales])), "normalize": "relu"}
            likeness = multiscale_structural_similarity_index_measure(*pair, **window)
        else:
            likeness = structural_similarity_index_measure(*pair, **window)
    return Point(size, rate, float(psnr), float(likeness), frechet(back, data.test))


def through(data: Set, system: System) -> Point:
    """What ``ibsym compress`` writes, and what ``ibsym decompress`` reads out of it."""
    codec = Codec.of(system, data.size, data.size)
    written = codec.encode(data.test)
    return judged(data, len(written.data), written.rate, np.concatenate(list(codec.decode(written.data))))


def elsewhere(data: Set, kind: str, quality: int) -> Point:
    """The pictures as files of another kind, headers and all."""
    size, back = 0, []
    for picture in data.pictures(data.test):
        stream = io.BytesIO()
        options = {"optimize": True} if kind == "JPEG" else {"method": 6}
        Image.fromarray(picture).save(stream, kind, quality=quality, **options)
        size += len(stream.getvalue())
        back.append(np.asarray(Image.open(stream).convert("L")))
    h, s = back[0].shape[0] // data.size, data.size
    images = [b.reshape(h, s, -1, s).transpose(0, 2, 1, 3).reshape(-1, s, s) for b in back]
    return judged(data, size, 0.0, np.concatenate(images))


Curves = dict[str, dict[str, list[Point]]]


def curves(data: Set, clock: Clock) -> Curves:
    """Method -> setting -> a point a seed."""
    found: Curves = defaultdict(lambda: defaultdict(list))
    rows = torch.from_numpy(data.train.reshape(len(data.train), -1) / 127.5 - 1).float()

    def batch() -> dict[str, torch.Tensor]:
        return {"x": rows[torch.randint(len(rows), (BATCH,))]}

    def trained(method: str, setting: str, make: Callable[[], System], seed: int) -> None:
        torch.manual_seed(seed)
        system = fit(make(), batch, data.steps, RATE, last=0.05)
        point = through(data, system)
        found[method][setting].append(point)
        clock.say(
            f"{data.name}, {method}, {setting}, seed {seed}: {8 * point.bytes / data.test.size:.3f} bits, {point.psnr:.2f} dB"
        )

    for width in data.widths:
        found[LINEAR][f"width {width:g}"].append(through(data, models.linear(rows, data.size, width)))
    for kind in ("JPEG", "WebP"):
        for quality in (30,) if QUICK else (2, 10, 20, 40, 60, 75, 85, 92):
            found[kind][f"quality {quality}"].append(elsewhere(data, kind, quality))
    for seed in data.seeds:
        for lam in data.lams:
            trained(HYPER, f"lam {lam:g}", lambda lam=lam: models.hyperprior(rows, data.size, lam), seed)
        for bits in data.bits:
            trained(GENERATIVE, f"L {bits}", lambda bits=bits: models.generative(rows, data.size, bits), seed)
        for mu in ((1.0,) if QUICK else (0.0, 30.0)) if data.bits else ():
            lam = sorted(data.lams)[len(data.lams) // 2]
            trained(
                PERCEPTION, f"lam {lam:g}, mu {mu:g}", lambda mu=mu, lam=lam: models.perception(rows, data.size, lam, mu), seed
            )
    return found


def mean(points: list[Point], field: str) -> float:
    """Over seeds."""
    return spread(getattr(p, field) for p in points)[0]


def at(data: Set, settings: dict[str, list[Point]], rate: float, field: str) -> float | None:
    """A curve at a rate, on straight lines between its points; nothing outside of them."""
    points = sorted((8 * mean(p, "bytes") / data.test.size, mean(p, field)) for p in settings.values())
    across, up = zip(*points, strict=True)
    return float(np.interp(rate, across, up)) if across[0] <= rate <= across[-1] else None


def plotted(axes, data: Set, found: Curves, field: str) -> None:
    """A line a method."""
    for method, settings in found.items():
        points = sorted((8 * mean(p, "bytes") / data.test.size, mean(p, field)) for p in settings.values())
        axes.plot(*zip(*points, strict=True), "." if method == PERCEPTION else ".-", label=method, linewidth=0.9)
    axes.set_xlabel("bits a pixel, of the whole file", fontsize=8)
    axes.set_xlim(0, 2.5)
    axes.tick_params(labelsize=7)


def drawn(path: Path, sets: list[tuple[Set, Curves]]) -> None:
    """Rate against distortion, for every set and measure; rate-distortion-perception where it was trained."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6 * len(sets)), layout="constrained")
    for row, (data, found) in enumerate(sets):
        for column, (field, label) in enumerate((("psnr", "PSNR, dB"), ("likeness", data.likeness))):
            axes = figure.add_subplot(len(sets), 2, 2 * row + column + 1)
            plotted(axes, data, found, field)
            axes.set_ylabel(label, fontsize=8)
            axes.set_title(data.name, fontsize=9)
            axes.legend(fontsize=6)
    figure.savefig(path, metadata={"Software": None}, dpi=110)


ROLES = (("E_q[log p(x|", "distortion"), ("JS(", "perception"))


def derived() -> str:
    """Term by term, what the curves trade off, from the derivations themselves."""
    rows = []
    for source in ("hyperprior-compression", "generative-compression", models.HERE / "perception.toml"):
        found = ibsym.derive(source)
        for part, items in (("", found.bound), ("gap", found.gap), ("constant", found.constants)):
            for item in items:
                role = part or next((role for begin, role in ROLES if item.text.startswith(begin)), "rate")
                rows.append((found.spec.name, role, f"`{item.coefficient}`", f"`{item.text}`"))
    return table(("system", "what it is", "coefficient", "term"), rows)


def section(data: Set, found: Curves) -> str:
    """A set's tables."""
    pixels = data.test.size
    each = table(
        ("method", "setting", "bytes", "bits a pixel", "file over rate", "PSNR, dB", data.likeness, "Fréchet"),
        (
            (
                method,
                setting,
                f"{mean(points, 'bytes'):.0f}",
                f"{8 * mean(points, 'bytes') / pixels:.3f}",
                f"{100 * (8 * mean(points, 'bytes') / mean(points, 'rate') - 1):+.1f} %" if points[0].rate else "-",
                told([p.psnr for p in points], ".2f"),
                told([p.likeness for p in points], ".4f"),
                f"{mean(points, 'frechet'):.3f}",
            )
            for method, settings in found.items()
            for setting, points in settings.items()
        ),
    )
    parts = [
        f"## {data.name}",
        f"{data.about}. Trained for {data.steps} steps with seed{'s' * (len(data.seeds) > 1)} {', '.join(map(str, data.seeds))}.",
        each,
    ]
    for field, label, form in (("psnr", "PSNR, dB", ".2f"), ("likeness", data.likeness, ".4f")):
        values = {m: [at(data, s, r, field) for r in data.at] for m, s in found.items() if m != PERCEPTION}
        rows = [(m, *(f"{v:{form}}" if v is not None else "-" for v in vs)) for m, vs in values.items()]
        wins = []
        for k in range(len(data.at)):
            here = {m: vs[k] for m, vs in values.items() if vs[k] is not None}
            wins.append(best(here)[0] if here else "-")
        head = (f"{label} at", *(f"{r:g} bits a pixel" for r in data.at))
        parts.append(table(head, [*rows, ("**best**", *wins)]))
    floor = frechet(data.train[: len(data.train) // 2], data.test)
    parts.append(f"Fréchet distance of pixels from the held-out images: half of the training images have {floor:.3f}.")
    return "\n\n".join(parts)


def main() -> None:
    torch.set_num_threads(1)
    clock = Clock()
    first, credits = digits()
    sets = [first] if QUICK or first.name != "digits" else [first, photographs()]
    done = [(data, curves(data, clock)) for data in sets]
    name = "" if first.name == "digits" else f"-{first.name}"
    picture = f"compression{name}.png"
    head = (
        f"# Compression, measured: {', '.join(data.name for data in sets)}",
        "Written by `make -C examples compression`; what it means is in the [README](README.md).",
        f"{credits} {PHOTOGRAPHS if len(sets) > 1 else ''}± is half of the 95 % interval "
        f"of the mean over seeds (Student's t), where there are several. "
        f"{machine(clock.seconds)}",
        f"![curves]({picture})",
        "## What the curves trade off",
        derived(),
    )
    text = "\n\n".join([*head, *(section(data, found) for data, found in done)]) + "\n"
    folder = output(Path(__file__))
    if folder is None:
        print(text)
        return
    folder.mkdir(parents=True, exist_ok=True)
    drawn(folder / picture, done)
    (folder / f"RESULTS{name}.md").write_text(text, encoding="utf-8")
    print(f"{folder / f'RESULTS{name}.md'}, {clock.seconds:.0f} s")


if __name__ == "__main__":
    main()

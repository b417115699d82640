"""score(x) > score(inliers): one class of digits is normal, whatever else comes is to be found."""

import numpy as np
import torch
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM
from torch import nn

from examples.measured import fit
from ibsym.nn import System

LATENT, HIDDEN, BATCH, DRAWS, RATE = 8, 64, 64, 4, 2e-3

Scores = dict[str, np.ndarray]


def critic(inputs: int) -> nn.Module:
    """f, one number a row."""
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1), nn.Flatten(0))


def batches(rows: torch.Tensor):
    """Some of the rows, anew at every call."""
    return lambda: {"x": rows[torch.randint(len(rows), (min(BATCH, len(rows)),))]}


def averaged(score, rows: torch.Tensor) -> Scores:
    """Row by row, over some draws of the code."""
    with torch.no_grad():
        found = [score(rows) for _ in range(DRAWS)]
    return {name: np.mean([f[name].numpy() for f in found], axis=0) for name in found[0]}


def vae(train: torch.Tensor, steps: int):
    """The evidence bound, and its two terms."""
    system = fit(System("vae", sizes={"L": LATENT}, hidden=HIDDEN), batches(train), steps, RATE)

    def score(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        terms = system.score({"x": rows})
        rate, distortion = terms["KL(q(z|x)||p(z))"], -terms["E_q[log p(x|z)]"]
        return {"rate": rate, "distortion": distortion, "evidence bound": rate + distortion}

    return score


def bib_ae(train: torch.Tensor, steps: int):
    """A, D and the log-ratios that the critics of B and of the data term stand for."""
    of_codes, of_images = critic(LATENT), critic(train.shape[1])
    networks = {"KL(q(z)||p(z))": of_codes, "KL(q(x)||p(x))": of_images}
    system = fit(System("bib-ae", networks, sizes={"L": LATENT}, hidden=HIDDEN), batches(train), steps, RATE)

    def score(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        terms = system.score({"x": rows})
        rate, distortion = terms["KL(q(z|x)||p(z))"], -terms["E_q[log p(x|z)]"]
        codes, images = -terms["KL(q(z)||p(z))"], -of_images(rows)
        return {"rate": rate, "distortion": distortion, "critic of z": codes, "critic of x": images}

    return score


def adversarial(train: torch.Tensor, steps: int):
    """The residual and both critics of ``novelty-detection``."""
    of_codes, of_images = critic(LATENT), critic(train.shape[1])
    networks = {"JS(p(z)||q(z))": of_codes, "JS(inliers(x)||p(x))": of_images}
    system = fit(
        System("novelty-detection", networks, sizes={"L": LATENT}, hidden=HIDDEN, beta=10.0),
        batches(2 * train - 1),
        steps,
        RATE,
    )

    def score(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        batch = {"x": 2 * rows - 1}
        codes = system.draw(batch)["q"]["z"]
        residual = -system.score(batch)["E_q[log p(x|z)]"]
        return {"distortion": residual, "critic of z": of_codes(codes), "critic of x": -of_images(batch["x"])}

    return score


SYSTEMS = {"VAE": vae, "BIB-AE": bib_ae, "novelty-detection": adversarial}


def outliers(train: np.ndarray, seed: int):
    """scikit-learn's three, as they come but for nu."""
    yield "IsolationForest", IsolationForest(random_state=seed).fit(train)
    yield "OneClassSVM", OneClassSVM(nu=0.1).fit(train)
    yield "LocalOutlierFactor", LocalOutlierFactor(novelty=True).fit(train)


def scores(train: np.ndarray, others: dict[str, np.ndarray], seed: int, steps: int) -> dict[str, Scores]:
    """Each score at each set of rows, larger where it is less like the training rows.

    The combination of a system's terms is the sum of all of them, each in its own standard deviations over the training rows.
    """
    torch.manual_seed(seed)
    rows = {name: torch.from_numpy(x).float() for name, x in {"train": train, **others}.items()}
    found: dict[str, Scores] = {name: {} for name in others}
    for system, make in SYSTEMS.items():
        score = make(rows["train"], steps)
        terms = {name: averaged(score, x) for name, x in rows.items()}
        own = [t for t in terms["train"] if t != "evidence bound"]
        centre = {t: (terms["train"][t].mean(), terms["train"][t].std() + 1e-12) for t in own}
        for name in others:
            found[name] |= {f"{system}: {t}": terms[name][t] for t in terms[name]}
            parts = [(terms[name][t] - centre[t][0]) / centre[t][1] for t in own]
            found[name][f"{system}: all terms"] = np.sum(parts, axis=0)
    for name, model in outliers(train, seed):
        for part, x in others.items():
            found[part][f"scikit-learn: {name}"] = -model.score_samples(x)
    return found

"""KL(q(z|x)||p(z)) and H(C|z): what a bottleneck that never saw a class says of it, beside the largest softmax probability."""

import numpy as np
import torch

from examples.classifiers import bottleneck, plain

PAPER = 1e3  # beta on the relevance; the paper writes 1e-3 on the rate

Scores = dict[str, np.ndarray]


def entropy(p: torch.Tensor) -> torch.Tensor:
    """H(C), in nats."""
    return torch.special.entr(p).sum(-1)


def scores(train: np.ndarray, labels: np.ndarray, others: dict[str, np.ndarray], seed: int, steps: int) -> dict[str, Scores]:
    """Each score at each set of rows, larger where it is newer; "both" is the larger of the two shares of training rows below."""
    torch.manual_seed(seed)
    classes = len(np.unique(labels))
    x, c = torch.from_numpy(2 * train - 1).float(), torch.from_numpy(np.searchsorted(np.unique(labels), labels))
    answer, network = bottleneck(x, c, classes, steps, PAPER, draws=1), plain(x, c, classes, steps)
    rates, probabilities, _ = answer(x)
    known = {"rate": np.sort(rates.numpy()), "entropy": np.sort(entropy(probabilities).numpy())}
    found: dict[str, Scores] = {}
    for name, rows in others.items():
        here = torch.from_numpy(2 * rows - 1).float()
        rate, p, _ = answer(here)
        with torch.no_grad():
            own = network(here).softmax(-1)
        terms = {"rate": rate.numpy(), "entropy": entropy(p).numpy()}
        shares = [np.searchsorted(known[t], v) / len(train) + tail(known[t], v) for t, v in terms.items()]
        found[name] = {
            "VIB: rate": terms["rate"],
            "VIB: prediction entropy": terms["entropy"],
            "VIB: both": np.maximum(*shares),
            "VIB: max softmax probability": -p.max(-1).values.numpy(),
            "no bottleneck: max softmax probability": -own.max(-1).values.numpy(),
            "no bottleneck: prediction entropy": entropy(own).numpy(),
        }
    return found


def tail(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What orders the rows beyond the largest of the training rows: by how many of their deviations."""
    return np.maximum(0, values - known[-1]) / (known.std() + 1e-12)

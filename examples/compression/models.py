"""x -> round(y) -> x': principal components, and the systems that begin at them or at nothing."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ibsym.nn import System

HERE = Path(__file__).parent
CHANNELS, HIDDEN = 16, 64
MOST = 256  # components: all of them up to 16 x 16; of 28 x 28 digits the others have a fiftieth of the variance


@dataclass(frozen=True)
class Components:
    """Mean, directions and variances of rows."""

    mean: torch.Tensor
    directions: torch.Tensor
    variances: torch.Tensor

    @staticmethod
    def of(rows: torch.Tensor) -> "Components":
        """The ``MOST`` of the largest variances, the largest first."""
        mean = rows.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((rows - mean).T.double()))
        return Components(mean, vectors.flip(1)[:, :MOST].float(), values.flip(0)[:MOST].clamp_min(1e-9).float())

    @property
    def number(self) -> int:
        """How many."""
        return len(self.variances)

    def encoder(self, width: float) -> nn.Linear:
        """Coefficients in cells of a width."""
        layer = nn.Linear(len(self.mean), self.number)
        layer.weight.data, layer.bias.data = self.directions.T / width, -self.directions.T @ self.mean / width
        return layer

    def decoder(self, width: float) -> nn.Linear:
        """The images of coefficients."""
        layer = nn.Linear(self.number, len(self.mean))
        layer.weight.data, layer.bias.data = self.directions * width, self.mean.clone()
        return layer


class Free(nn.Module):
    """A location and a scale, or its logarithm's double, for every coefficient, whatever is seen."""

    def __init__(self, location: torch.Tensor, scale: torch.Tensor):
        super().__init__()
        self.location, self.scale = nn.Parameter(location), nn.Parameter(scale)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.location, self.scale


class Analysis(nn.Module):
    """(W x + b + f(x)) / width: coefficients in cells, f a convolutional network that is zero at first."""

    def __init__(self, linear: nn.Linear, body: nn.Sequential, width: float):
        super().__init__()
        self.linear, self.body, self.width = linear, zeroed(body), width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.linear(x) + self.body(x)) / self.width


class Synthesis(Analysis):
    """W (width y) + b + f(width y): images of coefficients in cells."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.width * x
        return self.linear(y) + self.body(y)


def zeroed(body: nn.Sequential) -> nn.Sequential:
    """The network with nothing in its last layer that has weights."""
    last = next(m for m in reversed(body) if isinstance(m, nn.Conv2d | nn.Linear))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return body


def cell(lam: float) -> float:
    """w^2/12 = 1/lam: the width at which, at high rates, a little more distortion saves as much rate as it costs."""
    return (12 / lam) ** 0.5


def analysis(size: int, outputs: int) -> nn.Sequential:
    """Images to numbers: two convolutions, the first one of stride 2."""
    return nn.Sequential(
        *(nn.Unflatten(1, (1, size, size)), nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU(), nn.Flatten()),
        nn.Linear(CHANNELS * (size // 2) ** 2, outputs),
    )


def synthesis(size: int, inputs: int) -> nn.Sequential:
    """Numbers to images: two convolutions, the last one of four pixels at a place."""
    half = size // 2
    return nn.Sequential(
        *(nn.Linear(inputs, CHANNELS * half**2), nn.ReLU(), nn.Unflatten(1, (CHANNELS, half, half))),
        *(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU(), nn.Conv2d(CHANNELS, 4, 3, padding=1)),
        *(nn.PixelShuffle(2), nn.Flatten()),
    )


def critic(size: int) -> nn.Sequential:
    """f(x), one number a row."""
    return nn.Sequential(
        *(nn.Unflatten(1, (1, size, size)), nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Flatten()),
        *(nn.Linear(CHANNELS * (size // 2) ** 2, 1), nn.Flatten(0)),
    )


def linear(rows: torch.Tensor, size: int, width: float) -> System:
    """Principal components, cells of one width for all (reverse water-filling at high rates), Laplace laws fitted to them."""
    found = Components.of(rows)
    encoder = found.encoder(width)
    with torch.no_grad():
        codes = encoder(rows)
    law = Free(torch.zeros(found.number), codes.abs().mean(0).clamp_min(0.03))
    networks = {"q(z|x)": encoder, "p(x|z)": found.decoder(width), "p(z)": law}
    return System(HERE / "linear.toml", networks).prepare({"x": rows[:8]})


def hyperprior(rows: torch.Tensor, size: int, lam: float) -> System:
    """Principal components with a convolutional correction, the scales of the code from a second code."""
    found, width, side = Components.of(rows), cell(lam), 8
    number = found.number
    law = nn.Sequential(nn.Linear(side, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * number))
    law[2].weight.data *= 0.1
    law[2].bias.data = torch.cat([torch.zeros(number), (found.variances / width**2 + 0.1).log()])
    networks = {
        "q(y|x)": Analysis(found.encoder(1.0), analysis(size, number), width),
        "q(z|x)": analysis(size, side),
        "p(z)": Free(torch.zeros(side), torch.zeros(side)),
        "p(y|z)": law,
        "p(x|y)": Synthesis(found.decoder(1.0), synthesis(size, number), width),
    }
    return System("hyperprior-compression", networks, lam=lam).prepare({"x": rows[:8]})


def perception(rows: torch.Tensor, size: int, lam: float, mu: float) -> System:
    """The same without a second code, and a critic that holds reconstructions to the data's law."""
    found, width = Components.of(rows), cell(lam)
    number = found.number
    networks = {
        "q(z|x)": Analysis(found.encoder(1.0), analysis(size, number), width),
        "p(z)": Free(torch.zeros(number), (found.variances / width**2 + 0.1).log()),
        "p(x|z)": Synthesis(found.decoder(1.0), synthesis(size, number), width),
        "JS(data(x)||g(x))": critic(size),
    }
    return System(HERE / "perception.toml", networks, lam=lam, mu=mu).prepare({"x": rows[:8]})


def generative(rows: torch.Tensor, size: int, bits: int, gamma: float = 1.0, beta: float = 30.0) -> System:
    """So many bits an image at most, convolutional throughout."""
    networks = {"q(z|x)": analysis(size, bits), "p(x|z)": synthesis(size, bits), "JS(data(x)||g(x))": critic(size)}
    system = System("generative-compression", networks, sizes={"L": bits}, beta=beta, gamma=gamma)
    return system.prepare({"x": rows[:8]})

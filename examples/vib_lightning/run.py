"""min I(X;Z) - beta I(Z;C) inside a LightningModule that was there before."""

import logging
import os
import warnings

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ibsym.lightning import Module
from ibsym.nn import System
from ibsym.training.data import load

QUICK = bool(os.environ.get("QUICK"))
EPOCHS, LATENT = 1 if QUICK else 30, 8


class Classifier(LightningModule):
    """A classifier as one has it; its loss is a system's."""

    def __init__(self, pixels: int, classes: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, 128), nn.ReLU(), nn.Linear(128, 2 * LATENT))
        self.head = nn.Linear(LATENT, classes)
        self.objective = System("vib", {"q(z|x)": self.encoder, "p(c|z)": self.head}, beta=30.0)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        x, c = batch
        out = self.objective({"x": x, "c": c})  # was: cross_entropy(self.head(self.encoder(x)), c)
        self.log("loss", out.loss)
        return out.loss

    def test_step(self, batch: list[torch.Tensor], index: int) -> None:
        x, c = batch
        mean, _ = self.encoder(x).chunk(2, -1)
        self.log("accuracy", (self.head(mean).argmax(-1) == c).float().mean(), prog_bar=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def trainer() -> Trainer:
    """A quiet one."""
    return Trainer(
        max_epochs=EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )


def main() -> None:
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = load("digits")
    parts = [
        TensorDataset(torch.from_numpy(part.images).float().flatten(1), torch.from_numpy(part.labels))
        for part in (data.train, data.held_out)
    ]
    train, test = DataLoader(parts[0], 64, shuffle=True), DataLoader(parts[1], 360)
    module = Classifier(64, 10)
    trainer().fit(module, train)
    found = trainer().test(module, test, verbose=False)
    print(f"your module: {100 * found[0]['accuracy']:.1f} % of held-out digits")

    same = Classifier(64, 10)
    trainer().fit(Module(same.objective, lr=1e-3), train)
    found = trainer().test(same, test, verbose=False)
    print(f"ibsym.lightning.Module: {100 * found[0]['accuracy']:.1f} %")


if __name__ == "__main__":
    main()

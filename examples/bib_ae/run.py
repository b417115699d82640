"""min A - B - beta (R - D) on images, B and D by critics, every network convolutional."""

import os
import time

import torch
from torch import nn

from ibsym.nn import System
from ibsym.training.data import load

QUICK = bool(os.environ.get("QUICK"))
LATENT, BATCH, STEPS = 8, 64, 20 if QUICK else 3000


def encoder(height: int, width: int) -> nn.Module:
    """q(z|x): mean and log-variance, side by side."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
        nn.Linear(32 * -(-height // 2) * -(-width // 2), 2 * LATENT),
    )


def decoder(height: int, width: int) -> nn.Module:
    """p(x|z): the logits of every pixel."""
    h, w = -(-height // 2), -(-width // 2)
    return nn.Sequential(
        *(nn.Linear(LATENT, 32 * h * w), nn.ReLU(), nn.Unflatten(1, (32, h, w)), nn.Upsample((height, width))),
        *(nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1)),
    )


def critic_of_images(height: int, width: int) -> nn.Module:
    """f(x), one number a row."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Flatten()),
        *(nn.Linear(16 * -(-height // 2) * -(-width // 2), 1), nn.Flatten(0)),
    )


def critic_of_codes() -> nn.Module:
    """f(z), one number a row."""
    return nn.Sequential(nn.Linear(LATENT, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1), nn.Flatten(0))


def main() -> None:
    torch.manual_seed(0)
    data = load(os.environ.get("DATA", "digits"))
    images, held_out = (torch.from_numpy(part.images).float()[:, None].round() for part in (data.train, data.held_out))
    size = (data.height, data.width)
    system = System(
        "bib-ae",
        {
            "q(z|x)": encoder(*size),
            "p(x|z)": decoder(*size),
            "KL(q(z)||p(z))": critic_of_codes(),
            "KL(q(x)||p(x))": critic_of_images(*size),
        },
        beta=1.0,
    )
    optimisers = {name: torch.optim.Adam(own, lr=1e-3, betas=(0.5, 0.9)) for name, own in system.players.items()}
    began = time.monotonic()
    for step in range(1, STEPS + 1):
        batch = {"x": images[torch.randint(len(images), (BATCH,))]}
        for name, loss in system.critic_losses(batch).items():
            optimisers[name].zero_grad()
            loss.backward()
            optimisers[name].step()
        out = system(batch)
        optimisers["model"].zero_grad()
        out.loss.backward()
        optimisers["model"].step()
        if step % max(1, STEPS // 10) == 0:
            terms = ", ".join(f"{name} {float(value):.2f}" for name, value in out.terms.items())
            print(f"step {step}: loss {out.loss.item():.2f}; {terms}", flush=True)
    rows = system.score({"x": held_out[:200]})
    print(f"held out, nats a row: {', '.join(f'{name} {float(v.mean()):.2f}' for name, v in rows.items())}")
    samples = system.sample("p", 3)["x"]
    print(f"{time.monotonic() - began:.0f} s; a sample of the model:")
    for line in samples[0, 0]:
        print("  " + "".join("#" if pixel > 0.5 else "." for pixel in line))


if __name__ == "__main__":
    main()

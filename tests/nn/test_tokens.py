"""Arrays of symbols and networks of the user's: embeddings and transformers, on every side of a loss; what does not fit is named."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import nn

import ibsym
from ibsym.nn import NetworkError, System

B, H, W, K, L, M = 6, 2, 3, 5, 4, 3
BASE = {
    "name": "tokens",
    "objective": "minimize beta*I_q(X;Z) - I_q(Z;X) - I_q(Z;C)",
    "variables": {"x": "categorical[K; H,W]", "c": "categorical[M]", "z": "real[L]"},
    "joints": {"q": "data(x,c) q(z|x)", "p": "p(z) p(x|z)", "r": "r(c|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "categorical", "r(c|z)": "categorical"},
    "parameters": {"beta": {"default": 1.0, "min": 0}},
}
CRITIC = "KL(q(x,z)||p(x,z))"
JOINT = BASE | {"objective": f"minimize {CRITIC}", "estimators": {CRITIC: "density-ratio"}}
RELAXED = JOINT | {"families": BASE["families"] | {"p(x|z)": {"family": "categorical", "relax": "straight-through"}}}
PAIRS = BASE | {"objective": "minimize -I_q(X;Z)", "estimators": {"I_q(X;Z)": "infonce"}}


class Tokens(nn.Module):
    """An embedding of the symbols and of their places, a transformer, the mean over places."""

    def __init__(self, out, *, pooled=True, codes=False):
        super().__init__()
        self.table = nn.Linear(K, 8, bias=False) if codes else nn.Embedding(K, 8)
        self.places = nn.Parameter(torch.randn(H * W, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.body, self.head, self.pooled = nn.TransformerEncoder(layer, 1), nn.Linear(8, out), pooled
        self.seen = []

    def forward(self, x):
        self.seen.append((tuple(x.shape), x.is_floating_point()))
        found = self.head(self.body(self.table(x).flatten(1, 2) + self.places))
        return found.mean(1) if self.pooled else found


class Decoder(nn.Module):
    """Logits of every symbol, by a transformer over places."""

    def __init__(self, arrange=lambda t: t.unflatten(1, (H, W))):
        super().__init__()
        self.places, self.arrange = nn.Parameter(torch.randn(H * W, 8)), arrange
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.enter, self.body, self.head = nn.Linear(L, 8), nn.TransformerEncoder(layer, 1), nn.Linear(8, K)

    def forward(self, z):
        return self.arrange(self.head(self.body(self.enter(z)[:, None] + self.places)))


class Judge(nn.Module):
    """A number for tokens and a code; the tokens may be relaxed."""

    def __init__(self):
        super().__init__()
        self.tokens, self.head = Tokens(L, codes=True), nn.Linear(2 * L, 1)

    def forward(self, x, z):
        return self.head(torch.cat([self.tokens(x), z], -1)).squeeze(-1)


def rows(n=B):
    return {"x": torch.randint(K, (n, H, W)), "c": torch.arange(n) % M}


def networks(**more):
    return {"q(z|x)": Tokens(2 * L), "p(x|z)": Decoder(), "r(c|z)": nn.Linear(L, M)} | more


def spec(base):
    return ibsym.Spec(**base)


def built(base=BASE, given=None, **options):
    torch.manual_seed(0)
    return System(spec(base), networks() if given is None else given, sizes={"K": K, "M": M, "L": L}, **options)


@pytest.mark.parametrize("draws", [1, 3])
def test_a_transformer_over_tokens_is_the_loss_by_hand(draws):
    system = built(draws=draws)
    out = system(rows())
    out.loss.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in system.players["model"] if p.dim() > 1)
    encoder = system.bank.factors["q(z|x)"].function
    assert encoder.seen[-1] == ((B, H, W), False)
    batch = rows()
    drawn = system.draw(batch)
    law, z = drawn["q"]["p(x|z)"], drawn["q"]["z"]
    logits = system.bank.factors["p(x|z)"].function(z.reshape(-1, L)).log_softmax(-1).reshape(*z.shape[:-1], H, W, K)
    wanted = logits.gather(-1, batch["x"].expand(*z.shape[:-1], H, W)[..., None]).sum((-3, -2, -1))
    assert torch.allclose(law.log_prob(nn.functional.one_hot(batch["x"], K).float()), wanted, atol=1e-5)
    sampled = system.sample("p", 4)
    assert (sampled["x"].shape, sampled["x"].dtype, sampled["z"].shape) == ((4, H, W), torch.int64, (4, L))
    assert {v.shape for v in system.score(batch).values()} == {(B,)}


def test_pieces_of_tokens_are_the_batch():
    system = built()
    batch = rows()
    with mock.patch("torch.distributions.normal._standard_normal", lambda s, dtype, device: torch.zeros(s, dtype=dtype)):
        whole = system(batch)
        wanted = torch.autograd.grad(whole.loss, system.players["model"], allow_unused=True)
        found = system.accumulate([{v: t[:2] for v, t in batch.items()}, {v: t[2:] for v, t in batch.items()}])
    assert torch.allclose(found.loss, whole.loss.detach())
    assert all(torch.allclose(p.grad, g, atol=1e-5) for p, g in zip(system.players["model"], wanted, strict=True))


def test_a_critic_of_tokens_takes_their_codes():
    system = built(RELAXED, {"q(z|x)": Tokens(2 * L), "p(x|z)": Decoder(), CRITIC: Judge()})
    batch = rows()
    system(batch).loss.backward()
    assert all(p.grad is not None for p in system.players["model"])
    assert all(p.grad is None for p in system.players[CRITIC])
    system.critic_losses(batch)[CRITIC].backward()
    assert all(p.grad is not None for p in system.players[CRITIC])
    assert system.bank.critics[CRITIC].function.tokens.seen[-1] == ((B, H, W, K), True)


def test_a_critic_that_takes_indices_alone_is_told_of_the_gradient():
    class Indices(Judge):
        def __init__(self):
            super().__init__()
            self.tokens = Tokens(L)

    system = built(RELAXED, {"q(z|x)": Tokens(2 * L), "p(x|z)": Decoder(), CRITIC: Indices()})
    with pytest.raises(NetworkError) as error:
        system(rows())
    assert "write: a network that takes the code of x" in str(error.value)


def test_scores_of_all_pairs_of_tokens_and_codes():
    tokens, code = Tokens(L), nn.Linear(L, L)
    system = built(PAIRS, {"q(z|x)": Tokens(2 * L), "I_q(X;Z)": lambda x, z: tokens(x) @ code(z).T})
    out = system(rows())
    out.loss.backward()
    assert torch.isfinite(out.loss)


WRONG = {
    "channels first": (
        {"p(x|z)": Decoder(lambda t: t.unflatten(1, (H, W)).movedim(-1, 1))},
        r"p\(x\|z\): logits has shape \(6, ",
    ),
    "one place less": ({"p(x|z)": Decoder(lambda t: t[:, 1:])}, r"p\(x\|z\): logits has shape \(6, "),
    "pooled logits": ({"p(x|z)": Decoder(lambda t: t.mean(1))}, r"p\(x\|z\): logits has shape \(6, "),
    "not pooled": ({"q(z|x)": Tokens(2 * L, pooled=False)}, r"q\(z\|x\): .*shape"),
    "an odd width": ({"q(z|x)": Tokens(2 * L + 1)}, r"q\(z\|x\): "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_shape_is_named_by_its_factor(case):
    given, told = WRONG[case]
    system = built(given=networks(**given))
    with pytest.raises(NetworkError, match=told + r"(?s:.*)\n  write: "):
        system(rows())


BATCHES = {
    "another width": (lambda x: x[..., :2], r"x has shape \(6, 2, 2\), torch.int64, and x is categorical\[K; H,W\]"),
    "no places": (lambda x: x[:, 0, 0], "shape"),
    "one-hot": (lambda x: nn.functional.one_hot(x, K), "shape"),
    "numbers": (lambda x: x.float(), "torch.float32"),
    "a symbol too many": (lambda x: torch.full_like(x, K), r"data\(x,c\): x has class 5, and K = 5"),
}


@pytest.mark.parametrize("case", BATCHES)
def test_wrong_tokens_are_named(case):
    change, told = BATCHES[case]
    system = built()
    good = rows()
    system(good)
    with pytest.raises(ibsym.IbsymError, match=told + r"(?s:.*)\n  write: "):
        system(good | {"x": change(good["x"])})

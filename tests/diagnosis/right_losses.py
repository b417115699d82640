"""Forty and more right losses, in the styles that people write them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn

from tests.diagnosis.corpus import RIGHT, Case, right

# ---------------------------------------------------------------------------------------- evidence bounds, Bernoulli decoder


@right("vae")
def sums_over_everything(recon_x, x, mu, logvar):
    told = F.binary_cross_entropy(recon_x, x, reduction="sum")
    return told - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@right("vae")
def sums_over_everything_by_rows(recon_x, x, mu, logvar):
    told = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum") / len(x)
    return told + 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum() / len(x)


@right("vae")
def laws_and_divergences(x, logits, mu, std):
    posterior = D.Independent(D.Normal(mu, std), 1)
    prior = D.Independent(D.Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    told = D.Independent(D.Bernoulli(logits=logits), 1).log_prob(x)
    return (D.kl_divergence(posterior, prior) - told).mean()


@right("vae")
def sampled_rate_inside(x, logits, mu, logvar):
    posterior = D.Normal(mu, torch.exp(0.5 * logvar))
    z = posterior.rsample()
    rate = (posterior.log_prob(z) - D.Normal(0.0, 1.0).log_prob(z)).sum(1)
    return rate.mean() + F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()


@right("vae", {"z": "z_mean + exp(z_logvar/2)*noise"})
def sampled_rate_of_a_given_draw(x, logits, mu, logvar, z):
    half_log_2pi = 0.5 * math.log(2 * math.pi)
    log_q = (-0.5 * (z - mu) ** 2 / logvar.exp() - 0.5 * logvar - half_log_2pi).sum(-1)
    log_p = (-0.5 * z**2 - half_log_2pi).sum(-1)
    return (F.softplus(logits) - x * logits).sum(-1).mean() + torch.mean(log_q - log_p)


@right("vae", {"z": "z_mean + exp(z_logvar/2)*noise"})
def sticking_the_landing(x, logits, mu, logvar, z):
    frozen = D.Normal(mu.detach(), logvar.div(2).exp().detach())
    rate = (frozen.log_prob(z) - D.Normal(0.0, 1.0).log_prob(z)).sum(-1)
    return (rate - D.Bernoulli(logits=logits).log_prob(x).sum(-1)).mean()


@right("vae")
def log_sigma_parameters(x, logits, mu, log_sigma):
    rate = -log_sigma + 0.5 * (torch.exp(2 * log_sigma) + mu * mu) - 0.5
    return rate.sum(dim=1).mean() - (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(dim=1).mean()


@right("vae", {"var": "exp(z_logvar)"})
def variances(x, logits, mu, var):
    return torch.einsum("bl->b", 0.5 * (var + mu**2 - 1 - torch.log(var))).mean() + nn.BCEWithLogitsLoss(reduction="sum")(
        logits, x
    ) / x.size(0)


@right("vae")
def guarded_logarithms(x, p, mu, sigma):
    eps = 1e-10
    told = -torch.sum(x * torch.log(p + eps) + (1 - x) * torch.log(1 - p + eps), 1)
    kept = 0.5 * torch.sum(mu**2 + sigma**2 - torch.log(1e-8 + sigma**2) - 1, 1)
    return (told + kept).mean()


@right("vae", {"x": "x(B,1,28,28)", "x_hat": "sigmoid(x_logits(B,1,28,28))"})
def images(x, x_hat, mu, logvar):
    told = F.binary_cross_entropy(x_hat, x, reduction="none").sum(dim=[1, 2, 3])
    return torch.mean(told + torch.sum(-0.5 * (1 + logvar - mu**2 - logvar.exp()), dim=1))


@right("vae", {"x": "x(D,B)", "logits": "x_logits(D,B)", "mu": "z_mean(L,B)", "logvar": "z_logvar(L,B)"})
def columns_are_rows(x, logits, mu, logvar):
    told = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(0)
    return (told - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(0)).mean()


@right("vae", {"logits": "x_logits(S,B,D)"})
def many_draws(x, logits, mu, logvar):
    told = -D.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(-1).mean(0)
    return (told + 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)).mean()


@right("vae")
def returned_mapping(x, logits, mu, logvar):
    recon = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()
    kld = (-0.5 * (1 + logvar - mu**2 - logvar.exp())).sum(1).mean()
    return {"recon": recon.detach(), "kld": kld.detach(), "loss": recon + kld}


class Losses(NamedTuple):
    reconstruction: torch.Tensor
    total: torch.Tensor


@right("vae")
def returned_tuple_with_names(x, logits, mu, logvar):
    recon = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.shape[0]
    return Losses(recon, recon - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum() / mu.shape[0])


@right("vae", output="sum")
def returned_terms(x, logits, mu, logvar):
    recon = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1).mean()
    return recon, (-0.5 * (1 + logvar - mu**2 - logvar.exp())).sum(-1).mean()


@right("vae")
def one_loss_a_row(x, logits, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1) - 0.5 * (
        1 + logvar - mu**2 - logvar.exp()
    ).sum(-1)


@right("vae")
def a_step_with_an_optimiser(optimizer, x, logits, mu, logvar):
    optimizer.zero_grad()
    loss = (
        F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1)
    ).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


class LightningLike:
    """A module whose step takes a batch and its number."""

    def __init__(self):
        self.logged = {}

    def log(self, name, value):
        self.logged[name] = value

    def training_step(self, batch, batch_idx):
        (x, logits), (mu, logvar) = batch["data"], batch["code"]
        rate = D.kl.kl_divergence(D.Normal(mu, (0.5 * logvar).exp()), D.Normal(0.0, 1.0)).sum(-1)
        told = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        self.log("rate", rate.mean())
        return {"loss": (rate + told).mean()}


RIGHT.append(
    Case(
        "lightning_step", "vae", LightningLike().training_step, {"batch": '{"data": (x, x_logits), "code": (z_mean, z_logvar)}'}
    )
)


# ---------------------------------------------------------------------------------------- weights


@right("beta-vae")
def weighted_by_an_argument(x, logits, mu, logvar, beta=4.0):
    return (
        F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        + beta * 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    ).mean()


def _closure(weight):
    def weighted_by_a_closure(x, logits, mu, logvar):
        rate = (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).sum(1)
        return torch.mean(F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1) + weight * rate)

    return weighted_by_a_closure


RIGHT.append(Case("weighted_by_a_closure", "beta-vae", _closure(2.5)))


class BetaModule(nn.Module):
    """A module that keeps its weight."""

    def __init__(self, beta):
        super().__init__()
        self.beta = beta
        self.bce = nn.BCEWithLogitsLoss(reduction="none")

    def forward(self, x_logits, x, z_mean, z_logvar):
        rate = torch.sum(z_mean**2 + torch.exp(z_logvar) - z_logvar - 1, -1) / 2
        return (self.bce(x_logits, x).sum(-1) + self.beta * rate).mean(0)


RIGHT.append(Case("module_with_a_weight", "beta-vae", BetaModule(4.0)))


@right("beta-vae", {"x": "x(B,1,H,W)", "logits": "x_logits(B,1,H,W)"})
def per_dimension_on_both(x, logits, mu, logvar, beta):
    n = x[0].numel()
    return F.binary_cross_entropy_with_logits(logits, x) + beta * (-0.5 * (1 + logvar - mu**2 - logvar.exp())).sum(1).mean() / n


@right("normal-decoder")
def squared_error_with_its_constant(x, x_hat, mu, logvar, beta):
    told = 0.5 * ((x - x_hat) ** 2 + math.log(2 * math.pi)).sum(-1)
    return (told + beta * 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)).mean()


@right("normal-decoder")
def normal_law(x, x_hat, mu, std, beta):
    told = D.Normal(x_hat, 1.0).log_prob(x).sum(1)
    return (beta * D.kl_divergence(D.Normal(mu, std), D.Normal(0.0, 1.0)).sum(1) - told).mean()


@right("calibrated-decoder", {"s": "x_logvar/2"})
def learned_scale(x, x_mean, s, mu, logvar):
    told = (s + 0.5 * math.log(2 * math.pi) + 0.5 * ((x - x_mean) * torch.exp(-s)) ** 2).sum(-1)
    return (told - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(-1)).mean()


@right("calibrated-decoder", {"var": "exp(x_logvar)"})
def gaussian_nll(x, x_mean, var, mu, logvar):
    told = F.gaussian_nll_loss(x_mean, x, var, full=True, reduction="none").sum(1)
    return told.mean() + 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()


@right("laplace-scale-vae", {"m": "x_mean", "b": "x_scale", "mu": "q_z_mean", "scale": "q_z_scale", "prior": "p_z_mean"})
def laplace_laws(x, m, b, mu, scale, prior):
    rate = D.kl_divergence(D.Laplace(mu, scale), D.Laplace(prior, torch.ones_like(prior))).sum(-1)
    return (rate - D.Laplace(m, b).log_prob(x).sum(-1)).mean()


# ---------------------------------------------------------------------------------------- labels and classes


@right("vib")
def bottleneck(logits, labels, mu, std, beta):
    rate = -0.5 * (1 + 2 * std.log() - mu.pow(2) - std.pow(2)).sum(1).mean()
    return rate + beta * F.cross_entropy(logits, labels)


@right("vib", {"weight": "1/beta"})
def bottleneck_in_bits(logits, y, mu, std, weight):
    rate = -0.5 * (1 + 2 * std.log() - mu.pow(2) - std.pow(2)).sum(1).mean()
    return (F.cross_entropy(logits, y) + weight * rate) / math.log(2)


def _bottleneck_closure(weight=1e-3):
    return lambda logits, y, mu, logvar: (
        F.cross_entropy(logits, y) + weight * 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1).mean()
    )


RIGHT.append(Case("bottleneck_with_a_small_weight_of_the_rate", "vib", _bottleneck_closure()))


@right("vib", {"y": "one_hot(c)"})
def one_hot_labels(logits, y, mu, logvar, beta):
    told = -(y * torch.log_softmax(logits, dim=-1)).sum(-1).mean()
    return beta * told + 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1).mean()


@right("vib", {"p": "softmax(c_logits)"})
def class_probabilities(p, y, mu, logvar, beta):
    return beta * F.nll_loss(torch.log(p + 1e-12), y) - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1).mean()


@right("categorical-ib", {"p": "softmax(z_logits)"})
def code_of_classes(p, logits, y, beta):
    return D.kl_divergence(D.Categorical(p), D.Categorical(torch.ones_like(p))).mean() + beta * nn.CrossEntropyLoss()(logits, y)


@right("categorical-code", {"q": "softmax(z_logits)"})
def entropy_and_log_k(q, logits, x):
    rate = (q * q.log()).sum(1) + math.log(q.shape[1])
    return (rate + F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)).mean()


@right("categorical-code", {"code": "z_logits"})
def kl_div_with_a_full_target(code, logits, x):
    uniform = torch.full_like(code, -math.log(code.shape[-1]))
    rate = F.kl_div(uniform, code.log_softmax(-1), reduction="batchmean", log_target=True)
    return rate + F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


@right("binary-code-vae", {"q": "sigmoid(q_z_logits)", "p": "sigmoid(p_z_logits)"})
def binary_code(q, p, x, logits, beta):
    rate = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).sum(-1)
    return (beta * rate + F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)).mean()


@right("ceb", {"mu": "q_z_mean", "logvar": "q_z_logvar", "b_mu": "b_z_mean", "b_logvar": "b_z_logvar"})
def conditional_bottleneck(mu, logvar, b_mu, b_logvar, logits, y, gamma):
    encoder, backward = D.Normal(mu, (logvar / 2).exp()), D.Normal(b_mu, (b_logvar / 2).exp())
    z = encoder.rsample()
    return (encoder.log_prob(z) - backward.log_prob(z)).sum(-1).mean() + gamma * F.cross_entropy(logits, y)


@right("conditional-vae", {"mu": "q_z_mean", "logvar": "q_z_logvar", "prior_mu": "p_z_mean", "prior_logvar": "p_z_logvar"})
def learned_prior(x, logits, mu, logvar, prior_mu, prior_logvar):
    inside = prior_logvar - logvar - 1 + (logvar - prior_logvar).exp() + (mu - prior_mu) ** 2 / prior_logvar.exp()
    return 0.5 * inside.sum(-1).mean() + F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1).mean()


MIXTURE = {"class_logits": "c_logits", "mu": "q_z_mean", "logvar": "q_z_logvar", "p_mu": "p_z_mean", "p_logvar": "p_z_logvar"}


@right("mixture-latent", {**MIXTURE, "logits": "x_logits"})
def mixture_latent(class_logits, mu, logvar, p_mu, p_logvar, logits, x):
    q = class_logits.softmax(-1)
    rate_c = math.log(q.shape[-1]) - D.Categorical(q).entropy()
    rate_z = D.kl_divergence(D.Normal(mu, (logvar / 2).exp()), D.Normal(p_mu, (p_logvar / 2).exp())).sum(-1)
    return (rate_c + rate_z + F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)).mean()


@right("private-ib", {"m": "x_mean"})
def private(mu, logvar, logits, y, m, x, beta, gamma):
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    guess = D.Normal(m, 1.0).log_prob(x).sum(1).mean()
    return (1 + gamma) * rate + beta * F.cross_entropy(logits, y) - gamma * guess


# ---------------------------------------------------------------------------------------- what compares samples


@right("importance-weighted", {"logits": "x_logits(S,B,D)", "z": "z(S,B,L)"})
def importance_weights(x, logits, mu, logvar, z):
    log_p = D.Normal(0.0, 1.0).log_prob(z).sum(-1) + D.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(-1)
    log_w = log_p - D.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(-1)
    return -torch.logsumexp(log_w, 0).mean() + math.log(log_w.shape[0])


@right("beta-tcvae", {"n": "N"})
def three_terms(x, logits, mu, logvar, z, beta, n):
    pairs = D.Normal(mu[None], (logvar[None] / 2).exp()).log_prob(z[:, None])
    log_qz = pairs.sum(2).logsumexp(1) - math.log(len(z) * n)
    log_product = (pairs.logsumexp(1) - math.log(len(z) * n)).sum(1)
    log_qzx = D.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(1)
    log_pz = D.Normal(0.0, 1.0).log_prob(z).sum(1)
    told = D.Bernoulli(logits=logits).log_prob(x).sum(1)
    return (log_qzx - log_qz + beta * (log_qz - log_product) + log_product - log_pz - told).mean()


@right("infonce-rep")
def contrast_by_cross_entropy(mu, logvar, scores, beta):
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    return beta * rate + F.cross_entropy(scores, torch.arange(len(scores)))


@right("infonce-rep")
def contrast_by_hand(mu, logvar, scores, beta):
    positive = scores.diag() - scores.logsumexp(dim=1) + math.log(scores.shape[0])
    return beta * (-0.5 * (1 + logvar - mu**2 - logvar.exp())).sum(1).mean() - positive.mean()


@right("infovae", {"prior_z": "z_reference"})
def kernel_discrepancy(z, prior_z, mu, logvar, x, logits, alpha, lam):
    def kernel(a, b):
        return torch.exp(-torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").pow(2) / (2 * a.shape[1]))

    n, m = len(z), len(prior_z)
    mmd = (
        (kernel(z, z).sum() - n) / (n * (n - 1))
        + (kernel(prior_z, prior_z).sum() - m) / (m * (m - 1))
        - 2 * kernel(z, prior_z).mean()
    )
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1).mean()
    return (
        F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1).mean()
        + (1 - alpha) * rate
        + (alpha + lam - 1) * mmd
    )


@right("gan")
def generator_that_does_not_saturate(fake):
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


@right("bigan", {"real": "x_z_critic", "fake": "x_z_critic_reference"})
def both_sides(real, fake):
    return 0.5 * (F.softplus(real).mean() + F.softplus(-fake).mean())


@right("infogan", {"fake": "x_critic_reference", "code": "c"})
def generator_with_a_code(fake, c_logits, code, lam):
    adversarial = nn.BCEWithLogitsLoss()(fake, torch.ones_like(fake)) / 2
    return adversarial + lam * nn.CrossEntropyLoss()(c_logits, code)


@right("vae-gan", {"fake": "x_critic_reference"})
def data_space_term(x, logits, mu, logvar, fake):
    rate = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    told = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return rate.mean() + told.mean() - F.logsigmoid(fake).mean()


@right("two-view", {"x1_hat": "sigmoid(x1_logits)", "s": "x2_logvar/2"})
def two_views(mu, logvar, x1, x1_hat, x2, x2_mean, s, beta):
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
    first = F.binary_cross_entropy(x1_hat, x1, reduction="none").sum(-1)
    second = -D.Normal(x2_mean, s.exp()).log_prob(x2).sum(-1)
    return (rate + beta * (first + second)).mean()

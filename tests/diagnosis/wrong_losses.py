"""Forty and more wrong losses: mistakes that are made, in our own words and code, each with what is to be said of it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import distributions as D

from tests.diagnosis.corpus import wrong
from tests.diagnosis.right_losses import MIXTURE


def bce(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


# ---------------------------------------------------------------------------------------- means in place of sums


@wrong("vae", "mean", R="1/L", D="-1")
def rate_averaged_over_latents(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("vae", "mean", R="1", D="-1/D")
def distortion_averaged_over_pixels(x, logits, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x) + kl(mu, logvar).sum(1).mean()


@wrong("vae", "batch", R="B", D="-1")
def rate_summed_over_the_batch(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).sum()


@wrong("vae", "mean", R="1/(B*D)", D="-1/D")
def rate_divided_by_batch_and_pixels(x, logits, mu, logvar):
    rate = kl(mu, logvar).sum(1).mean() / (x.shape[0] * x.shape[1])
    return F.binary_cross_entropy_with_logits(logits, x) + rate


@wrong("vae", "draws", inputs={"logits": "x_logits(S,B,D)"}, R="1", D="-S")
def distortion_summed_over_draws(x, logits, mu, logvar):
    return bce(logits, x.expand_as(logits)).sum(-1).sum(0).mean() + kl(mu, logvar).sum(-1).mean()


@wrong("vae", "batch", R="1/B", D="-1")
def rate_divided_by_the_batch_twice(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).sum(1).mean() / x.size(0)


@wrong("vae", "dataset", inputs={"n": "N"}, R="1/N", D="-1")
def rate_divided_by_the_size_of_the_data(x, logits, mu, logvar, n):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).sum(1).mean() / n


@wrong("vae", "batch", R="B/32", D="-1")
def divided_by_a_nominal_batch(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).sum() / 32


@wrong("normal-decoder", "mean", R="beta")
def normal_likelihood_averaged_over_pixels(x, x_mean, mu, logvar, beta):
    told = 0.5 * ((x - x_mean) ** 2 + math.log(2 * math.pi)).mean()
    return told + beta * kl(mu, logvar).sum(1).mean()


# ---------------------------------------------------------------------------------------- signs, halves, parameters


@wrong("vae", "sign", R="-1", D="-1")
def rate_of_the_wrong_sign(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() + 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()


@wrong("vae", "sign", R="-1", D="1")
def bound_minimised(x, logits, mu, logvar):
    return (-bce(logits, x).sum(1) - kl(mu, logvar).sum(1)).mean()


@wrong("vae", "weight", R="2", D="-1")
def rate_without_its_half(x, logits, mu, std):
    return bce(logits, x).sum(1).mean() - (1 + 2 * std.log() - mu**2 - std**2).sum(1).mean()


@wrong("beta-vae", "parameter", R="1", D="-1")
def beta_ignored(x, logits, mu, logvar, beta=4.0):
    return (bce(logits, x).sum(1) + kl(mu, logvar).sum(1)).mean()


@wrong("beta-vae", "parameter", R="1", D="-beta")
def beta_on_the_wrong_term(x, logits, mu, logvar, beta):
    return (beta * bce(logits, x).sum(1) + kl(mu, logvar).sum(1)).mean()


@wrong("beta-vae", "mean", R="beta/L", D="-1")
def beta_and_a_mean(x, logits, mu, logvar, beta):
    return (bce(logits, x).sum(1) + beta * kl(mu, logvar).mean(1)).mean()


@wrong("vib", "bits", inputs={"weight": "beta"}, R="1")
def class_term_alone_in_bits(logits, y, mu, logvar, weight):
    return kl(mu, logvar).sum(1).mean() + weight * F.cross_entropy(logits, y) / math.log(2)


@wrong("vib", "batch", R="1")
def class_term_summed(logits, y, mu, logvar, beta):
    return kl(mu, logvar).sum(1).mean() + beta * F.cross_entropy(logits, y, reduction="sum")


@wrong("ceb", "sign", inputs={"mu": "q_z_mean", "logvar": "q_z_logvar", "b_mu": "b_z_mean", "b_logvar": "b_z_logvar"})
def backward_term_of_the_wrong_sign(mu, logvar, b_mu, b_logvar, logits, y, gamma):
    rate = D.kl_divergence(D.Normal(mu, (logvar / 2).exp()), D.Normal(b_mu, (b_logvar / 2).exp())).sum(-1).mean()
    return gamma * F.cross_entropy(logits, y) - rate


@wrong("private-ib", "sign", inputs={"m": "x_mean"})
def adversary_helped(mu, logvar, logits, y, m, x, beta, gamma):
    guess = D.Normal(m, 1.0).log_prob(x).sum(1).mean()
    return (1 + gamma) * kl(mu, logvar).sum(1).mean() + beta * F.cross_entropy(logits, y) + gamma * guess


@wrong("private-ib", "parameter", inputs={"m": "x_mean"})
def rate_of_one_term_only(mu, logvar, logits, y, m, x, beta, gamma):
    guess = D.Normal(m, 1.0).log_prob(x).sum(1).mean()
    return kl(mu, logvar).sum(1).mean() + beta * F.cross_entropy(logits, y) - gamma * guess


# ---------------------------------------------------------------------------------------- likelihoods


@wrong("vae", "squared error", R="1")
def squared_error_for_a_bernoulli(x, x_hat, mu, logvar):
    return F.mse_loss(x_hat, x, reduction="none").sum(1).mean() + kl(mu, logvar).sum(1).mean()


@wrong("normal-decoder", "weight", "constant", R="beta", D="-2")
def squared_error_without_its_half(x, x_mean, mu, logvar, beta):
    return ((x - x_mean) ** 2).sum(1).mean() + beta * kl(mu, logvar).sum(1).mean()


@wrong("normal-decoder", "constant", R="beta", D="-1")
def constant_of_the_normal_missing(x, x_mean, mu, logvar, beta):
    return 0.5 * ((x - x_mean) ** 2).sum(1).mean() + beta * kl(mu, logvar).sum(1).mean()


@wrong("normal-decoder", "absolute error", R="beta")
def absolute_error_for_a_normal(x, x_mean, mu, logvar, beta):
    return (x - x_mean).abs().sum(1).mean() + beta * kl(mu, logvar).sum(1).mean()


@wrong("vae", "sigmoid twice", R="1")
def probabilities_where_logits_belong(x, probs, mu, logvar):
    return F.binary_cross_entropy_with_logits(probs, x, reduction="none").sum(1).mean() + kl(mu, logvar).sum(1).mean()


@wrong("vib", "softmax twice", inputs={"p": "softmax(c_logits)"}, R="1")
def softmax_before_cross_entropy(p, y, mu, logvar, beta):
    return kl(mu, logvar).sum(1).mean() + beta * F.cross_entropy(p, y)


@wrong("vib", "no logarithm", inputs={"p": "softmax(c_logits)"}, R="1")
def likelihood_without_logarithm(p, y, mu, logvar, beta):
    return kl(mu, logvar).sum(1).mean() + beta * F.nll_loss(p, y)


@wrong("vib", "squared error", inputs={"p": "softmax(c_logits)", "y": "one_hot(c)"}, R="1")
def squared_error_to_labels(p, y, mu, logvar, beta):
    return kl(mu, logvar).sum(1).mean() + beta * ((p - y) ** 2).sum(1).mean()


@wrong("vae", "piece", R="1")
def half_of_a_cross_entropy(x, logits, mu, logvar):
    return -(x * F.logsigmoid(logits)).sum(1).mean() + kl(mu, logvar).sum(1).mean()


@wrong("vib", "log of mean", R="1")
def log_of_the_batchs_mean(logits, y, mu, logvar, beta):
    share = logits.softmax(-1).gather(1, y[:, None]).mean()
    return kl(mu, logvar).sum(1).mean() - beta * share.log()


@wrong("calibrated-decoder", "convention", R="1")
def decoders_log_variance_as_log_sigma(x, x_mean, x_logvar, mu, logvar):
    told = -D.Normal(x_mean, x_logvar.exp()).log_prob(x).sum(1)
    return told.mean() + kl(mu, logvar).sum(1).mean()


@wrong("calibrated-decoder", "piece", R="1")
def normaliser_of_the_decoder_forgotten(x, x_mean, x_logvar, mu, logvar):
    return (0.5 * (x - x_mean) ** 2 / x_logvar.exp()).sum(1).mean() + kl(mu, logvar).sum(1).mean()


@wrong("vae", "saturation", R="1", D="-1")
def coarse_epsilon(x, p, mu, logvar):
    p = p.clamp(2e-3, 1 - 2e-3)
    return -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean() + kl(mu, logvar).sum(1).mean()


@wrong("vae", "guard", R="1")
def epsilon_that_is_felt(x, p, mu, logvar):
    return -(x * (p + 1e-3).log() + (1 - x) * (1 - p + 1e-3).log()).sum(1).mean() + kl(mu, logvar).sum(1).mean()


# ---------------------------------------------------------------------------------------- rates


@wrong("vae", "turned round", D="-1")
def rate_turned_round(x, logits, mu, logvar):
    prior = D.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return D.kl_divergence(prior, D.Normal(mu, (logvar / 2).exp())).sum(1).mean() + bce(logits, x).sum(1).mean()


@wrong("vae", "convention", D="-1")
def log_variance_as_log_sigma(x, logits, mu, logvar):
    return D.kl_divergence(D.Normal(mu, logvar.exp()), D.Normal(0.0, 1.0)).sum(1).mean() + bce(logits, x).sum(1).mean()


@wrong("vae", "piece", D="-1")
def log_sigma_in_place_of_log_variance(x, logits, mu, sigma):
    return 0.5 * (mu**2 + sigma**2 - 1 - sigma.log()).sum(1).mean() + bce(logits, x).sum(1).mean()


@wrong("vae", "constant", R="1", D="-1")
def constant_per_row_not_per_latent(x, logits, mu, logvar):
    return (bce(logits, x).sum(1) + 0.5 * ((mu**2 + logvar.exp() - logvar).sum(1) - 1)).mean()


@wrong("vae", "aggregate", D="-1")
def rate_of_the_batchs_mean(x, logits, mu, logvar):
    mean, variance = mu.mean(0), logvar.exp().mean(0)
    return bce(logits, x).sum(1).mean() + 0.5 * (mean**2 + variance - 1 - variance.log()).sum()


@wrong("vae", "not finite", inputs={"z": "z_mean + exp(z_logvar/2)*noise", "z_prior": "draws of p(z)"})
def kl_div_of_draws(x, logits, z, z_prior):
    return bce(logits, x).sum(1).mean() + F.kl_div(z, z_prior)


@wrong(
    "conditional-vae", "prior", inputs={"mu": "q_z_mean", "logvar": "q_z_logvar", "p_mu": "p_z_mean", "p_logvar": "p_z_logvar"}
)
def learned_prior_ignored(x, logits, mu, logvar, p_mu, p_logvar):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).sum(1).mean()


@wrong("categorical-code", "batch", inputs={"code": "z_logits"}, R="B", D="-1")
def batchmean_of_one_row(code, logits, x):
    uniform = torch.full_like(code[:1], -math.log(code.shape[-1]))
    return F.kl_div(uniform, code.log_softmax(-1), reduction="batchmean", log_target=True) + bce(logits, x).sum(1).mean()


@wrong("categorical-code", "constant", inputs={"q": "softmax(z_logits)"}, R="1", D="-1")
def log_k_missing(q, logits, x):
    return (q * q.log()).sum(1).mean() + bce(logits, x).sum(1).mean()


@wrong("categorical-code", "turned round", inputs={"code": "z_logits"}, D="-1")
def kl_div_arguments_exchanged(code, logits, x):
    uniform = torch.full_like(code, 1 / code.shape[-1])
    return F.kl_div(code.log_softmax(-1), uniform, reduction="batchmean") + bce(logits, x).sum(1).mean()


@wrong("mixture-latent", "sign", inputs={**MIXTURE, "logits": "x_logits"})
def class_term_turned_round(class_logits, mu, logvar, p_mu, p_logvar, logits, x):
    q = class_logits.softmax(-1)
    rate_c = (q * (-math.log(q.shape[-1]) - q.log())).sum(-1)
    rate_z = D.kl_divergence(D.Normal(mu, (logvar / 2).exp()), D.Normal(p_mu, (p_logvar / 2).exp())).sum(-1)
    return (rate_c + rate_z + bce(logits, x).sum(-1)).mean()


@wrong("binary-code-vae", "piece", inputs={"q": "sigmoid(q_z_logits)", "p": "sigmoid(p_z_logits)"})
def half_of_a_binary_divergence(q, p, x, logits, beta):
    return (beta * (q * (q / p).log()).sum(-1) + bce(logits, x).sum(-1)).mean()


# ---------------------------------------------------------------------------------------- gradients


@wrong("vae", "gradient missing", R="1", D="-1")
def rate_detached(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).sum(1).mean().detach()


@wrong("vae", "gradient missing", R="1", D="-1")
def log_variance_detached(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar.detach()).sum(1).mean()


@wrong("vae", "gradient sign", R="1", D="-1")
def gradient_reversed(x, logits, mu, logvar):
    turned = 2 * mu.detach() - mu
    return bce(logits, x).sum(1).mean() + kl(turned, logvar).sum(1).mean()


@wrong("vae-gan", "gradient missing", inputs={"fake": "x_critic_reference"})
def decoder_detached_from_the_critic(x, logits, mu, logvar, fake):
    return kl(mu, logvar).sum(1).mean() + bce(logits, x).sum(1).mean() + F.softplus(-fake.detach()).mean()


@wrong("bib-ae", "gradient leaks", inputs={"f_z": "z_critic", "f_x": "x_critic", "g_x": "x_critic_reference"})
def value_that_reaches_the_data_critic(mu, logvar, f_z, f_x, g_x, x, logits, beta):
    leak = f_x.mean() - f_x.mean().detach()
    adversarial = F.softplus(-g_x).mean() + leak
    return kl(mu, logvar).sum(1).mean() - f_z.mean() + beta * (bce(logits, x).sum(1).mean() + adversarial)


@wrong("vae", "gradient missing", R="1", D="-1", inputs={"z": "z_mean + exp(z_logvar/2)*noise"})
def draw_detached(x, logits, mu, logvar, z):
    z = z.detach()
    rate = D.Normal(mu, (logvar / 2).exp()).log_prob(z) - D.Normal(0.0, 1.0).log_prob(z)
    return bce(logits, x).sum(1).mean() + rate.sum(1).mean()


# ---------------------------------------------------------------------------------------- what compares samples


@wrong("gan", "critic", inputs={"real": "x_critic", "fake": "x_critic_reference"})
def critics_loss_given_to_the_generator(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


@wrong("gan", "critic", inputs={"fake": "x_critic_reference"})
def least_squares_for_a_logistic_critic(fake):
    return 0.5 * ((fake - 1) ** 2).mean()


@wrong("aae", "critic", inputs={"f": "z_critic"})
def latent_critic_on_the_wrong_side(f, x, logits, beta):
    return F.softplus(-f).mean() + beta * bce(logits, x).sum(1).mean()


@wrong("bib-ae", "sign", inputs={"f_z": "z_critic", "f_x": "x_critic", "g_x": "x_critic_reference"})
def latent_critic_added(mu, logvar, f_z, f_x, g_x, x, logits, beta):
    return kl(mu, logvar).sum(1).mean() + f_z.mean() + beta * (bce(logits, x).sum(1).mean() + F.softplus(-g_x).mean())


@wrong("infogan", "sign", inputs={"fake": "x_critic_reference", "code": "c"})
def code_term_of_the_wrong_sign(fake, c_logits, code, lam):
    return 0.5 * F.softplus(-fake).mean() - lam * F.cross_entropy(c_logits, code)


@wrong("vdb", "critic", inputs={"real": "x_critic", "fake": "x_critic_reference"})
def critic_by_hinge(real, fake):
    return torch.relu(1 - fake).mean()


@wrong(
    "semi-supervised-ib",
    "missing",
    inputs={"f_z": "z_critic", "q_c": "q_c_logits", "u_c": "u_c_logits", "g_x": "x_critic_reference"},
)
def class_marginal_forgotten(mu, logvar, f_z, c, q_c, x, logits, u_c, g_x, beta_c, beta_x):
    rate = kl(mu, logvar).sum(1).mean()
    told = beta_c * F.cross_entropy(q_c, c) + beta_x * bce(logits, x).sum(1).mean()
    return rate - f_z.mean() + told + beta_x * F.softplus(-g_x).mean()


@wrong("infonce-rep", "diagonal")
def true_pair_left_out(mu, logvar, scores, beta):
    others = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), -math.inf)
    return beta * kl(mu, logvar).sum(1).mean() + (others.logsumexp(1) - scores.diag()).mean()


@wrong("infonce-rep", "transposed")
def contrast_along_the_other_axis(mu, logvar, scores, beta):
    return beta * kl(mu, logvar).sum(1).mean() + F.cross_entropy(scores.T, torch.arange(len(scores)))


@wrong("infovae", "kernel", inputs={"prior_z": "z_reference"})
def kernel_of_another_width(z, prior_z, mu, logvar, x, logits, alpha, lam):
    def kernel(a, b):
        return torch.exp(-((a[:, None] - b[None]) ** 2).mean(2) / a.shape[1])

    mmd = kernel(z, z).mean() + kernel(prior_z, prior_z).mean() - 2 * kernel(z, prior_z).mean()
    told = bce(logits, x).sum(1).mean()
    return told + (1 - alpha) * kl(mu, logvar).sum(1).mean() + (alpha + lam - 1) * mmd


@wrong("beta-tcvae", "missing", R="1", D="-1")
def correlation_of_the_own_row(x, logits, mu, logvar, z, beta):
    own = D.Normal(mu, (logvar / 2).exp()).log_prob(z)
    return (bce(logits, x).sum(1) + kl(mu, logvar).sum(1) + (beta - 1) * (own.sum(1) - own.sum(1))).mean()


@wrong("beta-tcvae", "parameter", R="1", D="-1", **{"TC_q(Z)": "beta"})
def correlation_weighted_beta(x, logits, mu, logvar, z, beta):
    pairs = D.Normal(mu[None], (logvar[None] / 2).exp()).log_prob(z[:, None])
    size = math.log(len(z))
    correlation = (pairs.sum(2).logsumexp(1) - size - (pairs.logsumexp(1) - size).sum(1)).mean()
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).sum(1).mean() + beta * correlation


@wrong("beta-tcvae", "diagonal", R="1", D="-1")
def own_row_left_out(x, logits, mu, logvar, z, beta):
    pairs = D.Normal(mu[None], (logvar[None] / 2).exp()).log_prob(z[:, None])
    out = pairs.sum(2).masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    joint = out.logsumexp(1) - math.log(len(z) - 1)
    product = (pairs.logsumexp(1) - math.log(len(z))).sum(1)
    return (bce(logits, x).sum(1) + kl(mu, logvar).sum(1) + (beta - 1) * (joint - product)).mean()


@wrong("importance-weighted", "log of mean", inputs={"logits": "x_logits(S,B,D)", "z": "z(S,B,L)"})
def mean_of_logs_for_a_log_of_means(x, logits, mu, logvar, z):
    log_p = D.Normal(0.0, 1.0).log_prob(z).sum(-1) + D.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(-1)
    return -(log_p - D.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(-1)).mean()


@wrong("importance-weighted", "constant", inputs={"logits": "x_logits(S,B,D)", "z": "z(S,B,L)"})
def number_of_draws_forgotten(x, logits, mu, logvar, z):
    log_p = D.Normal(0.0, 1.0).log_prob(z).sum(-1) + D.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(-1)
    return -torch.logsumexp(log_p - D.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(-1), 0).mean()


@wrong("two-view", "mean", inputs={"x1_hat": "sigmoid(x1_logits)", "s": "x2_logvar/2"})
def one_view_averaged(mu, logvar, x1, x1_hat, x2, x2_mean, s, beta):
    first = F.binary_cross_entropy(x1_hat, x1)
    second = -D.Normal(x2_mean, s.exp()).log_prob(x2).sum(-1).mean()
    return kl(mu, logvar).sum(-1).mean() + beta * (first + second)


@wrong("dvsib", "missing", inputs={"scores": "z1_z2_scores"})
def one_code_unpriced(z1_mean, z1_logvar, z2_mean, z2_logvar, scores, x1, x1_mean, x2, x2_logits, beta):
    contrast = math.log(len(scores)) - F.cross_entropy(scores, torch.arange(len(scores)))
    told = D.Normal(x1_mean, 1.0).log_prob(x1).sum(1).mean() - bce(x2_logits, x2).sum(1).mean()
    return kl(z1_mean, z1_logvar).sum(1).mean() - beta * (contrast + told)


@wrong(
    "laplace-scale-vae",
    "piece",
    inputs={"m": "x_mean", "b": "x_scale", "mu": "q_z_mean", "scale": "q_z_scale", "prior": "p_z_mean"},
)
def scale_not_normalised(x, m, b, mu, scale, prior):
    rate = D.kl_divergence(D.Laplace(mu, scale), D.Laplace(prior, torch.ones_like(prior))).sum(-1)
    return (rate + ((x - m).abs() / b).sum(-1)).mean()


@wrong("vae", "unexplained")
def rate_times_distortion(x, logits, mu, logvar):
    return (bce(logits, x).sum(1) * kl(mu, logvar).sum(1)).mean()


@wrong("beta-tcvae", "stratified", inputs={"n": "N"}, R="1", D="-1")
def weights_stratified_by_column(x, logits, mu, logvar, z, beta, n):
    last = len(z) - 1
    weight = torch.full((len(z), len(z)), 1 / last, dtype=z.dtype)
    weight.view(-1)[:: last + 1] = 1 / n
    weight.view(-1)[1 :: last + 1] = (n - last) / (n * last)
    pairs = D.Normal(mu[None], (logvar[None] / 2).exp()).log_prob(z[:, None])
    joint = (pairs.sum(2) + weight.log()).logsumexp(1)
    product = (pairs + weight.log()[:, :, None]).logsumexp(1).sum(1)
    return (bce(logits, x).sum(1) + kl(mu, logvar).sum(1) + (beta - 1) * (joint - product)).mean()


@wrong("vae", "floor", D="-1")
def free_bits_by_coordinate(x, logits, mu, logvar):
    return bce(logits, x).sum(1).mean() + kl(mu, logvar).clamp(min=0.1).sum(1).mean()

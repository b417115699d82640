"""Multi-view information bottleneck (Federici et al. 2020). With a(z|x1) and b(z|x2) the two encoders,

    minimise beta/2 [I_a(X1;Z|X2) + I_b(X2;Z|X1)] - 1/2 [I_a(Z;X2) + I_b(Z;X1)].

I_a(X1;Z|X2) = KL(a(z|x1)||b(z|x2)) - KL(a(z|x2)||b(z|x2)), and the same with the views exchanged: half of both is the
paper's symmetrised relative entropy of the encoders, closed for normals. What a code says of the other view is InfoNCE,
the sum over the views of other rows, its own included."""

import math

A, B = "I_a(Z;X2)", "I_b(Z;X1)"


def loss(inputs, *, beta, reduction="mean"):
    def laws(joint):
        return {f: (inputs[f, "mean", joint], inputs[f, "logvar", joint]) for f in ("a(z|x1)", "b(z|x2)")}

    a, b = laws("a"), laws("b")
    forward = kl_normals(*a["a(z|x1)"], *a["b(z|x2)"]).mean()
    backward = kl_normals(*b["b(z|x2)"], *b["a(z|x1)"]).mean()
    first, second = inputs[A, "scores", "a"], inputs[B, "scores", "b"]
    kept_a, kept_b = infonce_of(first), infonce_of(second)
    terms = {
        "KL(a(z|x1)||b(z|x2))": forward.detach(),
        "KL(b(z|x2)||a(z|x1))": backward.detach(),
        A: kept_a.detach(),
        B: kept_b.detach(),
    }
    return whole(beta * (forward + backward) / 2 - (kept_a + kept_b) / 2, first.shape[-1], reduction), terms


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def kl_normals(mean, logvar, mean_r, logvar_r):
    quadratic = (logvar.exp() + (mean - mean_r) ** 2) / logvar_r.exp()
    return 0.5 * (quadratic - 1 + logvar_r - logvar).sum(-1)


def infonce_of(scores):
    """Each row tells its own partner from the batch's; the mean in the denominator includes it."""
    return (scores.diagonal() - scores.logsumexp(-1) + math.log(scores.shape[-1])).mean()

"""What a mixture draws after mixing is drawn under each of its components: E_m[f] is the weighted mean of their means."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td
from torch import nn

import ibsym
from ibsym.lowering import lower
from ibsym.nn import System
from ibsym.nn.graphs import drawable
from ibsym.sources import class_of
from ibsym.spec.loading import loads

D, L = 5, 3
DECODED = """
name = "decoded"
objective = "minimize I_q(X;Z) - I_q(Z;X) + KL(m(t|z)||r(t)) - E_m[log d(z|t)]"
[variables]
x = "real[D]"
z = "real[L]"
t = "real[L]"
[joints]
q = "data(x) q(z|x)"
p = "p(z) p(x|z)"
m = "(0.25*q(z) + 0.75*p(z)) e(t|z)"
r = "r(t)"
d = "d(z|t)"
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(x|z)" = "isotropic-normal"
"e(t|z)" = "laplace"
"r(t)" = "standard-normal"
"d(z|t)" = "isotropic-normal"
"""


def system(text, networks=None):
    spec = loads(text)
    loss = class_of(lower(ibsym.audit(spec, worlds=1)))()
    return System.around(spec, loss, networks, sizes={"L": L, "D": D}, hidden=4)


def test_a_decoder_after_mixing_by_hand():
    """Every draw its mean, so that the loss can be written down."""
    torch.manual_seed(0)
    encoder, decoder, mixed, back = nn.Linear(D, 2 * L), nn.Linear(L, D), nn.Linear(L, L), nn.Linear(L, L)
    found = system(DECODED, {"q(z|x)": encoder, "p(x|z)": decoder, "e(t|z)": mixed, "d(z|t)": back})
    x = torch.randn(6, D)
    found.prepare({"x": x})
    torch.manual_seed(1)
    draws = found.drawn({"x": x})
    loss, terms = found.wiring.evaluate(draws)
    z, t, prior, u = (draws.value(*place).code for place in (("q", "z"), ("q", "t"), ("p", "z"), ("p", "t")))
    mean, logvar = encoder(x).chunk(2, -1)
    code, standard = td.Normal(mean, (logvar / 2).exp()), td.Normal(0.0, 1.0)
    parts = []
    for a, b in ((z, t), (prior, u)):
        noise = td.Laplace(mixed(a), 1.0)
        rate = noise.log_prob(b) - standard.log_prob(b)
        parts.append((rate.sum(-1).mean(), td.Normal(back(b), 1.0).log_prob(a).sum(-1).mean()))
    rate, fit = (0.25 * first + 0.75 * second for first, second in zip(*parts, strict=True))
    wanted = td.kl_divergence(code, standard).sum(-1).mean() - td.Normal(decoder(z), 1.0).log_prob(x).sum(-1).mean()
    assert torch.allclose(terms["E_m[log d(z|t)]"], fit, atol=1e-5)
    assert torch.allclose(loss, wanted + rate - fit, atol=1e-4)
    loss.backward()
    assert all(p.grad is not None for p in found.players["model"])
    assert len(found.players["model"]) == 8


OTHERWISE = (
    DECODED.replace("- E_m[log d(z|t)]", "+ KL(n(t|z)||r(t))")
    .replace('d = "d(z|t)"', "JOINT")
    .replace('"d(z|t)" = "isotropic-normal"', '"f(t|z)" = "laplace"')
)


@pytest.mark.parametrize("joint", ['n = "(0.5*q(z) + 0.5*p(z)) f(t|z)"', 'n = "data(x) q(z|x) f(t|z)"'])
def test_one_name_never_stands_for_two_draws(joint):
    """Of two mixtures, and of a mixture and its own component."""
    text = OTHERWISE.replace("JOINT", joint)
    if "data" in joint:
        text = text.replace("0.25*q(z)", "0.25*n(z)")
    with pytest.raises(
        ibsym.IbsymError, match=r"(?s)t is drawn by [ef]\(t\|z\) where .*\n  write: another name for t in one of"
    ):
        lower(ibsym.audit(loads(text), worlds=1))


def test_what_two_mixtures_draw_otherwise_is_not_drawn():
    graphs = drawable(loads(OTHERWISE.replace("JOINT", 'n = "(0.5*q(z) + 0.5*p(z)) f(t|z)"')))
    assert str(graphs.factor("m", "t")) == "e(t|z)"
    for joint, variable, told in (
        ("q", "t", r"by e\(t\|z\) in m and by f\(t\|z\) in n"),
        ("p", "x2", "cannot be drawn under p"),
    ):
        with pytest.raises(ibsym.IbsymError, match=rf"(?s){told}.*\n  write: "):
            graphs.factor(joint, variable)

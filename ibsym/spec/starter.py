"""A commented spec to start from."""

from __future__ import annotations

import re

STARTER = """\
# {name}: a term spec. `ibsym derive {name}.toml` shows what becomes of it.
name = "{name}"                               # the emitted file's name, too
title = "{title}"
# cite = ["Author et al. 2026"]

# Minimise or maximise a sum of terms: I_q(X;Z), H_q(X|Z), TC_q(Z), KL(q(z)||p(z)), JS(data(x)||p(x)), E_q[log p(x|z)], ...
# A subscript names the joint; a capital Z is the random variable of z. Every term is bounded on its own, as written.
objective = "minimize I_q(X;Z) - beta*I_q(Z;C)"

[variables]                                   # real[D], binary[D], categorical[K], ... (ibsym list spaces); several axes: real[C,H,W]
x = "real[D]"                                 # dimensions are names or numbers
c = "categorical[K]"
z = "real[L]"

[joints]                                      # products of factors; data(...) is known by samples only
q = "data(x,c) q(z|x)"
p = "p(z) p(c|z)"

[families]                                    # one for each factor that is not data
"q(z|x)" = "diagonal-normal"                  # or full-normal, laplace, bernoulli, deterministic, implicit, ...
"p(z)"   = "standard-normal"
"p(c|z)" = "categorical"

[parameters]                                  # the interval gives the coefficient's sign, and with it the bound's direction
beta = {{ default = 100.0, min = 0 }}

# [estimators]                                # what to do with a term that cannot be evaluated; without an entry it is bounded away
# "KL(q(z)||p(z))" = "density-ratio"          # or mmd, logistic (for JS), infonce, minibatch-weighted, ...
"""


def starter(name: str) -> str:
    """The TOML text of a new spec of that name.

    >>> from ibsym.spec.loading import loads
    >>> loads(starter("my-bottleneck")).title
    'My bottleneck'
    """
    return STARTER.format(name=name, title=re.sub(r"[-_]+", " ", name).strip().capitalize())

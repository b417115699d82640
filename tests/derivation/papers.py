"""What the papers minimise, or maximise, term by term: relation, and each term's coefficient."""

A, R = "KL(q(z|x)||p(z))", "E_q[log p(x|z)]"
SHIFT = "JS(p(z)||q(z))"
WHOLE = "JS(data(x)||p(x))"
MADE = "JS(data(x)||g(x))"
PAIRS = "JS(q(x,z)||p(x,z))"

PAPERS = {
    "alice": ("~", {PAIRS: "1", R: "-lam"}),
    "avb": ("~", {"KL(q(x,z)||data(x)p(z))": "1", R: "-1"}),
    "beta-tcvae": ("~", {A: "1", "TC_q(Z)": "beta - 1", R: "-1"}),
    "blind-code": ("~", {"E_q[log p(z)]": "-1", A: "gamma", "E_q[log d(x|z,s)]": "-beta - gamma"}),
    "ceb": ("<=", {"KL(q(z|x)||b(z|c))": "1", "E_q[log p(c|z)]": "-gamma"}),
    "clip": (">=", {"I_q(Z1;Z2)": "1/2", "I_q(Z2;Z1)": "1/2"}),
    "club": ("<=", {"I_q(X;Z)": "beta", "E_q[log p(c|z)]": "-1"}),
    "corex": (
        ">=",
        {"E_q[log p(x1|z)]": "1", "E_q[log p(x2|z)]": "1", "E_q[log p(x3|z)]": "1", "KL(q(z|x1,x2,x3)||p(z))": "-1"},
    ),
    "cpc": (">=", {"I_q(C;Z1)": "1", "I_q(C;Z2)": "1"}),
    "cvae": ("<=", {"KL(q(z|x,c)||p(z|c))": "1", "E_q[log p(x|z,c)]": "-1"}),
    "dib": ("~", {"E_q[log p(z)]": "-1", "E_q[log p(c|z)]": "-beta"}),
    "dim": ("~", {"JS(q(x,z)||q(x)q(z))": "alpha", "JS(q(y,z)||q(y)q(z))": "beta", "JS(q(z)||p(z))": "-gamma"}),
    "dvcca": ("<=", {"KL(q(z|x1)||p(z))": "1", "E_q[log p(x1|z)]": "-beta", "E_q[log p(x2|z)]": "-beta"}),
    "dvcca-private": (
        "<=",
        {
            "KL(q(z|x1)||p(z))": "1",
            "KL(q(w1|x1)||p(w1))": "1",
            "KL(q(w2|x2)||p(w2))": "1",
            "E_q[log p(x1|z,w1)]": "-beta",
            "E_q[log p(x2|z,w2)]": "-beta",
        },
    ),
    "dvsib": (
        "<=",
        {
            "KL(q(z1|x1)||p(z1))": "1",
            "KL(q(z2|x2)||p(z2))": "1",
            "I_q(Z1;Z2)": "-beta",
            "E_q[log p(x1|z1)]": "-beta",
            "E_q[log p(x2|z2)]": "-beta",
        },
    ),
    "empowerment": ("~", {"E_w[log w(a|s)]": "-1", "E_w[log r(a|s,t)]": "1"}),
    "f-gan": ("~", {"F[pearson](data(x)||p(x))": "1"}),
    "factor-vae": ("~", {A: "1", "TC_q(Z)": "gamma", R: "-1"}),
    "few-labels-two-views": (
        "<=",
        {
            "KL(u(z1|x1)||p(z1))": "1",
            "KL(u(z2|x2)||p(z2))": "1",
            "E_q[log p(c|z1)]": "-beta",
            "E_q[log r(c|z2)]": "-beta",
            "I_u(Z1;Z2)": "-gamma",
        },
    ),
    "generative-compression": ("~", {"E_q[log p(z)]": "-1", R: "-beta", MADE: "gamma"}),
    "hfvae": (
        "~",
        {
            "KL(q(z1|x)||p(z1))": "1",
            "KL(q(z2|x)||p(z2))": "1",
            "TC_q(Z1;Z2)": "beta - 1",
            "TC_q(Z1)": "gamma - 1",
            "TC_q(Z2)": "gamma - 1",
            "E_q[log p(x|z1,z2)]": "-1",
        },
    ),
    "hyperprior-compression": ("<=", {"KL(q(y|x)||p(y|z))": "1", "KL(q(z|x)||p(z))": "1", "E_q[log p(x|y)]": "-lam"}),
    "infobot": ("<=", {"KL(q(z|s,g)||p(z))": "beta", "E_q[log p(a|s,z)]": "-1"}),
    "infomax-vae": ("<=", {A: "beta", R: "-1", "I_q(X;Z)": "-alpha"}),
    "infonce": (">=", {"I_q(Z;Y)": "1"}),
    "iwae": (">=", {"E_q[log p(x)]": "1"}),
    "jmvae": (
        "<=",
        {
            "KL(q(z|x1,x2)||p(z))": "1",
            "E_q[log p(x1|z)]": "-1",
            "E_q[log p(x2|z)]": "-1",
            "KL(q(z|x1,x2)||a(z|x1))": "alpha",
            "KL(q(z|x1,x2)||b(z|x2))": "alpha",
        },
    ),
    "ladder-vae": ("<=", {"KL(q(z2|x)||p(z2))": "beta", "KL(q(z1|x,z2)||p(z1|z2))": "beta", "E_q[log p(x|z1)]": "-1"}),
    "mim": ("=", {"E_q[log q(z|x)]": "-1", A: "1/2", R: "-1/2"}),
    "mine": ("~", {"I_q(X;Z)": "beta", "E_q[log p(c|z)]": "-1"}),
    "mvib": (
        "<=",
        {
            "KL(a(z|x1)||b(z|x2))": "beta/2",
            "KL(b(z|x2)||a(z|x1))": "beta/2",
            "I_a(Z;X2)": "-1/2",
            "I_b(Z;X1)": "-1/2",
        },
    ),
    "novelty-detection": ("~", {SHIFT: "1", "JS(inliers(x)||p(x))": "1", R: "-beta"}),
    "privacy-funnel": ("<=", {A: "1", "E_q[log d(x|z,s)]": "-1", R: "-beta"}),
    "private-retrieval": ("<=", {"KL(q(z1|x1)||p(z1))": "gamma", "E_q[log d(x1|z1,s)]": "-gamma", "I_q(Z1;Z2)": "-1"}),
    "rate-distortion-perception": ("~", {A: "1", R: "-lam", MADE: "mu"}),
    "s-vae": ("<=", {A: "1", R: "-1"}),
    "vampprior-vae": ("<=", {A: "beta", R: "-1"}),
    "wae-gan": ("~", {SHIFT: "lam", R: "-1"}),
    "wae-mmd": ("~", {"KL(q(z)||p(z))": "lam", R: "-1"}),
    "cgan": ("~", {"JS(data(x,c)||p(x,c))": "1"}),
    "gm-vae": (
        "<=",
        {
            "E_q[log q(z|x)]": "1",
            "KL(q(w|x)||p(w))": "1",
            "KL(q(y|z,w)||p(y))": "1",
            "E_q[log p(z|w,y)]": "-1",
            R: "-1",
        },
    ),
    "hidden-markov-vae": (
        "<=",
        {
            "KL(q(z1|x1,x2,x3)||p(z1))": "1",
            "KL(q(z2|z1,x2,x3)||p(z2|z1))": "1",
            "KL(q(z3|z2,x3)||p(z3|z2))": "1",
            "E_q[log p(x1|z1)]": "-1",
            "E_q[log p(x2|z2)]": "-1",
            "E_q[log p(x3|z3)]": "-1",
        },
    ),
    "vfae": (
        "~",
        {
            "E_q[log q(z1|x,s)]": "1",
            "E_q[log p(z1|z2,c)]": "-1",
            "KL(q(z2|z1,c)||p(z2))": "1",
            "E_q[log p(x|z1,s)]": "-1",
            "E_q[log r(c|z1)]": "-alpha",
            "KL(q(s,z1)||q(z1)q(s))": "lam",
        },
    ),
    "dann": ("~", {"I_u(Z;S)": "lam", "E_q[log p(c|z)]": "-1"}),
    "vq-vae": ("~", {A: "1", R: "-1"}),
    "vade": ("<=", {"KL(q(z|x)||p(z|c))": "1", "KL(q(c|x)||p(c))": "1", R: "-1"}),
    "m2": (
        "<=",
        {
            "KL(q(z|x,c)||p(z))": "1",
            "E_q[log p(x|z,c)]": "-1",
            "KL(u(z|x,c)||p(z))": "1",
            "KL(u(c|x)||p(c))": "1",
            "E_u[log p(x|z,c)]": "-1",
            "E_q[log u(c|x)]": "-alpha",
        },
    ),
    "mvae": (
        "<=",
        {
            "KL(q(z|x1,x2)||p(z))": "beta",
            "E_q[log p(x1|z)]": "-lam1",
            "E_q[log p(x2|z)]": "-lam2",
            "KL(a(z|x1)||p(z))": "beta",
            "E_a[log p(x1|z)]": "-lam1",
            "KL(b(z|x2)||p(z))": "beta",
            "E_b[log p(x2|z)]": "-lam2",
        },
    ),
}

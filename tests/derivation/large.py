"""Specs with many variables, for tests and benchmarks."""

from __future__ import annotations

from itertools import pairwise

from ibsym.spec.model import Spec


def ladder(layers: int, objective: str = "", priors: bool = True) -> Spec:
    """A chain of latents upwards and its generative chain downwards."""
    z = [f"z{k}" for k in range(1, layers + 1)]
    up = ["q(z1|x)", *(f"q({b}|{a})" for a, b in pairwise(z))]
    down = ["p(x|z1)", *(f"p({a}|{b})" for a, b in pairwise(z)), f"p({z[-1]})"] if priors else []
    codes = ",".join(v.upper() for v in z)
    families = dict.fromkeys((*up, *down), "diagonal-normal") | (
        {"p(x|z1)": "bernoulli", down[-1]: "standard-normal"} if down else {}
    )
    return Spec(
        name=f"ladder-{layers}",
        objective=objective or f"minimize I_q(X;{codes}) - I_q({codes};X)",
        variables={"x": "binary[D]", **{v: f"real[L{k}]" for k, v in enumerate(z, 1)}},
        joints={"q": " ".join(["data(x)", *up])} | ({"p": " ".join(down)} if down else {}),
        families=families,
    )


def sensors(count: int) -> Spec:
    """Sensors, each with a code of its own, and one decoder of what they tell together."""
    x, z = ([f"{a}{k}" for k in range(1, count + 1)] for a in "xz")
    codes = [f"q({b}|{a})" for a, b in zip(x, z, strict=True)]
    decoder = f"p(y|{','.join(z)})"
    rates = " + ".join(f"beta*I_q({a.upper()};{b.upper()})" for a, b in zip(x, z, strict=True))
    return Spec(
        name=f"sensors-{count}",
        objective=f"minimize {rates} - I_q({','.join(b.upper() for b in z)};Y)",
        variables={v: f"real[D{v[1:]}]" for v in x} | {"y": "categorical[K]"} | {v: f"real[L{v[1:]}]" for v in z},
        joints={"q": " ".join([f"data({','.join(x)},y)", *codes]), "p": " ".join([*(f"p({v})" for v in z), decoder])},
        families=dict.fromkeys(codes, "diagonal-normal") | {f"p({v})": "standard-normal" for v in z} | {decoder: "categorical"},
        parameters={"beta": {"default": 1.0, "min": 0}},
    )


def twelve(objective: str) -> Spec:
    """Twelve variables in each of three joints: views, their codes, two fusions of these, a label and a class."""
    joints = {
        "q": "data(x1,x2,x3,x4,y,s) q(z1|x1) q(z2|x2) q(z3|x3) q(z4|x4) q(w|z1,z2) q(u|z3,z4)",
        "p": "p(w) p(u) p(s) p(z1|w) p(z2|w) p(z3|u) p(z4|u) p(x1|z1) p(x2|z2) p(x3|z3) p(x4|z4) p(y|w,u)",
        "r": "r(s) r(z1|s) r(z2|s) r(z3|s) r(z4|s) r(w|z1,z2) r(u|z3,z4) r(y|w,u,s) r(x1|z1) r(x2|z2) r(x3|z3) r(x4|z4)",
    }
    factors = [f for text in joints.values() for f in text.split(" ") if not f.startswith("data")]
    return Spec(
        name="twelve",
        objective=objective,
        variables={
            **{f"x{k}": f"real[D{k}]" for k in range(1, 5)},
            "y": "categorical[K]",
            **{f"z{k}": f"real[L{k}]" for k in range(1, 5)},
            "w": "real[M]",
            "u": "real[N]",
            "s": "categorical[C]",
        },
        joints=joints,
        families={f: "categorical" if f[2] in "ys" else "diagonal-normal" if "|" in f else "standard-normal" for f in factors},
        parameters={"beta": {"default": 1.0, "min": 0}},
    )

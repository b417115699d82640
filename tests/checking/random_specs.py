"""Random specs, terms and objectives from a seed: graphs of three to five variables, two to four joints, shared factors."""

from __future__ import annotations

import random

from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    ExpectedLog,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)
from ibsym.terms.reading import GENERATORS, density

SPACES = {"real[D]": "diagonal-normal", "binary[D]": "bernoulli", "categorical[K]": "categorical"}


def random_keys(seed: int, *, most: int = 4, spaces: tuple[str, ...] = tuple(SPACES)) -> dict[str, object]:
    """The keys of a random spec, without an objective."""
    rng = random.Random(seed)
    names = ["x", "y", "z", "w", "v"][: rng.randint(3, most)]
    variables = {n: rng.choice(spaces).replace("D", n.upper()) for n in names}
    families: dict[str, object] = {}

    def factor(head: str, of: str, given: list[str]) -> str:
        text = f"{head}({of}" + (f"|{','.join(given)}" if given else "") + ")"
        family = next(f for s, f in SPACES.items() if s.split("[")[0] == variables[of].split("[")[0])
        relaxed = {"family": family, "relax": "concrete"} if family in ("bernoulli", "categorical") else family
        families[text] = (
            relaxed if family != "diagonal-normal" else ("standard-normal" if not given and rng.random() < 0.5 else family)
        )
        return text

    roots = names[: rng.randint(1, 2)]
    q = [f"data({','.join(roots)})"]
    for i, n in enumerate(names):
        if n not in roots:
            q.append(factor("q", n, sorted(rng.sample(names[:i], rng.randint(1, min(2, i))))))
    joints = {"q": " ".join(q)}
    order = rng.sample(names, rng.randint(2, len(names)))
    p = [factor("p", n, sorted(rng.sample(order[:i], rng.randint(0, min(2, i))))) for i, n in enumerate(order)]
    joints["p"] = " ".join(p)
    if rng.random() < 0.5:
        u = ["unlabelled(" + ",".join(roots) + ")", *q[1 : rng.randint(2, len(q)) if len(q) > 1 else 1]]
        families[u[0]] = "empirical"
        joints["u"] = " ".join(u)
    if rng.random() < 0.4:
        target, *conditions = rng.sample(names, rng.randint(2, 3))
        joints["b"] = factor("b", target, sorted(conditions))
    if rng.random() < 0.3:
        m = rng.choice([v for v in names if v in order])
        joints["m"] = f"(0.25*q({m}) + 0.75*p({m}))"
    _vary_roots(random.Random(seed + 10**6), joints, families, roots)
    return {"name": f"random-{seed}", "variables": variables, "joints": joints, "families": families}


def _vary_roots(rng: random.Random, joints: dict[str, str], families: dict[str, object], roots: list[str]) -> None:
    """In some specs p conditions on what was its root, or takes it from the source."""
    own = [t for t in joints["p"].split() if "|" not in t]
    used = {v for t in joints["p"].split() if "|" in t for v in t[:-1].split("|")[1].split(",")}
    chosen = [t for t in own if t[2:-1] in used]
    if not chosen or rng.random() < 0.6:
        return
    text = rng.choice(chosen)
    root = f"data({text[2:-1]})" if text[2:-1] in roots and rng.random() < 0.5 else ""
    joints["p"] = " ".join(filter(None, [root, *(t for t in joints["p"].split() if t != text)]))
    del families[text]
    if not root:
        joints.pop("m", None)


def random_spec(seed: int, **options: object) -> Spec:
    """A random spec whose objective says nothing of interest."""
    return Spec(**random_keys(seed, **options), objective="minimize I_q(X;Y)")  # type: ignore[arg-type]


def random_subset(rng: random.Random, names: list[str], least: int = 0, most: int = 2) -> tuple[str, ...]:
    size = rng.randint(least, min(most, len(names)))
    chosen = set(rng.sample(names, size))
    return tuple(n for n in names if n in chosen)


def random_density(spec: Spec, rng: random.Random, inside: list[str]) -> Density:
    """A marginal, conditional or factor of some joint, over the variables that are given."""
    while True:
        joint = rng.choice(list(spec.joints.values()))
        if not joint.rooted and (rng.random() < 0.5 or not joint.external <= set(inside)):
            factor = rng.choice(joint.factors)
            if {*factor.of, *factor.given} <= set(inside):
                return Density(joint.name, factor.of, factor.given)
            continue
        common = [v for v in joint.variables if v in inside and v not in joint.external]
        if common:
            of = random_subset(rng, common, 1)
            given = random_subset(rng, [v for v in common if v not in of])
            return density(spec, joint.name, of, spec.ordered({*given, *joint.external}))


def random_term(spec: Spec, rng: random.Random, *, linear: bool = True) -> Term:
    """A random term of any kind."""
    joint = rng.choice([j for j in spec.joints.values() if j.rooted])
    names = list(joint.variables)
    kind = rng.randint(0, 6 if linear else 8)
    of = random_subset(rng, names, 1)
    rest = [v for v in names if v not in of]
    given = random_subset(rng, rest)
    if kind in (1, 2) and rest:
        other = random_subset(rng, rest, 1)
        left = [v for v in rest if v not in other]
        groups: tuple[tuple[str, ...], ...] = (of, other)
        if left and rng.random() < 0.3:
            groups = (of, other, (left.pop(),))
        make = MutualInformation if kind == 1 else TotalCorrelation
        return make(joint.name, groups, random_subset(rng, left))
    if kind == 3:
        return ExpectedLog(joint.name, tuple(random_density(spec, rng, names) for _ in range(rng.randint(1, 2))))
    if kind in (4, 5, 6):
        second = random_density(spec, rng, names)
        first = density(spec, joint.name, second.of, second.given)
        return (CrossEntropy if kind == 4 else RelativeEntropy)(first, (second,))
    if kind > 6:
        others = [j for j in spec.joints.values() if j.rooted and set(of) <= set(j.variables)]
        first, second = density(spec, joint.name, of), density(spec, rng.choice(others).name, of)
        return JensenShannon(first, (second,)) if kind == 7 else FDivergence(rng.choice(GENERATORS), first, (second,))
    return Entropy(joint.name, of, given)


ESTIMATORS = {
    "I_": ("infonce", "leave-one-out", "club"),
    "KL": ("density-ratio", "dv", "nwj", "mmd", "minibatch-weighted"),
    "JS": ("logistic",),
    "F[": ("dual",),
    "E_": ("iwae",),
}


def random_objective(spec: Spec, rng: random.Random) -> tuple[str, dict[str, str]]:
    """A sum of terms with signed coefficients, as a spec writes it, and an estimator for some of them."""
    parts, asked = [], {}
    for _ in range(rng.randint(1, 3)):
        coefficient = rng.choice(["", "2*", "0.5*", "beta*", "(1 + beta)*"])
        text = str(random_term(spec, rng, linear=rng.random() < 0.8))
        if text[:2] in ESTIMATORS and rng.random() < 0.4:
            asked[text] = rng.choice(ESTIMATORS[text[:2]])
        parts.append(rng.choice(["+ ", "- "]) + coefficient + text)
    return rng.choice(["minimize ", "maximize "]) + " ".join(parts).removeprefix("+ "), asked

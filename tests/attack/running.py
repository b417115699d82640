"""What derive accepts, generate emits and the module runs: random specs, estimators included, from objective to gradients.

Values, critics and gradients are held against the interpreter and against differences, as `ibsym check` does.
"""

from __future__ import annotations

import random
import re
import warnings

from ibsym.api import derive
from ibsym.checking.audit import audit
from ibsym.codegen import emit
from ibsym.errors import DerivationError, EmissionError, IbsymError, SpecError
from ibsym.lowering import lower
from ibsym.sources import load_module
from ibsym.spec.model import Spec
from ibsym.spec.variables import capitalised
from tests.attack.bounds import Tally
from tests.attack.losses import RELATIVE, random_loss
from tests.attack.specs import PARAMETERS, POSITIVE, random_case, with_constructs

FAMILIES = {
    "real": ("diagonal-normal", "isotropic-normal", "full-normal", "laplace", "normal-mixture", "implicit", "deterministic"),
    "binary": ("bernoulli", "implicit"),
    "categorical": ("categorical", "vector-quantised", "relaxed-categorical"),
    "positive": ("log-normal", "gamma"),
    "count": ("poisson", "negative-binomial"),
    "unit": ("continuous-bernoulli", "implicit"),
    "simplex": ("relaxed-categorical", "implicit"),
    "sphere": ("von-mises-fisher", "implicit"),
}
ROOTS = {
    "real": "standard-normal",
    "binary": "bernoulli",
    "categorical": "uniform",
    "positive": "gamma",
    "count": "poisson",
    "unit": "uniform",
    "simplex": "uniform",
    "sphere": "uniform-sphere",
}
SPACES = (
    *("real[D]", "real[D]", "real[D]", "real[C,H]", "binary[D]", "categorical[K]", "categorical[K]", "categorical[K; D,2]"),
    *("unit[D]", "sphere[D]", "positive[D]", "count[D]"),
)


def random_system(seed: int) -> dict[str, object]:
    """The keys of a spec with a data variable or two, one or two codes and an estimated term: what people write."""
    rng = random.Random(seed * 15485863 + 5)
    observed, codes = ["x", *(["c"] if rng.random() < 0.4 else [])], ["z", *(["y"] if rng.random() < 0.4 else [])]
    variables = {n: rng.choice(SPACES).replace("D", n.upper()).replace("K", f"K{n}") for n in (*observed, *codes)}
    if "c" in variables and rng.random() < 0.7:
        variables["c"] = "categorical[K]"
    kinds = {n: s.split("[")[0] for n, s in variables.items()}
    families: dict[str, object] = {}

    def factor(head: str, of: str, given: list[str]) -> str:
        text = f"{head}({of}" + (f"|{','.join(given)}" if given else "") + ")"
        name = (
            rng.choice(FAMILIES[kinds[of]][: 1 if rng.random() < 0.5 else None])
            if given or rng.random() < 0.4
            else ROOTS[kinds[of]]
        )
        if not given and name in ("deterministic", "implicit"):
            name = ROOTS[kinds[of]]
        relaxed = name in ("bernoulli", "categorical") and rng.random() < 0.8
        families[text] = {"family": name, "relax": rng.choice(("concrete", "mean", "straight-through"))} if relaxed else name
        return text

    q = [f"data({','.join(observed)})"]
    for i, n in enumerate(codes):
        given = [rng.choice(observed)] if i == 0 or rng.random() < 0.7 else [rng.choice(["x", "z"])]
        q.append(factor("q", n, given))
    p = [factor("p", n, [] if rng.random() < 0.8 or i == 0 else [codes[0]]) for i, n in enumerate(codes)]
    p += [factor("p", n, sorted(rng.sample(codes, rng.randint(1, len(codes))))) for n in observed if rng.random() < 0.85]
    joints = {"q": " ".join(q), "p": " ".join(p)}
    if rng.random() < 0.3:
        name = "w" if rng.random() < 0.5 else "x"
        variables.setdefault("w", "real[W]")
        families[f"other({name})"] = "empirical"
        if name == "x":
            joints["u"] = f"other(x) {q[1]}" if "|x)" in q[1] else f"other(x) {factor('u', 'z', ['x'])}"
        else:
            joints["u"] = f"other(w) {factor('u', 'z', ['w'])}"
    parts, asked = [], {}
    sense = rng.choice(("minimize", "maximize"))
    for _ in range(rng.choice((1, 1, 2))):
        text, names = _estimated(rng, observed, codes, joints, kinds)
        if text not in asked:
            name = rng.choice(names)
            asked[text] = entry = _entry(rng, name)
            if "a" not in joints and (name == "adversary" or (name in ("club", "leave-one-out") and rng.random() < 0.4)):
                of, given = sorted(text[4:-1].lower().split(";"), key=lambda n: (n not in observed, rng.random()))
                joints["a"] = factor("a", of, [given])
                asked[text] = (entry if isinstance(entry, dict) else {"estimator": name}) | {"density": joints["a"]}
            up = {"leave-one-out": "+", "club": "+", "infonce": "-", "iwae": "-"}.get(name, rng.choice("+-"))
            sign = up if sense == "minimize" else {"+": "-", "-": "+"}[up]
            parts.append(f"{sign} {rng.choice(POSITIVE)}{text}")
    for _ in range(rng.choice((0, 1, 1))):
        a, b = rng.choice(observed), rng.choice(codes)
        text, sign = rng.choice(((f"I_q({a.upper()};{b.upper()})", "+"), (f"I_q({b.upper()};{a.upper()})", "-")))
        if text not in asked:
            parts.append(f"{sign if sense == 'minimize' else '-+'[sign == '-']} {rng.choice(POSITIVE)}{text}")
    return {
        "name": f"system-{seed}",
        "variables": variables,
        "joints": joints,
        "families": families,
        "parameters": PARAMETERS,
        "objective": f"{sense} {' '.join(parts).removeprefix('+ ')}",
        "estimators": asked,
    }


def _entry(rng: random.Random, name: str) -> object:
    options: dict[str, object] = {"estimator": name}
    if name == "mmd" and rng.random() < 0.5:
        options |= {"kernel": rng.choice(("rbf", "inverse-multiquadratic")), "bandwidth": rng.choice((0.7, 1, 0.123456789))}
    if name.startswith("minibatch") and rng.random() < 0.8:
        options["dataset_size"] = 60
    if name == "sliced-wasserstein":
        options["projections"] = 5
    return options if len(options) > 1 else name


def _estimated(
    rng: random.Random, observed: list[str], codes: list[str], joints: dict[str, str], kinds: dict[str, str]
) -> tuple[str, tuple[str, ...]]:
    """A term, and the estimators of such terms."""
    every = [*observed, *codes]
    match rng.randrange(7):
        case 0:
            a, b = rng.sample(every, 2)
            return f"I_q({capitalised(a)};{capitalised(b)})", (
                *("leave-one-out", "club", "infonce", "infonce", *RELATIVE),
                *("adversary", "adversary", "minibatch-weighted", "minibatch-stratified", "pairwise-kl"),
            )
        case 1:
            of = ",".join(codes[: rng.randint(1, len(codes))])
            other = rng.choice([n for n in joints if n != "q" and ("(z" in joints[n])])
            of = of if other != "u" else "z"
            return f"KL(q({of})||{other}({of}))", (
                *(
                    "mmd",
                    "sliced-wasserstein",
                    "minibatch-weighted",
                    "minibatch-stratified",
                    "batch-marginal",
                    "density-ratio",
                    "nwj",
                ),
            )
        case 2:
            if len(codes) > 1 and rng.random() < 0.5:
                return "TC_q(Z;Y)", ("minibatch-weighted", "minibatch-stratified")
            return f"TC_q({rng.choice(codes).upper()})", ("minibatch-weighted", "minibatch-stratified")
        case 3:
            v = rng.choice(observed)
            return f"E_{rng.choice(('q', 'data'))}[log p({v})]", ("iwae",)
        case 4:
            v = rng.choice(every)
            kl = f"KL(q({v})||p({v}))" if rng.random() < 0.5 else f"KL(p({v})||q({v}))"
            return kl, ("batch-marginal", "batch-marginal", "mmd", "dv", "minibatch-weighted")
        case 5:
            return _conditional(rng, observed, codes, joints), ("density-ratio", "nwj", "dv")
    v = rng.choice(observed)
    kind = rng.choice(("JS", "F[pearson]", "F[kl]"))
    return f"{kind}(data({v})||p({v}))", ("logistic",) if kind == "JS" else ("dual",)


def _conditional(rng: random.Random, observed: list[str], codes: list[str], joints: dict[str, str]) -> str:
    """A term whose second argument is drawn at given values, by a declared factor or among the rows of one class."""
    factors = re.findall(r"\w\(\w\|[\w,]+\)", joints["q"])
    others = [f for f in re.findall(r"\w\(\w(?:\|[\w,]+)?\)", joints["p"]) if f[2] in codes]
    own = [f for f in factors if any(f[2] == o[2] for o in others)]
    if not own or rng.random() < 0.4:
        a, b, *rest = rng.sample([*observed, *codes], min(3, len(observed) + len(codes)))
        return f"I_q({a.upper()};{b.upper()}" + (f"|{rest[0].upper()})" if rest else ")")
    first = rng.choice(own)
    return f"KL({first}||{rng.choice([o for o in others if o[2] == first[2]])})"


def attack_running(seed: int) -> Tally:
    """One random spec: refused by derive with a reason, or emitted, run and held against its oracles."""
    tally = Tally()
    keys = (random_system, random_system, random_loss, lambda s: random_case(s).keys)[seed % 4](seed)
    if seed % 3 == 0:
        keys = with_constructs(keys, seed)
    about = f"run {seed}"
    try:
        derivation = derive(Spec(**keys))
    except (DerivationError, SpecError) as refusal:
        tally.refused[type(refusal).__name__] += 1
        if "write:" not in str(refusal):
            tally.violations.append(f"{about}: refused without a remedy: {refusal}")
        return tally
    except Exception as error:
        tally.violations.append(f"{about}: derive: {type(error).__name__}: {error}")
        return tally
    try:
        program = lower(audit(derivation, worlds=1, seed=seed))
        module = load_module(emit(program, "bundle"), derivation.spec.module_name)
    except EmissionError as refusal:
        tally.violations.append(f"{about}: derive accepts what generate refuses: {refusal}")
        return tally
    except Exception as error:
        tally.violations.append(f"{about}: generate: {type(error).__name__}: {error}")
        return tally
    from ibsym.conformance import agree

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = agree(derivation.spec, program, module.Loss, worlds=1, seed=seed)
    except IbsymError as error:
        tally.violations.append(f"{about}: {error}")
    except Exception as error:
        tally.violations.append(f"{about}: the module does not run: {type(error).__name__}: {error}")
    else:
        tally.pairs["modules run"] += 1
        tally.pairs["values and gradients"] += found.comparisons + found.gradients
    return tally

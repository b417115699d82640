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
from ibsym.derivation.model import Derivation
from ibsym.errors import DerivationError, EmissionError, IbsymError, SpecError
from ibsym.facts import Side
from ibsym.lowering import lower
from ibsym.sources import load_module
from ibsym.spec.model import Spec
from ibsym.spec.variables import capitalised
from tests.attack.bounds import Tally, attack_derivation
from tests.attack.losses import RELATIVE, random_loss
from tests.attack.specs import PARAMETERS, POSITIVE, SIDES, random_case, with_constructs

FAMILIES = {
    "real": (
        *("diagonal-normal", "isotropic-normal", "full-normal", "laplace", "normal-mixture", "implicit", "deterministic"),
        *("student-t", "logistic", "uniform-noise", "standard-normal"),
    ),
    "binary": ("bernoulli", "implicit"),
    "categorical": ("categorical", "vector-quantised"),
    "positive": ("log-normal", "gamma"),
    "count": ("poisson", "negative-binomial", "zero-inflated-negative-binomial", "discretised-logistic"),
    "unit": ("continuous-bernoulli", "implicit", "beta", "discretised-logistic"),
    "simplex": ("relaxed-categorical", "implicit", "dirichlet"),
    "sphere": ("von-mises-fisher", "implicit", "power-spherical"),
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
FREE: dict[str, dict[str, object]] = {
    "laplace": {"scale": "learned"},
    "student-t": {"df": 2.5},
    "uniform-noise": {"width": 0.5},
    "normal-mixture": {"components": 3},
    "discretised-logistic": {"bins": 16},
}
"""Options other than the families' defaults."""
SPACES = (
    *("real[D]", "real[D]", "real[D]", "real[C,H]", "binary[D]", "categorical[K]", "categorical[K]", "categorical[K; D,2]"),
    *("unit[D]", "sphere[D]", "positive[D]", "count[D]", "simplex[D]"),
)


WORLDS = 14


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
        if name in FREE and kinds[of] != "count" and rng.random() < 0.6:
            families[text] = {"family": name, **FREE[name]}
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
    wanted = [_estimated(rng, observed, codes, joints, kinds) for _ in range(rng.choice((1, 1, 2)))]
    if wanted[0][0].startswith("I_q(") and not re.search(r"[|,]", wanted[0][0]) and rng.random() < 0.2:
        a, b = wanted[0][0][4:-1].split(";")
        wanted.insert(1, (f"I_q({b};{a})", wanted[0][1]))  # of one pair another, read the other way
    for text, names in wanted:
        if text not in asked:
            name = rng.choice(names)
            asked[text] = entry = _entry(rng, name)
            if (
                "a" not in joints
                and "," not in text
                and (name == "adversary" or (name in ("club", "leave-one-out") and rng.random() < 0.4))
            ):
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


def random_conditional(seed: int) -> dict[str, object]:
    """The keys of a spec whose model conditions on c, or draws c from the data: conditional and class-conditional generation."""
    rng = random.Random(seed * 32452843 + 9)
    kinds = {"x": rng.choice(list(FAMILIES)), "z": rng.choice(("real", "real", "real", *FAMILIES))}
    spaces = {n: next(space for space in SPACES if space.startswith(k)).replace("D", n.upper()) for n, k in kinds.items()}
    spaces = {n: space.replace("K", f"K{n}") for n, space in spaces.items()}
    rooted = rng.random() < 0.5
    code, prior = rng.choice(("q(z|x)", "q(z|x,c)")), rng.choice(("p(z)", "p(z|c)"))
    families: dict[str, object] = {}
    for text in (code, prior, "p(x|z,c)"):
        many = [f for f in FAMILIES[kinds[text[2]]] if f not in ("implicit", "deterministic") and (f != "standard-normal")]
        name = ROOTS[kinds["z"]] if text == "p(z)" else rng.choice(many)
        relaxed = name in ("bernoulli", "categorical") and text == code
        families[text] = {"family": name, "relax": "concrete"} if relaxed else name
    sense = rng.choice(("minimize", "maximize"))
    terms = ["KL(q(x|c)||p(x|c))", "CE(q(x|c)||p(x|c))", "KL(q(x,z|c)||p(x,z|c))", "I_q(X;Z|C)"]
    terms += ["KL(q(x)||p(x))", "KL(q(x,c)||p(x,c))"] if rooted else []
    asked: dict[str, object] = {}
    chosen = [f"{rng.choice(POSITIVE)}{rng.choice(terms)}"]
    if rng.random() < 0.25:
        asked["E_q[log p(x|c)]"] = "iwae"
        chosen = [f"-{rng.choice(POSITIVE)}E_q[log p(x|c)]".replace("--", "-1*-")]
    if rooted and rng.random() < 0.4:
        of = rng.choice(("z", "x", "x,c"))
        asked[f"KL(q({of})||p({of}))"] = rng.choice((*RELATIVE, "mmd", "sliced-wasserstein"))
        chosen.append(f"{rng.choice(POSITIVE)}KL(q({of})||p({of}))")
    return {
        "name": f"conditional-{seed}",
        "variables": {"x": spaces["x"], "c": rng.choice(("categorical[K]", "real[C]", "binary[C]")), "z": spaces["z"]},
        "joints": {"q": f"data(x,c) {code}", "p": f"{'data(c) ' if rooted else ''}{prior} p(x|z,c)"},
        "families": families,
        "parameters": PARAMETERS,
        "objective": f"{sense} {'- ' if sense == 'maximize' else ''}{(' - ' if sense == 'maximize' else ' + ').join(chosen)}",
        "estimators": asked,
    }


CODES = ("minibatch-weighted", "minibatch-stratified", "pairwise-kl", "club", "leave-one-out")
ASKED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("I_q(X;Z)", (*CODES, "infonce", *RELATIVE)),
    ("I_q(Z;X)", ("infonce", *RELATIVE)),
    ("I_q(Z;S)", ("adversary", "club", "leave-one-out")),
    ("I_q(S;Z)", ("adversary", "club", "leave-one-out")),
    ("I_q(X;Z,Y)", CODES),
    ("I_q(Z;Y)", RELATIVE),
    ("I_q(X;Z|S)", RELATIVE),
    ("TC_q(Z)", (*CODES[:2], *RELATIVE)),
    ("TC_q(Z;Y)", (*CODES[:2], *RELATIVE)),
    ("KL(q(z,y)||p(z,y))", (*CODES[:2], "mmd", "sliced-wasserstein", *RELATIVE)),
    ("KL(q(z|x)||p(z))", RELATIVE),
    ("KL(q(k)||p(k))", ("batch-marginal",)),
    ("KL(data(s)||p(s))", ("batch-marginal",)),
)


def random_asked(seed: int) -> dict[str, object]:
    """The keys of a spec with one or two terms by estimators that may stand for them, in a system that has what they need."""
    rng = random.Random(seed * 49979687 + 1)
    picked = [rng.choice(ASKED)]
    if rng.random() < 0.3:
        other = {"I_q(X;Z)": "I_q(Z;X)", "I_q(Z;X)": "I_q(X;Z)"}.get(picked[0][0])
        picked.append(next(a for a in ASKED if a[0] == other) if other else rng.choice(ASKED))
    normals = ("diagonal-normal", "laplace", "logistic", "isotropic-normal")
    families: dict[str, object] = {f"q({v}|x)": rng.choice(normals) for v in "zy"}
    families |= {f"p({v})": rng.choice(("standard-normal", "diagonal-normal", "normal-mixture")) for v in "zy"}
    families |= {"q(k|x)": {"family": "categorical", "relax": "concrete"}, "p(k)": "categorical", "p(s|z)": "categorical"}
    families["p(x|z,y)"] = rng.choice(("isotropic-normal", "laplace", "student-t", "deterministic"))
    joints = {"q": "data(x,s) q(z|x) q(y|x) q(k|x)", "p": "p(z) p(y) p(k) p(x|z,y) p(s|z)"}
    sense, parts, asked = rng.choice(("minimize", "maximize")), [], {}
    for term, names in picked:
        if term in asked:
            continue
        name = rng.choice(names)
        entry = _entry(rng, name)
        if name == "minibatch-stratified" and isinstance(entry, str):
            entry = {"estimator": name, "dataset_size": 60}
        if "S" in term and term.count(";") and "|" not in term:
            joints["a"], families["a(s|z)"] = "a(s|z)", "categorical"
            entry = {"estimator": name, "density": "a(s|z)"}
        asked[term] = entry
        side = SIDES.get(name, rng.choice((Side.UPPER, Side.LOWER)))
        parts.append(f"{'+' if side is Side.of(sense) else '-'} {rng.choice(POSITIVE)}{term}")
    return {
        "name": f"asked-{seed}",
        "variables": {"x": "real[D]", "s": "categorical[M]", "z": "real[L]", "y": "real[N]", "k": "categorical[K]"},
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
            if len(codes) > 1 and rng.random() < 0.2:
                return "I_q(X;Z,Y)", ("minibatch-weighted", "minibatch-stratified", "pairwise-kl", "club", "leave-one-out")
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
                return "TC_q(Z;Y)", ("minibatch-weighted", "minibatch-stratified", "density-ratio")
            return f"TC_q({rng.choice(codes).upper()})", ("minibatch-weighted", "minibatch-stratified", *RELATIVE)
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


def sampled(keys: dict[str, object], derivation: Derivation) -> dict[str, object] | None:
    """The keys with one relative entropy sampled that has a closed form."""
    closed = next((b.text for b in derivation.bound if b.estimator == "closed-form" and b.text.startswith("KL(")), None)
    asked = keys["estimators"]
    assert isinstance(asked, dict)
    return None if closed is None else {**keys, "estimators": {**asked, closed: "sampled"}}


def running_keys(seed: int) -> dict[str, object]:
    """The keys of a spec that is run: of every generator."""
    every = (random_system, random_asked, random_conditional, random_loss, random_asked, lambda s: random_case(s).keys)
    keys = every[seed % len(every)](seed)
    return with_constructs(keys, seed) if seed // 6 % 3 == 0 else keys


def attack_running(seed: int) -> Tally:
    """One random spec: refused by derive with a reason, or emitted, run and held against its oracles."""
    tally, keys = Tally(), running_keys(seed)
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
    attack_derivation(derivation, seed, WORLDS, tally, about)
    if seed % 2 == 0 and (drawn := sampled(keys, derivation)) is not None:
        try:
            derivation = derive(Spec(**drawn))
        except (DerivationError, SpecError) as refusal:  # of draws without a gradient, or of a key that is a term's own
            tally.refused[type(refusal).__name__] += 1
            if "write:" not in str(refusal):
                tally.violations.append(f"{about}: sampled terms are refused without a remedy: {refusal}")
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
        if idle := {i.of for i in module.Loss.INPUTS} & {*derivation.unused}:
            tally.violations.append(f"{about}: the loss takes inputs of {idle}, which are said to be unused")
        tally.pairs["values and gradients"] += found.comparisons + found.gradients
    return tally

"""mu -> z_mean, std -> exp(z_logvar/2): what the arguments of a user's function are called, read as a spec's inputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject

MEAN = {"mu", "mean", "loc", "m", "means", "mus"}
LOGVAR = {"logvar", "lv", "logvariance", "logsigma2", "logsigmasq", "logsigmasquared", "logvars", "lnvar"}
DEVIATION = {"std", "sigma", "scale", "stddev", "sd", "stdev", "standarddeviation", "sigmas"}
LOG_DEVIATION = {"logstd", "logsigma", "logscale", "logsd", "logstddev", "lnsigma"}
VARIANCE = {"var", "variance", "sigma2", "sigmasq"}
DRAW = {"z", "sample", "latent", "code", "latents", "zsample", "zq"}
PRIOR_DRAW = {"zprior", "priorsample", "priordraw", "zp", "zfake", "priorz", "zref", "zrandom"}
NOISE = {"eps", "epsilon", "noise"}
SCORES = {"logits", "logit", "scores", "outlogits", "predlogits"}
SHARES = {"probs", "prob", "p", "probabilities", "proba"}
OUTPUT = {"recon", "xrecon", "reconx", "xhat", "reconstruction", "xrec", "output", "outputs", "pred", "prediction", "decoded"}
OUTPUT |= {"out", "rec", "yhat", "xout", "reconstructed", "reconstructions", "xtilde", "xprime", "predicted", "recons"}
DATA = {"x", "data", "input", "inputs", "image", "images", "target", "targets", "xs", "img", "imgs", "original", "xtrue"}
LABEL = {"y", "label", "labels", "target", "targets", "c", "cls", "ytrue", "classes", "labelidx"}
WEIGHT = {"beta", "klweight", "kldweight", "lam", "lambda", "weight", "coef", "gamma", "alpha", "w"}
SIMILARITY = {"scores", "sim", "similarity", "similarities", "logits", "logit", "matrix", "f"}
FAKE = {"fake", "dfake", "fakelogits", "dfakelogits", "fakescore", "criticfake", "fakepred", "predfake", "logitsfake"}
REAL = {"real", "dreal", "reallogits", "dreallogits", "realscore", "criticreal", "realpred", "predreal", "logitsreal"}


def guesses(subject: Subject, argument: str) -> list[str]:
    """The formulas that an argument of this name may stand for, the likeliest first; none where the name says nothing."""
    inputs = {i.name: i for i in subject.inputs}
    if argument in inputs or argument in subject.spec.parameters or argument in ("noise", "N"):
        return [argument]
    plain = re.sub(r"[^a-z0-9]", "", argument.lower())
    by_letters = [n for n in (*inputs, *subject.spec.parameters) if re.sub(r"[^a-z0-9]", "", n.lower()) == plain]
    if len(by_letters) == 1:
        return by_letters
    words = [w for w in re.split(r"[^a-z0-9]+", argument.lower()) if w]
    observed = {i.of for i in subject.inputs if i.role == "value"}
    found = _of_factors(subject, plain, words, observed)
    found += _of_values(subject, plain)
    if plain in WEIGHT and len(subject.spec.parameters) == 1 and not found:
        name = next(iter(subject.spec.parameters))
        found += [name, f"1/{name}"]
    found += [i.name for i in subject.inputs if i.role == "scores" and plain in SIMILARITY]
    found += [i.name for i in subject.inputs if i.role == "critic_reference" and plain in FAKE]
    found += [i.name for i in subject.inputs if i.role == "critic" and plain in REAL]
    return list(dict.fromkeys(found))


def _of_values(subject: Subject, plain: str) -> list[str]:
    found = []
    for entry in subject.inputs:
        if entry.role != "value":
            continue
        kind = subject.spec.variables[entry.of].kind
        if plain == entry.of or (plain in LABEL if kind == "categorical" else plain in DATA):
            found.append(entry.name)
    exact = [n for n in found if n == plain]
    return exact or found


def _of_factors(subject: Subject, plain: str, words: list[str], observed: set[str]) -> list[str]:
    """Parameters of a factor: the encoder's by default, the decoder's where the name has the data's variable or says output."""
    found: list[str] = []
    for factor in dict.fromkeys(i.of for i in subject.inputs if i.of in subject.spec.factors):
        of = subject.spec.factors[factor].of
        roles = {i.role: i.name for i in subject.inputs if i.of == factor}
        if subject.spec.variables[of[0]].kind in ("categorical", "simplex"):
            roles["classes"] = "yes"
        latent = not set(of) & observed
        prior = "p" in words[:1] or "prior" in words
        is_prior = factor.split("(")[0] in ("p", "b", "r") and latent
        core = "".join(w for w in words if w not in (*of, "prior", "q", "p", "x", "z", "enc", "dec", "recon", "post")) or plain
        stated = bool(set(words) & set(of)) or any(
            w in words for w in (("enc", "q", "post") if latent else ("dec", "recon", "px"))
        )
        if not (latent or stated or core in SCORES | SHARES | OUTPUT or plain in OUTPUT):
            continue
        if prior != is_prior and latent and any(_is_prior(subject, i.of, observed) for i in subject.inputs):
            continue
        if not latent and not stated and core in MEAN | LOGVAR | DEVIATION | LOG_DEVIATION | VARIANCE:
            continue
        if latent and set(words) & observed and not set(words) & set(of):
            continue
        found += _of_roles(roles, core, plain, latent)
    for entry in subject.inputs:
        if entry.role == "sample" and plain in DRAW | {entry.of}:
            found.insert(0, entry.name)
        if entry.role == "sample_reference" and plain in PRIOR_DRAW:
            found.insert(0, entry.name)
    if plain in PRIOR_DRAW | NOISE and not found:
        found.append("noise")
    return found


def _is_prior(subject: Subject, factor: str, observed: set[str]) -> bool:
    return (
        factor in subject.spec.factors
        and factor.split("(")[0] in ("p", "b", "r")
        and not set(subject.spec.factors[factor].of) & observed
    )


def _of_roles(roles: dict[str, str], core: str, plain: str, latent: bool) -> list[str]:
    found: list[str] = []
    mean, logvar, scale, logits = (roles.get(r) for r in ("mean", "logvar", "scale", "logits"))
    if mean and (core in MEAN or (not latent and plain in OUTPUT)):
        found.append(mean)
    if logvar:
        found += [logvar] if core in LOGVAR else []
        found += [f"exp({logvar}/2)"] if core in DEVIATION else []
        found += [f"{logvar}/2"] if core in LOG_DEVIATION else []
        found += [f"exp({logvar})"] if core in VARIANCE else []
    if scale:
        found += [scale] if core in DEVIATION else []
        found += [f"log({scale})"] if core in LOG_DEVIATION else []
    if logits:
        share = f"softmax({logits})" if _categorical(roles) else f"sigmoid({logits})"
        found += [logits] if core in SCORES else []
        found += [share] if core in SHARES else []
        found += [share, logits] if plain in OUTPUT and not latent else []
    if latent and mean and logvar and plain in DRAW:
        found.append(f"{mean} + exp({logvar}/2)*noise")
    return found


def _categorical(roles: dict[str, Any]) -> bool:
    return bool(roles.get("classes"))

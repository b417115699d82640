"""The shape of a spec file, validated by pydantic; what the strings in it mean is read in :mod:`ibsym.spec.model`."""

from __future__ import annotations

import difflib
import keyword
import re
import reprlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ibsym.errors import SpecError

Text = Annotated[str, StringConstraints(max_length=4000)]
Number = Annotated[float, Field(allow_inf_nan=False)]

ESTIMATORS: dict[str, tuple[str, ...]] = {
    "density-ratio": (),
    "dv": (),
    "nwj": (),
    "logistic": (),
    "dual": (),
    "mmd": ("kernel", "bandwidth", "scales"),
    "sliced-wasserstein": ("projections",),
    "minibatch-weighted": ("dataset_size",),
    "minibatch-stratified": ("dataset_size",),
    "leave-one-out": (),
    "club": (),
    "infonce": (),
    "iwae": (),
    "batch-marginal": (),
}
CRITIC_ESTIMATORS = ("density-ratio", "dv", "nwj", "logistic", "dual")
MODELS = ("value", "saturating", "non-saturating", "nwj")


class Strict(BaseModel):
    """A table without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class ParameterEntry(Strict):
    """A run-time scalar: its default and the interval that its sign is read from."""

    default: Number
    min: Number | None = None
    max: Number | None = None


class EstimatorEntry(Strict):
    """An estimator with what its model minimises and its options."""

    estimator: str
    model: Literal["value", "saturating", "non-saturating", "nwj"] | None = None
    kernel: Literal["rbf", "inverse-multiquadratic"] | None = None
    bandwidth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    scales: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = Field(
        default=None, min_length=1, max_length=64
    )
    projections: Annotated[int, Field(gt=0, le=100_000)] | None = None
    dataset_size: Annotated[int, Field(gt=1)] | None = None


class CriticEntry(Strict):
    """A critic that sees its samples through a factor, under a bound on an information term."""

    through: Text
    subject_to: Text | None = None
    multiplier: str | None = None


class DerivationEntry(Strict):
    """What is done to the finished bound."""

    expand: Annotated[tuple[Text, ...], Field(max_length=16)] = ()


class SpecFile(Strict):
    """The keys of a spec."""

    name: Annotated[str, StringConstraints(max_length=80)]
    objective: Text
    variables: Annotated[dict[str, Text], Field(min_length=1, max_length=64)]
    title: Text = ""
    cite: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    notes: Text = ""
    joints: Annotated[dict[str, Text], Field(max_length=64)] = {}
    families: Annotated[dict[str, str | dict[str, Any]], Field(max_length=512)] = {}
    parameters: Annotated[dict[str, ParameterEntry], Field(max_length=64)] = {}
    estimators: Annotated[dict[str, str | EstimatorEntry], Field(max_length=64)] = {}
    derivation: DerivationEntry = DerivationEntry()
    critics: Annotated[dict[str, CriticEntry], Field(max_length=16)] = {}


ENTRIES: dict[str, type[Strict]] = {
    "parameters": ParameterEntry,
    "estimators": EstimatorEntry,
    "critics": CriticEntry,
    "derivation": DerivationEntry,
}
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# Attributes of torch.nn.Module that a parameter of a loss would shadow (torch is not imported here).
MODULE_ATTRIBUTES = frozenset(
    """
    add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval extra_repr float forward half
    ipu modules mtia named_buffers named_children named_modules named_parameters parameters register_buffer register_module
    register_parameter requires_grad_ share_memory state_dict load_state_dict to to_empty train training type xpu zero_grad
    set_extra_state get_extra_state get_buffer get_parameter get_submodule set_submodule critic_loss dual_step loss terms
    """.split()  # noqa: SIM905  a page of words
)


def check_name(name: str, key: str, what: str) -> None:
    """Names reach Python, LaTeX and file names: ASCII identifiers that are no keyword."""
    if not IDENTIFIER.fullmatch(name) or keyword.iskeyword(name) or len(name) > 40:
        raise SpecError(
            f"{name!r} is no name for a {what}",
            key=key,
            remedy="an ASCII identifier of at most 40 characters that is no Python keyword",
        )


def validate(keys: dict[str, Any]) -> SpecFile:
    """The schema's reading of a spec's keys, or a :class:`SpecError` about the first key that does not fit."""
    try:
        return SpecFile.model_validate(keys)
    except ValidationError as error:
        raise _explain(error) from None


def _explain(error: ValidationError) -> SpecError:
    found = error.errors(include_url=False, include_context=False)
    first = next(
        (e for e in found if e["type"] == "extra_forbidden"), found[0]
    )  # a misspelt key before the one that it should be
    path = [str(p) for p in first["loc"] if str(p) not in ("str", "EstimatorEntry", "dict[str,any]")]
    key = ".".join(p if re.fullmatch(r"\w[\w-]*", p) else f'"{p}"' for p in path)
    if first["type"] == "extra_forbidden":
        known = list((ENTRIES.get(path[0], SpecFile) if len(path) > 1 else SpecFile).model_fields)
        close = difflib.get_close_matches(path[-1], known, n=1)
        return SpecError(f"unknown key {path[-1]!r}", key=key, remedy=close[0] if close else "one of " + ", ".join(known))
    if first["type"] == "missing":
        return SpecError(f"the key {path[-1]!r} is missing", key=key, remedy=f"{path[-1]} = ...")
    return SpecError(f"{first['msg']}, got {_excerpt(first['input'])}", key=key)


def _excerpt(value: object) -> str:
    """The beginning of a value's text; a number of thousands of digits has none."""
    try:
        return reprlib.repr(value)
    except ValueError:
        return f"a long {type(value).__name__}"

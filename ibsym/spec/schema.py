"""The shape of a spec file, validated by pydantic; what the strings in it mean is read in :mod:`ibsym.spec.model`."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, create_model

from ibsym.errors import SpecError
from ibsym.estimators import ESTIMATORS
from ibsym.estimators.base import Option
from ibsym.spec.names import identifier
from ibsym.spec.wording import explained


def _number(value: object) -> object:
    """A number is written as one: neither ``true`` nor ``"1.0"`` stands for it."""
    if isinstance(value, bool | str | bytes):
        raise ValueError
    return value


Text = Annotated[str, StringConstraints(max_length=4000, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]


def example(text: str) -> Any:
    """What a text may look like, for messages and for the JSON Schema."""
    return Field(examples=[text])


MODELS = ("value", "saturating", "non-saturating", "nwj")


class Strict(BaseModel):
    """A table without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, use_attribute_docstrings=True)


class ParameterEntry(Strict):
    """A run-time scalar: its default and the interval that its sign is read from."""

    default: Number
    """Its value where the loss is not given another."""
    min: Number | None = None
    """The least value; none where it is left out."""
    max: Number | None = None
    """The greatest value; none where it is left out."""

    @property
    def interval(self) -> tuple[float, float]:
        """[min, max], infinite where an end was left out."""
        return -math.inf if self.min is None else self.min, math.inf if self.max is None else self.max


class EstimatorEntry(Strict):
    """An estimator with what its model minimises; its options are keys of the table that is made of all of them."""

    estimator: Text
    """What stands for the term."""
    model: Literal["value", "saturating", "non-saturating", "nwj"] | None = None
    """What the model minimises; by default the value, or the surrogate that does not saturate where the second argument learns."""

    @classmethod
    def keys(cls, given: Mapping[str, object]) -> list[str]:
        """The keys beside those given: options of the estimator that is named, of every one where none is."""
        name = given.get("estimator")
        if not isinstance(name, str) or name not in ESTIMATORS:
            return list(cls.model_fields)
        return [*EstimatorEntry.model_fields, *(o.name for o in ESTIMATORS[name].options)]


def _annotation(option: Option) -> Any:
    """What an option's value may be."""
    number = Annotated[Number, Field(gt=option.above)]
    match option.kind:
        case "choice":
            return Literal[option.choices]
        case "whole":
            return Annotated[Whole, Field(gt=option.above, le=option.most)]
        case "size":
            return Annotated[Whole, Field(gt=option.above, le=option.most)] | Annotated[Text, example("N")]
        case "numbers":
            return Annotated[tuple[number, ...], Field(min_length=1, max_length=64)]
        case "number":
            return number
        case "density":
            return Annotated[Text, example("a(s|z)")]
    raise TypeError(f"{option.name} is an option of the unknown kind {option.kind!r}")


OPTIONS = {option.name: option for estimator in ESTIMATORS.values() for option in estimator.options}

if TYPE_CHECKING:
    EstimatorTable = EstimatorEntry
else:
    _fields = {name: (_annotation(option) | None, None) for name, option in OPTIONS.items()}
    EstimatorTable = create_model("EstimatorEntry", __base__=EstimatorEntry, __doc__=EstimatorEntry.__doc__, **_fields)


class CriticEntry(Strict):
    """A critic that sees its samples through a factor, under a bound on an information term."""

    through: Annotated[Text, example("e(t|x)")]
    """The factor through which the critic sees its samples."""
    subject_to: Annotated[Text, example("I_m(X;T) <= Ic")] | None = None
    """A bound on an information of what it sees, by a parameter."""
    multiplier: Annotated[Text, example("mu")] | None = None
    """The parameter that is the constraint's multiplier."""


class DerivationEntry(Strict):
    """What is done to the finished bound."""

    expand: Annotated[tuple[Annotated[Text, example("H_q(X) with p(x)")], ...], Field(max_length=16)] = ()
    """Constants of the finished bound that become a cross-entropy to a model, which is dropped, and a relative entropy, which is kept."""


class SpecFile(Strict):
    """The keys of a spec."""

    name: Annotated[str, StringConstraints(max_length=80, strict=True), example("my-bottleneck")]
    """ASCII words joined by hyphens; the emitted file is called so, with underscores."""
    objective: Annotated[Text, example("minimize I_q(X;Z) - beta*I_q(Z;C)")]
    """A sum of terms to minimise or maximise, with coefficients in numbers and parameters."""
    variables: Annotated[dict[str, Annotated[Text, example("real[D]")]], Field(min_length=1, max_length=64)]
    """The space of each variable, with its dimensions."""
    title: Text = ""
    """What people call it."""
    cite: Annotated[tuple[Annotated[Text, example("Author et al. 2017")], ...], Field(max_length=64)] = ()
    """Where it comes from."""
    notes: Text = ""
    """What a reader should know besides."""
    joints: Annotated[dict[str, Annotated[Text, example("data(x) q(z|x)")]], Field(max_length=64)] = {}
    """Products of factors; each is a joint distribution, sampled or evaluated."""
    families: Annotated[dict[str, Annotated[Text | dict[str, Any], example("diagonal-normal")]], Field(max_length=512)] = {}
    """The family of each factor: a name, or a table with its options."""
    parameters: Annotated[dict[str, ParameterEntry], Field(max_length=64)] = {}
    """Scalars of the coefficients, which may change while training."""
    estimators: Annotated[dict[str, Annotated[Text | EstimatorTable, example("density-ratio")]], Field(max_length=64)] = {}
    """What stands for a term that cannot be evaluated: a name, or a table with options."""
    derivation: DerivationEntry = DerivationEntry()
    """What is done to the finished bound."""
    critics: Annotated[dict[str, CriticEntry], Field(max_length=16)] = {}
    """Critics that are graphs themselves, by their divergence."""


IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def allowed(name: str) -> bool:
    """Whether variables, joints and parameters may have this name."""
    return IDENTIFIER.fullmatch(name) is not None and not keyword.iskeyword(name) and len(name) <= 40


def check_name(name: str, key: str, what: str) -> None:
    """Names reach Python, LaTeX and file names: ASCII identifiers that are no keyword."""
    if not allowed(name):
        raise SpecError(
            f"{name!r} cannot be the name of a {what}",
            key=key,
            remedy="an ASCII identifier of at most 40 characters, not a Python keyword, such as " + identifier(name),
        )


def validate(keys: dict[str, Any]) -> SpecFile:
    """The schema's reading of a spec's keys, or a :class:`SpecError` about the first key that does not fit."""
    try:
        return SpecFile.model_validate(keys)
    except ValidationError as error:
        raise explained(error, SpecFile, keys) from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a spec, with the names of families, spaces and estimators that exist.

    >>> sorted(json_schema()["required"])
    ['name', 'objective', 'variables']
    """
    from ibsym.spec.families import FAMILIES
    from ibsym.spec.spaces import KINDS

    schema = SpecFile.model_json_schema()
    keys = schema["properties"]
    keys["variables"]["additionalProperties"]["pattern"] = rf"^\s*({'|'.join(KINDS)})\s*\[.*\]\s*$"
    keys["objective"]["pattern"] = r"^\s*(minimize|maximize)\b"
    keys["families"]["additionalProperties"] = {
        "anyOf": [
            {"enum": list(FAMILIES)},
            {"type": "object", "required": ["family"], "properties": {"family": {"enum": list(FAMILIES)}}},
        ]
    }
    keys["estimators"]["additionalProperties"]["anyOf"][0] = {"enum": list(ESTIMATORS)}
    schema["$defs"]["EstimatorEntry"]["properties"]["estimator"] = {"enum": list(ESTIMATORS)}
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A term spec of ibsym",
        "description": "An objective over the joints of a few variables.",
    }
    return {**schema, **about}

"""What the schema asks for, in our words: a key's kind is read off its declaration, and no message of the library reaches a user."""

from __future__ import annotations

import functools
import re
import reprlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from ibsym.errors import Edit, Remedy, SpecError, shown, unknown

LIMITS = {"gt": "above {}", "ge": "from {} on", "lt": "below {}", "le": "at most {}"}
Hint = Any  # a type as it is written in a declaration


def explained(error: ValidationError, model: type[BaseModel], given: Mapping[str, Any]) -> SpecError:
    """The error about one key: a misspelt one before the one that it should be, and the deepest of several readings of one value.

    A table whose keys depend on what is given there has a method ``keys`` that says which there are.
    """
    found = error.errors(include_url=False)
    first = next((e for e in found if e["type"] == "extra_forbidden"), None) or max(
        (e for e in found if _top(e) == _top(found[0])), key=lambda e: _depth(e, model)
    )
    names, hint = walked(model, first["loc"])
    key = ".".join(map(quoted, names))
    if first["type"] == "extra_forbidden":
        tables = [bare(h) for h in alternatives(walked(model, first["loc"][:-1])[1]) if is_table(bare(h))]
        beside = functools.reduce(lambda table, name: table[name], names[:-1], given)
        known = tables[0].keys(beside) if hasattr(tables[0], "keys") else tables[0].model_fields
        return _unknown_key(names[-1], first["input"], known, key)
    value, context = first["input"], first.get("ctx", {})
    listed = isinstance(first["loc"][-1], int) and origin(bare(hint)) is not dict and "[key]" not in first["loc"]
    whole = walked(model, first["loc"][:-1])[1] if listed else hint
    many = names[0] == "joints"  # factors in a list
    meant = " ".join(value) if isinstance(value, list | tuple) and _texts(value) and (many or len(value) == 1) else ""
    if meant and words(hint).startswith("a text"):
        return SpecError(f"{excerpt(value)} is not {words(hint)}", key=key, remedy=f'{quoted(names[-1])} = "{meant}"')
    example = f"{quoted(names[-1])} = {sample(whole, value)}"
    if names[0] in ("objective", "joints"):  # of which nobody but the author knows what it is to be
        example = f"for example {example}"
    if first["type"] == "missing":
        return SpecError(f"the key {names[-1]!r} is missing", key=key, remedy=example)
    if first["type"].endswith("too_long"):
        much, remedy = ("characters", "a shorter text") if isinstance(value, str) else ("entries", "fewer of them")
        return SpecError(f"{len(value)} {much}, more than {context['max_length']}", key=key, remedy=remedy)
    if first["type"].endswith("too_short"):
        return SpecError("there is nothing in it", key=key, remedy=example)
    if isinstance(value, str) and (choices := [c for h in alternatives(hint) for c in literals(h)]):
        return unknown("choice", value, choices, key=key)
    if isinstance(value, BaseModel) or "[key]" in map(str, first["loc"]):
        return SpecError(f"{excerpt(value)} is not a name", key=key, remedy="a text as the key")
    where = f"entry {first['loc'][-1] + 1}, {excerpt(value)}," if listed else excerpt(value)  # type: ignore[operator]
    return SpecError(f"{where} is not {words(hint)}", key=key, remedy=example)


def _texts(values: Iterable[object]) -> bool:
    return all(isinstance(v, str) for v in values)


CALLED = {
    **dict.fromkeys(("loss", "cost", "goal", "target", "minimise", "maximise", "min", "max"), "objective"),
    **dict.fromkeys(("latents", "latent", "spaces", "shapes", "data"), "variables"),
    **dict.fromkeys(("factors", "models", "model", "graph", "graphs", "factorisations", "factorizations"), "joints"),
    **dict.fromkeys(("distributions", "densities", "priors", "encoders", "decoders"), "families"),
    **dict.fromkeys(("hyperparameters", "constants", "coefficients", "weights", "hparams"), "parameters"),
    **dict.fromkeys(("bounds", "estimates", "approximations"), "estimators"),
    **dict.fromkeys(("references", "citations", "source", "paper"), "cite"),
    **dict.fromkeys(("description", "comment"), "notes"),
    **dict.fromkeys(("value", "initial", "init"), "default"),
    **dict.fromkeys(("minimum", "low", "lower"), "min"),
    **dict.fromkeys(("maximum", "high", "upper"), "max"),
    **dict.fromkeys(("name", "method", "kind", "type"), "estimator"),
}
"""What others call a key."""


def _unknown_key(name: str, value: object, known: Iterable[str], key: str) -> SpecError:
    """The error about a key: the one that was meant; of a direction as a key, the objective itself."""
    direction = re.fullmatch(r"(min|max)(imi[sz]e)?", name, re.IGNORECASE)
    if direction and "objective" in known and isinstance(value, str):
        way = (Edit((name,)), Edit(("objective",), f"{direction[1].lower()}imize {value}"))
        return SpecError(f"unknown key {name!r}, did you mean 'objective'?", key=key, remedy=Remedy(str(way[1]), way))
    meant = CALLED.get(name.casefold(), "")
    return unknown("key", name, known, key=key, meant=meant if meant in known else "")


def quoted(name: str) -> str:
    """A key as TOML has it: bare where it may be.

    >>> quoted("beta"), quoted("q(z|x)")
    ('beta', '"q(z|x)"')
    """
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else '"' + name.replace('"', r"\"") + '"'


def _top(found: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(found["loc"][:2])


def _depth(found: Mapping[str, Any], model: type[BaseModel]) -> int:
    """How many of the names of a place are the user's."""
    return len(walked(model, found["loc"])[0])


def walked(hint: Hint, place: tuple[int | str, ...]) -> tuple[list[str], Hint]:
    """The names in a place that are the user's, and the declaration there; the library marks the branches of a choice as well."""
    names: list[str] = []
    steps = [step for step in place if step != "[key]"]
    for step in steps:
        choice = alternatives(hint)
        if len(choice) > 1:
            branch = next((h for h in choice if str(step).startswith(_mark(h))), None)
            if branch is None or not within(branch, ""):
                break
            hint = branch
        else:
            names += [] if isinstance(step, int) and origin(bare(choice[0])) is not dict else [str(step)]
            hint = within(choice[0], step)
    return names, hint


def _mark(hint: Hint) -> str:
    """How the library marks a branch of a choice."""
    return str(getattr(kind(hint), "__name__", kind(hint)))


def within(hint: Hint, step: int | str) -> Hint:
    """The declaration of what lies in a table, a dictionary or a list; None in what holds nothing."""
    hint = bare(hint)
    if is_table(hint):
        field = hint.model_fields.get(str(step))
        return Any if field is None else declared(field)
    match origin(hint):
        case one if one is dict:
            return get_args(hint)[1]
        case one if one in (tuple, list):
            return get_args(hint)[0]
        case _:
            return None


def declared(field: FieldInfo) -> Hint:
    """A field's type, with its limits and its example."""
    marks = [*field.metadata, *([Field(examples=field.examples)] if field.examples else [])]
    return Annotated[field.annotation, *marks] if marks else field.annotation


def is_table(hint: Hint) -> bool:
    """Whether a declaration is that of a table with keys of its own."""
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def origin(hint: Hint) -> Any:
    """What a generic declaration is a kind of: dict, tuple, Annotated, ..."""
    return get_origin(hint)


def kind(hint: Hint) -> Any:
    """The same, and any other declaration itself, limits aside."""
    return origin(bare(hint)) or bare(hint)


def bare(hint: Hint) -> Hint:
    """The declaration without its limits."""
    return bare(get_args(hint)[0]) if origin(hint) is Annotated else hint


def alternatives(hint: Hint) -> list[Hint]:
    """What a value may be, one kind after another; that it may be left out is not one of them."""
    if origin(hint) is Annotated:
        return [Annotated[h, *get_args(hint)[1:]] if h is not None else h for h in alternatives(get_args(hint)[0])]
    if origin(hint) in (Union, types.UnionType):
        return [one for h in get_args(hint) if h is not type(None) for one in alternatives(h)]
    return [hint]


def literals(hint: Hint) -> tuple[str, ...]:
    """The words of a choice among words."""
    return get_args(bare(hint)) if origin(bare(hint)) is Literal else ()


def words(hint: Hint) -> str:
    """A declaration in words.

    >>> words(Annotated[int, Field(gt=0, le=9)] | None), words(tuple[str, ...]), words(Literal["a", "b"])
    ('a whole number above 0, at most 9', 'a list of texts', '"a" or "b"')
    """
    return " or ".join(dict.fromkeys(_words(h) for h in alternatives(hint)))


def _words(hint: Hint) -> str:
    inner, limits = bare(hint), ", ".join(_limits(hint))
    if is_table(inner):
        return "a table of " + ", ".join(inner.model_fields)
    match kind(inner):
        case one if one is Literal:
            return " or ".join(f'"{c}"' for c in literals(inner))
        case one if one is dict:
            return "a table"
        case one if one in (tuple, list):
            return f"a list of {plural(_words(get_args(inner)[0]))}"
        case one if one is bool:
            return "true or false"
        case one if one is int:
            return f"a whole number {limits}".strip()
        case one if one is float:
            return f"a finite number {limits}".strip()
        case one if one is str:
            return "a text"
        case _:
            return "what belongs here"


def plural(noun: str) -> str:
    """``a finite number above 0`` to ``finite numbers above 0``."""
    return re.sub(r"^an? ((?:finite |whole )?\w+)", r"\1s", noun)


def _limits(hint: Hint) -> Iterator[str]:
    if origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        yield from _limits(inner)
        for mark in (one for m in marks for one in (m.metadata if isinstance(m, FieldInfo) else [m])):
            for limit, phrase in LIMITS.items():
                if getattr(mark, limit, None) is not None:
                    yield phrase.format(getattr(mark, limit))


def sample(hint: Hint, given: object = None) -> str:
    """A value of the kind that is declared, as TOML has it; with the number that was given, where a table was to hold it.

    >>> sample(tuple[str, ...]), sample(Annotated[int, Field(gt=1)] | None)
    ('["..."]', '2')
    """
    first = alternatives(hint)[0]
    inner = bare(first)
    shown_as = [e for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, FieldInfo) for e in mark.examples or ()]
    if shown_as:
        return f'"{shown_as[0]}"'
    if is_table(inner):
        needed = [(n, f) for n, f in inner.model_fields.items() if f.is_required()] or list(inner.model_fields.items())[:1]
        return "{ " + ", ".join(f"{name} = {_inside(declared(field), given)}" for name, field in needed) + " }"
    match kind(inner):
        case one if one is Literal:
            return f'"{literals(inner)[0]}"'
        case one if one is dict:
            return '{ "..." = ' + sample(get_args(inner)[1]) + " }"
        case one if one in (tuple, list):
            return f"[{sample(get_args(inner)[0])}]"
        case one if one is bool:
            return "true"
        case one if one is int:
            return str(1 + max((int(w) for limit in _limits(first) for w in re.findall(r"above (\d+)", limit)), default=0))
        case one if one is float:
            return "1.0"
        case _:
            return '"..."'


def _inside(hint: Hint, given: object) -> str:
    """A given number where a number is wanted, else a sample."""
    number = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 1e9
    return f"{given}" if number and bare(hint) is float else sample(hint)


def excerpt(value: object) -> str:
    """The beginning of a value's text; a number of thousands of digits has none."""
    try:
        return shown(reprlib.repr(value))
    except ValueError:
        return f"a long {type(value).__name__}"

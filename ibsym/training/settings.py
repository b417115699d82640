"""What ``--set NAME=VALUE`` may name: a dimension, a parameter of the spec, or a setting of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from ibsym.errors import Place, unknown
from ibsym.nn.sizes import dimensions
from ibsym.spec.model import Spec
from ibsym.spec.schema import OPTIONS
from ibsym.training.failures import refused

STEPS = 5000


@dataclass(frozen=True)
class Settings:
    """Settings of a run that are no part of its spec."""

    batch: int = 64
    lr: float = 1e-3
    critic_lr: float = 1e-3
    critic_steps: int = 1
    dual_step: float = 1e-2
    hidden: int = 128
    draws: int = 0  # 0: eight where the loss averages inside a logarithm, else one


@dataclass(frozen=True)
class Choices:
    """A run's settings, dimensions and parameters, sorted out."""

    settings: Settings = Settings()
    sizes: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, float] = field(default_factory=dict)


def sort_out(spec: Spec, given: Mapping[str, object], option: str = "--set") -> Choices:
    """Each name is looked up among the dimensions, the parameters and the settings; a name of two of them is refused."""
    sizes: dict[str, int] = {}
    parameters: dict[str, float] = {}
    settings: dict[str, float | int] = {}
    kinds = {f.name: type(f.default) for f in fields(Settings)}
    places = {"dimension": set(dimensions(spec)), "parameter": set(spec.parameters), "setting": set(kinds)}
    for name, value in given.items():
        homes = [what for what, names in places.items() if name in names]
        if not homes:
            known = [n for names in places.values() for n in sorted(names)]
            raise unknown("dimension, parameter or setting", name, known, key=option, place=Place(file=option))
        if len(homes) > 1:
            raise refused(f"{name!r} is a {' and a '.join(homes)}", option=option, remedy="another name in the spec")
        match homes[0]:
            case "dimension":
                sizes[name] = whole(name, value, option=option)
            case "parameter":
                parameters[name] = inside(spec, name, value, option)
            case _:
                least = 0 if name == "draws" else 1
                is_whole = kinds[name] is int
                settings[name] = whole(name, value, least, option) if is_whole else positive(name, value, option)
    return Choices(replace(Settings(), **settings), sizes, parameters)  # type: ignore[arg-type]


def sized(spec: Spec, choices: Choices, rows: Mapping[str, int]) -> Choices:
    """The size of the data set is the number of rows that are trained on, where nothing else is set; a batch is no larger."""
    parameters, least = dict(choices.parameters), min(choices.settings.batch, max(rows.values(), default=0))
    for use in spec.estimators:
        joint = spec.joints.get(use.term.joint or "")
        own = [n for s, n in rows.items() if joint is None or s in {f.head for f in joint.factors}] or list(rows.values())
        for name, value in use.options:
            if OPTIONS[name].kind != "size" or not own:
                continue
            number = parameters.setdefault(value, float(max(own))) if isinstance(value, str) else float(str(value))
            if isinstance(value, str):
                inside(spec, value, number)
            if number < least:
                raise refused(
                    f"{use.estimator} of {use.key} takes {number:g} rows for the whole data set, and a batch has {least}",
                    option="--set",
                    remedy=f"{value}={max(own)}" if isinstance(value, str) else f"batch={int(number)}",
                )
    return replace(choices, parameters=parameters)


def assignments(entries: Iterable[str], option: str) -> dict[str, str]:
    """``NAME=VALUE``, each name once.

    >>> assignments(["L=8", "beta=1e2"], "--set")
    {'L': '8', 'beta': '1e2'}
    """
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not name or not value:
            raise refused(f"{entry!r:.80} sets nothing", option=option, remedy="NAME=VALUE")
        if name in found:
            raise refused(f"{name} is set twice", option=option, remedy="each name once")
        found[name] = value
    return found


def numeric(name: str, value: object, option: str = "--set") -> float:
    """A number, also as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise refused(f"{name} = {value!r} is not a number", option=option, remedy=f"{name}=8")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise refused(f"{name} = {value!r} is not a number", option=option, remedy=f"{name}=8") from None


def whole(name: str, value: object, least: int = 1, option: str = "--set") -> int:
    """A size."""
    number = numeric(name, value, option)
    if not (number == number and least <= number <= 1_000_000 and number == int(number)):
        raise refused(
            f"{name} = {value} is not a size", option=option, remedy=f"{name}=8, a whole number from {least} to 1000000"
        )
    return int(number)


def positive(name: str, value: object, option: str = "--set") -> float:
    """A rate."""
    number = numeric(name, value, option)
    if not 0 < number < float("inf"):
        raise refused(f"{name} = {value} is not positive", option=option, remedy=f"{name}=1e-3")
    return number


def inside(spec: Spec, name: str, value: object, option: str = "--set") -> float:
    """A parameter's value in its declared interval, on which the bound's direction rests."""
    number, entry = numeric(name, value, option), spec.parameters[name]
    low, high = entry.interval
    if not low <= number <= high or number in (float("inf"), -float("inf")):
        raise refused(f"{name} = {value} is outside of [{low:g}, {high:g}]", option=option, remedy=f"{name}={entry.default:g}")
    return number


def default_epochs(steps: int) -> int:
    """As many epochs as make some thousands of steps, at least ten."""
    return max(10, round(STEPS / steps))


def plain(settings: Settings) -> dict[str, float | int]:
    """The settings as a mapping."""
    return asdict(settings)

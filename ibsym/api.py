"""What a user calls: load, derive, check, generate, compile, diagnose, train. Each takes a spec, a name, a file or a derivation alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibsym.arguments import ANYTHING, FILE, FLAG, FUNCTION, NOTHING, TABLE, TEXT, TEXTS, Kind, above, takes, whole
from ibsym.checking.certificate import Certificate
from ibsym.derivation.model import Derivation, Step
from ibsym.sources import Source, derivation_of, loss_of, spec_of
from ibsym.spec import loading
from ibsym.spec.model import Spec

if TYPE_CHECKING:
    from ibsym.checking.answers import Answer
    from ibsym.diagnosis.identifying import Identification
    from ibsym.diagnosis.report import Report
    from ibsym.diagnosis.tables import Comparison
    from ibsym.shown import Views

__all__ = [
    "audit",
    "cite",
    "compare",
    "compile",
    "derive",
    "diagnose",
    "generate",
    "identify",
    "load",
    "loads",
    "prove",
    "train",
    "zoo",
]

_SOURCE = FILE | Kind("a Spec or a derivation", lambda value: isinstance(value, Spec | Derivation | Certificate))
_SOURCES = Kind(
    "a list of at least two specs",
    lambda value: isinstance(value, list | tuple) and len(value) > 1 and all(_SOURCE.fits(one) for one in value),
)


@takes("ibsym.zoo()")
def zoo() -> list[str]:
    """The names of the specs that travel with ibsym.

    >>> zoo() == sorted(zoo()), len(zoo()) > 10
    (True, True)
    """
    return loading.zoo_names()


@takes('ibsym.load("mine.toml")', source=_SOURCE)
def load(source: Source) -> Spec:
    """The spec in a TOML file, of a zoo entry by its name, or that a derivation started from.

    Raises :class:`~ibsym.errors.SpecError` with file, line and column where there is one.
    """
    return spec_of(source)


@takes('ibsym.loads(Path("mine.toml").read_text())', text=TEXT, file=FILE)
def loads(text: str, file: str | Path = "<text>") -> Spec:
    """The spec in a TOML text; ``file`` is what errors call it."""
    return loading.loads(text, file=str(file))


@takes('ibsym.derive("mine.toml")', spec=_SOURCE)
def derive(spec: Source) -> Derivation:
    """objective <= bound (or >=, =, ~): the bound of a spec that code can compute, step by step.

    ``spec`` is a :class:`Spec`, a file, or a name of the zoo. Raises an :class:`~ibsym.errors.IbsymError` that names the term
    which cannot be bounded and the factor to declare.

    >>> d = derive(Spec(name="keep", objective="maximize I_q(Z;C)", variables={"x": "real[D]", "z": "real[L]", "c": "categorical[K]"},
    ...     joints={"q": "data(x,c) q(z|x)", "p": "p(c|z)"}, families={"q(z|x)": "diagonal-normal", "p(c|z)": "categorical"}))
    >>> print(d.objective, d.relation, d.final)
    I_q(Z;C) >= H_q(C) + E_q[log p(c|z)]
    """
    return derivation_of(spec)


@takes(
    'ibsym.prove("I(X;Z) <= I(X;Y)", given=["X -> Y -> Z"])',
    claim=TEXT,
    given=TEXTS,
    continuous=FLAG,
    axioms=TEXTS,
    time_limit=above(0),
    unit=TEXT,
    copies=TEXTS,
    sufficient=FLAG,
)
def prove(
    claim: str,
    given: Sequence[str] = (),
    *,
    continuous: bool = False,
    axioms: Sequence[str] = (),
    time_limit: float = 60.0,
    unit: str = "nats",
    copies: Sequence[str] = (),
    sufficient: bool = False,
) -> Answer:
    """0 <= right - left, for a linear relation of entropies, informations, relative entropies and constants, under premises.

    ``claim``: a relation (``min``, ``max``, ``abs`` and ``log 2`` may occur), a chain ``"X -> Y -> Z"``, an independence
    ``"X _|_ Y | Z"``, a function ``"Y = f(X)"``; ``given``: any of these. Entropies are those of discrete variables, or differential
    with ``continuous``: then all variables together have a density. Numbers are in ``unit``. ``axioms=["zhang-yeung"]`` adds a
    non-Shannon inequality, ``copies=["R = C | A,B"]`` an auxiliary variable by the copy lemma. The answer has ``.proved``,
    ``.certificate`` (exact multipliers), ``.counterexample`` and, with ``sufficient``, the smallest sets of independences under which
    the claim holds; ``str()`` is the proof, and ``bool()`` raises, since not proved is not false.

    >>> prove("I(X;Z) <= I(X;Y)", given=["X -> Y -> Z"]).proved
    True
    >>> prove("I(X;Y|Z) <= I(X;Y)").status
    'refuted'
    """
    from ibsym.checking.answers import Answer, answer

    Answer.drawing = _answers
    return answer(
        claim,
        [given] if isinstance(given, str) else given,
        continuous=continuous,
        axioms=[axioms] if isinstance(axioms, str) else axioms,
        time_limit=time_limit,
        unit=unit,
        copies=[copies] if isinstance(copies, str) else copies,
        sufficient=sufficient,
    )


@takes('ibsym.audit("mine.toml")', derivation=_SOURCE, worlds=whole(1), seed=whole(0))
def audit(derivation: Source, *, worlds: int = 8, seed: int = 0) -> Certificate:
    """|bound - objective - gap| < 1e-9 in random worlds, every step and multiplier verified; what :func:`generate` starts from."""
    from ibsym.checking.audit import audit as _audit

    return _audit(derive(derivation), worlds=worlds, seed=seed)


@takes('ibsym.generate("mine.toml")', derivation=_SOURCE)
def generate(derivation: Source) -> str:
    """The text of a PyTorch module that computes the bound; audits first unless a certificate is given."""
    from ibsym.codegen import emit
    from ibsym.lowering import lower

    certificate = derivation if isinstance(derivation, Certificate) else audit(derivation)
    return emit(lower(certificate))


@takes('ibsym.compile("mine.toml")', derivation=_SOURCE)
def compile(derivation: Source) -> type[Any]:
    """The emitted loss class, in memory. Needs PyTorch."""
    return loss_of(derivation)


@takes(
    'ibsym.diagnose(loss, "mine.toml", inputs={"mu": "z_mean"})',
    function=FUNCTION,
    against=_SOURCE,
    inputs=TABLE | NOTHING,
    output=TEXT | NOTHING,
    parameters=TABLE | NOTHING,
)
def diagnose(
    function: Callable[..., Any],
    against: Source,
    inputs: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Report:
    """function(inputs) = sum coefficient * term + constant: what a loss that exists is in the terms of a spec.

    ``inputs`` says what each argument is: the name of an input of the spec's loss or of a parameter, or arithmetic in them and in
    ``noise``, such as ``{"mu": "z_mean", "std": "exp(z_logvar/2)"}``; what is left out is guessed from names. ``output`` picks one
    of several returned values; ``parameters`` holds parameters of the spec at values. The report has ``.equal``,
    ``.coefficients``, ``.findings`` and ``.objective``. Needs PyTorch.
    """
    derivation = against.derivation if isinstance(against, Certificate) else against
    derivation = derivation if isinstance(derivation, Derivation) else derive(derivation)
    loss = compile(against if isinstance(against, Certificate) else derivation)
    from ibsym.diagnosis.diagnose import diagnose as _diagnose

    return _diagnose(function, derivation, loss, inputs, output=output, parameters=parameters)


@takes('ibsym.identify("mine.toml")', spec=_SOURCE)
def identify(spec: Source) -> Identification:
    """sum c t = s sum c' t': which system of the zoo a spec is, up to names, or the nearest ones and what separates them.

    Decided by the vectors of what is minimised, not by names. ``str()`` is the answer as text; it has ``.known`` and ``.to_json()``.
    """
    from ibsym.diagnosis.identifying import identify as _identify

    return _identify(derive(spec))


@takes('ibsym.cite("mine.toml")', spec=_SOURCE)
def cite(spec: Source) -> str:
    """BibTeX entries of what a spec and its derivation cite, under the keys that LaTeX and Typst fragments use."""
    from ibsym.rendering.bibliography import cited

    return cited(derive(spec))


@takes('ibsym.compare(["mine.toml", "theirs.toml"])', specs=_SOURCES)
def compare(specs: Sequence[Source]) -> Comparison:
    """Rows of systems, columns of terms: what each keeps, drops, estimates and weighs, in the first one's names.

    ``str()`` is the table and what separates the systems as text; ``.to_latex()`` and ``.to_json()`` likewise.
    """
    from ibsym.diagnosis.tables import compared

    return compared([derive(s) for s in specs])


@takes(
    'ibsym.train("mine.toml", data="digits", epochs=10)',
    spec=_SOURCE,
    data=FILE | Kind("a dataset with a length", lambda value: hasattr(value, "__getitem__") and hasattr(value, "__len__")),
    epochs=whole(1) | NOTHING,
    seed=whole(0),
    out=FILE | NOTHING,
    resume=FLAG,
    overwrite=FLAG,
    labelled=whole(2) | NOTHING,
    settings=TABLE | NOTHING,
    warmup=TABLE | NOTHING,
    dtype=TEXT,
    loss=FUNCTION | NOTHING,
    report=ANYTHING,
    networks=TABLE | NOTHING,
    machine=TABLE | NOTHING,
    workers=whole(0),
)
def train(
    spec: Source,
    *,
    data: Any = "digits",
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    labelled: int | None = None,
    settings: Mapping[str, object] | None = None,
    warmup: Mapping[str, object] | None = None,
    dtype: str = "float32",
    loss: Callable[..., Any] | None = None,
    report: Any = None,
    networks: Mapping[str, Callable[..., Any]] | None = None,
    machine: Mapping[str, object] | None = None,
    workers: int = 0,
) -> Any:
    """min E[loss]: trains small networks with the emitted loss on real data.

    ``data`` is ``"digits"``, a folder of IDX files or of images, an ``.npz`` file, or a map-style dataset read by
    ``workers``. ``out`` is the folder of the run, which ``resume`` goes on with and
    ``overwrite`` begins anew. ``settings`` sets dimensions, parameters of the spec and settings of the run; see
    :func:`ibsym.training.train.run`, which also says what ``loss`` and ``report`` are. ``networks`` are yours, as of
    :class:`ibsym.nn.System`; ``machine`` says where to compute: ``{"device": "cuda", "precision": "bf16-mixed"}``.
    """
    from ibsym.training.failures import need_all

    need_all(data, out)
    from ibsym.training.train import run

    read = load(spec)
    return run(
        read,
        compile(spec if isinstance(spec, Derivation | Certificate) else read),
        data=data,
        epochs=epochs,
        seed=seed,
        out=out,
        resume=resume,
        overwrite=overwrite,
        labelled=labelled,
        settings=settings,
        warmup=warmup,
        dtype=dtype,
        loss=loss,
        report=report,
        networks=networks,
        machine=machine,
        workers=workers,
    )


def _derivations() -> Views:
    """What draws derivations lies below their own layer, so it is named here, and brought at first use."""
    from ibsym.rendering.views import DerivationViews

    return DerivationViews()


def _steps() -> Views:
    from ibsym.rendering.views import StepViews

    return StepViews()


def _answers() -> Views:
    from ibsym.rendering.views import AnswerViews

    return AnswerViews()


Derivation.drawing = _derivations
Step.drawing = _steps

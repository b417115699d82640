"""Hostile inputs from a seed: mutated, spliced and generated specs, objectives, claims, and constructions that once hurt somebody."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ibsym.spec.grammar import WHAT
from tests.checking.random_specs import random_keys, random_objective, random_spec

ROOT = Path(__file__).resolve().parents[2]
TOKEN = re.compile(r"\w+|\s+|->|\|\||<=|>=|.", re.DOTALL)
HOSTILE = (
    *(
        "__import__",
        "__class__",
        "eval",
        "exec",
        "../../etc/passwd",
        "/dev/zero",
        "C:\\con",
        "\\input{/etc/passwd}",
        "\\write18{id}",
    ),
    *(
        "<script>alert(1)</script>",
        "$(rm -rf .)",
        "`id`",
        "; ls",
        "&&",
        "%s%n",
        "{{7*7}}",
        "{0.__class__}",
        "import os; os.abort()",
    ),
    *(
        "9**9**9",
        "1e999",
        "1e-999",
        "1e308",
        "0",
        "-0",
        "0.0",
        "nan",
        "inf",
        "0x" + "f" * 5000,
        "1" * 5000,
        "9" * 400,
        "1_0",
        "1e+400",
    ),
    *(
        "\0",
        "\x1b[31m",
        "\u202e",
        "\ufeff",
        "é",
        "𝒙",
        "ſ",
        "K",
        "İ",
        "🦆",
        "\r",
        "\n",
        "\t",
        "'",
        '"',
        '"""',
        "'''",
        "\\",
        "\\u0000",
    ),
    *("(", ")", "[", "]", "{", "}", "|", "||", ",", ";", "=", "<=", ">=", "->", "+", "-", "*", "/", "^", "**", "#", ".", "_"),
    *(
        "x",
        "z",
        "X",
        "Z",
        "q",
        "p",
        "data",
        "beta",
        "lambda",
        "class",
        "None",
        "self",
        "reduction",
        "forward",
        "B",
        "S",
        "log",
        "I",
        "H",
    ),
    *("I_q(X;Z)", "H(X)", "KL(q(z)||p(z))", "TC_q(Z)", "JS(data(x)||p(x))", "F[pearson](data(x)||p(x))", "E_q[log p(x|z)]"),
    *(
        "I(X;X)",
        "I(X;Y|X)",
        "KL(q(z|x)||p(z|x))",
        "CE(q(x)||p(x))",
        "(0.5*data(x) + 0.5*p(x))",
        "(1e-9*q(x) + 0.999999999*p(x))",
    ),
    *(
        "implicit",
        "empirical",
        "deterministic",
        "diagonal-normal",
        "categorical",
        "real[D]",
        "binary[D]",
        "sphere[D]",
        "unit[C,H,W]",
    ),
    *(
        "density-ratio",
        "minibatch-weighted",
        "infonce",
        "iwae",
        "club",
        "leave-one-out",
        "logistic",
        "dual",
        "mmd",
        "true",
        "1979-05-27",
    ),
)


@dataclass(frozen=True)
class Input:
    """What to call and with what: ``spec`` (a TOML text), ``file`` (its bytes), ``parse`` (start, text) or ``prove`` (claim, premises)."""

    target: str
    parts: tuple[str | bytes, ...]

    def __str__(self) -> str:
        return f"{self.target}: {self.parts!r:.300}"


@cache
def specs() -> tuple[str, ...]:
    """The valid specs, and refused ones, of the zoo and the tests."""
    paths = [*sorted(ROOT.glob("ibsym/zoo/*.toml")), *sorted(ROOT.glob("tests/specs/**/*.toml"))]
    return tuple(path.read_text(encoding="utf-8") for path in paths)


@cache
def claims() -> tuple[tuple[str, ...], ...]:
    """The claims of the prover's own tests, each with its premises."""
    from tests.proving.test_prover import FALSE, PROVABLE, ZHANG_YEUNG

    return (*((claim, *premises) for claim, premises in (*PROVABLE, *FALSE)), (ZHANG_YEUNG,))


@cache
def expressions() -> tuple[str, ...]:
    """Everything that stands in quotes in a spec."""
    return tuple(sorted({found for text in specs() for found in re.findall(r'"([^"\n]*)"', text)}))


def mutate(text: str, rng: random.Random, others: Sequence[str]) -> str:
    """One to four mutations of characters, tokens or lines, or a splice with another text."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        text = rng.choice(MUTATIONS)(text, rng, others)
    return text


def _place(text: str, rng: random.Random) -> int:
    return rng.randint(0, len(text))


def _insert(text: str, rng: random.Random, others: Sequence[str]) -> str:
    i = _place(text, rng)
    return text[:i] + rng.choice(HOSTILE) + text[i:]


def _delete(text: str, rng: random.Random, others: Sequence[str]) -> str:
    i = _place(text, rng)
    return text[:i] + text[i + rng.choice((1, 1, 2, 5, 30)) :]


def _repeat(text: str, rng: random.Random, others: Sequence[str]) -> str:
    i = _place(text, rng)
    piece = text[i : i + rng.choice((1, 2, 8, 40))]
    return text[:i] + piece * rng.choice((2, 3, 50, 400)) + text[i:]


def _character(text: str, rng: random.Random, others: Sequence[str]) -> str:
    i = _place(text, rng)
    return text[:i] + chr(rng.choice((rng.randint(0, 127), rng.randint(0, 0xD7FF)))) + text[i + 1 :]


def _tokens(text: str, rng: random.Random, others: Sequence[str]) -> str:
    tokens = TOKEN.findall(text)
    if tokens:
        i, k = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        foreign = TOKEN.findall(rng.choice(others)) or [""]
        match rng.randrange(4):
            case 0:
                tokens[i], tokens[k] = tokens[k], tokens[i]
            case 1:
                tokens[i] = rng.choice(foreign)
            case 2:
                tokens[i] = tokens[k]
            case 3:
                tokens[i] = rng.choice(HOSTILE)
    return "".join(tokens)


def _lines(text: str, rng: random.Random, others: Sequence[str]) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        i, k = rng.randrange(len(lines)), rng.randrange(len(lines))
        match rng.randrange(4):
            case 0:
                del lines[i]
            case 1:
                lines.insert(i, lines[k])
            case 2:
                lines[i], lines[k] = lines[k], lines[i]
            case 3:
                lines.insert(i, rng.choice(rng.choice(others).splitlines(keepends=True) or [""]))
    return "".join(lines)


def _splice(text: str, rng: random.Random, others: Sequence[str]) -> str:
    other = rng.choice(others)
    return text[: _place(text, rng)] + other[_place(other, rng) :]


MUTATIONS: tuple[Callable[[str, random.Random, Sequence[str]], str], ...] = (
    *(_insert, _insert, _delete, _repeat, _character),
    *(_tokens, _tokens, _tokens, _lines, _splice),
)


def toml(keys: dict[str, object]) -> str:
    """A spec's keys as TOML, tables inline."""

    def value(v: object) -> str:
        if isinstance(v, dict):
            return "{ " + ", ".join(f"{json.dumps(k)} = {value(x)}" for k, x in v.items()) + " }"
        return json.dumps(v)

    return "".join(f"{json.dumps(k)} = {value(v)}\n" for k, v in keys.items())


def _generated(rng: random.Random) -> str:
    """A well-formed spec with a random graph and objective."""
    seed = rng.randrange(10**6)
    objective, asked = random_objective(random_spec(seed), rng)
    parameters = {"beta": {"default": rng.choice((0, 1.0, 1e300, -1)), "min": rng.choice((0, -1, 1e-300))}}
    return toml(random_keys(seed) | {"objective": objective, "estimators": asked, "parameters": parameters})


def _minimal(rng: random.Random, **changes: object) -> str:
    keys: dict[str, object] = {
        "name": "fuzzed",
        "objective": "minimize I_q(X;Z)",
        "variables": {"x": "real[D]", "z": "real[L]"},
        "joints": {"q": "data(x) q(z|x)", "p": "p(z)"},
        "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal"},
        "parameters": {"beta": {"default": 1.0, "min": 0}},
    }
    return toml(keys | changes)


def _nested(rng: random.Random) -> str:
    n = rng.choice((30, 39, 41, 200, 900, 1900))
    left, right = rng.choice(
        (("(", ")"), ("[", "]"), ("-", ""), ("+", ""), ("- ", ""), ("2*(", ")"), ("beta^", ""), ("1/(1+", ")"))
    )
    return _minimal(rng, objective="minimize " + left * n + "2" + right * n + " * I_q(X;Z)")


def _arithmetic(rng: random.Random) -> str:
    text = rng.choice(("9", "beta", "1e99", "(beta+1)", "0", "1e-300"))
    for _ in range(rng.randint(1, 12)):
        text = rng.choice(("({0})^16", "({0})*({0})", "({0})/({0}-{0})", "({0})^-3", "1/({0})", "({0})^({0})", "{0}+{0}", "({0}-1)*{0}"))\
            .format(text[:300])  # fmt: skip
    return _minimal(rng, objective=f"minimize {text}*I_q(X;Z)")


def _tables(rng: random.Random) -> str:
    n = rng.choice((50, 500, 5000))
    return rng.choice(
        (
            "[" + ".".join("a" * n) + "]",
            "a = " + "[" * n + "]" * n,
            "a = " + "{b=" * n + "1" + "}" * n,
            ".".join("a" * n) + " = 1",
            "".join(f"[t{i}]\n" for i in range(n)),
            "[families]\n" + "".join(f'"q(z|x{i})" = "implicit"\n' for i in range(n)),
            _minimal(rng) + "[[a]]\n" * n,
        )
    )


def _large(rng: random.Random) -> str:
    """Many variables, factors, joints, parts of a mixture, terms: far more than anybody needs."""
    n = rng.choice((5, 8, 20, 64, 65, 1000))
    names = [f"v{i}" for i in range(n)]
    variables = dict.fromkeys(names, "real[D]")
    chain = [f"q({b}|{a})" for a, b in itertools.pairwise(names)]
    families = dict.fromkeys(chain, "diagonal-normal")
    joints = {"q": "data(v0) " + " ".join(chain)}
    objective = f"minimize I_q(V0;V{n - 1})"
    match rng.randrange(7):
        case 0:
            joints["p"] = " ".join(f"p({v})" for v in names)
            families |= {f"p({v})": "standard-normal" for v in names}
        case 1:
            joints["q"] += f" q(v0|{names[-1]})"
            families[f"q(v0|{names[-1]})"] = "diagonal-normal"
        case 2:
            joints |= {f"j{i}": f"j{i}(v0)" for i in range(n)}
            families |= {f"j{i}(v0)": "standard-normal" for i in range(n)}
        case 3:
            joints["m"] = "(" + " + ".join(["%.12g*data(v0)" % (1 / n)] * n) + ")"
            objective = "minimize KL(m(v0)||q(v0))"
        case 4:
            joints |= {f"m{i}": f"(0.5*m{i + 1}(v0) + 0.5*m{i + 1}(v0))" for i in range(n)} | {
                f"m{n}": "(0.5*data(v0) + 0.5*q(v0))"
            }
            objective = "minimize KL(m0(v0)||q(v0))"
        case 5:
            objective = "minimize " + " + ".join(f"H_q(V{i})" for i in range(n))
        case 6:
            objective = "minimize I_q(" + ";".join(v.upper() for v in names) + ")"
    return toml({"name": "large", "objective": objective, "variables": variables, "joints": joints, "families": families})


def _values(rng: random.Random) -> str:
    """Values of the wrong kind and size in places of the right name."""
    junk: tuple[object, ...] = (
        *(
            "",
            "x" * 5000,
            0,
            -1,
            10**30,
            1.5,
            True,
            [],
            [[]],
            {},
            {"a": 1},
            ["a", 1],
            {"family": []},
            {"family": "laplace", "scale": 0},
        ),
        *(
            {"family": "laplace", "scale": [1]},
            {"family": "normal-mixture", "components": 10**9},
            {"default": 1e308, "min": -1e308},
        ),
        *({"default": 1, "min": 2}, {"default": "1"}, {"default": True}, *rng.sample(HOSTILE, 4)),
    )
    key = rng.choice(
        (
            "name",
            "title",
            "cite",
            "notes",
            "objective",
            "variables",
            "joints",
            "families",
            "parameters",
            "estimators",
            "critics",
            "derivation",
        )
    )
    match rng.randrange(3):
        case 0:
            return _minimal(rng, **{key: rng.choice(junk)})
        case 1:
            names = (
                "x",
                "z",
                "q",
                "p",
                "q(z|x)",
                "q(z | x)",
                "p(z)",
                "q(x,z)",
                "beta",
                "expand",
                "KL(q(z)||p(z))",
                *rng.sample(HOSTILE, 2),
            )
            return _minimal(rng, **{key: {n: rng.choice(junk) for n in rng.sample(names, 3)}})
    return _minimal(rng) + rng.choice(
        ("a = 0x" + "f" * 9000, "a = " + "1" * 9000, "x = inf", 'name = "again"', "a.b = 1\na = 2", "d = 1979-05-27")
    )


def spec_text(rng: random.Random) -> str:
    """A spec, most often a mutated one."""
    make = rng.choice((None,) * 10 + (_generated, _generated, _nested, _arithmetic, _tables, _large, _values, _values))
    if make is None:
        return mutate(rng.choice(specs()), rng, specs())
    text = make(rng)
    return mutate(text, rng, specs()) if rng.random() < 0.3 else text


NAMES = ("X", "Y", "Z", "W", "U", "x", "If", "_a", "__import__", "None", "V" * 41, "X1", "lambda", "q", "I", "H", "TC", "KL")


def _names(rng: random.Random) -> str:
    return ",".join(rng.choice(NAMES[:5] if rng.random() < 0.9 else NAMES) for _ in range(rng.choice((1, 1, 1, 2, 3))))


def quantity(rng: random.Random) -> str:
    """A random quantity of a claim."""
    given = f"|{_names(rng)}" if rng.random() < 0.4 else ""
    match rng.randrange(5):
        case 0 | 1:
            return f"H({_names(rng)}{given})"
        case 2:
            return f"I({';'.join(_names(rng) for _ in range(rng.choice((1, 2, 2, 2, 3, 4))))}{given})"
        case 3:
            return f"TC({';'.join(_names(rng) for _ in range(rng.choice((1, 2, 3))))}{given})"
    q, p, r = (rng.choice("qqpr") for _ in range(3))
    of = _names(rng).lower()
    return rng.choice(
        (
            f"KL({q}({of})||{p}({of}))",
            f"I_{q}(X;{_names(rng)})",
            f"E_{q}[log {r}({of}{given.lower()})]",
            f"CE({q}({of})||{p}({of}))",
        )
    )


def _sum(rng: random.Random) -> str:
    terms = (
        f"{rng.choice(('', '', '2 ', '2*', '0.5*', '1e-5*', '1e7*', '(1-1)*', '9**9**9*'))}{quantity(rng)}"
        for _ in range(rng.choice((1, 1, 2, 3, 6)))
    )
    return rng.choice((" + ", " - ")).join(terms)


def _claim(rng: random.Random) -> tuple[str, ...]:
    claim = f"{_sum(rng)} {rng.choice(('<=', '>=', '='))} {rng.choice(('0', _sum(rng), _sum(rng)))}"
    given = [
        rng.choice(
            (
                f"{quantity(rng)} = 0",
                f"{quantity(rng)} <= 0",
                f"{_sum(rng)} <= {_sum(rng)}",
                " -> ".join(_names(rng) for _ in range(rng.randint(2, 5))),
            )
        )
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4)))
    ]
    return (claim, *given)


def _wide(rng: random.Random) -> tuple[str, ...]:
    n = rng.choice((8, 10, 12, 16, 17, 300))
    names = [f"X{i}" for i in range(n)]
    chain = " -> ".join(names)
    return rng.choice(
        (
            (f"I({';'.join(names)}) >= 0",),
            (f"TC({';'.join(names)}) >= 0", chain),
            (f"H({','.join(names)}) <= " + " + ".join(f"H({v})" for v in names),),
            (f"I(X0;X{n - 1}) <= I(X2;X3|X4)", chain),
            (f"I({';'.join(['X0'] * n)}) >= 0",),
            ("H(X0) >= 0", *[f"H({v}) <= H(X0)" for v in names]),
            (f"KL(q({','.join(names).lower()})||p({','.join(names).lower()})) >= 0",),
            (" + ".join(f"H({v})" for v in names) + " >= 0", *[f"I({a};{b}) = 0" for a, b in itertools.pairwise(names)]),
            ("H(X0) <= H(X1)" + " + H(X1) - H(X1)" * n,),
        )
    )


def claim_texts(rng: random.Random) -> tuple[str, ...]:
    """A claim with its premises."""
    match rng.randrange(10):
        case 0 | 1 | 2 | 3:
            return _claim(rng)
        case 4:
            return _wide(rng)
    texts = list(rng.choice(claims()))
    others = [t for c in claims() for t in c]
    i = rng.randrange(len(texts))
    texts[i] = mutate(texts[i], rng, others)
    if rng.random() < 0.2:
        texts.append(mutate(rng.choice(others), rng, others))
    return tuple(texts)


def generate(seed: int) -> Input:
    """The input of a seed."""
    rng = random.Random(f"fuzz {seed}")
    match rng.randrange(20):
        case 0:
            data = bytearray(spec_text(rng).encode("utf-8", "surrogatepass"))
            for _ in range(rng.choice((0, 1, 1, 3, 20))):
                data[rng.randint(0, len(data)) : 0] = bytes([rng.choice((0, 0xFF, 0xC0, 0xED, rng.randrange(256)))])
            return Input("file", (bytes(data),))
        case 1 | 2 | 3 | 4 | 5:
            start = rng.choice(tuple(WHAT))
            return Input("parse", (start, mutate(rng.choice(expressions()), rng, expressions())))
        case 6 | 7 | 8 | 9 | 10 | 11:
            return Input("prove", claim_texts(rng))
    return Input("spec", (spec_text(rng),))

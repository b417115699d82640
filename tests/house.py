"""The house in numbers, measured from the repository: python -m tests.house (or make house).

What is to be zero is zero, or the exit status is 1 and every place is named.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Example:
    """A worked example of CONTRIBUTING.md: what its files in the package and its tests say that no other file does."""

    name: str
    package: str
    tests: str

    def files(self) -> tuple[list[str], list[str]]:
        """The files of the package that mention it, and those of the tests."""
        return mentioning(self.package, "ibsym", ("templates",)), mentioning(self.tests, "tests", ())


EXAMPLES = (
    Example(
        "family Beta",
        r"""families[./]beta\b|(name=|Family\w*\(\s*|_of\()["']beta["']""",
        r"""families[./](test_)?beta\b|(family|"\w\([^"]*\)") ?= ["']beta["']""",
    ),
    Example("estimator SMILE", r"(?i)\bsmile\b", r"(?i)\bsmile\b"),
    Example("rule of conditioning", r"conditioning reduces entropy", r"conditioning reduces entropy|test_conditioning"),
    Example("target NumPy", r"targets?[./]numpy\b|codegen[./]numpy\b", r"targets?[./]numpy\b|codegen[./]numpy\b"),
)


def mentioning(pattern: str, folder: str, others: Iterable[str]) -> list[str]:
    """The source files under some folders whose path or text matches."""
    paths = [p for f in (folder, *others) for p in sorted((ROOT / f).glob("**/*")) if p.suffix in (".py", ".j2", ".h", ".c")]
    here = Path(__file__).resolve()
    found = re.compile(pattern)
    return [
        relative(p) for p in paths if p != here and (found.search(relative(p)) or found.search(p.read_text(encoding="utf-8")))
    ]


def relative(path: Path) -> str:
    """A path as it is printed."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def modules(folder: str = "ibsym") -> list[Path]:
    """The package's own modules."""
    return sorted((ROOT / folder).glob("**/*.py"))


def emitted() -> list[Path]:
    """The emitted losses."""
    return sorted(p for p in (ROOT / "generated").glob("[!_]*.py") if not p.name.endswith(".triton.py"))


def lines(path: Path) -> list[str]:
    """The lines of a file that are not blank, without their indent."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def longest(paths: Iterable[Path]) -> tuple[int, Path]:
    """The number of lines of the longest file."""
    return max((len(path.read_text(encoding="utf-8").splitlines()), path) for path in paths)


def in_common(texts: dict[str, list[str]]) -> dict[str, float]:
    """The share of each text's lines that every one of the texts has."""
    shared = set.intersection(*map(set, texts.values()))
    return {name: sum(line in shared for line in found) / len(found) for name, found in texts.items()}


def without_docstring(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every public module, class, function and method without a docstring; operators may go without."""
    tree = ast.parse(source)
    if tree.body and not ast.get_docstring(tree):
        yield 1, "the module"
    yield from _undocumented(tree.body)


def _undocumented(body: Iterable[ast.stmt], owner: str = "") -> Iterator[tuple[int, str]]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node) and not any("overload" in ast.unparse(d) for d in node.decorator_list):
                yield node.lineno, owner + node.name
            if isinstance(node, ast.ClassDef):
                yield from _undocumented(node.body, f"{node.name}.")


def open_dispatches(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every function whose choice among cases ends in an AssertionError instead of ``assert_never``."""
    for function in (n for n in ast.walk(ast.parse(source)) if isinstance(n, Function)):
        last = function.body[-1]
        if _asserts(last) and any(isinstance(n, ast.Match | ast.If | ast.For) for n in function.body[:-1]):
            yield last.lineno, function.name
        for case in (c for n in ast.walk(function) if isinstance(n, ast.Match) for c in n.cases):
            wild = isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None
            if wild and _asserts(case.body[-1]):
                yield case.body[-1].lineno, function.name


def _asserts(node: ast.stmt) -> bool:
    """Whether a statement raises an AssertionError."""
    return isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc).startswith("AssertionError")


TEXTUAL = {
    "ibsym/checking/answers.py": "a claim's premises as the user wrote them, to be printed back",
    "ibsym/proving/entropic.py": "which of those a quantity is zero by, to be printed beside it",
}


def premises_as_text(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every attribute that keeps a premise, or several, as text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and "premise" in ast.unparse(field.target):
                    name, kind = ast.unparse(field.target), ast.unparse(field.annotation)
                    yield from [(field.lineno, f"{node.name}.{name}")] if re.search(r"\bstr\b", kind) else []


OWN_COPIES = {
    "ibsym/checking/estimates.py": "a second copy of each formula, which the first is held against",
    "ibsym/checking/losses.py": "the same, of critics",
    "ibsym/diagnosis/laws.py": "what is written by hand in place of a few textbook laws",
    "ibsym/diagnosis/likelihoods.py": "the same, of their densities",
    "ibsym/diagnosis/rates.py": "the same, of their relative entropies",
    "ibsym/diagnosis/samples.py": "the same, of distances between samples",
}
OWNERS = ("ibsym/families/", "ibsym/estimators/")


def names_of_members() -> frozenset[str]:
    """Families and estimators by name; an estimator that is the term as it stands is a word of every derivation."""
    from ibsym.estimators import ESTIMATORS
    from ibsym.families.facts import FAMILIES

    return frozenset({*FAMILIES, *(e.name for e in ESTIMATORS.values() if not e.plain)})


def dispatches_by_name(source: str, names: Container[str]) -> Iterator[tuple[int, str]]:
    """Line and subject of every comparison of a family or an estimator with the names of some, and of every such case."""
    tree = ast.parse(source)
    kept = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}

    def named(node: ast.AST) -> bool:
        node = kept.get(ast.unparse(node), node)
        return any(isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value in names for n in ast.walk(node))

    for node in ast.walk(tree):
        match node:
            case ast.Compare(left, _, [right]):
                sides = [(left, right), (right, left)]
            case ast.Subscript(value, index):
                sides = [(index, value)] if ast.unparse(value) in kept else []
            case ast.Match(subject, cases):
                sides = [(subject, case.pattern) for case in cases]
            case _:
                continue
        for subject, other in sides:
            text = ast.unparse(subject)
            if re.search(r"\.name$|\b(family|estimator)$", text) and named(other):
                yield getattr(other, "lineno", subject.lineno), text


def places(measure: str, paths: Iterable[Path]) -> list[str]:
    """Every place that a measure finds, as file:line name."""
    find = {
        "docstrings": without_docstring,
        "dispatches": open_dispatches,
        "premises": premises_as_text,
        "names": partial(dispatches_by_name, names=names_of_members()),
    }[measure]
    found = []
    for path in paths:
        own = relative(path) in OWN_COPIES or relative(path).startswith(OWNERS)
        if not (measure == "premises" and relative(path) in TEXTUAL) and not (measure == "names" and own):
            found += [f"{relative(path)}:{line} {name}" for line, name in find(path.read_text(encoding="utf-8"))]
    return found


ZEROS = {
    "docstrings": "public functions without docstring",
    "dispatches": "dispatches that end in AssertionError",
    "premises": "premises kept as text",
    "names": "dispatches on the name of a family or an estimator",
}


def main() -> int:
    """Print the measures, and the places of what is to be zero."""
    length, path = longest(emitted())
    shares = in_common({p.stem: lines(p) for p in emitted()})
    print(f"longest emitted module: {length} lines ({relative(path)}), of {len(emitted())}")
    print(f"lines that all emitted modules have in common: {min(shares.values()):.0%} to {max(shares.values()):.0%} of each")
    bad: list[str] = []
    for measure, what in ZEROS.items():
        found = places(measure, modules())
        print(f"{what}: {len(found)}")
        bad += found
    for example in EXAMPLES:
        package, tests = example.files()
        parts = f"{len(package)} in the package, {len(tests)} in the tests"
        print(f"files touched by the {example.name}: {parts} ({', '.join((*package, *tests)) or 'not there'})")
    for place in bad:
        print(f"house: {place}", file=sys.stderr)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())

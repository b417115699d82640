"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from ibsym.codegen.runtime import native_runtime

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(ROOT.glob("ibsym/**/*.py"))
HEADERS = sorted(ROOT.glob("ibsym/runtime/*.h"))
TEMPLATES = sorted(path for path in ROOT.glob("templates/**/*") if path.is_file())
ZOO = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("ibsym/zoo/*.toml"))}
NAMES = sorted(str(entry["name"]) for entry in ZOO.values())
FIRST_TWELVE = (
    *("vib", "vae", "beta-vae", "aae", "infovae", "vae-gan", "bib-ae"),
    *("gan", "infogan", "bigan", "vdb", "semi-supervised-ib"),
)

# Third parties that only some layers may touch, at the head of a module or inside a function.
ONLY_IN = {
    "torch": {
        "runtime",
        "checking",
        "sources",
        "nn",
        "lightning",
        "training",
        "coding",
        "sweeping",
        "conformance",
        "diagnosis",
        "api",
        "cli",
    },
    "jinja2": {"codegen", "rendering"},
    "pybtex": {"rendering"},
    "click": {"cli"},
    "rich": {"training", "sweeping", "cli"},
    "PIL": {"training", "coding"},
    "constriction": {"coding"},
    "optuna": {"sweeping"},
    "pyarrow": {"sweeping"},
    "lightning": {"lightning"},
    "lightning_fabric": {"training"},
    "sklearn": {"training"},
    "matplotlib": {"drawing", "training", "sweeping"},
    "igraph": {"drawing"},
}
# Names of systems that are also estimators, or words of any program.
ALSO_WORDS = {"dim", "mine", "clip", "iwae", "infonce", "club"}
DISTRIBUTIONS = {"PIL": "pillow", "lightning_fabric": "lightning", "sklearn": "scikit-learn"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def squashed(text: str) -> str:
    """The letters and digits of a text."""
    return re.sub(r"[\W_]+", "", text).lower()


def occurrences(name: str, text: str) -> list[str]:
    """Where a system's name stands in the text as a word of its own: vae-gan, vae_gan, VaeGan, VAE/GAN, VAEGANLoss.

    A name that the language or the field has for something else is looked for as a file, a class, or a text that is compared.
    """
    if name in ALSO_WORDS:
        word = re.escape(name)
        compared = rf"\b(?:spec\.name|stem)\s*(?:==|!=|in|not in)\s[^\n]*[\"']{word}[\"']"
        anywhere = rf"\bzoo/{word}\b|\b{name.title()}Loss\b|{compared}"
        return [found.group() for found in re.finditer(anywhere, text)]
    if re.sub(r"\W", "", name).lower() not in squashed(text):
        return []  # as nearly always, and quick to see
    words = r"[\W_]*".join(map(re.escape, re.split(r"\W", name)))
    humps = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    pattern = re.compile(rf"(?<![^\W\d_]){words}s?(?![^\W\d_])", re.IGNORECASE)
    return [version[: found.end()].rpartition("\n")[2] for version in {text, humps} for found in pattern.finditer(version)]


def roots(source: str) -> set[str]:
    """The top-level packages that a module imports anywhere."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", [*MODULES, *HEADERS, *TEMPLATES], ids=relative)
def test_no_system_is_a_special_case(path: Path) -> None:
    text = f"{relative(path)}\n{path.read_text(encoding='utf-8')}"
    assert {name: found for name in NAMES if (found := occurrences(name, text))} == {}


@pytest.mark.parametrize(
    "text", ["vae-gan", "vae_gan", "vaegan", "VaeGan", "VaeGanLoss", "if 'VAE/GAN' in", "VAE-GANs", "vae_gan2"]
)
def test_a_name_is_found(text: str) -> None:
    assert occurrences("vae-gan", f"\nx = {text}\n")


@pytest.mark.parametrize("text", ["organ", "began()", "gander", "Ganges", "GANTT", "slogan_s"])
def test_a_part_of_a_word_is_no_name(text: str) -> None:
    assert occurrences("gan", text) == []


def test_a_name_that_is_a_word_is_found_where_it_can_only_be_the_name() -> None:
    for text in ("if spec.name == 'mine':", "if path.stem in (\"vae\", 'mine')", "class MineLoss", "zoo/mine.toml"):
        assert occurrences("mine", text), text
    for text in ("mine = 1", "of mine", "values['mine']"):
        assert not occurrences("mine", text), text


def test_the_zoo_is_there_and_has_no_code() -> None:
    assert set(FIRST_TWELVE) <= set(NAMES)
    assert [path for path in ROOT.glob("ibsym/zoo/**/*.py") if ast.parse(path.read_text(encoding="utf-8")).body] == []


@pytest.mark.parametrize("stem", ZOO)
def test_a_zoo_entry_is_whole(stem: str) -> None:
    assert ZOO[stem]["name"] == stem
    name = stem.replace("-", "_")
    for file in (f"generated/{name}.py", f"generated/{name}.tex", f"tests/references/{name}.py"):
        assert (ROOT / file).is_file(), f"{stem} lacks {file}"


def test_nothing_strays_among_the_emitted_files() -> None:
    emitted = {f"{stem.replace('-', '_')}{suffix}" for stem in ZOO for suffix in (".py", ".c", ".triton.py", ".tex")}
    emitted.add("_ibsym_runtime.py")
    assert {path.name for path in ROOT.glob("generated/*.*")} <= emitted


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_is_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < 450, f"{relative(path)} has {lines} lines; it is usually two modules"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_third_parties_are_declared_and_in_their_place(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [
        *project["dependencies"],
        *project["optional-dependencies"]["train"],
        *project["optional-dependencies"]["figures"],
        *project["optional-dependencies"]["compression"],
        *project["optional-dependencies"]["sweep"],
        *project["optional-dependencies"]["interpreter"],
    ]
    declared = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
    third_parties = roots(path.read_text(encoding="utf-8")) - set(sys.stdlib_module_names) - {"ibsym"}
    assert {DISTRIBUTIONS.get(name, name) for name in third_parties} <= declared
    top = path.relative_to(ROOT / "ibsym").with_suffix("").parts[0]
    layer = {"__init__": "api", "__main__": "cli"}.get(top, top)
    assert [name for name in sorted(third_parties) if layer not in ONLY_IN.get(name, {layer})] == []


EMITTED = sorted(path for path in ROOT.glob("generated/[!_]*.py") if not path.name.endswith(".triton.py"))
KERNELS = sorted(ROOT.glob("generated/*.triton.py"))


def test_what_c_computes_kernels_compute() -> None:
    """A loss that has a pass on the CPU has one on a GPU."""
    assert [path.stem for path in ROOT.glob("generated/*.c") if not path.with_suffix(".triton.py").is_file()] == []


@pytest.mark.parametrize("path", EMITTED, ids=lambda p: p.stem)
def test_an_emitted_module_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 250, f"{path.stem} has {len(lines)} lines: shorten what all emitted modules share"
    assert max(map(len, lines)) <= 140


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: p.stem)
def test_kernels_are_readable(path: Path) -> None:
    """Python that fits a page's width, every kernel with its mathematics, and nothing in vain."""
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert functions
    assert [f.name for f in functions if not ast.get_docstring(f)] == []
    assert max(map(len, text.splitlines())) <= 128
    used = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)} | {"passes", "rescaled", "left", "kept"}
    assert [f.name for f in functions if f.name not in used] == []


@pytest.mark.parametrize("path", EMITTED, ids=lambda p: p.stem)
def test_an_emitted_module_defines_what_it_uses(path: Path) -> None:
    """No name is missing, and none is imported or defined in vain."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    loaded = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    stored |= {n.arg for n in nodes if isinstance(n, ast.arg)} | {
        n.name for n in nodes if isinstance(n, ast.ExceptHandler) and n.name
    }
    top = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    imported = {a.asname or a.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    assert loaded - stored - top - imported - set(dir(builtins)) - {"__file__"} == set()
    assert (top | imported) - loaded == set()


def test_the_first_emitted_module_is_a_page_or_two() -> None:
    assert len((ROOT / "generated/vae.py").read_text(encoding="utf-8").splitlines()) <= 155


def test_the_runtime_beside_emitted_modules_is_the_packages() -> None:
    assert (ROOT / "generated/_ibsym_runtime.py").read_text(encoding="utf-8") == native_runtime()


def test_the_runtime_stands_alone() -> None:
    """What is copied into a loss imports torch and the standard library: the code's own neighbours are written beside it."""
    found = {name for path in ROOT.glob("ibsym/runtime/*.py") for name in roots(path.read_text(encoding="utf-8"))}
    assert found <= {*sys.stdlib_module_names, "torch"}


def test_importing_ibsym_is_light() -> None:
    code = "import sys, ibsym; print(*{'torch', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

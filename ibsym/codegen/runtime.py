"""The runtime's source as text: a definition copied whole, with what it uses. Nothing is imported for it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ibsym import runtime

FOLDER = Path(runtime.__file__).parent
NATIVE = "_ibsym_runtime.py"
"""What lies beside emitted losses, the same for all of them."""


VERSION = runtime.VERSION
NOTHING_USED: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Definition:
    """A function or class, and the names that it uses."""

    text: str
    uses: frozenset[str]


def used(code: ast.AST) -> frozenset[str]:
    """The names that some code uses.

    >>> sorted(used(ast.parse("y = exp(x)  # no log(x)")))
    ['exp', 'x', 'y']
    """
    return frozenset(n.id for n in ast.walk(code) if isinstance(n, ast.Name))


@cache
def definitions(module: str) -> dict[str, Definition]:
    """Name -> definition, of every function and class at the top of one of the runtime's modules.

    >>> sorted(definitions("tensors")["_log_mean_exp_over_draws"].uses & {"_log", "math", "Tensor"})
    ['Tensor', 'math']
    """
    source = text(f"{module}.py")
    lines = source.splitlines()
    found: dict[str, Definition] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[node.name] = Definition("\n".join(lines[first - 1 : node.end_lineno]), used(node))
    return found


def gathered(names: Iterable[str], modules: Iterable[str]) -> dict[str, Definition]:
    """The definitions of some names in some modules, and of what those use, in the order in which they are met."""
    known = {name: d for module in modules for name, d in definitions(module).items()}
    found: dict[str, Definition] = {}
    pending = [n for n in names if n in known]
    while pending:
        name = pending.pop(0)
        if name not in found:
            found[name] = known[name]
            pending += [n for n in known if n in known[name].uses]
    return found


@cache
def text(name: str) -> str:
    """The text of one of the runtime's files."""
    return (FOLDER / name).read_text(encoding="utf-8")


MORE = {
    "import copy\n": "import contextlib\nimport copy\n",
    "import linecache\n": "import importlib\nimport itertools\nimport linecache\nimport logging\nimport math\n",
    "import os\n": "import os\nimport platform\nimport shlex\nimport shutil\nimport stat\n",
    "import struct\n": "import struct\nimport subprocess\nimport sys\nimport tempfile\n",
    "import torch\n": "import torch\nimport torch.distributed as dist\n",
    "from pathlib import Path\n": "from pathlib import Path\nfrom types import ModuleType\n",
    "from typing import Any\n": "from typing import Any, NamedTuple\n",
}
"""What the sections after the first import."""


@cache
def native_runtime() -> str:
    """The file beside emitted losses: compiled passes, then products by blocks, then the ranks of a group."""
    passes = text(NATIVE).replace("\nfrom .libraries import for_one_process, library_path, tell\n", "")
    for line, with_more in MORE.items():
        passes = passes.replace(line, with_more, 1)
    sections = (
        part
        for name in ("libraries", "launches", "weighed", "small", "tables", "kernels", "graphs", "streams", "both_ways")
        for part in _section(name)
    )
    kernels = "\n".join(_section("stream_kernels"))
    return "\n".join((passes, *sections, f'KERNELS = r"""{kernels}"""', *_section("ranks"), ""))


def _section(name: str) -> tuple[str, ...]:
    """A module of the runtime under a heading, without its imports."""
    source = text(f"{name}.py")
    tree = ast.parse(source)
    last = max(node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    said = [f"# {line}".rstrip() for line in (ast.get_docstring(tree) or "").splitlines()]
    return "", f"# {'-' * (101 - len(name))} {name}", "#", *said, "\n".join(source.splitlines()[last:])


def digest(text: str) -> str:
    """What tells a text from any other."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]

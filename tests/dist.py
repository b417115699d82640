"""A release, tried: built, looked at, installed into a clean environment and used there; exit status 1 where something is amiss.

python -m tests.dist
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

from packaging.metadata import Metadata
from packaging.specifiers import SpecifierSet

from ibsym.runtime import VERSION
from tests.torchless import ROOT

DIST = ROOT / "dist"
NEEDED = ("ibsym/py.typed", "ibsym/zoo/vae.toml", "ibsym/generated/vae.py", "ibsym/templates/")
COMMANDS = (
    (("--version",), f"ibsym {VERSION}"),
    (("zoo",), "vae"),
    (("new", "mine"), "wrote mine.toml"),
    (("derive", "mine.toml"), "Bound"),
    (("derive", "vae", "--format", "latex"), "\\begin"),
    (("generate", "--all", "-o", "losses"), "wrote losses/vae.py"),
    (("check", "vae"), "vae: holds"),
    (("prove", "I(X;Z) <= I(X;Y)", "--given", "X -> Y -> Z"), "proved"),
)


def build() -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT)], check=True)
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return sdist, wheel


def complaints(sdist: Path, wheel: Path) -> Iterator[str]:
    """What is wrong with the two files, without installing them."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(about), validate=True)  # an error names the field
        (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
        for line in archive.read(record).decode().splitlines():
            name, digest, size = line.rsplit(",", 2)
            if digest:
                content = archive.read(name)
                found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                if (digest, int(size)) != (f"sha256={found}", len(content)):
                    yield f"{name} is not what RECORD says"
        if not message_from_bytes(archive.read(about)).get_payload():
            yield "the description is empty"
    if str(metadata.version) != VERSION:
        yield f"the metadata has version {metadata.version}, the code {VERSION}"
    if metadata.description_content_type != "text/markdown":
        yield "the description is not marked as Markdown"
    if metadata.requires_python != SpecifierSet(">=3.11"):
        yield f"requires-python is {metadata.requires_python}"
    for needed in NEEDED:
        if not any(name.startswith(needed) for name in names):
            yield f"the wheel lacks {needed}"
    strays = [n for n in names if not n.startswith(("ibsym/", "ibsym-")) or "__pycache__" in n]
    if strays:
        yield f"the wheel has {strays[:3]}"
    if not any(name.endswith("licenses/LICENSE") for name in names):
        yield "the wheel lacks the licence"
    with tarfile.open(sdist) as source:
        inside = {name.partition("/")[2] for name in source.getnames()}
    wanted = (
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "constraints.txt",
        "Makefile",
        "tests/conftest.py",
    )
    for name in wanted:
        if name not in inside:
            yield f"the sdist lacks {name}"


def tried(wheel: Path) -> Iterator[str]:
    """What is wrong with the wheel in use, in a clean environment and far from the repository."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
        python = home / "venv" / "bin" / "python"
        pins = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins, str(wheel)], check=True
        )
        (home / "work").mkdir()
        for arguments, expected in COMMANDS:
            command = [str(python.parent / "ibsym"), *arguments]
            done = subprocess.run(
                command, cwd=home / "work", capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
            )
            print("$ ibsym", *arguments)
            if done.returncode or done.stderr or expected not in done.stdout:
                yield f"ibsym {' '.join(arguments)}: status {done.returncode}, {done.stderr.strip() or done.stdout[:200]!r}"
        command = [str(python.parent / "ibsym"), "train", "vae", "--data", "digits"]
        done = subprocess.run(
            command, cwd=home / "work", capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
        )
        if done.returncode != 2 or "pip install 'ibsym[train]'" not in done.stderr:
            yield f"ibsym train, without PyTorch: status {done.returncode}, {done.stderr.strip()!r}"


def main() -> int:
    """Build, look, install, use."""
    sdist, wheel = build()
    found = [*complaints(sdist, wheel), *tried(wheel)]
    for line in found:
        print(f"dist: {line}", file=sys.stderr)
    if not found:
        print(f"dist: {sdist.relative_to(ROOT)} and {wheel.relative_to(ROOT)} are fit to be released")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

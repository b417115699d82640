"""The documentation's examples, run as they stand: ``python -m tests.pages --update`` writes down what they print today.

A page is a story in an empty folder. ``{code-block}`` with a caption is a file of that name, a ``console`` block a command with what it
prints (a line ``...`` is what was left out), a ``python`` block goes on where the last one ended.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(?P<kind>console|python|\{code-block\} \w+)\n(?P<body>.*?)^```$", flags=re.DOTALL | re.MULTILINE)
COLUMNS = "100"


def pages() -> list[Path]:
    """The pages that somebody wrote."""
    return sorted(
        p for p in DOCS.rglob("*.md") if "zoo" not in p.relative_to(DOCS).parts and BLOCK.search(p.read_text("utf-8"))
    )


class Story:
    """The blocks of one page, run in the working folder."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"__name__": "__main__"}

    def told(self, kind: str, body: str) -> str | None:
        """What a block prints today, with the command before it; None for a block that prints nothing on the page."""
        if kind == "console":
            command, _, _ = body.partition("\n")
            return f"{command}\n{printed(command.removeprefix('$ '))}"
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(body, "page.py", "exec"), self.names)  # noqa: S102  our own pages
            return None
        caption = re.match(r":caption: (\S+)\n\n", body)
        if caption:
            Path(caption[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(caption[1]).write_text(body[caption.end() :], encoding="utf-8")
        return None


def printed(command: str) -> str:
    """What ``ibsym ...`` prints."""
    from ibsym.cli import cli, guarded

    runner = CliRunner(env={"COLUMNS": COLUMNS, "NO_COLOR": "1"})
    program, *arguments = re.findall(r'"[^"]*"|\S+', command)
    if program != "ibsym":
        raise ValueError(f"a page runs {program}: only ibsym is run")
    with runner.isolation() as streams:
        guarded(lambda: cli.main(args=[a.strip('"') for a in arguments], prog_name="ibsym", standalone_mode=False))
        output = streams[2] if len(streams) > 2 else streams[0]
        return "\n".join(line.rstrip() for line in output.getvalue().decode("utf-8").strip().split("\n")) + "\n"


def agrees(shown: str, told: str) -> bool:
    """Whether the lines on a page are those that are printed, ``...`` standing for any but a refusal."""
    if "\nibsym: " in told and "\nibsym: " not in shown:
        return False
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)]
    return re.fullmatch(r"(?:.*\n)*?".join(parts), told) is not None


def blocks(text: str) -> Iterator[tuple[re.Match[str], str, str]]:
    """Every block with its kind and body."""
    for match in BLOCK.finditer(text):
        yield match, match["kind"], match["body"]


def updated(text: str) -> str:
    """The page with what its commands print today; what was left out stays out."""
    story, end, pieces = Story(), 0, []
    for match, kind, body in blocks(text):
        told = story.told(kind, body)
        if told is not None and not agrees(body, told) and "\n...\n" not in body:
            pieces += [text[end : match.start("body")], told]
            end = match.end("body")
    return "".join([*pieces, text[end:]])


def main() -> None:
    """Update the pages that are named, or all."""
    import tempfile

    chosen = [Path(a).resolve() for a in sys.argv[1:] if a != "--update"] or pages()
    for path in chosen:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            text = path.read_text(encoding="utf-8")
            new = updated(text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(os.path.relpath(path))


if __name__ == "__main__":
    main()

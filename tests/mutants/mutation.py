"""A mutant: one mistake in one file, and the tests that should notice. Its place is found by tokens, so layout does not matter."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER)


@dataclass(frozen=True)
class Mutant:
    """``old`` becomes ``new`` in ``file``; ``tests`` are run until one fails. ``nth`` counts from 1 where old occurs more often."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    nth: int = 0

    @property
    def name(self) -> str:
        short = " ".join(self.old.split()), " ".join(self.new.split()) or "nothing"
        return f"{self.file.removeprefix('ibsym/')}: {short[0][:60]} -> {short[1][:60]}"

    def apply(self, source: str) -> str:
        """The source with the mistake; a ValueError where the place is not found or not the only one."""
        find = _find if self.file.endswith(".py") else _find_in_c
        places = find(source, self.old)
        if not places or (self.nth == 0 and len(places) > 1) or self.nth > len(places):
            raise ValueError(f"{self.file}: {len(places)} places have {self.old!r}")
        start, end = places[max(self.nth, 1) - 1]
        return source[:start] + self.new + source[end:]


def _tokens(source: str) -> list[tuple[str, int, int]]:
    """Token texts with their offsets; layout and commas before a closing bracket are left out."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[tuple[str, int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _LAYOUT:
            continue
        if token.string in (")", "]", "}") and found and found[-1][0] == ",":
            found.pop()
        found.append((token.string, starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]))
    return found


def _partial(fragment: str) -> list[str]:
    """The tokens of a fragment that need not be balanced."""
    texts: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(fragment).readline):
            if token.type not in _LAYOUT:
                if token.string in (")", "]", "}") and texts and texts[-1] == ",":
                    texts.pop()
                texts.append(token.string)
    except tokenize.TokenError:
        pass
    return texts


def _find_in_c(source: str, fragment: str) -> list[tuple[int, int]]:
    wanted, tokens = re.findall(r"\w+|\S", fragment), list(re.finditer(r"\w+|\S", source))
    texts = [t.group() for t in tokens]
    n = len(wanted)
    return [(tokens[i].start(), tokens[i + n - 1].end()) for i in range(len(texts) - n + 1) if texts[i : i + n] == wanted]


def _find(source: str, fragment: str) -> list[tuple[int, int]]:
    tokens, wanted = _tokens(source), _partial(fragment)
    texts = [t for t, _, _ in tokens]
    n = len(wanted)
    return [(tokens[i][1], tokens[i + n - 1][2]) for i in range(len(texts) - n + 1) if texts[i : i + n] == wanted]

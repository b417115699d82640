"""Files that are not TOML: the line, what is wrong with it, and the line as it should be."""

from __future__ import annotations

import re
import tomllib

import pytest

import ibsym
from ibsym.errors import SpecError
from ibsym.spec.loading import zoo_names, zoo_text
from ibsym.spec.toml import read


@pytest.mark.parametrize(
    ("line", "what", "remedy"),
    [
        ("x = real[D]", "a text stands in quotes", 'x = "real[D]"'),
        ("x = real[C,H,W]   # an image", "a text stands in quotes", 'x = "real[C,H,W]"'),
        ("objective = minimize I_q(X;Z)", "a text stands in quotes", 'objective = "minimize I_q(X;Z)"'),
        ('"q(z|x)" = diagonal-normal', "a text stands in quotes", '"q(z|x)" = "diagonal-normal"'),
        ('x = "real[D]', "a text stands in quotes", 'x = "real[D]"'),
        ("x = “real[D]”", "a text stands in quotes", 'x = "real[D]"'),
        ("β = 1", "'β' is not a name: names are ASCII", "beta = 1"),
        ("β = { default = 1.0, min = 0 }", "names are ASCII", "beta = { default = 1.0, min = 0 }"),
        ("größe = 1", "names are ASCII", "grosse = 1"),
        ('q(z|x) = "diagonal-normal"', "stands without its quotes", '"q(z|x)" = "diagonal-normal"'),
        ("p(c|z) = categorical", "stands without its quotes", '"p(c|z)" = "categorical"'),
        ('"q(z|x) = "diagonal-normal"', "stands without its quotes", '"q(z|x)" = "diagonal-normal"'),
        ('x: "real[D]"', "one = stands between", 'x = "real[D]"'),
        ("a == 1", "one = stands between", "a = 1"),
        ("name =", "name has no value", "name = ..."),
        ("name = # nothing", "name has no value", "name = ..."),
        ("just words", "a line is a key, = and a value", "just = ..."),
        ("[variables", "a heading is one name in brackets", "[variables]"),
        ("[my variables]", "a heading is one name in brackets", "[variables]"),
        ("beta = { default = 1.0, min = 0", "a table in braces", "beta = { default = 1.0, min = 0 }"),
        ("beta = { default = 1.0, min = 0, }", "a table in braces", "beta = { default = 1.0, min = 0 }"),
        ("beta = { default: .5 }", "a table in braces", "beta = { default = 0.5 }"),
        ("beta = 1.", "digits on both sides", "beta = 1.0"),
        ("beta = -.5e3", "digits on both sides", "beta = -0.5e3"),
        ("beta = 01", "no zero in front", "beta = 1"),
        ('cite = ["a", "b"', "a list is closed", 'cite = ["a", "b"]'),
        ("cite = [a, b]", "a list is closed", 'cite = ["a", "b"]'),
        ("a = True", "have no capitals", "a = true"),
        ("families:", "begins with its name in brackets", "[families]"),
        ("beta = default=1.0", "a table in braces", "beta = { default = 1.0 }"),
        (r'a = "\min I_q(X;Z)"', "a backslash between double quotes", r"a = '\min I_q(X;Z)'"),
        ('a = "minimize I_q(X;Z)\n  - I_q(Z;C)"', "stands on one line", 'a = "minimize I_q(X;Z) - I_q(Z;C)"'),
        ("a = " + "1" * 9000, "cannot be read", 'a = "...", a text; or a number, a list, a table in braces'),
    ],
)
@pytest.mark.parametrize("before", ["", "# first\n"])
def test_one_line(line: str, what: str, remedy: str, before: str) -> None:
    with pytest.raises(SpecError) as info:
        ibsym.loads(before + line, file="case.toml")
    error = info.value
    assert str(error).startswith(f"case.toml:{2 if before else 1}:")
    assert what in error.message
    assert error.remedy == remedy
    if "..." not in remedy:
        tomllib.loads(remedy)


@pytest.mark.parametrize("text", ['x = "a"\nx = "b"', "[a]\n[a]", "[[a]]\n[a]", "a = 1\n[a]\nb = 1", 'a.b = 1\na = "x"'])
def test_a_key_twice(text: str) -> None:
    with pytest.raises(SpecError, match="is declared twice"):
        read(text, "case.toml")


DAMAGES = (
    lambda line: line.replace('"', "", 1),
    lambda line: line.replace('"', ""),
    lambda line: line.rstrip('"'),
    lambda line: line.replace("=", ":", 1),
    lambda line: line.replace("=", "", 1),
    lambda line: line.replace("=", "==", 1),
    lambda line: line.replace("[", "", 1),
    lambda line: line.replace("]", "", 1),
    lambda line: line.replace("{", "", 1),
    lambda line: line.replace("}", "", 1),
    lambda line: line.replace(",", "", 1),
    lambda line: line.replace("beta", "β"),
    lambda line: line + ",",
    lambda line: line + ' "',
    lambda line: line[: len(line) // 2],
    lambda line: "\x00" + line,
)
READERS_WORDS = re.compile(
    r"Invalid|Expected|Illegal|Unescaped|Unclosed|Unterminated|Cannot|Duplicate|Found|Unexpected|at line|key/value"
)


@pytest.mark.parametrize("name", zoo_names())
def test_every_line_damaged_in_every_way_has_a_place_and_a_remedy(name: str) -> None:
    lines = zoo_text(name).splitlines()
    refused = 0
    for number, line in enumerate(lines):
        for damage in DAMAGES:
            text = "\n".join([*lines[:number], damage(line), *lines[number + 1 :]])
            try:
                read(text, "case.toml")
            except SpecError as error:
                refused += 1
                assert error.place.line is not None, text
                assert abs(error.place.line - 1 - number) <= 1 or '"""' in line or "[" in line, (damage(line), str(error))
                assert error.remedy, text
                assert not READERS_WORDS.search(error.message), str(error)
    assert refused > 100

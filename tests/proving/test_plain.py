"""Sums that are read by a regular expression mean what the grammar has them mean, and all else is left to the grammar."""

from __future__ import annotations

import random
import time

import pytest

from ibsym.errors import SpecError
from ibsym.proving import plain
from ibsym.proving.claims import read_claim

NAMES = ("X", "Y", "Z", "I", "H", "TC", "log", "min", "with", "minimize", "KL", "e", "E", "_a", "x1")
NUMBERS = ("", "", "2 ", "3", "0.5 ", "1/3 ", "2*", "1e3 ", "2. ", "1e7 ", "0 ", "1/0 ", ".5", "2/ 3 ", "1/3*", "1e-7*")
KINDS = {"H": 1, "H_q": 1, "I": 2, "I_data": 2, "TC": 3, "TC_p": 3, "KL": 2}


def term(rng: random.Random) -> str:
    """A multiple of a quantity, nearly always well written."""
    kind = rng.choice(list(KINDS))
    count = KINDS[kind] if rng.random() < 0.9 else rng.randint(1, 3)
    groups = [rng.choice([",", " , "]).join(rng.choices(NAMES, k=rng.randint(1, 2))) for _ in range(count)]
    given = "|" + rng.choice(NAMES) if rng.random() < 0.4 else ""
    return f"{rng.choice(NUMBERS)}{kind}{rng.choice(['', ' '])}({rng.choice([';', ' ; ']).join(groups)}{given})"


def side(rng: random.Random) -> str:
    """A sum, a number, or nearly one of them."""
    if rng.random() < 0.15:
        return rng.choice(["0", " 0 ", "log 2", "3", "0.0", "-0"])
    text = rng.choice(["", "", "-", "+ ", "- "]) + term(rng)
    for _ in range(rng.randint(0, 2)):
        text += rng.choice([" + ", "-", "+", " - ", "", " + -"]) + term(rng)
    return text


def meaning(text: str) -> object:
    """What is read, or the refusal."""
    try:
        return read_claim(text)
    except SpecError as error:
        return str(error)


def test_both_readers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    texts = [side(rng) + rng.choice([" <= ", ">=", "=", "==", "<"]) + side(rng) for _ in range(1200)]
    for k in range(0, len(texts), 8):
        place = rng.randrange(len(texts[k]))
        texts[k] = texts[k][:place] + rng.choice("+-()|;,*/ 0X") + texts[k][place + 1 :]
    simple = sum(plain.relation(text) is not None for text in texts)
    found = [meaning(text) for text in texts]
    monkeypatch.setattr(plain, "relation", lambda text: None)
    assert found == [meaning(text) for text in texts]
    assert simple > 50
    assert sum(isinstance(x, str) for x in found) > 50


@pytest.mark.parametrize(
    "text", [" " * 9000 + "? <= 0", "H(X" + " " * 9000 + "? <= 0", "1" * 9000 + " <= 0", "H(" + "X," * 4000 + "<= 0"]
)
def test_what_does_not_fit_is_left_at_once(text: str) -> None:
    begin = time.process_time()
    assert plain.relation(text) is None
    assert time.process_time() - begin < 0.5

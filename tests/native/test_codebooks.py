"""sum |sg[code] - e|^2 and sum |code - sg[e]|^2 in one pass, e the vector of a codebook that is nearest to a code."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ibsym.codegen.c.source import one_pass  # noqa: E402
from tests.native import worlds  # noqa: E402
from tests.native.test_passes import compare  # noqa: E402


@pytest.mark.parametrize(
    "sizes", [{"K": 1, "N": 1, "E": 1}, {"K": 31, "N": 2, "E": 5}, {"B": 40, "K": 300, "N": 9, "E": 64}], ids=str
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_codebooks_are_wholly_in_the_pass(sizes, reduction):
    assert one_pass(worlds.program("vq-vae")).rest == ()
    compare("vq-vae", worlds.arguments("vq-vae", sizes=sizes, seed=2), reduction=reduction)


def test_threads_change_no_digit():
    given, found = worlds.arguments("vq-vae", sizes={"B": 32, "K": 90, "N": 16, "E": 32}), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = worlds.learning(given)
        output = worlds.module("vq-vae").Loss()(**leaves)
        found.append([output.loss.detach(), *worlds.gradients(output.loss, leaves).values()])
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_of_vectors_that_are_as_near_it_is_the_first():
    """As in the expression; the others' slope is 0."""
    given = worlds.arguments("vq-vae", sizes={"K": 70, "E": 4})
    given["z_codebook"][5] = given["z_codebook"][40] = 0.01
    given["z_code"][:] = 0.02
    leaves = worlds.learning(given)
    output = worlds.module("vq-vae").Loss()(**leaves)
    slopes = worlds.gradients(output.loss, leaves)["z_codebook"]
    expected = worlds.gradients(worlds.module("vq-vae").Loss().expression(*leaves.values()).loss, leaves)["z_codebook"]
    torch.testing.assert_close(slopes, expected)
    assert slopes[5].all()
    assert not slopes[40].any()


@pytest.mark.parametrize("where", ["z_code", "z_codebook"])
def test_nan_is_seen(where):
    given = worlds.arguments("vq-vae", sizes={"K": 40})
    given[where].view(-1)[-1] = torch.nan
    assert worlds.module("vq-vae").Loss()(**given).loss.isnan()


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("sizes", [{"B": 1, "V": 2, "H": 1, "W": 1}, {"B": 20, "V": 300}], ids=str)
def test_arrays_of_symbols_are_wholly_in_the_pass(sizes, draws):
    assert one_pass(worlds.program("pixels")).rest == ()
    compare("pixels", worlds.arguments("pixels", sizes=sizes, draws=draws, seed=2))


def test_a_symbol_that_is_none_is_declined():
    given = worlds.arguments("pixels")
    given["x"][0, 1, 1] = 3
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        worlds.module("pixels").Loss()(**given)

"""log sum_m softmax(a)_m r_m(v) in one pass: one component and many, draws, weights of 0, components of other families."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ibsym.codegen.c.source import one_pass  # noqa: E402
from tests.native import worlds  # noqa: E402
from tests.native.test_passes import compare  # noqa: E402


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("sizes", [{"M": 1}, {"B": 1, "L": 1}, {"B": 70, "M": 300, "L": 40}], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_mixture_is_wholly_in_the_pass(sizes, draws, reduction):
    assert one_pass(worlds.program("vampprior-vae")).rest == ()
    compare("vampprior-vae", worlds.arguments("vampprior-vae", sizes=sizes, draws=draws, seed=3), reduction=reduction)


def test_threads_change_no_digit():
    given, found = worlds.arguments("vampprior-vae", sizes={"B": 64, "M": 500, "L": 20}), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = worlds.learning(given)
        output = worlds.module("vampprior-vae").Loss()(**leaves)
        found.append([output.loss.detach(), *worlds.gradients(output.loss, leaves).values()])
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_component_of_weight_zero_is_none():
    """Its parameters get zeros; the others have what they have without it."""
    given = worlds.arguments("vampprior-vae")
    given["p_z_logits"][2] = -torch.inf
    kept = [0, 1, 3, 4]
    fewer = given | {n: given[n][kept] for n in ("p_z_mean", "p_z_logvar", "p_z_logits")}
    found = []
    for arguments in (given, fewer):
        leaves = worlds.learning(arguments)
        output = worlds.module("vampprior-vae").Loss()(**leaves)
        found.append((output.loss.detach(), worlds.gradients(output.loss, leaves)))
    (loss, slopes), (other, others) = found
    torch.testing.assert_close(loss, other)
    for name in ("p_z_mean", "p_z_logvar", "p_z_logits"):
        assert not slopes[name][2].any()
        torch.testing.assert_close(slopes[name][kept], others[name])


def test_as_many_weights_as_components():
    given = worlds.arguments("vampprior-vae")
    given["p_z_logits"] = given["p_z_logits"][:4]
    with pytest.raises(ValueError, match=r"p_z_logits: .*axis 0 is 4, not M = 5|p_z_logits"):
        worlds.module("vampprior-vae").Loss()(**given)

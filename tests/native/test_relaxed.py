"""sum_k a_k log softmax(logits)_k in one pass, with gradients by weights and by logits."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ibsym.codegen.c.source import one_pass  # noqa: E402
from tests.native import worlds  # noqa: E402
from tests.native.test_passes import compare  # noqa: E402

SIZES = [
    {"B": 1, "K": 2, "V": 1, "H": 1, "W": 1},
    {"B": 70, "K": 40, "V": 7, "H": 2, "W": 3},
    {"B": 3, "K": 1300, "V": 130, "H": 5, "W": 1},
]


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_relaxed_draws_are_wholly_in_the_pass(sizes, draws, reduction):
    """Of one class and of arrays of symbols, whose entropy is in it too."""
    assert one_pass(worlds.program("relaxed")).rest == ()
    assert one_pass(worlds.program("empowerment")).rest == ()
    compare("relaxed", worlds.arguments("relaxed", sizes=sizes, draws=draws, seed=3), reduction=reduction)


def test_weights_of_other_rows_are_left_to_the_expression():
    assert one_pass(worlds.program("relaxed-prior")).rest
    compare("relaxed-prior", worlds.arguments("relaxed-prior", sizes={"S": 3}))


def by_pass_and_expression(given, dtype=torch.float32):
    found = []
    for run in (lambda loss, leaves: loss(**leaves), lambda loss, leaves: loss.expression(*leaves.values())):
        leaves = worlds.learning({n: t.to(dtype) for n, t in given.items()})
        output = run(worlds.module("relaxed").Loss(), leaves)
        slopes = worlds.gradients(output.loss, leaves)
        found.append({"loss": output.loss.detach(), **output.terms, **{f"d {n}": slopes[n] for n in leaves}})
    return found


def test_hard_draws_of_sure_readers_keep_their_digits():
    """a_k - p_k sum a, where both are next to 1: against the expression in double precision."""
    given = worlds.arguments("relaxed", sizes={"B": 6, "K": 5}, draws=False)
    given["a"] = torch.eye(5)[torch.arange(6) % 5]
    given["r_a_logits"] = 17 * given["a"] + torch.randn(6, 5) / 8
    exact = by_pass_and_expression(given, torch.float64)[1]["d r_a_logits"]
    slopes = by_pass_and_expression(given)[0]["d r_a_logits"]
    torch.testing.assert_close(slopes.double(), exact, rtol=1e-5, atol=0)


def test_a_class_without_weight_may_be_impossible():
    """Of weight 0 it does not count; of another it makes the loss infinite."""
    given = worlds.arguments("relaxed", sizes={"B": 4, "K": 3}, draws=False)
    given["a"][:, 1], given["r_a_logits"][:, 1] = 0, -torch.inf
    passed, expression = by_pass_and_expression(given)
    assert passed["loss"].isfinite()
    for name, value in passed.items():
        torch.testing.assert_close(value, expression[name], msg=lambda text, name=name: f"{name}: {text}")
    given["a"][2, 1] = 0.5
    assert worlds.module("relaxed").Loss()(**given).loss.isposinf()


@pytest.mark.parametrize("drawn", ["a", "r_a_logits"])
def test_draws_of_one_alone_are_left_to_the_expression(drawn):
    given = worlds.arguments("relaxed", sizes={"S": 3}, draws=True)
    other = {"a": "r_a_logits", "r_a_logits": "a"}[drawn]
    given[other] = given[other][0].clone()
    passed, expression = by_pass_and_expression(given)
    for name, value in passed.items():
        torch.testing.assert_close(value, expression[name], msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("where", ["a", "r_a_logits", "w", "q_w_logits"])
def test_nan_is_seen(where):
    given = worlds.arguments("relaxed")
    given[where].view(-1)[-1] = torch.nan
    assert worlds.module("relaxed").Loss()(**given).loss.isnan()


def test_threads_change_no_digit():
    given, found = worlds.arguments("relaxed", sizes={"B": 65, "K": 1300, "V": 600, "H": 3, "W": 3}), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = worlds.learning(given)
        output = worlds.module("relaxed").Loss()(**leaves)
        found.append([output.loss.detach(), *worlds.gradients(output.loss, leaves).values()])
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))

"""sum_c r_c log m_c of the shares of classes in a batch, in one pass: counted, of networks, of one law for all rows, equal ones."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ibsym.codegen.c.source import one_pass  # noqa: E402
from tests.native import worlds  # noqa: E402
from tests.native.test_passes import compare  # noqa: E402

SIZES = [{"B": 3, "M": 2}, {"B": 70, "M": 7}, {"B": 12, "M": 1300}]


def outputs(given, dtype=torch.float32):
    """By the pass, and by the expression."""
    found = []
    for run in (lambda loss, leaves: loss(**leaves), lambda loss, leaves: loss.expression(*leaves.values())):
        leaves = worlds.learning({n: t.to(dtype) if t.is_floating_point() else t for n, t in given.items()})
        output = run(worlds.module("class-shares").Loss(), leaves)
        slopes = worlds.gradients(output.loss, leaves)
        found.append(
            {"loss": output.loss.detach(), **output.terms, **{f"d {n}": g for n, g in slopes.items() if g is not None}}
        )
    return found


def close(found, expected, rtol):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float((found[name].double() - value).norm()) <= rtol * float(value.norm()), name


def some(seed=0, **sizes):
    return worlds.arguments("class-shares", sizes=sizes, seed=seed)


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_all_shares_are_in_the_pass(sizes, draws, reduction):
    assert one_pass(worlds.program("class-shares")).rest == ()
    given = worlds.arguments("class-shares", sizes=sizes, draws=draws, seed=3)
    given["c"] = torch.arange(len(given["c"])) % 2
    compare("class-shares", given, reduction=reduction)


def test_in_double_precision():
    given = some(B=40, M=5, seed=2)
    passed, expression = outputs(given, torch.float64)
    close(passed, expression, 1e-10)


def test_a_class_that_all_rows_hold_for_unlikely_keeps_its_logarithm():
    """e^-2000 is no number of any precision; its logarithm is one."""
    given = some(B=6, M=3, seed=1)
    for name in ("u_c_logits", "r_w_logits"):
        given[name][..., 1] = given[name][..., 1] - 2000
    given["c"] = torch.arange(6) % 2
    exact = outputs(given, torch.float64)[1]
    assert exact["loss"].isfinite()
    assert exact["KL(q(c)||u(c))"] > 300
    close(outputs(given)[0], exact, 1e-4)  # a logit of 2000 has four digits behind the point


def test_a_missing_class_is_infinite_and_one_that_nobody_has_does_not_count():
    given = some(B=6, M=3, seed=1)
    given["c"] = torch.zeros(6, dtype=torch.int64)  # class 1 is missing
    passed, expression = outputs(given)
    assert passed["KL(u(c)||q(c))"].isposinf()
    assert expression["KL(u(c)||q(c))"].isposinf()
    assert passed["KL(q(c)||u(c))"].isfinite()
    torch.testing.assert_close(passed["KL(q(c)||u(c))"], expression["KL(q(c)||u(c))"])


def test_not_a_number_and_classes_that_are_none():
    given = some(B=6, M=3)
    given["u_c_logits"][0, 0] = torch.nan
    assert worlds.module("class-shares").Loss()(**given).loss.isnan()
    given = some(B=6, M=3)
    given["c"][2] = 2
    with pytest.raises((IndexError, RuntimeError), match=r"c has classes from 0 to 2|class"):
        worlds.module("class-shares").Loss()(**given)


def test_the_number_of_threads_changes_no_digit():
    given, found, before = some(B=700, M=400, seed=5), [], torch.get_num_threads()
    given["c"] = torch.arange(700) % 2
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = worlds.learning(given)
        output = worlds.module("class-shares").Loss()(**leaves)
        found.append([output.loss.detach(), *(g for g in worlds.gradients(output.loss, leaves).values() if g is not None)])
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))

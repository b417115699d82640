"""E sum_k1 p(k1) sum_k2 p(k2|k1) ... w in one pass: chains of classes, their own lengths, small and large events, threads, edges.

The kind: random specs of up to three summed classes are wholly part of the pass; `classes`, which has every way that they depend on
each other, is compared with the expression and with float64.
"""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.checking.audit import audit  # noqa: E402
from ibsym.codegen.c.source import one_pass  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from tests.native import worlds  # noqa: E402
from tests.native.test_passes import compare  # noqa: E402

SUM = {"family": "categorical", "marginal": "enumerate"}


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("sizes", [{"B": 1, "D": 1, "K": 1}, {"B": 70, "D": 3, "L": 1}, {"B": 3, "D": 300, "L": 70}], ids=str)
def test_classes_of_every_kind(sizes, draws):
    """Events of one element, of several rows in a stretch, and of more than a stretch; all of it is in the pass."""
    assert one_pass(worlds.program("classes")).rest == ()
    compare("classes", worlds.arguments("classes", sizes=sizes, draws=draws, seed=4))


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("sizes", [{"B": 1, "V": 2, "H": 1, "W": 1}, {"B": 70, "V": 40, "L": 1}, {"B": 3, "V": 2100}], ids=str)
def test_observed_classes_inside_of_sums(sizes, draws):
    """One class and an array of symbols, below one class and below two with draws, of few and of many values."""
    assert one_pass(worlds.program("observed")).rest == ()
    compare("observed", worlds.arguments("observed", sizes=sizes, draws=draws, seed=4))


def test_an_observed_class_that_is_none_is_declined():
    given = worlds.arguments("observed")
    given["c"][2] = 6
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        worlds.module("observed").Loss()(**given)


@pytest.mark.parametrize("name", ["classes", "observed"])
def test_threads_change_no_digit(name):
    given, found = worlds.arguments(name, sizes={"B": 64, "D": 520, "K": 4, "M": 2, "S": 2, "V": 70}), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        leaves = worlds.learning(given)
        output = worlds.module(name).Loss()(**leaves)
        found.append([output.loss.detach(), *(g for g in worlds.gradients(output.loss, leaves).values() if g is not None)])
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("pixels", [5, 300])
def test_what_no_path_of_positive_probability_reaches_does_not_count(pixels):
    """A class below one of probability 0, and one that is 0 itself: their tensors get zeros, whatever they are worth."""
    given, found = worlds.arguments("classes", sizes={"D": pixels}), []
    given["q_c1_logits"][:, 0] = -torch.inf
    given["q_c2_logits"][1:, :, 2] = -torch.inf
    for value in (0.5, 1e30):
        given["x_logits"][:, 2] = value
        given["q_c3_logits"][0] = value * torch.arange(6)
        leaves = worlds.learning(given)
        output = worlds.module("classes").Loss()(**leaves)
        found.append((output.loss, worlds.gradients(output.loss, leaves)))
    (loss, slopes), (other, others) = found
    assert torch.isfinite(loss)
    assert torch.equal(loss, other)
    assert not slopes["x_logits"][:, 2].any()
    assert not slopes["q_c3_logits"][0].any()
    assert all(torch.equal(slopes[n], others[n]) for n in slopes if slopes[n] is not None)


def test_observed_classes_below_one_of_probability_0_do_not_count():
    given, found = worlds.arguments("observed"), []
    given["q_k1_logits"][:, 0] = -torch.inf
    for value in (0.5, -torch.inf):
        given["p_c_logits"][0, :, :] = value * torch.arange(1, 7)
        given["x_logits"][:, 0] = value * torch.arange(1, 4)
        leaves = worlds.learning(given)
        output = worlds.module("observed").Loss()(**leaves)
        found.append((output.loss, worlds.gradients(output.loss, leaves)))
    (loss, slopes), (other, others) = found
    assert torch.isfinite(loss)
    assert torch.equal(loss, other)
    assert not slopes["p_c_logits"][0].any()
    assert not slopes["x_logits"][:, 0].any()
    assert all(torch.equal(slopes[n], others[n]) for n in slopes if slopes[n] is not None)


def some(source, pool):
    return [v for v in pool if source.random() < 0.5]


def random_spec(seed):
    """An encoder and a model over up to three classes, each a graph of its own, in any order of declaration."""
    source = random.Random(seed)
    classes = ["a", "b", "c"][: source.choice((1, 2, 3, 3))]
    names = ["x", "y", "z", *classes]
    source.shuffle(names)
    kinds = {"x": "binary[D]", "y": source.choice(("categorical[V]", "categorical[V; W]")), "z": "real[L]"}
    kinds |= {c: f"categorical[{source.choice('KM')}]" for c in classes}
    q, p, families = ["data(x,y)"], [], {}
    for k, c in enumerate(order := source.sample(classes, len(classes))):
        q.append(f"q({c}|{','.join(['x', *some(source, order[:k])])})")
        families[q[-1]] = SUM
    q.append(f"q(z|{','.join(['x', *some(source, classes)])})")
    for k, c in enumerate(order := source.sample(classes, len(classes))):
        above = some(source, order[:k])
        p.append(f"p({c}|{','.join(above)})" if above else f"p({c})")
        families[p[-1]] = "categorical"
    above = some(source, classes)
    p.append(f"p(z|{','.join(above)})" if above else "p(z)")
    families |= {q[-1]: "diagonal-normal", p[-1]: "diagonal-normal"}
    p.append(f"p(x|{','.join(['z', *some(source, classes)])})")
    families[p[-1]] = "bernoulli"
    p.append(f"p(y|{','.join([source.choice(classes), *some(source, ['z'])])})")
    families[p[-1]] = "categorical"
    joints = {"q": " ".join(q), "p": " ".join(p)}
    variables = {n: kinds[n] for n in names}
    return ibsym.Spec(
        name="s", objective="minimize KL(data(x,y)||p(x,y))", variables=variables, joints=joints, families=families
    )


def test_random_graphs_of_classes_are_wholly_in_the_pass():
    several = 0
    for seed in range(8):
        program = lower(audit(ibsym.derive(random_spec(seed)), worlds=0))
        found = one_pass(program)
        assert found is not None
        assert found.rest == (), (seed, [program.terms[k].text for k in found.rest])
        several += "OF_CLASS(2)" in found.source
    assert several

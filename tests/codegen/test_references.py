"""Emitted losses against the references written by hand: values, terms, gradients, every player, every reduction."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.autograd.gradcheck import GradcheckError  # noqa: E402

from ibsym.lowering import interpreter  # noqa: E402

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def keyed(declared, inputs):
    return {(i.of, i.role, i.joint): inputs[i.name] for i in declared}


def leaves(inputs):
    return {n: t.clone().requires_grad_() if t.is_floating_point() else t for n, t in inputs.items()}


def gradients(output, inputs, upstream):
    wanted = [t for t in inputs.values() if t.requires_grad]
    return torch.autograd.grad(output, wanted, upstream, allow_unused=True)


def close(a, b):
    for x, y in zip(a, b, strict=True):
        if x is None or y is None:
            other = y if x is None else x
            assert other is None or not other.any()
        else:
            torch.testing.assert_close(x, y, **EXACT)


@pytest.mark.parametrize("draws", [3, None])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_loss_terms_and_gradients(made, written, draws, reduction):
    parameters = made.parameters()
    ours, theirs = (leaves(made.inputs(draws)) for _ in range(2))
    if reduction == "none" and made.program.rows is None:
        with pytest.raises(ValueError, match="none"):
            made.loss(**parameters, reduction="none")
        with pytest.raises(ValueError, match="reduction"):
            written.loss(keyed(made.module.Loss.INPUTS, theirs), **parameters, reduction="none")
        return
    output = made.loss(**parameters, reduction=reduction)(**ours)
    loss, terms = written.loss(keyed(made.module.Loss.INPUTS, theirs), **parameters, reduction=reduction)
    torch.testing.assert_close(output.loss, loss, **EXACT)
    assert set(output.terms) == set(terms)
    for text, value in output.terms.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, terms[text], **EXACT)
    upstream = torch.randn(output.loss.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    close(gradients(output.loss, ours, upstream), gradients(loss, theirs, upstream))


def test_no_input_is_asked_for_in_vain(made):
    """Every input changes the loss or a term, if only by its size."""
    base = made.inputs()
    loss = made.loss(**made.parameters())
    before = loss(**base)
    for key in base:
        other = dict(base)
        changed = base[key].clone()
        changed = (changed + 1) % (int(changed.max()) + 1) if not changed.is_floating_point() else changed * 0.7 + 0.1
        other[key] = changed
        longer = dict(base) | {key: torch.cat([base[key], base[key][..., :1]], -1) if base[key].dim() else base[key].reshape(1)}
        assert moves(loss, before, other) or moves(loss, before, longer), key


def moves(loss, before, inputs):
    after = loss(**inputs)
    moved = [before.loss - after.loss, *(before.terms[t] - after.terms[t] for t in before.terms)]
    return any(m.abs() > 1e-9 for m in moved)


def test_gradcheck(made):
    inputs = leaves(made.inputs(2, sizes={"B": 3}))
    loss = made.loss(**made.parameters())
    names = [n for n, t in inputs.items() if t.requires_grad]

    def f(*values):
        return loss(**inputs | dict(zip(names, values, strict=True))).loss

    if any(term.estimator == "surrogate" for term in made.program.terms):  # gradients of one side, held against the reference's
        with pytest.raises(GradcheckError):
            torch.autograd.gradcheck(f, tuple(inputs[n] for n in names))
        return
    assert torch.autograd.gradcheck(f, tuple(inputs[n] for n in names))


@pytest.mark.parametrize("draws", [3, None])
def test_every_critic(made, written, draws):
    loss = made.loss(**made.parameters())
    if not made.module.Loss.CRITICS:
        assert not hasattr(loss, "critic_loss")
        return
    with pytest.raises(ValueError, match="unknown critic 'nothing'"):
        loss.critic_loss("nothing", torch.zeros(1), torch.zeros(1))
    for divergence in made.module.Loss.CRITICS:
        entries = made.module.Loss.CRITIC_INPUTS.get(divergence, ())
        if entries and not any(i.role.startswith("critic") for i in entries):  # a player that fits a density
            own, its = (leaves(made.critic_inputs(divergence, draws)) for _ in range(2))
            value, expected = (
                loss.critic_loss(divergence, **own),
                written.critic_loss(divergence, keyed(entries, its), **made.parameters()),
            )
            torch.testing.assert_close(value, expected, **EXACT)
            one = torch.tensor(1.7, dtype=torch.float64)
            close(gradients(value, own, one), gradients(expected, its, one))
            continue
        joints = [i.joint for i in made.module.Loss.INPUTS if i.of == divergence]
        first, second = joints if len(joints) == 2 else (*joints, "p")
        generator = torch.Generator().manual_seed(3)
        logits = [torch.randn(n, dtype=torch.float64, generator=generator) for n in (5, 8)]
        ours, theirs = ([t.clone().requires_grad_() for t in logits] for _ in range(2))
        codes = [leaves(made.critic_inputs(divergence, draws)) for _ in range(2)]
        value = loss.critic_loss(divergence, *ours, **codes[0])
        inputs = {(divergence, "critic", first): theirs[0], (divergence, "critic_reference", second): theirs[1]}
        declared = [i for i in made.module.Loss.CRITIC_INPUTS.get(divergence, ()) if i.name in codes[1]]
        inputs |= keyed(declared, codes[1])
        expected = written.critic_loss(divergence, inputs, **made.parameters())
        torch.testing.assert_close(value, expected, **EXACT)
        everything = [[*ours, *codes[0].values()], [*theirs, *codes[1].values()]]
        close(
            *(
                torch.autograd.grad(v, e, torch.tensor(1.7, dtype=torch.float64))
                for v, e in zip((value, expected), everything, strict=True)
            )
        )


@pytest.mark.parametrize("draws", [3, None])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_interpreter_agrees(made, draws, reduction):
    parameters, inputs = made.parameters(), made.inputs(draws)
    if reduction == "none" and made.program.rows is None:
        with pytest.raises(ValueError, match="average over rows"):
            interpreter.evaluate(made.program, {n: t.numpy() for n, t in inputs.items()}, parameters, reduction=reduction)
        return
    output = made.loss(**parameters, reduction=reduction)(**inputs)
    values = interpreter.evaluate(made.program, {n: t.numpy() for n, t in inputs.items()}, parameters, reduction=reduction)
    torch.testing.assert_close(output.loss, torch.as_tensor(values.loss), **EXACT)
    assert list(output.terms) == list(values.terms)
    for text, value in values.terms.items():
        torch.testing.assert_close(output.terms[text], torch.tensor(value, dtype=torch.float64), **EXACT)
    for divergence in made.module.Loss.CRITICS:
        f, g = torch.randn(4, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
        codes = made.critic_inputs(divergence, draws)
        entries = made.module.Loss.CRITIC_INPUTS.get(divergence, ())
        sides = () if entries and not any(i.role.startswith("critic") for i in entries) else (f, g)
        arrays = {n: t.numpy() for n, t in codes.items()}
        left, right = (t.numpy() for t in sides) if sides else (None, None)
        expected = interpreter.critic_loss(made.program, divergence, left, right, arrays, parameters)
        ours = made.loss(**parameters).critic_loss(divergence, *sides, **codes)
        torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64), **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(made, dtype):
    """Half precision is computed in float32, within 1e-5 of float64 on the same numbers."""
    inputs = {n: t.to(dtype) if t.is_floating_point() else t for n, t in made.inputs().items()}
    loss = made.loss(**made.parameters())
    output = loss(**inputs).loss
    assert output.dtype == torch.float32
    exact = loss(**{n: t.double() if t.is_floating_point() else t for n, t in inputs.items()}).loss
    torch.testing.assert_close(output.double(), exact, rtol=1e-5, atol=1e-5)


def test_a_held_critic_takes_its_logits_either_way():
    """By position, or under their names in CRITIC_INPUTS; both give one number."""
    import ibsym

    loss = ibsym.compile("vdb")(mu=0.3)
    (name,) = loss.CRITICS
    entries = loss.CRITIC_INPUTS[name]
    assert [i.role for i in entries] == ["critic", "critic_reference", "mean", "logvar", "mean", "logvar"]
    inputs = {i.name: torch.randn([{"B": 5, "B_p": 4, "T": 3}[a] for a in i.shape if a != "S"]) for i in entries}
    logits = [inputs[i.name] for i in entries[:2]]
    codes = {i.name: inputs[i.name] for i in entries[2:]}
    values = [
        loss.critic_loss(name, *logits, **codes),
        loss.critic_loss(name, **inputs),
        loss.critic_loss(name, *logits, **inputs),
    ]
    assert values[0] == values[1] == values[2]
    with pytest.raises(TypeError, match="takes the logits"):
        loss.critic_loss(name, **codes)

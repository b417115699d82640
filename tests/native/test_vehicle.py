"""How the pass in C meets autograd, torch.compile, torch.func, copies, forks: three modules, everything tried."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from tests.native import worlds  # noqa: E402  once for all files: each program is lowered once

MODULES = {"elementwise": "beta-vae", "pairwise": "beta-tcvae", "adversarial": "bib-ae"}
TORCH_OWN = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own forward mode
EACH = pytest.mark.parametrize("name", MODULES.values(), ids=MODULES.keys())


def same(found, wanted, tolerance=2e-5):
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(
                a.detach(), b.detach(), rtol=tolerance, atol=tolerance * float(b.detach().abs().max() + 1e-12)
            )


def both(name, **options):
    """The module, its arguments, and the same by its expression."""
    loss = worlds.module(name).Loss()
    given = worlds.arguments(name, **options)
    return loss, given, lambda **g: loss.expression(*(g[i.name] for i in loss.INPUTS))


def run(call, given, upstream=1.0):
    leaves = worlds.learning(given)
    loss = call(**leaves).loss
    return [loss, *worlds.gradients(loss, leaves, grad_outputs=torch.tensor(upstream)).values()]


@EACH
@pytest.mark.parametrize("upstream", [1.0, -2.7, 0.0])
def test_upstream(name, upstream):
    loss, given, expression = both(name)
    same(run(loss, given, upstream), run(expression, given, upstream))


@EACH
def test_the_backward_of_a_larger_graph(name):
    loss, given, expression = both(name)
    results = []
    for call in (loss, expression):
        leaves = worlds.learning(given)
        inner = {n: t * 1.5 if t.is_floating_point() else t for n, t in leaves.items()}
        total = call(**inner).loss ** 2 / 7 + sum((t**2).sum() for t in inner.values() if t.is_floating_point())
        results.append(list(worlds.gradients(total, leaves).values()))
    same(*results)


@EACH
def test_gradient_penalty_is_exact(name):
    loss, given, expression = both(name)
    results = []
    for call in (loss, expression):
        leaves = worlds.learning(given)
        first = [g for g in worlds.gradients(call(**leaves).loss, leaves, create_graph=True).values() if g is not None]
        penalty = sum((g**2).sum() for g in first)
        results.append(list(worlds.gradients(penalty, leaves).values()))
    same(*results, tolerance=1e-4)


def test_a_penalty_remembers_the_weights_of_its_forward():
    loss, given, expression = both("beta-vae")
    results = []
    for call in (loss, expression):
        loss.beta = 2.0
        leaves = worlds.learning(given)
        value = call(**leaves).loss
        loss.beta = 50.0
        first = worlds.gradients(value, leaves, create_graph=True)
        results.append(list(worlds.gradients(first["z_mean"].pow(2).sum(), leaves).values()))
    same(*results)


@EACH
def test_retain_graph(name):
    loss, given, _ = both(name)
    leaves = worlds.learning(given)
    value = loss(**leaves).loss
    once = list(worlds.gradients(value, leaves, retain_graph=True).values())
    again = list(worlds.gradients(value, leaves).values())
    same(once, again, 0)
    with pytest.raises(RuntimeError, match="second time"):
        worlds.gradients(value, leaves)


@EACH
@pytest.mark.parametrize("upstream", [1.0, -2.5])
@pytest.mark.parametrize("graph", [False, True], ids=["first", "second"])
def test_an_edited_gradient_changes_no_other(name, upstream, graph):
    """A gradient edited in place, or by a hook, leaves a second backward what it is in plain PyTorch."""
    loss, given, expression = both(name)
    results = []
    for call in (loss, expression):
        leaves = worlds.learning(given)
        value = call(**leaves).loss
        options = {"grad_outputs": torch.tensor(upstream), "retain_graph": True, "create_graph": graph}
        first = worlds.gradients(value, leaves, **options)
        with torch.no_grad():
            for gradient in first.values():
                if gradient is not None:
                    gradient.mul_(2)
        again = worlds.gradients(value, leaves, **options)
        results.append([*first.values(), *again.values()])
    same(*results)


@EACH
def test_a_hook_that_clips_in_place(name):
    loss, given, expression = both(name)
    results = []
    for call in (loss, expression):
        leaves = worlds.learning(given)
        for leaf in leaves.values():
            if leaf.requires_grad:
                leaf.register_hook(lambda g: g.clamp_(-1e-3, 1e-3))
        value = call(**leaves).loss
        value.backward(retain_graph=True)
        value.backward()
        results.append([leaf.grad for leaf in leaves.values()])
    same(*results)


@EACH
def test_some_arguments_need_no_gradient(name):
    loss, given, expression = both(name)
    for needed in [i.name for i in loss.INPUTS]:
        results = []
        for call in (loss, expression):
            leaves = worlds.learning(given, (needed,))
            value = call(**leaves).loss
            results.append(
                list(worlds.gradients(value, leaves).values()) if value.requires_grad and leaves[needed].requires_grad else []
            )
        if results[0] and results[1]:
            same(*results)


@EACH
def test_strided_arguments(name):
    loss, given, expression = both(name)
    odd = {n: torch.stack([t, t], -1)[..., 0] for n, t in given.items()}
    assert not any(t.is_contiguous() for t in odd.values() if t.numel() > 1)
    same(run(loss, given), run(lambda **g: loss(**{n: torch.stack([t, t], -1)[..., 0] for n, t in g.items()}), given))
    with torch.no_grad():
        same([loss(**odd).loss], [expression(**given).loss])


@EACH
def test_half_precision_is_computed_in_float32(name):
    loss, given, _ = both(name)
    half = {n: t.bfloat16() if t.is_floating_point() else t for n, t in given.items()}
    same([loss(**half).loss], [loss(**{n: t.float() if t.is_floating_point() else t for n, t in half.items()}).loss], 0)
    leaves = worlds.learning(half)
    assert all(g is None or g.dtype is torch.bfloat16 for g in worlds.gradients(loss(**leaves).loss, leaves).values())


@EACH
def test_mixed_precision_and_no_rows_take_the_expression(name):
    loss, given, expression = both(name)
    mixed = dict(given)
    mixed["x_logits"] = given["x_logits"].double()
    same([loss(**mixed).loss], [expression(**mixed).loss], 0)
    empty = {
        n: t[..., :0, :] if t.dim() > 1 and loss.INPUTS[k].shape[-2:][0] == "B" else t for k, (n, t) in enumerate(given.items())
    }
    if name == "beta-vae":
        assert torch.isnan(loss(**empty).loss)


@EACH
@pytest.mark.parametrize("graph", [False, True], ids=["first", "second"])
def test_a_batch_of_upstreams(name, graph):
    loss, given, expression = both(name)
    upstreams = torch.tensor([1.0, -2.0, 0.5])
    results = []
    for call in (loss, expression):
        leaves = worlds.learning(given)
        found = worlds.gradients(call(**leaves).loss, leaves, grad_outputs=upstreams, is_grads_batched=True, create_graph=graph)
        results.append(list(found.values()))
        if graph:
            again = sum((g**2).sum() for g in found.values() if g is not None)
            results[-1] += list(worlds.gradients(again, leaves).values())
    same(*results, tolerance=1e-4)


def test_a_loss_that_depends_on_nothing_that_learns_needs_no_gradient():
    given = worlds.arguments("gan")
    leaves = worlds.learning(given, ("x_critic",))
    assert not worlds.module("gan").Loss()(**leaves).loss.requires_grad


@EACH
@TORCH_OWN
def test_func_transforms(name):
    loss, given, expression = both(name)
    learns = [n for n, t in given.items() if t.is_floating_point() and not n.startswith("x_critic")]

    def of(call):
        def function(values):
            return call(**{**given, **dict(zip(learns, values, strict=True))}).loss

        return function

    values = tuple(given[n] for n in learns)
    same(torch.func.grad(of(loss))(values), torch.func.grad(of(expression))(values))
    tangents = tuple(torch.ones_like(v) for v in values)
    same([torch.func.jvp(of(loss), (values,), (tangents,))[1]], [torch.func.jvp(of(expression), (values,), (tangents,))[1]])
    several = tuple(torch.stack([v, v * 0.5]) for v in values)
    one_by_one = torch.stack([of(expression)(tuple(v[k] for v in several)) for k in range(2)])
    try:
        same([torch.vmap(of(loss))(several)], [one_by_one])
    except ValueError as refused:  # arguments with an axis more than was declared
        pytest.fail(str(refused))


@TORCH_OWN
def test_forward_mode():
    loss, given, expression = both("beta-vae")
    fwAD = torch.autograd.forward_ad
    found = []
    for call in (loss, expression):
        with fwAD.dual_level():
            dual = fwAD.make_dual(given["z_mean"], torch.ones_like(given["z_mean"]))
            found.append(fwAD.unpack_dual(call(**{**given, "z_mean": dual}).loss).tangent)
    same(found[:1], found[1:])


@EACH
def test_gradcheck(name):
    loss, given, _ = both(name, sizes={"D": 5, "B": 5}, dtype=torch.float64)
    leaves = worlds.learning(given)
    names = [n for n, t in leaves.items() if t.requires_grad and n != "x_critic"]
    call = lambda *values: loss(**{**leaves, **dict(zip(names, values, strict=True))}).loss  # noqa: E731
    assert torch.autograd.gradcheck(call, [leaves[n] for n in names])


@EACH
def test_autocast_and_checkpoint(name):
    loss, given, expression = both(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(loss, given)
    same(found, run(expression, given))
    leaves = worlds.learning(given)
    names = list(leaves)
    value = torch.utils.checkpoint.checkpoint(
        lambda *v: loss(**dict(zip(names, v, strict=True))).loss, *leaves.values(), use_reentrant=False
    )
    same([value, *worlds.gradients(value, leaves).values()], run(expression, given))


@EACH
def test_hooks(name):
    loss, given, expression = both(name)
    leaves = worlds.learning(given)
    seen = []
    inner = leaves["x_logits"] * 1
    inner.register_hook(lambda g: seen.append(g))
    loss(**{**leaves, "x_logits": inner}).loss.backward()
    loss.register_forward_hook(lambda module, args, output: seen.append(output.loss))
    loss(**given)
    assert len(seen) == 2
    plain = worlds.learning(given)
    expression(**plain).loss.backward()
    same([seen[0], leaves["x_logits"].grad], [plain["x_logits"].grad] * 2)


@EACH
def test_accumulation(name):
    loss, given, expression = both(name)
    results = []
    for call in (loss, expression):
        leaves = worlds.learning(given)
        for _ in range(3):
            (call(**leaves).loss / 3).backward()
        results.append([t.grad for t in leaves.values()])
    same(*results)


@EACH
def test_copies(name):
    loss, given, _ = both(name)
    loss(**given)
    want = [loss(**given).loss]
    same([copy.deepcopy(loss)(**given).loss], want, 0)
    same([pickle.loads(pickle.dumps(loss))(**given).loss], want, 0)
    assert set(loss.state_dict()) == {name for name in ("beta", "alpha", "gamma") if hasattr(loss, name)}


@EACH
def test_after_a_fork(name):
    loss, given, _ = both(name, sizes={"D": 4000})
    torch.set_num_threads(2)
    want = float(loss(**given).loss)
    reader, writer = os.pipe()
    child = os.fork() if os.name == "posix" else pytest.skip("no fork")
    if child == 0:
        os.write(writer, repr(float(loss(**given).loss)).encode())  # two threads are set, and a child has but one
        os._exit(0)
    os.waitpid(child, 0)
    assert float(os.read(reader, 100)) == pytest.approx(want, rel=1e-6)


def test_threads_of_python():
    from concurrent.futures import ThreadPoolExecutor

    loss, given, expression = both("beta-vae")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: run(loss, given), range(8)))
    for one in found:
        same(one, run(expression, given))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beta-vae", "bib-ae"])
def test_compile_in_one_graph(name):
    loss, _, expression = both(name)
    compiled = torch.compile(lambda **g: loss(**g).loss, fullgraph=True, backend="aot_eager")
    for rows in (9, 5):
        arguments = worlds.arguments(name, sizes={"B": rows})
        leaves = worlds.learning(arguments)
        value = compiled(**leaves)
        same([value, *worlds.gradients(value, leaves).values()], run(expression, arguments))


@pytest.mark.slow
def test_export():
    loss, given, expression = both("beta-vae")
    batch = torch.export.Dim("batch", min=2)
    shapes = {i.name: {i.shape.index("B"): batch} for i in loss.INPUTS}
    exported = torch.export.export(loss, (), given, dynamic_shapes=shapes)
    other = worlds.arguments("beta-vae", sizes={"B": 5})
    same([exported.module()(**other).loss], [expression(**other).loss])


def fresh(name, code, **environment):
    """Code in a process of its own, after the module is imported as m and its arguments as g."""
    start = f"""
import sys, importlib.util
sys.path.insert(0, {str(worlds.ROOT)!r})
spec = importlib.util.spec_from_file_location("native_worlds", {worlds.__file__!r})
w = importlib.util.module_from_spec(spec); spec.loader.exec_module(w)
m = w.module({name!r}); loss = m.Loss(); g = w.arguments({name!r})
"""
    full = {**os.environ, **{k: str(v) for k, v in environment.items()}}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", start + code], capture_output=True, text=True, env=full, check=False
    )


TWICE = "a = loss(**g); b = loss(**g); print(float(a.loss), float(loss.expression(*g.values()).loss))"


def test_no_compiler_gives_one_notice(tmp_path):
    done = fresh(
        "vae",
        TWICE + "; m.Loss()(**{k: t.double() for k, t in g.items()})",
        CC="no-such-compiler",
        IBSYM_CACHE_DIR=tmp_path / "cache",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("plain PyTorch") == 1
    a, b = done.stdout.split()
    assert a == b


def test_a_compiler_that_fails_gives_one_notice(tmp_path):
    done = fresh("vae", TWICE, CC="false", IBSYM_CACHE_DIR=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("plain PyTorch") == 1


def test_it_can_be_turned_off(tmp_path):
    done = fresh("vae", TWICE + "; print(w.compiled('vae'))", IBSYM_NATIVE="0", IBSYM_CACHE_DIR=tmp_path / "cache")
    assert done.stdout.split()[-1] == "None"
    assert done.stderr == ""
    assert not (tmp_path / "cache").exists()


def test_a_cold_start_of_two_processes(tmp_path):
    code = "print(float(loss(**g).loss), w.compiled('vib') is not None)"
    environment = {**os.environ, "IBSYM_CACHE_DIR": str(tmp_path / "cache")}
    start = f"""
import sys, importlib.util
spec = importlib.util.spec_from_file_location("native_worlds", {worlds.__file__!r})
w = importlib.util.module_from_spec(spec); spec.loader.exec_module(w)
import os; os.environ["IBSYM_CACHE_DIR"] = {environment["IBSYM_CACHE_DIR"]!r}
m = w.module("vib"); loss = m.Loss(); g = w.arguments("vib")
"""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", start + code], stdout=subprocess.PIPE, text=True, env=environment, cwd=worlds.ROOT
        )
        for _ in range(2)
    ]
    answers = {w.communicate()[0].strip() for w in workers}
    assert len(answers) == 1
    assert answers.pop().endswith("True")
    assert len(list((tmp_path / "cache").iterdir())) == 1

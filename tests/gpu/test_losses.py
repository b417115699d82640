"""Every emitted loss on the GPU is itself in float64 on the CPU: value, terms, gradients, what every critic minimises."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.codegen.conftest import tensors  # noqa: E402
from tests.nn.helpers import emitted  # noqa: E402
from tests.training.helpers import ZOO, compiled  # noqa: E402

LIMIT = {torch.float64: 1e-11, torch.float32: 3e-4}
HALF = (torch.float16, torch.bfloat16)


def inputs(name, draws=3, sizes=None):
    spec, _, loss = compiled(name)
    return tensors(spec, loss.INPUTS, draws, sizes=sizes)


def there(given, device, dtype):
    """Copies on a device, which learn where they can."""
    return {n: t.to(device, dtype).requires_grad_() if t.is_floating_point() else t.to(device) for n, t in given.items()}


def slopes(value, given):
    wanted = [t for t in given.values() if t.requires_grad]
    return torch.autograd.grad(value, wanted, allow_unused=True)


def gap(found, wanted):
    """How far a tensor is off, relative to the size of what is wanted."""
    if found is None or wanted is None:
        other = found if wanted is None else wanted
        return 0.0 if other is None else float(other.abs().max())
    if not wanted.numel():
        return 0.0
    return float((found.cpu().double() - wanted.double()).abs().max() / wanted.abs().max().clamp(min=1))


def off(got, given, want, wanted):
    """The largest gap of the value, a term or a gradient."""
    return max(
        gap(got.loss.detach(), want.loss.detach()),
        *(gap(value, want.terms[text]) for text, value in got.terms.items()),
        *map(gap, slopes(got.loss, given), wanted),
    )


@pytest.mark.parametrize("name", ZOO)
def test_value_terms_and_gradients(name, device):
    loss = compiled(name)[2]()
    for draws in (3, None):
        here = there(inputs(name, draws), "cpu", torch.float64)
        want = loss.expression(*here.values())
        wanted = slopes(want.loss, here)
        for dtype, limit in LIMIT.items():
            given = there(inputs(name, draws), device, dtype)
            for got in (loss(**given), loss.expression(*given.values())):
                assert got.loss.device.type == device
                assert off(got, given, want, wanted) < limit, (draws, dtype)


@pytest.mark.parametrize("name", [n for n in ZOO if emitted(n).CRITICS])
def test_every_critic(name, device):
    spec, _, of = compiled(name)
    loss = of()
    for critic in of.CRITICS:
        entries = of.CRITIC_INPUTS.get(critic, ())
        given = tensors(spec, [e for e in entries if not e.role.startswith("critic")])
        if not entries or any(e.role.startswith("critic") for e in entries):
            generator = torch.Generator().manual_seed(3)
            given["critic"] = torch.randn(5, dtype=torch.float64, generator=generator)
            given["critic_reference"] = torch.randn(8, dtype=torch.float64, generator=generator)
        here = there(given, "cpu", torch.float64)
        want = loss.critic_loss(critic, **here)
        wanted = slopes(want, here)
        for dtype, limit in LIMIT.items():
            own = there(given, device, dtype)
            got = loss.critic_loss(critic, **own)
            assert gap(got.detach(), want.detach()) < limit
            assert max(map(gap, slopes(got, own), wanted)) < limit


@pytest.mark.parametrize("name", ZOO)
def test_half_precision_is_raised(name, device):
    """The loss of half-precision inputs is that of the same numbers in float32; gradients come back as the inputs were."""
    loss = compiled(name)[2]()
    for dtype in HALF:
        given = there(inputs(name), device, dtype)
        raised = {n: t.detach().float().requires_grad_() if t.is_floating_point() else t for n, t in given.items()}
        got, want = loss(**given), loss(**raised)
        assert got.loss.dtype is torch.float32
        close = gap(got.loss.detach(), want.loss.detach().cpu()) < 1e-5  # kernels take either alike, up to the order of sums
        assert close or not torch.isfinite(want.loss)  # float16 rounds a temperature or a rate to 0
        for slope, other in zip(slopes(got.loss, given), slopes(want.loss, raised), strict=True):
            if slope is not None and torch.isfinite(other).all():
                assert slope.dtype is dtype
                assert gap(slope.float(), other.to(dtype).float().cpu()) < 1e-2


@pytest.mark.parametrize("name", ["vae", "vib", "aae", "beta-tcvae", "semi-supervised-ib"])
def test_an_input_elsewhere_is_named(name, device):
    of = compiled(name)[2]
    given = there(inputs(name), device, torch.float32)
    for entry in of.INPUTS[1:]:
        away = given[entry.name].detach().to("cpu" if device == "cuda" else "meta")
        with pytest.raises(ValueError, match=rf"^{entry.name} is on {away.device}, and {of.INPUTS[0].name} is on {device}"):
            of()(**given | {entry.name: away})


@pytest.mark.parametrize("name", ["beta-vae", "semi-supervised-ib", "beta-tcvae"])
def test_parameters_may_stay_on_the_cpu(name, device):
    """Numbers, tensors here and tensors there weigh alike; what is saved there is read here."""
    _, _, of = compiled(name)
    given, found = there(inputs(name), device, torch.float64), []
    values = {p: float(v) for p, v in ((p, getattr(of(), p)) for p in of.PARAMETERS)}
    for kind in (float, torch.tensor, lambda v: torch.tensor(v, device=device)):
        loss = of(**{p: kind(v) for p, v in values.items()})
        found.append(loss(**given).loss)
        again = of()
        again.load_state_dict({n: t.to(device) for n, t in loss.state_dict().items()})
        found.append(again.to(device)(**given).loss)
    assert all(gap(f.detach(), found[0].detach().cpu()) < 1e-7 for f in found)


def test_a_permutation_stays_there(device):
    of = compiled("factor-vae")[2]
    z = torch.arange(40.0, device=device).reshape(10, 4)
    for generator in (None, torch.Generator().manual_seed(1), torch.Generator(device).manual_seed(1)):
        found = of.permuted(z, generator=generator)
        assert found.device == z.device
        assert torch.equal(found.sort(0).values, z)


@pytest.mark.parametrize("name", ZOO)
def test_a_group_of_one_is_no_group(name, device, world):
    """The terms that compare rows gather over the device's own backend."""
    _, _, of = compiled(name)
    for reduction in ("mean", "sum"):
        found = []
        for group in (None, world):
            given = there(inputs(name), device, torch.float64)
            out = of(reduction=reduction, group=group)(**given)
            found.append([out.loss.detach(), *out.terms.values(), *slopes(out.loss, given)])
        assert all(gap(a, b if b is None else b.cpu()) < 1e-11 for a, b in zip(*found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "beta-tcvae", "clip"])
def test_a_compiled_loss(name, device):
    loss, given = compiled(name)[2](), there(inputs(name, sizes={"B": 33}), device, torch.float32)
    want = loss(**given)
    wanted = [g if g is None else g.cpu() for g in slopes(want.loss, given)]
    want = want._replace(loss=want.loss.cpu(), terms={k: v.cpu() for k, v in want.terms.items()})
    assert off(torch.compile(loss)(**given), given, want, wanted) < 1e-4

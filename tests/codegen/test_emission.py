"""What every emitted module promises: stable text, few imports, clear errors, attributes that may be reassigned."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ibsym.codegen import templating  # noqa: E402
from ibsym.codegen.runtime import VERSION  # noqa: E402
from ibsym.codegen.torch.text import plain, quoted  # noqa: E402
from ibsym.errors import EmissionError, SpecError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
EXACT = {"rtol": 1e-10, "atol": 1e-12}
CODE = {
    "objective": "minimize I_q(X;Z) - beta*I_q(Z;X)",
    "variables": {"x": "binary[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "bernoulli"},
    "parameters": {"beta": {"default": 2.0, "min": 0.0}},
}


@pytest.mark.slow
def test_equal_specs_emit_equal_text_in_every_process():
    """Two hash seeds, without torch: importing it fails, and emission does not need it. The zoo is written so from the wheel."""
    code = (
        "import sys, hashlib; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from ibsym.checking.audit import audit\n"
        "from ibsym.codegen import emit\n"
        "from ibsym.derivation.engine import derive\n"
        "from ibsym.lowering import lower\n"
        "from ibsym.spec.loading import load\n"
        "for path in sorted(Path('tests/specs').glob('*.toml')):\n"
        "    source = emit(lower(audit(derive(load(path)), worlds=0)))\n"
        "    print(path.stem, hashlib.sha256(source.encode()).hexdigest())\n"
    )
    outputs = []
    for seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) >= 14


def test_a_module_stands_alone(made):
    tree = ast.parse(made.source)
    imported = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)} | {
        a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
    }
    assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, "torch"}
    assert made.module.Loss is getattr(made.module, made.spec.class_name)
    head = made.source.splitlines()[0]
    assert f'"{made.spec.name}"' in head
    assert "ibsym generate" in head
    assert f"(ibsym {VERSION})" in head
    assert re.search(r"\([0-9a-f]{16}\)", head)
    assert not re.search(r"\d{4}-\d\d|/work|/home", made.source)
    assert "\t" not in made.source
    assert not any(line != line.rstrip() for line in made.source.splitlines())
    assert hashlib.sha256(made.source.encode()).digest()


def test_a_docstring_tells_the_derivation(made):
    text = made.module.Loss.__doc__
    words = " ".join(text.split())
    assert " ".join(made.spec.objective_text.split()) in words
    for entry in made.module.Loss.INPUTS:
        assert entry.name in text
        assert f"({', '.join(entry.shape)}" in text
    for line in (*(part for said in made.program.about.gap for part in said), made.program.about.constants):
        assert " ".join(line.split()) in words
    for source in made.spec.cite:
        assert source in words
    for term in made.program.terms:
        if term.surrogate is not None:
            assert term.note in words


def test_inputs_are_unique_and_sound(made):
    inputs = made.module.Loss.INPUTS
    assert len({(i.of, i.role, i.joint) for i in inputs}) == len(inputs) == len({i.name for i in inputs})
    for entry in inputs:
        assert entry.joint in made.spec.joints
        factor = made.spec.factors.get(entry.of)
        parameters = factor.family.parameters if factor is not None and factor.family is not None else ()
        others = ("value", "sample", "sample_reference", "critic", "critic_reference", "scores", "embedding", "temperature")
        assert entry.role in {*others, *parameters}
        assert entry.name.isidentifier()
        assert entry.name not in made.spec.parameters


def test_defaults_are_the_specs(made):
    loss = made.module.Loss()
    for name, entry in made.spec.parameters.items():
        assert getattr(loss, name) == entry.default
    assert loss.reduction == "mean"
    assert set(loss.state_dict()) == set(made.spec.parameters)


def test_parameters_may_be_reassigned(build):
    made = build(**CODE)
    inputs, loss = made.inputs(), made.loss(beta=3.0)
    a = loss(**inputs).loss
    loss.beta = torch.tensor(3.0, dtype=torch.float64)
    torch.testing.assert_close(loss(**inputs).loss, a, **EXACT)
    loss.beta = 0
    torch.testing.assert_close(loss(**inputs).loss, loss(**inputs).terms["KL(q(z|x)||p(z))"], **EXACT)
    loss.reduction = "sum"
    torch.testing.assert_close(loss(**inputs).loss, 5 * loss(**inputs).terms["KL(q(z|x)||p(z))"], **EXACT)
    loss.reduction = "median"
    with pytest.raises(ValueError, match="'median'"):
        loss(**inputs)
    with pytest.raises(ValueError, match="'median'"):
        made.loss(reduction="median")
    with pytest.raises(TypeError):
        made.module.Loss(1.0)


def test_a_loss_that_compares_rows_refuses_to_keep_them(build):
    made = build(**CODE, estimators={"I_q(X;Z)": "club"})
    with pytest.raises(ValueError, match=r"I_q\(X;Z\) compares the rows"):
        made.loss(reduction="none")
    loss = made.loss()
    loss.reduction = "none"
    with pytest.raises(ValueError, match=r"I_q\(X;Z\) compares the rows"):
        loss(**made.inputs())


WRONG = [
    ({"z_mean": torch.zeros(5)}, ValueError, r"z_mean: expected shape \(B, L\), got \(5,\)"),
    ({"z_mean": torch.zeros(5, 4)}, ValueError, r"axis 1 is 3, not L = 4$"),
    ({"z_logvar": torch.zeros(4, 3)}, ValueError, r"axis 0 is 4, not B = 5$"),
    ({"x_logits": torch.zeros(2, 2, 5, 4)}, ValueError, r"x_logits: expected shape \(S, B, D\) with S optional"),
    ({"x": torch.zeros(5, 4, dtype=torch.int64)}, TypeError, r"x: expected shape \(B, D\), floating point, not torch.int64"),
    ({"x": torch.zeros(5, 4, dtype=torch.bool)}, TypeError, "floating point"),
    ({"x": [[0.0] * 4] * 5}, TypeError, "a tensor, not list"),
    ({"extra": torch.zeros(1)}, TypeError, "extra"),
]


@pytest.mark.parametrize(("change", "kind", "message"), WRONG)
def test_a_wrong_input_is_named(build, change, kind, message):
    made = build(**CODE)
    with pytest.raises(kind, match=message):
        made.loss()(**made.inputs() | change)


def test_a_class_index_is_an_integer(build):
    made = build(**{**CODE, "objective": "minimize I_q(X;Z) - beta*I_q(Z;C)"} | _with_classes())
    inputs = made.inputs()
    with pytest.raises(TypeError, match=r"c: expected shape \(B\), integer class indices, not torch.float32"):
        made.loss()(**inputs | {"c": torch.zeros(5)})
    with pytest.raises(TypeError, match="integer"):
        made.loss()(**inputs | {"c": torch.zeros(5, dtype=torch.bool)})
    a = made.loss()(**inputs).loss
    torch.testing.assert_close(made.loss()(**inputs | {"c": inputs["c"].to(torch.int32)}).loss, a)


def _with_classes(classes="K"):
    return {
        "variables": {"x": "real[D]", "z": "real[L]", "c": f"categorical[{classes}]"},
        "joints": {"q": "data(x,c) q(z|x)", "p": "p(z) p(c|z)"},
        "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(c|z)": "categorical"},
    }


def test_dimensions_may_be_numbers_and_several(build):
    made = build(**{**CODE, "variables": {"x": "binary[1,4,W]", "z": "real[3]"}})
    assert {i.name: i.shape for i in made.module.Loss.INPUTS}["x_logits"] == ("S", "B", "1", "4", "W")
    inputs = made.inputs()
    per_row = made.loss(reduction="none")(**inputs).loss
    flat = build(**CODE)
    same = {n: t.flatten(-3) if n.startswith("x") else t for n, t in inputs.items()}
    torch.testing.assert_close(flat.loss(reduction="none")(**same).loss, per_row, **EXACT)
    with pytest.raises(ValueError, match=r"z_mean: expected shape \(B, 3\), got \(5, 4\); axis 1 is 4, not 3$"):
        made.loss()(**inputs | {"z_mean": torch.zeros(5, 4)})


def test_maximised_objectives_are_minimised_with_the_other_sign(build):
    keys = {**CODE, **_with_classes(), "parameters": {}}
    up, down = (build(**{**keys, "objective": o}) for o in ("maximize I_q(Z;C)", "minimize -1*I_q(Z;C)"))
    inputs = up.inputs()
    torch.testing.assert_close(up.loss()(**inputs).loss, down.loss()(**inputs).loss, **EXACT)
    assert up.loss()(**inputs).loss > 0 > up.loss()(**inputs).terms["E_q[log p(c|z)]"]


def test_a_multiplier_climbs(build):
    made = build(
        objective="minimize JS(data(x)||p(x))",
        variables={"x": "real[D]", "z": "real[L]", "t": "real[T]"},
        joints={"p": "p(z) p(x|z)", "m": "(0.25*data(x) + 0.75*p(x)) e(t|x)", "r": "r(t)"},
        families={"p(z)": "standard-normal", "p(x|z)": "implicit", "e(t|x)": "diagonal-normal", "r(t)": "standard-normal"},
        parameters={"cap": {"default": 0.5, "min": 0.0}},
        estimators={"JS(data(x)||p(x))": "logistic"},
        critics={"JS(data(x)||p(x))": {"through": "e(t|x)", "subject_to": "I_m(X;T) <= 2*cap", "multiplier": "price"}},
    )
    name, loss = "JS(data(x)||p(x))", made.loss(cap=0.1, price=0.3)
    codes = made.critic_inputs(name)
    rate = loss.constraint_value(name, **codes)

    def kl(joint):
        mean, logvar = codes[f"{joint}_t_mean"], codes[f"{joint}_t_logvar"]
        return (0.5 * (logvar.exp() + mean**2 - 1 - logvar)).sum(-1).mean()

    torch.testing.assert_close(rate, 0.25 * kl("data") + 0.75 * kl("p"), **EXACT)
    f, g = torch.randn(4, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    plain_loss = torch.nn.functional.softplus(-f).mean() + torch.nn.functional.softplus(g).mean()
    torch.testing.assert_close(loss.critic_loss(name, f, g, **codes), plain_loss + 0.3 * (rate - 0.2), **EXACT)
    loss.dual_step(name, rate, 0.1)
    assert loss.price == pytest.approx(0.3 + 0.1 * (float(rate) - 0.2))
    loss.dual_step(name, 0.0, 100.0)
    assert loss.price == 0.0
    loss.price = torch.tensor(1.0)
    loss.dual_step(name, torch.tensor(0.7, requires_grad=True), 2.0)
    assert torch.is_tensor(loss.price)
    assert not loss.price.requires_grad
    assert float(loss.price) == pytest.approx(2.0)
    with pytest.raises(TypeError, match="data_t_mean"):
        loss.critic_loss(name, f, g)
    for call in (
        lambda: loss.dual_step("other", 1.0, 1.0),
        lambda: loss.constraint_value("other"),
        lambda: loss.critic_loss("other", f, g),
    ):
        with pytest.raises(ValueError, match="other"):
            call()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_extremes_stay_finite_and_right(build, dtype):
    made = build(**CODE)
    exact = made.loss(reduction="none")
    ends = torch.tensor([1e4, -1e4, 17.0, -17.0], dtype=dtype)
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]], dtype=dtype)
    logits = ends.expand(2, 4).clone().requires_grad_()
    logvar = torch.tensor([[80.0, -80.0], [1e-4, -1e-4]], dtype=dtype, requires_grad=True)
    output = exact(z_mean=torch.zeros(2, 2, dtype=dtype), z_logvar=logvar, x=x, x_logits=logits)
    assert output.loss.isfinite().all()
    slopes = torch.autograd.grad(output.loss.sum(), (logits, logvar))
    assert all(s.isfinite().all() for s in slopes)
    # certain bits: sigmoid(-17) = 4.1e-8, right to the precision of 1, as docs/numerics.md says of the expression
    torch.testing.assert_close(
        -slopes[0][0, 2:] / 2,
        torch.tensor([1.0, -1.0], dtype=dtype) / (1 + torch.tensor(17.0, dtype=dtype).exp()),
        rtol=1e-5,
        atol=torch.finfo(dtype).eps / 2,
    )
    torch.testing.assert_close(slopes[0][1] / 2, torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=dtype))
    kl = made.loss(beta=0.0, reduction="none")(
        z_mean=torch.zeros(2, 2, dtype=dtype), z_logvar=logvar, x=x, x_logits=logits
    ).loss
    assert float(kl[1].detach()) == pytest.approx(5e-9, rel=5e-3)


HOSTILE = [
    '"""; import os #',
    "back\\slash \\N{BULLET} \\x41 \\",
    "two\nlines\r\x00\x1b[31m",
    "{{ 7 * 7 }} {% raw %}",
    "%s {x} \\u0041",
    'ends with "',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_title_stays_text(build, text):
    made = build(**CODE, title=text, cite=[text], notes=text)
    tree = ast.parse(made.source)
    assert [type(n) for n in tree.body[:2]] == [ast.Expr, ast.Import]
    printed = "".join(c if c.isprintable() else " " for c in text)
    assert " ".join(printed.split()) in " ".join(made.module.Loss.__doc__.split())
    made.loss()(**made.inputs())


def test_text_is_quoted():
    for text in (*HOSTILE, "plain"):
        assert ast.literal_eval(quoted(text)) == text
        assert ast.literal_eval(f'"""{plain(text)} """') == "".join(c if c.isprintable() else " " for c in text) + " "


@pytest.mark.parametrize("taken", ["z_mean", "x", "INPUTS", "super", "self", "directions"])
def test_a_parameter_that_is_taken_is_refused(build, taken):
    keys = {**CODE, "objective": f"minimize I_q(X;Z) - {taken}*I_q(Z;X)", "parameters": {taken: {"default": 1.0, "min": 0.0}}}
    with pytest.raises(SpecError, match=f"'{taken}' is taken"):
        build(**keys)


@pytest.mark.parametrize("variable", ["torch", "math", "self", "loss", "terms", "kl_z", "per_row", "name", "max"])
def test_a_variable_may_have_any_name(build, variable):
    def renamed(value):
        if isinstance(value, dict):
            return {renamed(k): renamed(v) for k, v in value.items()}
        return (
            re.sub(r"(?<=[(,|])x(?=[),|])|^x$", variable, value).replace("X", variable.capitalize())
            if isinstance(value, str)
            else value
        )

    made, base = build(**{k: renamed(v) for k, v in CODE.items()}), build(**CODE)
    inputs = base.inputs()
    same = {i.name: inputs[j.name] for i, j in zip(made.module.Loss.INPUTS, base.module.Loss.INPUTS, strict=True)}
    torch.testing.assert_close(made.loss()(**same).loss, base.loss()(**inputs).loss, **EXACT)


def test_networks_with_one_head_are_told_apart(build):
    made = build(
        objective="minimize KL(q(z|x)||b(z|y)) + KL(q(z|x)||p(z)) - I_u(Z;X)",
        variables={"x": "real[D]", "y": "real[E]", "z": "real[L]"},
        joints={"q": "data(x,y) q(z|x)", "u": "unlabelled(x) q(z|x)", "p": "p(z) p(x|z)", "b": "b(z|y)"},
        families={
            "unlabelled(x)": "empirical",
            "q(z|x)": "diagonal-normal",
            "b(z|y)": "diagonal-normal",
            "p(z)": "standard-normal",
            "p(x|z)": "isotropic-normal",
        },
    )
    assert [i.name for i in made.module.Loss.INPUTS] == ["q_z_mean", "q_z_logvar", "b_z_mean", "b_z_logvar", "x", "x_mean"]
    assert [i.shape[-2] for i in made.module.Loss.INPUTS] == ["B"] * 4 + ["B_unlabelled"] * 2
    with pytest.raises(ValueError, match="averaged over"):
        made.loss(reduction="none")
    inputs = made.inputs()
    torch.testing.assert_close(
        made.loss(reduction="sum")(**inputs).loss, made.loss()(**inputs).loss * len(inputs["q_z_mean"]), **EXACT
    )


def test_what_cannot_be_computed_says_what_would_help(build):
    with pytest.raises(EmissionError, match=r"dataset_size = 60000"):
        build(**{**CODE, "objective": "minimize TC_q(Z) - beta*I_q(Z;X)"}, estimators={"TC_q(Z)": "minibatch-stratified"})
    full = {**CODE["families"], "q(z|x)": "full-normal"}
    with pytest.raises(EmissionError, match="coordinates of q"):
        build(
            **{
                **CODE,
                "objective": "minimize TC_q(Z) - beta*I_q(Z;X)",
                "families": full,
                "estimators": {"TC_q(Z)": "minibatch-weighted"},
            }
        )


def test_templates_get_what_they_name_and_nothing_else():
    with pytest.raises(TypeError, match=r"missing \['blocks'\]"):
        templating.render("critic_loss.py.j2", {})
    with pytest.raises(TypeError, match=r"unused \['extra'\]"):
        templating.render("gathered.py.j2", {"extra": ""})


def test_templates_are_short_and_think_little():
    for path in (templating.folder() / "torch").rglob("*.j2"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 100, path
        assert not re.search(r"{%-? *(if|set|macro)", text), path

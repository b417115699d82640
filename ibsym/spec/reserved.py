"""Names that mean something in an emitted loss, so that no parameter of a spec can have them.

Emitted classes are not at hand here, and PyTorch is not imported: tests/codegen/test_reserved.py holds this page against every
emitted class and against ``torch.nn.Module`` itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from ibsym.errors import SpecError
from ibsym.spec.graphs import Factor

# Attributes of torch.nn.Module, of 2.2 and later.
MODULE = """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval extra_repr
    float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia named_buffers
    named_children named_modules named_parameters parameters register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty train training
    type xpu zero_grad
"""
# What the emitted class has of its own, and the arguments of its constructor.
LOSS = """
    BATCH_COUPLED CRITICS CRITIC_INPUTS PARAMETERS INPUTS constraint_value critic_loss directions dual_step expression fused group mixed
    permuted reduction terms loss per_row
"""
# What the text of its methods means by a name.
MEANT = "F Input Loss NamedTuple Output Tensor functools inputs math name self step super torch value"

RESERVED = frozenset(f"{MODULE} {LOSS} {MEANT}".split())


def check_parameters(parameters: Iterable[str], variables: Iterable[str], factors: Iterable[Factor]) -> None:
    """A parameter is an attribute and an argument of its loss: it shares its name with nothing else there, inputs included."""
    taken = {*RESERVED, *variables}
    for factor in factors:
        taken |= {f"{'_'.join(factor.of)}_{role}" for role in (factor.family.parameters if factor.family else ())}
    for name in parameters:
        if name in taken:
            raise SpecError(
                f"{name!r} is taken in the emitted module", key=f"parameters.{name}", remedy=f"{name}_ or another name"
            )

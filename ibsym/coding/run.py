"""A folder of ``ibsym train`` as a codec: networks from its checkpoint, nothing of it executed and nothing derived anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ibsym.coding.codec import Codec
from ibsym.coding.layout import layout
from ibsym.errors import IbsymError
from ibsym.nn.bank import Bank, safe_names
from ibsym.nn.sizes import Sizes
from ibsym.spec.model import Spec
from ibsym.training.checkpoint import CHECKPOINT, load_checkpoint
from ibsym.training.failures import DataError


def codec_of(folder: Path) -> Codec:
    """The codec of a run."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise DataError(f"{folder}: holds no trained model\n  write: the folder that ibsym train -o DIR wrote")
    state = load_checkpoint(folder, {})
    try:
        about = state["model"]
        spec = Spec(**json.loads(about["spec"]))
        sizes, views, hidden = dict(about["sizes"]), dict(about["views"]), int(about["hidden"])
        numbers: Mapping[str, Any] = state["system"]
    except (KeyError, TypeError, ValueError, IbsymError):
        raise DataError(f"{path}: does not say which model it is of\n  write: ibsym train again, with this version") from None
    found = layout(spec)
    bank = Bank(spec, Sizes(spec, sizes, {}), hidden, torch.zeros(()))
    own = {k: v for k, v in numbers.items() if k.startswith("bank.networks.")}
    dtype = next((v.dtype for v in own.values()), torch.float32)
    bank.like = bank.like.to(dtype)
    for factor in (*found.encoders, *found.priors, found.decoder):
        bank.add_factor(factor)
    keys = safe_names(f.text for f in spec.factors.values() if f.learned)
    for text, key in bank.keys.items():
        head = f"bank.networks.{keys[text]}."
        try:
            bank.networks[key].load_state_dict({k.removeprefix(head): v for k, v in own.items() if k.startswith(head)})
        except RuntimeError:
            raise DataError(
                f"{path}: the network of {text} is not a default one\n  write: ibsym.coding.codec.Codec.of(system, height, width)"
            ) from None
    if found.image not in views:
        raise DataError(f"{path}: was not trained on images\n  write: ibsym train {spec.name} --data digits")
    return Codec(bank, *views[found.image])

"""The state of an unfinished training run in one safetensors file, replaced atomically.

What lives here: saving and restoring. What does not: when to save (`training`).
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FILE = "training.safetensors"


def save_checkpoint(
    scratch_dir: Path,
    fingerprint: str,
    state: dict[str, Any],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor] | None,
) -> None:
    """Write all that a resumed run needs; a kill at any moment leaves the last whole file."""
    tensors = {f"model/{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in (best or {}).items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items()}
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    temporary = scratch_dir / f"{FILE}.partial"
    header = {"fingerprint": fingerprint, "state": json.dumps(state)}
    save_file(copies, temporary, metadata=header)
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(scratch_dir / FILE)


def load_checkpoint(
    scratch_dir: Path,
    fingerprint: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Any], dict[str, Tensor] | None] | None:
    """Restore module and optimizer in place; None where there is nothing to resume.

    A checkpoint of other settings or other data (another fingerprint) is not resumed from.

    Raises:
        ValueError: a checkpoint that cannot be read.
    """
    path = scratch_dir / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as handle:
            header = handle.metadata()
            if header["fingerprint"] != fingerprint:
                return None
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it to train from the start."
        ) from error
    module.load_state_dict(_part(tensors, "model/"))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer/").items():
        index, slot = name.split("/")
        slots.setdefault(int(index), {})[slot] = value
    full = optimizer.state_dict()
    full["state"] = slots
    optimizer.load_state_dict(full)
    return json.loads(header["state"]), _part(tensors, "best/") or None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }

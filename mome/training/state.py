"""What an interrupted training continues from: weights, optimiser moments and the step, in safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mome.errors import CheckpointError
from mome.storage import new_file

__all__ = ["History", "key", "load_state", "save_state"]

History = list[dict[str, float]]  # one row per logged step


def key(*inputs: object) -> str:
    """Return what names the work on some inputs, among the files that outlive an interruption."""
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]


def save_state(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    history: History,
    step: int,
) -> None:
    """Write the state after ``step`` steps to one file, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach()
        for moment, value in optimizer.state[parameter].items():
            tensors[f"{moment}/{name}"] = value
    with new_file(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step), "history": json.dumps(history)})


def load_state(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[int, History]:
    """Continue from a state; returns the steps done and the loss history.

    Raises:
        CheckpointError: If the file holds other weights than the model trains.
    """
    with safe_open(path, "pt") as file:
        tensors = set(file.keys())
        saved = {name.removeprefix("weight/") for name in tensors if name.startswith("weight/")}
        if saved != set(parameters):
            odd = min(saved ^ set(parameters))
            raise CheckpointError(f"{path}: holds other weights than the model trains, for instance {odd}")
        for name, parameter in parameters.items():
            parameter.data.copy_(file.get_tensor(f"weight/{name}"))
            # What no step had a gradient for yet, such as the projector of a rate not drawn, has none.
            optimizer.state[parameter] = {
                moment: file.get_tensor(f"{moment}/{name}").to(parameter.device)
                for moment in ("step", "exp_avg", "exp_avg_sq")
                if f"{moment}/{name}" in tensors
            }
        metadata = file.metadata()
    return int(metadata["step"]), json.loads(metadata["history"])

"""Which weights a training ends with: the best by validation, the last, or the mean of the last few."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mome.config import TrainParams
from mome.storage import new_file
from mome.training.state import History

__all__ = ["chosen_steps", "keep_weights", "restore_weights"]


def keep_weights(
    folder: Path, parameters: Mapping[str, nn.Parameter], history: History, params: TrainParams
) -> None:
    """Write the trained weights of the last step, and delete those that can no longer be chosen.

    Args:
        folder: To keep them in, a file for each step, whole or not at all.
        parameters: Of the model.
        history: Its last row has a ``validation_wer``.
        params: As `restore_weights`.
    """
    with new_file(_file(folder, int(history[-1]["step"]))) as temporary:
        save_file({name: parameter.detach() for name, parameter in parameters.items()}, temporary)
    wanted = {_file(folder, step) for step in chosen_steps(history, params)}
    for path in folder.glob("weights-*.safetensors"):
        if path not in wanted:
            path.unlink()


def restore_weights(
    folder: Path, parameters: Mapping[str, nn.Parameter], history: History, params: TrainParams
) -> list[int]:
    """Set the parameters to the weights that training ends with; returns the steps that they are from.

    Args:
        folder: That `keep_weights` wrote to at every validation.
        parameters: Of the model.
        history: With ``validation_wer`` where there was one.
        params: ``keep: best`` takes the step with the lowest word error rate, the last of equals; ``last``
            takes the mean of the ``average_last`` last ones, or the last alone (model facts 6).
    """
    steps = chosen_steps(history, params)
    weights = [load_file(_file(folder, step)) for step in steps]
    for name, parameter in parameters.items():
        mean = torch.stack([each[name] for each in weights]).mean(dim=0)
        parameter.data.copy_(mean)
    return steps


def chosen_steps(history: History, params: TrainParams) -> list[int]:
    """Return the steps whose weights a training with this history ends with."""
    validated = [row for row in history if "validation_wer" in row]
    if params.keep == "last":
        return [int(row["step"]) for row in validated[-params.average_last :]]
    return [int(min(reversed(validated), key=lambda row: row["validation_wer"])["step"])]


def _file(folder: Path, step: int) -> Path:
    return folder / f"weights-{step:07d}.safetensors"

"""Adapters of a checkpoint: folders as peft saves them, read back whole or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftConfig, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mome.errors import CheckpointError

__all__ = ["check_tensors", "load_adapters", "save_adapters"]

_DEFAULT = "default"  # peft's name for an adapter that has no other beside it
_CONFIG_FILE, _WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"


def save_adapters(adapted: Any, base: str, folder: Path) -> None:
    """Save all adapters of a model: the default one in the folder, others in folders of their names.

    Args:
        adapted: As peft made it.
        base: What its configurations say that they belong to.
        folder: To write.
    """
    for config in adapted.peft_config.values():
        # peft would write where the foundation lies on this machine; equal weights should be equal files.
        config.base_model_name_or_path = base
    # Embeddings are frozen; left to itself peft would ask a hub whether they have changed.
    adapted.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink()  # an empty form of peft's, with the machine's folders in it


def load_adapters(base: Any, folder: Path, names: Sequence[str] = (_DEFAULT,)) -> Any:
    """Put adapters that `save_adapters` saved on a model.

    peft itself leaves what a file lacks as it was drawn, and overlooks what is too much.

    Args:
        base: The frozen model.
        folder: With the adapters.
        names: Of all of them.

    Raises:
        CheckpointError: If a file is missing or damaged, or its tensors are not those of the adapter.
    """
    adapted: Any = None
    for name in names:
        place = folder if name == _DEFAULT else folder / name
        for needed in (_CONFIG_FILE, _WEIGHTS_FILE):
            if not (place / needed).is_file():
                # peft would look for a pickle, or on a hub.
                raise CheckpointError(f"{place}: expected {needed}")
        try:
            config = PeftConfig.from_pretrained(str(place))
            tensors = load_file(place / _WEIGHTS_FILE)
        except (OSError, TypeError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{place}: not an adapter: {error}") from error
        config.inference_mode = True
        config.base_model_name_or_path = None  # nor is it where it was saved
        if adapted is None:
            adapted = get_peft_model(base, config, adapter_name=name)
        else:
            adapted.add_adapter(name, config)
        expected = get_peft_model_state_dict(adapted, adapter_name=name, save_embedding_layers=False)
        check_tensors(place / _WEIGHTS_FILE, tensors, expected)
        set_peft_model_state_dict(adapted, tensors, adapter_name=name)
    return adapted


def check_tensors(file: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare what a file of a checkpoint holds with what a model wants of it, by name.

    Raises:
        CheckpointError: If a tensor is missing, unknown, of another shape, or not of floating point.
    """
    lacking, unknown = expected.keys() - found.keys(), found.keys() - expected.keys()
    for what, odd in (("lacks", lacking), ("has, beyond what is read,", unknown)):
        if odd:
            raise CheckpointError(f"{file}: {what} {len(odd)} tensors, {min(odd)} among them")
    for name, tensor in found.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape:
            raise CheckpointError(
                f"{file}: {name} is {tuple(tensor.shape)}, but beside this model it is {tuple(wanted.shape)}"
            )
        if not tensor.is_floating_point():
            raise CheckpointError(f"{file}: {name} is {tensor.dtype}, expected a floating-point type")

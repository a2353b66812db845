"""Weights of a small network that torch trains and numpy runs, laid out as numpy multiplies them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mome.storage import new_file

__all__ = ["load_weights", "save_weights"]

Network = TypeVar("Network", bound=nn.Module)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights, each with its axes in reverse: a convolution's taps come first."""
    with new_file(path) as temporary:
        save_file({name: _turned(tensor) for name, tensor in network.state_dict().items()}, temporary)


def load_weights(network: Network, path: Path) -> Network:
    """Return the network with the weights that `save_weights` wrote, ready to run."""
    network.load_state_dict({name: _turned(tensor) for name, tensor in load_file(path).items()})
    return network.eval()


def _turned(tensor: Tensor) -> Tensor:
    """Return a weight with its axes in reverse: (C, C, K) to (K, C, C) and back."""
    return tensor.permute(*reversed(range(tensor.ndim))).contiguous()

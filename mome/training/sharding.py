"""The frozen LLM in shares (FSDP): a process keeps a part of every layer, and borrows the rest to compute."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from mome.training.processes import Processes

__all__ = ["shard_layers"]


def shard_layers(adapted: Any, device: str, processes: Processes) -> None:
    """Share the frozen weights of every layer of an LLM out among processes.

    A layer is put together when it is read, forward and backward, and given back afterwards; so every
    process must read equally often. What trains is small and stays whole everywhere: its gradients,
    optimiser and checkpoints are as without shares. So do embeddings, which are read outside the layers.

    Args:
        adapted: A causal LLM with adapters, of which each process still holds all, best not on a GPU.
        device: Where the shares go, as torch names it.
        processes: All of them.
    """
    causal = adapted.get_base_model()
    decoder = causal.base_model
    trained = {parameter for parameter in adapted.parameters() if parameter.requires_grad}
    mesh = init_device_mesh(torch.device(device).type, (processes.world,))
    for layer in decoder.layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=trained)
    # A root over all layers, so that the next one is fetched while one is read; it shares nothing itself.
    sharded = {parameter for layer in decoder.layers for parameter in layer.parameters()}
    fully_shard(decoder, mesh=mesh, ignored_params=trained | (set(decoder.parameters()) - sharded))
    # By this generate() knows that a process whose texts are finished must go on reading with the others.
    causal._is_fsdp_managed_module = True

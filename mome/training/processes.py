"""Several processes that train one model, as torchrun starts them: each reads a part of every step's clips.

The LLM is frozen, so what they exchange is small: the gradients of adapters and projectors, once a step.
Only where the LLM is too large for each to hold it all (`mome.training.sharding`) they exchange more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mome.config import Sharding
from mome.training.batches import deal

__all__ = ["ALONE", "Processes", "join_processes"]


# The others wait while the first encodes the lips of a corpus or reads its validation split: for hours,
# where torch would give up after ten minutes. That a process has ended torchrun sees at once.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Processes:
    """This process among all.

    Args:
        rank: Number of this one, from 0; only the first one writes.
        world: How many there are.
    """

    rank: int
    world: int

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def part(self, lengths: Sequence[int]) -> list[int]:
        """Return which of some things this process takes, by place; all take about equally much."""
        return deal(lengths, self.world)[self.rank]

    def share(self, sharding: Sharding) -> bool:
        """Tell whether the layers of the LLM are shared out, so that all must read it equally often."""
        return self.world > 1 and sharding == "full"

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every process the sum of all gradients; what nobody has a gradient for keeps none."""
        if self.world == 1:
            return
        has = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.float32)
        has = has.to(parameters[0].device)
        dist.all_reduce(has)
        used = [parameter for parameter, count in zip(parameters, has.tolist(), strict=True) if count]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        pieces = together.split([gradient.numel() for gradient in gradients])
        for parameter, piece in zip(used, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def most(self, count: int) -> int:
        """Return the largest count of any process."""
        if self.world == 1:
            return count
        counts: list[int] = [0] * self.world
        dist.all_gather_object(counts, count)
        return max(counts)

    def wait(self) -> None:
        """Go on when all are here."""
        if self.world > 1:
            dist.barrier()


ALONE = Processes(0, 1)


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; without torchrun there is one.

    Args:
        device: As torch names it; with ``cuda`` each process takes the GPU of its local rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()

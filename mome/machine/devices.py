"""What computing needs of a machine, checked before it starts: GPUs; and how it looks when memory ran out."""

from __future__ import annotations

import re

import torch

from mome.errors import ConfigError

__all__ = ["check_devices", "is_out_of_memory"]

_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE)


def check_devices(device: str, processes: int = 1) -> None:
    """Check that every process on this machine has the device it asks for.

    Args:
        device: As torch names it.
        processes: Processes on this machine; each wants a GPU of its own if ``device`` is a GPU.

    Raises:
        ConfigError: If there is no such device, or there are fewer than processes.
    """
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device is {device!r}, expected cpu or cuda") from None
    if wanted.type != "cuda":
        return
    if torch.version.cuda is None:
        raise ConfigError(
            f"device is {device}, but torch {torch.__version__} was built without CUDA: use the image built "
            "for GPUs, or set device: cpu"
        )
    found = torch.cuda.device_count()
    needed = max(processes, (wanted.index or 0) + 1)
    if found < needed:
        raise ConfigError(
            f"device is {device} and {needed} GPUs are needed, but {found} are visible here: ask for that "
            "many where the step gets its GPUs, or set device: cpu"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that the memory of a GPU or of the machine ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None

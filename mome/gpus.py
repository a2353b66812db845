"""Whether the steps that ask for a GPU get one, and no step holds one in vain."""

from __future__ import annotations

from collections.abc import Mapping

from mome.config import Params
from mome.errors import ConfigError

__all__ = ["check_gpus"]


def check_gpus(params: Params, gpus: Mapping[str, float]) -> None:
    """Compare the devices of the parameters with what a cluster gives.

    Args:
        params: Their sections ``train`` and ``evaluate`` name devices.
        gpus: Number of GPUs by step, as a pipeline was compiled for; of steps that are not named, as on a
            machine of one's own, nothing is known here.

    Raises:
        ConfigError: If they do not agree.
    """
    for step, device in (("train", params.train.device), ("evaluate", params.evaluate.device)):
        if step not in gpus:
            continue
        count = int(gpus[step])
        needed = int(device.partition(":")[2] or 0) + 1 if device.startswith("cuda") else 0
        if bool(needed) != bool(count) or needed > count:
            raise ConfigError(
                f"{step}.device is {device} in the parameters, but steps.{step}.gpu.count is {count} for the "
                "cluster: change one of them (MOME_CLUSTER names a file with GPUs, to compile with)"
            )

"""A device that is not there is named before anything is loaded."""

import pytest
import torch

from mome.errors import ConfigError
from mome.machine.devices import check_devices, is_out_of_memory


def test_each_process_wants_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.version.cuda", None)
    with pytest.raises(ConfigError, match="built without CUDA"):
        check_devices("cuda")
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    check_devices("cuda")
    check_devices("cpu", processes=8)
    for device, processes, needed in (("cuda", 2, 2), ("cuda:3", 1, 4)):
        with pytest.raises(ConfigError, match=f"{needed} GPUs are needed, but 1 are visible"):
            check_devices(device, processes)
    with pytest.raises(ConfigError, match="expected cpu or cuda"):
        check_devices("gpu")


def test_memory_that_ran_out_is_known_by_what_torch_says() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**58)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as raised:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not is_out_of_memory(raised.value)

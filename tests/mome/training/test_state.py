"""A training that is continued takes the steps that it would have taken."""

from pathlib import Path

import pytest
import torch

from mome.errors import CheckpointError
from mome.training.state import load_state, save_state


def start() -> tuple[dict[str, torch.nn.Parameter], torch.optim.AdamW]:
    parameters = {name: torch.nn.Parameter(torch.full((3,), 0.5)) for name in ("often", "late")}
    return parameters, torch.optim.AdamW(parameters.values(), lr=0.1, fused=True)


def steps(parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.AdamW, numbers: range) -> None:
    """Give ``late`` its first gradient in step 3, as a rate that is drawn late."""
    for number in numbers:
        optimizer.zero_grad()
        used = parameters.values() if number >= 3 else [parameters["often"]]
        torch.stack([((number + 1) * each**2).sum() for each in used]).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("interrupted_after", [0, 2, 4])
def test_a_parameter_without_a_gradient_so_far_is_no_obstacle(interrupted_after: int, tmp_path: Path) -> None:
    expected, optimizer = start()
    steps(expected, optimizer, range(6))
    parameters, optimizer = start()
    steps(parameters, optimizer, range(interrupted_after))
    history = [{"step": float(number + 1), "loss": 1.0} for number in range(interrupted_after)]
    save_state(tmp_path / "state.safetensors", parameters, optimizer, history, interrupted_after)
    parameters, optimizer = start()
    assert load_state(tmp_path / "state.safetensors", parameters, optimizer) == (interrupted_after, history)
    steps(parameters, optimizer, range(interrupted_after, 6))
    for name, weight in expected.items():
        torch.testing.assert_close(parameters[name], weight, atol=0, rtol=0)


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    parameters, optimizer = start()
    save_state(tmp_path / "state.safetensors", parameters, optimizer, [], 0)
    with pytest.raises(CheckpointError, match="holds other weights than the model trains, for instance late"):
        load_state(tmp_path / "state.safetensors", {"often": parameters["often"]}, optimizer)

"""Which weights a training ends with, on planted histories."""

from pathlib import Path

import pytest
import torch

from mome.config import TrainParams
from mome.training.selection import keep_weights, restore_weights

WERS = {100: 0.5, 200: 0.2, 300: 0.3, 400: 0.2, 500: 0.4}


@pytest.mark.parametrize(
    ("keep", "average_last", "steps", "value"),
    [
        ("best", 1, [400], 400.0),
        ("last", 1, [500], 500.0),
        ("last", 2, [400, 500], 450.0),
        ("last", 4, [200, 300, 400, 500], 350.0),
    ],
)
def test_the_best_or_the_mean_of_the_last_is_kept(
    keep: str, average_last: int, steps: list[int], value: float, train_params: TrainParams, tmp_path: Path
) -> None:
    params = train_params.model_copy(update={"keep": keep, "average_last": average_last})
    weight = torch.nn.Parameter(torch.zeros(2))
    history: list[dict[str, float]] = []
    for step in range(50, 501, 50):
        weight.data.fill_(step)  # at step s the weight is s
        history.append({"step": step, "loss": 1.0})
        if step in WERS:
            history[-1]["validation_wer"] = WERS[step]
            keep_weights(tmp_path, {"w": weight}, history, params)
    assert restore_weights(tmp_path, {"w": weight}, history, params) == steps
    assert weight.tolist() == [value, value]
    assert len(list(tmp_path.glob("weights-*.safetensors"))) == average_last

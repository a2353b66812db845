"""Figures of a step are numbers, or the step fails with a message of its own."""

import json
import math
from pathlib import Path

import pytest

from mome.errors import EvaluationError
from mome.reporting.metrics import write_metrics


def test_the_figures_are_written_as_they_are(tmp_path: Path) -> None:
    figures = {"wer_a4v2_clean": 0.04, "requests": 3.0}
    assert write_metrics(tmp_path / "metrics", figures) == figures
    assert json.loads((tmp_path / "metrics").read_text()) == figures


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_named_and_nothing_is_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(EvaluationError, match=f"wer_a4v2_0 is {value}; expected numbers: look for"):
        write_metrics(tmp_path / "metrics", {"wer_a4v2_clean": 0.04, "wer_a4v2_0": value})
    assert not (tmp_path / "metrics").exists()

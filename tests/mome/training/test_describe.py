"""What a training says of itself: figures from its history, speed from beside it."""

import json
from pathlib import Path

import pytest

from mome.config import load_params
from mome.errors import CheckpointError
from mome.machine.processor import processor
from mome.training.describe import describe
from mome.training.pace import Pace, read_pace, write_pace
from tests.page_text import page_text


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    history = [{"step": step, "loss": 8.0 / step, "balance": 1.0} for step in range(1, 9)]
    history[3] |= {"validation_loss": 2.5, "validation_wer": 0.2}
    history[7] |= {"validation_loss": 1.5, "validation_wer": 0.3}
    about = {
        "train": load_params().train.model_dump(mode="json") | {"precision": "bfloat16"},
        "corpus": {"name": "calls", "revision": "0" * 40},
    }
    (folder / "history.json").write_text(json.dumps(history))
    (folder / "config.json").write_text(json.dumps(about))
    return folder


def test_figures_are_those_of_the_step_that_was_kept(checkpoint: Path, tmp_path: Path) -> None:
    pace = Pace()
    pace.rows = [{"step": step, "seconds": 0.5, "utterances": 8, "speech_s": 16.0} for step in range(1, 9)]
    write_pace(pace, tmp_path / "work", checkpoint)
    figures = describe(checkpoint, tmp_path / "work", tmp_path / "page.html")
    assert figures == {
        "corpus": "calls",
        "revision": "0" * 40,
        "method": "mome-layer",
        "scales": "a4v2, a4v5, a16v2, a16v5",
        "loss": 1.0,
        "validation_loss": 2.5,
        "validation_wer": 0.2,
        "steps": 8.0,
        "precision_bits": 16.0,
        "step_s": 0.5,
        "utterances_per_s": 16.0,
        "times_real_time": 32.0,
    }
    said = page_text(tmp_path / "page.html")
    assert "- weights of step: 4\n" in said
    assert f"- computed: in bfloat16 on {processor()}" in said
    assert "## Throughput" in said
    assert "- utterances a second: 16.00\n" in said
    assert "- speech: 32.0 times as fast as it was spoken\n" in said


def test_a_training_that_only_had_to_be_written_has_no_speed(checkpoint: Path, tmp_path: Path) -> None:
    figures = describe(checkpoint, tmp_path / "work", tmp_path / "page.html")
    assert "utterances_per_s" not in figures
    assert "Throughput" not in (tmp_path / "page.html").read_text()


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        describe(tmp_path, tmp_path, tmp_path / "page.html")


def test_a_pace_belongs_to_its_checkpoint_and_lies_outside_of_it(checkpoint: Path, tmp_path: Path) -> None:
    pace = Pace()
    pace.begin()
    pace.end(1, utterances=8, num_frames=50)
    before = sorted(path.name for path in checkpoint.iterdir())
    write_pace(pace, tmp_path / "work", checkpoint)
    assert sorted(path.name for path in checkpoint.iterdir()) == before
    (row,) = read_pace(tmp_path / "work", checkpoint)
    assert (row["utterances"], row["speech_s"]) == (8, 2.0)
    assert 0 <= row["seconds"] < 1
    (checkpoint / "history.json").write_text("[]")
    assert read_pace(tmp_path / "work", checkpoint) == []

"""One turn of the loop in miniature: a model that has learnt nothing, and a table that says otherwise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from mome.config import EvaluateParams, MonitorParams, TrainParams, load_params
from mome.errors import ConfigError, MonitorError
from mome.records import Evaluation, RequestRecord, RetrainRequest
from mome.speech.audio import read_audio
from mome.training.run import run as train
from pipelines.turn import Served, cut_in_two, turn
from tests.planted import condition, evaluation, table

PARAMS = load_params()
MONITOR: MonitorParams = PARAMS.monitor.model_copy(update={"max_wer": {"audio": 0.1}})
JUDGE: EvaluateParams = PARAMS.evaluate.model_copy(
    update={"snrs_db": [None, 0.0], "bootstrap_samples": 10, "max_new_tokens": 2, "threads": 1}
)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Return a folder of two hisses, whose samples say where in the recording they are."""
    rng = np.random.default_rng(0)
    (tmp_path / "recordings" / "kitchen").mkdir(parents=True)
    for name in ("tap", "kitchen/hood"):
        hiss = rng.normal(scale=0.05, size=64_000).astype(np.float32)
        soundfile.write(tmp_path / "recordings" / f"{name}.wav", hiss, 16_000, subtype="FLOAT")
    return tmp_path / "recordings"


@pytest.fixture
def served(dataset: Path, foundation: Path, tmp_path: Path) -> Served:
    """Return what is served, but for the checkpoint, which is not taught yet."""
    bundle = tmp_path / "bundle"
    # Clean speech is read well, and no scale copes with any noise.
    rates = {"clean": 1, "steady_0": 60}
    evaluation(
        {"audio": table({"a4v2": rates, "a16v5": rates})},
        conditions=[
            condition(snr_db=None, estimated_snr_db=35, low=30, high=40),
            condition(noise="steady", snr_db=0, estimated_snr_db=0, low=-2, high=2),
        ],
    ).write(bundle / "evaluation.json")
    pd.DataFrame({"snr_db": np.linspace(28, 32, 40), "condition": "clean"}).to_parquet(
        bundle / "baseline.parquet"
    )
    return Served(bundle, dataset, foundation, tmp_path / "checkpoint")


def test_a_recordings_end_is_kept_from_whoever_learns_its_beginning(noise: Path, tmp_path: Path) -> None:
    heard, kept = cut_in_two(noise, tmp_path / "noise")
    for path in (noise / "tap.wav", noise / "kitchen" / "hood.wav"):
        (first,) = heard.glob(f"*-{path.stem}.wav")
        whole = np.concatenate([read_audio(first).samples, read_audio(kept / first.name).samples])
        np.testing.assert_array_equal(whole, read_audio(path).samples)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no \.flac or \.wav"):
        cut_in_two(tmp_path / "empty", tmp_path / "noise")


def test_what_was_heard_is_wished_for_learnt_and_judged(
    served: Served, noise: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    quick = {"steps": 1, "batch_size": 4, "scales": ["a16v5"], "task_weights": {"audio": 1.0}, "threads": 1}
    lessons = train_params.model_copy(update=quick)
    train(lessons, served.dataset, served.foundation, served.checkpoint, tmp_path / "work")
    output = tmp_path / "turn"
    said = turn(served, noise, output, MONITOR, JUDGE, snr_db=0.0)

    logs = (output / "production" / "requests").iterdir()
    lines = [line for log in logs for line in log.read_text().splitlines()]
    heard = [RequestRecord.model_validate_json(line) for line in lines]
    assert len(heard) == MONITOR.window * MONITOR.consecutive_windows
    wish = RetrainRequest.read(output / "production" / "state" / "retrain.json")
    assert wish.recordings == str(output / "noise" / "heard")
    after = served._replace(checkpoint=output / "checkpoint").train_params()
    assert after.noise == f"corpus + {output}/noise/heard"
    assert after.steps == served.train_params().steps
    tables = [Evaluation.read(output / name / "evaluation.json") for name in ("before", "after")]
    assert tables[0].noise == tables[1].noise
    assert all("recorded_0" in row for row in tables[0].wer["audio"].values())
    assert said == (output / "turn.md").read_text()
    for name in ("before", "after"):
        assert sum(f", {name} |" in line for line in said.splitlines()) == sum(
            map(len, tables[0].wer.values())
        )


def test_a_monitor_that_is_content_says_so_and_nothing_is_taught(
    served: Served, noise: Path, tmp_path: Path
) -> None:
    content = MONITOR.model_copy(update={"max_wer": {"audio": 0.9}})
    with pytest.raises(MonitorError, match="the monitor wishes for no training: "):
        turn(served, noise, tmp_path / "turn", content, JUDGE, snr_db=0.0)
    assert not (tmp_path / "turn" / "checkpoint").exists()

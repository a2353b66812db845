"""Evaluation end to end on a small trained model: the table can be recomputed from what is stored."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mome.config import TrainParams, load_params
from mome.errors import ConfigError, EvaluationError, MediaError
from mome.evaluation.decode import Decoded, NoisyFeatures, readings_of
from mome.evaluation.run import run
from mome.model.avsr import AVSRModel, Features, Task
from mome.model.encoders import Encoders
from mome.records import Decoding, Evaluation
from mome.scales import Scale
from mome.training.checkpoint import load_checkpoint
from mome.training.run import run as train


@pytest.fixture(scope="module")
def output(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    train(train_params, dataset, foundation, folder / "checkpoint", folder / "work")
    params = load_params(Path("params.yaml")).evaluate.model_copy(
        update={"snrs_db": [None, 0.0], "max_new_tokens": 8, "more_scales": ["a8v3", "a4v2"]}
    )
    run(params, dataset, foundation, folder / "checkpoint", folder / "evaluation")
    return folder / "evaluation"


def edits(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein by its recursion, with a table."""
    table = {(i, 0): i for i in range(len(reference) + 1)} | {(0, j): j for j in range(len(hypothesis) + 1)}
    for i in range(1, len(reference) + 1):
        for j in range(1, len(hypothesis) + 1):
            same = reference[i - 1] == hypothesis[j - 1]
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (not same))
    return table[len(reference), len(hypothesis)]


def test_every_condition_is_there_and_its_count_follows_from_the_hypotheses(output: Path) -> None:
    evaluation = Evaluation.read(output / "evaluation.json")
    assert evaluation.decoding == Decoding(num_beams=1, max_new_tokens=8)
    assert set(evaluation.wer) == {"audio", "video", "av"}
    assert evaluation.untrained == ("a8v3",)
    counted: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for line in (output / evaluation.hypotheses).read_text().splitlines():
        row = json.loads(line)
        reference = row["reference"].split()
        cell = counted[row["modality"], row["scale"], row["noise"]]
        cell[0] += edits(reference, row["hypothesis"].split())
        cell[1] += len(reference)
    for modality, scales in evaluation.wer.items():
        assert set(scales) == {"a4v2", "a4v5", "a16v2", "a16v5", "a8v3"}
        for scale, levels in scales.items():
            assert set(levels) == {"clean", "babble_0", "steady_0", "bursts_0"}
            for level, cell in levels.items():
                assert [cell.errors, cell.words] == counted[modality, scale, level]


def test_a_rate_that_no_clip_is_long_enough_for_is_refused_before_anything_is_read(
    output: Path, dataset: Path, foundation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AVSRModel, "read", None)
    params = load_params(Path("params.yaml")).evaluate.model_copy(update={"more_scales": ["a4v200"]})
    said = r"\(test\) is too short: .* but video rate 200 needs 200; .*evaluate\.more_scales"
    with pytest.raises(EvaluationError, match=said):
        run(params, dataset, foundation, output.parent / "checkpoint", tmp_path / "evaluation")


def test_the_baseline_holds_every_clip_in_every_condition(output: Path) -> None:
    baseline = pd.read_parquet(output / "baseline.parquet")
    # Of four clips a half is heard in babble, and a quarter in each of the others.
    assert baseline.groupby("condition").size().to_dict() == {
        "clean": 4,
        "babble_0": 2,
        "steady_0": 1,
        "bursts_0": 1,
    }
    medians = baseline.groupby("condition")["snr_db"].median()
    assert medians["clean"] > medians["babble_0"] + 3


def test_estimates_of_every_condition_stand_beside_the_true_rates_of_the_table(
    output: Path, dataset: Path, foundation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted(_: AVSRModel, features: NoisyFeatures, *__: object, **___: object) -> list[Decoded]:
        """Write what nobody said, a word a clip: the small model of these tests writes nothing."""
        return [
            Decoded("av", scale, level, dict.fromkeys(heard, "word"), dict.fromkeys(heard, 0.9))
            for scale in (Scale(4, 2), Scale(16, 5))
            for level, heard in features.items()
        ]

    monkeypatch.setattr("mome.evaluation.run.decode_all", planted)
    params = load_params(Path("params.yaml")).evaluate.model_copy(update={"snrs_db": [None, 0.0]})
    evaluation = run(params, dataset, foundation, output.parent / "checkpoint", tmp_path / "evaluation")
    calibration = evaluation.calibration
    assert calibration is not None
    assert calibration == Evaluation.read(tmp_path / "evaluation" / "evaluation.json").calibration
    assert set(calibration.checked) == {"av"}
    for scale, row in calibration.checked["av"].items():
        assert set(row) == set(evaluation.wer["av"][scale])
        for key, cell in row.items():
            assert cell.true == evaluation.wer["av"][scale][key].rate == 1.0, "of every word another"
            assert cell.estimated > 0.95, "as on the validation clips"
    baseline = pd.read_parquet(tmp_path / "evaluation" / "baseline.parquet")
    clean = baseline[baseline["condition"] == "clean"]
    for scale, row in calibration.checked["av"].items():
        assert clean[f"estimated_wer_av_{scale}"].mean() == pytest.approx(row["clean"].estimated)
    assert "Estimated without transcripts" in (tmp_path / "evaluation" / "evaluation.html").read_text()


def test_the_report_needs_no_network(output: Path) -> None:
    page = (output / "evaluation.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page and 'href="http' not in page


def test_an_evaluation_that_lacks_memory_or_a_gpu_says_what_to_change(
    output: Path, dataset: Path, foundation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, params = output.parent / "checkpoint", load_params().evaluate
    with pytest.raises(ConfigError, match="device is cuda"):
        run(
            params.model_copy(update={"device": "cuda"}),
            dataset,
            foundation,
            checkpoint,
            tmp_path,
        )

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")

    monkeypatch.setattr("mome.evaluation.run.decode_all", full)
    with pytest.raises(EvaluationError, match=r"lower evaluate.batch_size \(now \d+\)"):
        run(params, dataset, foundation, checkpoint, tmp_path / "output")


@pytest.mark.parametrize(("modality", "unused"), [("audio", "see"), ("video", "hear")])
def test_only_what_was_trained_is_validated_evaluated_and_judged(
    modality: str,
    unused: str,
    dataset: Path,
    foundation: Path,
    train_params: TrainParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[tuple[str, str]] = []
    reads = AVSRModel.read

    def noted(model: AVSRModel, tasks: list[Task], *others: object) -> None:
        read.extend((task.features.modality, str(task.scale)) for task in tasks)
        reads(model, tasks, *others)

    monkeypatch.setattr(AVSRModel, "read", noted)

    def not_read(*_: object) -> None:
        raise AssertionError(f"nothing that was trained needs to {unused}")

    encode = getattr(Encoders, unused)
    monkeypatch.setattr(Encoders, unused, lambda self, inputs: not_read() if inputs else encode(self, inputs))
    noise = tmp_path / "noise.wav"
    soundfile.write(noise, np.random.default_rng(0).normal(scale=0.1, size=16_000), 16_000)
    changed = {"method": "mtsk-ss", "task_weights": {modality: 1.0}, "steps": 1, "noise": str(noise)}
    train(
        train_params.model_copy(update=changed),
        dataset,
        foundation,
        tmp_path / "checkpoint",
        tmp_path / "work",
    )
    validated = {name for name, _ in read}
    params = load_params(Path("params.yaml")).evaluate.model_copy(
        update={"snrs_db": [None, 0.0], "max_new_tokens": 4, "noise": str(noise)}
    )
    found = run(params, dataset, foundation, tmp_path / "checkpoint", tmp_path / "evaluation")
    assert validated == {name for name, _ in read} == {modality}
    assert len({scale for _, scale in read}) == 2, "two rates of the modality, each read once"
    about = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    assert about["noise"] == found.noise["babble"] == hashlib.sha256(noise.read_bytes()).hexdigest()
    assert found.modality == modality
    assert set(found.wer) == {modality}
    assert set(found.wer[modality]) == {"a4v2", "a4v5", "a16v2", "a16v5"}
    model = load_checkpoint(tmp_path / "checkpoint", foundation).model
    with pytest.raises(MediaError, match="sound and lips was not trained; the model reads"):
        model([Task(Features(torch.zeros(50, 128), torch.zeros(25, 128)), model.scales[0])])


def test_an_evaluation_of_what_was_not_trained_is_refused() -> None:
    model = SimpleNamespace(modalities=("av", "video"))
    with pytest.raises(
        EvaluationError, match="has sound alone, but the model was trained for sound and lips"
    ):
        readings_of(model, "audio")

"""Every method trains, is saved and reads the same afterwards."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mome.config import TrainParams, parse_section
from mome.errors import ConfigError, TrainingError
from mome.methods import METHODS
from mome.model.avsr import Task
from mome.scales import Scale
from mome.speech.media import Clip
from mome.speech.shards import read_split, write_manifest, write_shard
from mome.training.checkpoint import load_checkpoint, new_recogniser
from mome.training.run import run
from mome.training.step import scales_of_step
from tests.planted import utterance

ONE_OF_EACH_KIND = {
    "mome-mhsa-i": "stack",
    "mtsk-mss": "average",
    "llama-smop-jedr": "average",
    "omni-st": "stack",
}


def settings(train_params: TrainParams, method: str, **changed: object) -> TrainParams:
    scales = ["a4v2"] if METHODS[method].one_scale else list(train_params.scales)
    values = train_params.model_dump(mode="json") | {"method": method, "scales": scales, "steps": 2}
    return parse_section(TrainParams, values | changed)


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_a_method_trains_and_is_loaded_as_it_was(
    method: str, dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    params = settings(train_params, method, compression=ONE_OF_EACH_KIND[method])
    run(params, dataset, foundation, tmp_path / "checkpoint", tmp_path / "work")
    started = new_recogniser(foundation, params).trained_parameters()
    loaded = load_checkpoint(tmp_path / "checkpoint", foundation)
    tensors = dict(loaded.model.named_parameters())
    learnt = [name for name in started if name in tensors and not torch.equal(started[name], tensors[name])]
    assert any(name.startswith("llm.") for name in learnt)
    assert any("_projectors." in name for name in learnt)
    saved = {
        k: v for path in (tmp_path / "checkpoint").rglob("*.safetensors") for k, v in load_file(path).items()
    }
    assert all(torch.isfinite(tensor).all() for tensor in saved.values())
    features = loaded.encoders.encode([clip for _, clip in read_split(dataset, "test")])
    tasks = [Task(each.only(modality), scale) for each in features for scale in loaded.model.scales
             for modality in params.task_weights]  # fmt: skip
    one_by_one = [loaded.model.transcribe([task], 3)[0] for task in tasks]
    assert loaded.model.transcribe(tasks, 3) == one_by_one


def test_a_corpus_without_the_modalities_to_train_is_refused(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    silent = shutil.copytree(dataset, tmp_path / "silent")
    for path in (silent / "shards").glob("*.tar"):
        path.unlink()
    pairs = [
        (utterance("a", split, lips), lips)
        for split in ("train", "validation")
        for lips in [Clip(None, np.zeros((30, 96, 96), np.uint8))]
    ]
    for row, lips in pairs:
        write_shard(silent / "shards" / row.shard, [(row, lips)])
    write_manifest(silent, [row for row, _ in pairs])
    params = settings(train_params, "mome-ffn", task_weights={"av": 1.0, "audio": 1.0})
    with pytest.raises(TrainingError, match=r"has video recordings, but .* trains only av, audio"):
        run(params, silent, foundation, tmp_path / "checkpoint", tmp_path / "work")


def test_omni_draws_one_rate_of_each_modality(foundation: Path, train_params: TrainParams) -> None:
    pairs = [Scale(a, v) for a in (4, 16) for v in (2, 5)]
    rng = np.random.default_rng(0)
    drawn = [scales_of_step(METHODS["omni-s"], pairs, rng) for _ in range(400)]
    assert all(len(each) == 1 for each in drawn)
    counts = [sum(each[0] == pair for each in drawn) for pair in pairs]
    assert min(counts) > 70, "about a quarter each"
    assert scales_of_step(METHODS["mtsk-ss"], pairs, rng) == pairs


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "llama-avsr", "scales": ["a4v2", "a16v5"]}, "llama-avsr is trained for one scale"),
        ({"top_k": {"a4v2": 2}}, "top_k is given for a4v2, but scales are"),
        ({"projector_top_k": 9}, "projector_top_k is 9, but there are 4 projectors"),
        ({"method": "lora"}, "method"),
        (
            {"method": "omni-s", "scales": ["a4v2", "a16v5"]},
            "omni-s draws an audio rate and a video rate, but of their pairs the scales lack a4v5, a16v2",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    changed: dict[str, object], said: str, train_params: TrainParams
) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_section(TrainParams, train_params.model_dump(mode="json") | changed)

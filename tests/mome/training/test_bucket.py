"""Steps of a dataset in a bucket are those of the folder, also where forked processes read it ahead."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mome.config import TrainParams
from mome.speech.dataset import open_dataset
from mome.speech.shards import SplitReader
from mome.speech.sounds import Sounds
from mome.training.ahead import Step, prepare_steps
from mome.training.clips import TrainingClips
from mome.training.processes import ALONE
from mome.training.run import source_digest
from tests.buckets import s3_environment, s3_server, uploaded

BATCHES = [(step, [(7 * step + place) % 12 for place in range(5)]) for step in range(4)]


def steps(dataset: Path, params: TrainParams) -> list[Step]:
    with closing(SplitReader(dataset, "train")) as reader:
        said = [row.transcript for row in reader.utterances]
        clips = TrainingClips(Sounds(reader, held_h=0), [], said, reader)
        return list(prepare_steps(clips, BATCHES, 88, params, ALONE))


def test_training_reads_a_bucket_as_it_reads_the_folder(
    dataset: Path,
    foundation: Path,
    train_params: TrainParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = train_params.model_copy(update={"augmentation": "llama-avsr", "loading_processes": 2})
    with s3_server(tmp_path) as port:
        for name, value in s3_environment(port).items():
            monkeypatch.setenv(name, value)
        opened = open_dataset(uploaded(dataset, "kept"))
        assert source_digest(opened, foundation) == source_digest(dataset, foundation)
        pairs = zip(steps(opened, params), steps(dataset, params), strict=True)
        for there, here in pairs:
            assert there.indices == here.indices
            for one, other in zip(there.prepared, here.prepared, strict=True):
                np.testing.assert_array_equal(one.samples_N, other.samples_N)
                np.testing.assert_array_equal(one.frames_THW, other.frames_THW)

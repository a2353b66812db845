"""A small dataset and an untaught foundation, made once: enough to train and evaluate for real."""

import json
from pathlib import Path

import pytest
import torch

from mome.config import TrainParams, load_params
from mome.foundation.encoders import new_audio_encoder, new_video_encoder
from mome.foundation.language import new_language_model
from mome.foundation.tokenizer import new_tokenizer
from mome.records import Utterance
from mome.speech.shards import write_manifest, write_shard
from mome.synthesis import SyntheticClip, plan_corpus, render_all
from tests import planted


def row(rendered: SyntheticClip) -> Utterance:
    utterance = rendered.utterance
    return planted.utterance(
        utterance.utterance_id,
        utterance.split,
        rendered.clip,
        speaker=utterance.speaker.name,
        transcript=utterance.transcript,
    )


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve, three and four synthetic utterances, prepared as data.prepare would."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "shards").mkdir()
    rendered = list(render_all(plan_corpus(12, 3, 4, seed=1)))
    pairs = [(row(each), each.clip) for each in rendered]
    for split in ("train", "validation", "test"):
        members = [pair for pair in pairs if pair[0].split == split]
        write_shard(folder / "shards" / f"{split}-00000.tar", members)
    write_manifest(folder, [utterance for utterance, _ in pairs])
    about = {"name": "tiny", "revision": "0" * 40, "modality": "av", "speaker_disjoint": True}
    (folder / "corpus.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="session")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded foundation as it is before any lesson."""
    folder = tmp_path_factory.mktemp("foundation")
    torch.manual_seed(0)
    _, whisper, extractor = new_audio_encoder()
    tokenizer = new_tokenizer(0)
    whisper.save_pretrained(folder / "audio")
    extractor.save_pretrained(folder / "audio")
    new_video_encoder().avhubert.save_pretrained(folder / "video")
    new_language_model(tokenizer).save_pretrained(folder / "llm")
    tokenizer.save_pretrained(folder / "llm")
    return folder


@pytest.fixture(scope="session")
def train_params() -> TrainParams:
    """Four quick steps with the project's own settings."""
    # Whatever machine the tests run on: auto would mean another precision on another one.
    reduced = {"steps": 4, "batch_size": 16, "checkpoint_every": 2, "precision": "bfloat16"}
    return load_params(Path("params.yaml")).train.model_copy(update=reduced)

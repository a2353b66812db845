"""Prepared piece by piece, a corpus is what it is when prepared in one go."""

import json
from pathlib import Path

import numpy as np
import pytest

from data import fan_out, prepare, version
from mome.errors import CorpusError, RevisionError
from mome.speech.shards import read_manifest, read_split


@pytest.fixture
def revision(tmp_path, make_corpus, prepare_params):
    make_corpus(tmp_path / "talk")
    # Two packed shards for the training split, one for each of the others.
    params = prepare_params.model_copy(update={"utterances_per_shard": 2})
    return version.run(str(tmp_path / "talk"), params, tmp_path / "registry")


def pieces(tmp_path: Path, revision) -> list[Path]:
    planned = fan_out.plan(revision.repo, revision.revision, tmp_path)
    for piece in planned:
        fan_out.prepare_shard(**piece, output=tmp_path / "parts" / piece["shard"])
    return [tmp_path / "parts" / piece["shard"] for piece in planned]


def test_rows_and_clips_are_those_of_one_step(tmp_path, revision, prepare_params):
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "whole")
    parts = pieces(tmp_path, revision)
    assert len(parts) >= 3
    fan_out.collect(revision.repo, revision.revision, parts[::-1], tmp_path / "collected")
    whole, collected = (read_manifest(tmp_path / name) for name in ("whole", "collected"))
    assert [row.model_copy(update={"shard": ""}) for row in whole] == [
        row.model_copy(update={"shard": ""}) for row in collected
    ]
    for split in ("train", "validation", "test"):
        both = zip(
            read_split(tmp_path / "whole", split), read_split(tmp_path / "collected", split), strict=True
        )
        for (_, one), (_, other) in both:
            assert np.array_equal(one.samples, other.samples)
    about = [json.loads((tmp_path / name / "corpus.json").read_text()) for name in ("whole", "collected")]
    assert about[0] == about[1]
    assert not list(tmp_path.glob(".raw.*"))


def test_a_piece_fetches_its_own_shard_alone(tmp_path, revision, monkeypatch):
    asked = []
    pull = version.pull
    monkeypatch.setattr(fan_out, "pull", lambda *given: asked.append(given[-1]) or pull(*given))
    pieces(tmp_path, revision)
    shards = [[name for name in names if name.startswith("shards/")] for names in asked]
    assert [len(names) for names in shards] == [0, *[1] * (len(shards) - 1)]


def test_a_recording_that_cannot_be_used_keeps_its_row(tmp_path, revision, prepare_params, make_corpus):
    (tmp_path / "talk" / "wavs" / "ann0.wav").write_bytes(b"no sound")
    revision = version.run(str(tmp_path / "talk"), prepare_params, tmp_path / "registry")
    fan_out.collect(revision.repo, revision.revision, pieces(tmp_path, revision), tmp_path / "collected")
    (broken,) = [row for row in read_manifest(tmp_path / "collected") if not row.decodable]
    assert broken.utterance_id == "wavs-ann0"
    assert broken.problem


def test_a_piece_that_is_missing_or_too_much_is_named(tmp_path, revision):
    first, *others = pieces(tmp_path, revision)
    with pytest.raises(CorpusError, match=rf"shard {first.name} has \d recordings?, but its piece holds 0"):
        fan_out.collect(revision.repo, revision.revision, others, tmp_path / "collected")
    assert not (tmp_path / "collected").exists()


def test_an_unknown_revision_is_refused(tmp_path, revision):
    with pytest.raises(RevisionError, match="unknown revision"):
        fan_out.plan(revision.repo, "f" * 40, tmp_path)


def test_a_password_in_the_address_of_an_empty_corpus_reaches_no_log(tmp_path, monkeypatch):
    monkeypatch.setattr(fan_out, "pull", lambda *_: None)
    monkeypatch.setattr(fan_out, "read_rows", lambda _: [])
    with pytest.raises(
        CorpusError, match=r"^https://git\.example\.org/speech\.git at 0123: the corpus is empty"
    ):
        fan_out.plan("https://bob:s3cret@git.example.org/speech.git", "0123", tmp_path)


def test_pieces_that_other_models_cut_out_are_refused(tmp_path, revision):
    parts = pieces(tmp_path, revision)
    (parts[0] / "face_models").mkdir()
    (parts[0] / "face_models" / "landmarks.tflite").write_bytes(b"another")
    with pytest.raises(CorpusError, match="cut out by 2 different models of faces, expected one"):
        fan_out.collect(revision.repo, revision.revision, parts, tmp_path / "collected")

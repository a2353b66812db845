"""Manifests of lhotse, out of a dataset and in as a corpus."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.archive import file_sums
from data.corpora import open_corpus
from data.lhotse import write_manifests
from mome.errors import CorpusError
from mome.records import Utterance
from mome.speech.media import Clip
from mome.speech.shards import write_manifest, write_shard
from mome.speech.video import encode_mouth, read_video

RATE = 16_000


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


@pytest.fixture
def dataset(tmp_path, voice) -> Path:
    """A dataset of one clip with lips and two without, in two splits."""
    folder = tmp_path / "dataset"
    (folder / "shards").mkdir(parents=True)
    mouth = np.full((25, 96, 96), 90, np.uint8)
    rows = []
    for number, (split, lips) in enumerate([("train", True), ("train", False), ("test", False)]):
        blank = {
            name: 0 for name, field in Utterance.model_fields.items() if field.annotation in (int, float)
        }
        about = {
            "utterance_id": f"clip-{number}",
            "split": split,
            "speaker": f"anna{number}",
            "transcript": f"caf\u00e9 {number}",
            "shard": f"{number}.tar",
            "decodable": True,
            "problem": "",
            "has_video": lips,
            "truncated": False,
            "finite": True,
            "duration_s": 1.0,
            "num_samples": RATE,
            "num_frames": 25 * lips,
        }
        row = Utterance.model_validate(blank | about)
        write_shard(folder / "shards" / row.shard, [(row, Clip(voice(number), mouth if lips else None))])
        rows.append(row)
    write_manifest(folder, rows)
    return folder


def test_what_is_written_is_what_lhotse_describes(dataset, tmp_path, voice):
    write_manifests(dataset, tmp_path / "out")
    recordings = rows_of(tmp_path / "out" / "mome_recordings_train.jsonl.gz")
    assert recordings[0] == {
        "id": "clip-0",
        "sources": [{"type": "file", "channels": [0], "source": "audio/clip-0.flac"}],
        "sampling_rate": RATE,
        "num_samples": RATE,
        "duration": 1.0,
        "channel_ids": [0],
    }
    supervisions = rows_of(tmp_path / "out" / "mome_supervisions_train.jsonl.gz")
    assert [(row["recording_id"], row["text"], row["speaker"]) for row in supervisions] == [
        ("clip-0", "caf\u00e9 0", "anna0"),
        ("clip-1", "caf\u00e9 1", "anna1"),
    ]
    assert [row.get("custom") for row in supervisions] == [{"mouth": "mouth/clip-0.mp4"}, None]
    samples, rate = soundfile.read(tmp_path / "out" / "audio" / "clip-1.flac", dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, voice(1), atol=2**-15)
    assert rows_of(tmp_path / "out" / "mome_recordings_validation.jsonl.gz") == []


def test_it_is_written_the_same_again_and_read_back(dataset, tmp_path, prepare_params):
    write_manifests(dataset, tmp_path / "out")
    write_manifests(dataset, tmp_path / "again")
    assert file_sums(tmp_path / "out") == file_sums(tmp_path / "again")
    corpus = open_corpus(str(tmp_path / "out"), prepare_params)
    assert [(u.utterance_id, u.speaker, u.transcript) for u in corpus.utterances if u.split == "test"] == [
        ("clip-2", "anna2", "caf\u00e9 2")
    ]
    found = {u.utterance_id: media for u, media in zip(corpus.utterances, corpus.media(), strict=True)}
    for name, media in found.items():
        assert not media.problem
        assert media.audio.content == (tmp_path / "out" / "audio" / f"{name}.flac").read_bytes()
        assert (media.video is None) == (name != "clip-0")


def manifests(folder: Path, recordings: list[dict], supervisions: list[dict], split: str = "train") -> str:
    folder.mkdir(exist_ok=True)
    for kind, rows in (("recordings", recordings), ("supervisions", supervisions)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"own_{kind}_{split}.jsonl").write_text(lines)
    return str(folder)


def recording(name: str, source: object, duration: float = 4.0, kind: str = "file") -> dict:
    sources = [{"type": kind, "channels": [0], "source": source}]
    return {"id": name, "sources": sources, "sampling_rate": RATE, "duration": duration}


def supervision(name: str, of: str, start: float = 0.0, duration: float = 4.0) -> dict:
    return {"id": name, "recording_id": of, "start": start, "duration": duration, "text": name, "speaker": of}


def test_supervisions_are_cut_out_of_long_recordings(tmp_path, voice, prepare_params):
    sound, frames = voice(3, 4.0), np.arange(100, dtype=np.uint8)[:, None, None] * np.ones((32, 32), np.uint8)
    folder = tmp_path / "own"
    folder.mkdir()
    soundfile.write(folder / "talk.wav", sound, RATE)
    (folder / "mouth.mp4").write_bytes(encode_mouth(frames))
    clips = [supervision("whole", "talk"), supervision("a/part", "talk", 1.0, 2.0)]
    clips[1]["custom"] = {"mouth": "mouth.mp4"}
    corpus = open_corpus(
        manifests(folder, [recording("talk", str(folder.resolve() / "talk.wav"))], clips), prepare_params
    )
    found = {u.utterance_id: media for u, media in zip(corpus.utterances, corpus.media(), strict=True)}
    assert found["whole"].audio.content == (folder / "talk.wav").read_bytes()
    (folder / "part.flac").write_bytes(found["a-part"].audio.content)
    heard, _ = soundfile.read(folder / "part.flac", dtype="float32")
    np.testing.assert_allclose(heard, sound[RATE : 3 * RATE], atol=2**-14)
    seen = read_video(found["a-part"].video.content).frames.mean(axis=(1, 2))
    assert np.abs(seen - np.arange(25, 75)).max() < 2


def test_what_is_no_file_of_the_corpus_is_neither_run_nor_read(tmp_path, prepare_params):
    recordings = [
        recording("command", "touch /tmp/ran", kind="command"),
        recording("address", "https://example.org/a.wav", kind="url"),
        recording("outside", "/etc/passwd"),
        recording("above", "../secret.wav"),
    ]
    clips = [supervision(row["id"], row["id"]) for row in recordings] + [supervision("lost", "nowhere")]
    corpus = open_corpus(manifests(tmp_path / "own", recordings, clips), prepare_params)
    found = {u.utterance_id: m.problem for u, m in zip(corpus.utterances, corpus.media(), strict=True)}
    assert "has sources command; expected one of type file" in found["command"]
    assert "has sources url" in found["address"]
    assert "leaves the corpus folder" in found["outside"]
    assert "leaves the corpus folder" in found["above"]
    assert "'nowhere' is not among the recordings" in found["lost"]


def test_manifests_that_are_none_are_refused(tmp_path, prepare_params):
    folder = Path(manifests(tmp_path / "own", [recording("a", "a.wav")], [{"id": "a"}]))
    with pytest.raises(
        CorpusError, match=r"own_supervisions_train\.jsonl, line 1: no line of lhotse: .*recording_id"
    ):
        open_corpus(str(folder), prepare_params)
    (folder / "own_recordings_train.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"own_recordings_train\.jsonl is not beside it"):
        open_corpus(str(folder), prepare_params)
    (folder / "own_supervisions_train.jsonl").rename(folder / "b_supervisions_dev.jsonl.gz")
    (folder / "b_recordings_dev.jsonl.gz").write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(CorpusError, match="not a whole gzip file"):
        open_corpus(str(folder), prepare_params)

"""Corpora as auto_avsr and Llama-AVSR prepare them: label files, and clips of sound and mouth."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data import prepare, validate, version
from data.corpora import open_corpus, splits
from mome.config import load_params
from mome.errors import CorpusError
from mome.speech.shards import read_manifest, read_split
from mome.speech.video import encode_mouth

TRAIN = "lrs3_train_transcript_lengths_seg16s_LLM_lowercase.csv"
TEST = "lrs3_test_transcript_lengths_seg24s_LLM_lowercase.csv"
VALIDATION = "lrs2_val_transcript_lengths_seg24s_LLM_lowercase.csv"
ROOT = "lrs3_video_seg16s/trainval"


def label(folder: Path, file: str, *rows: str) -> None:
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / file).write_text("".join(f"{row}\n" for row in rows))


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        for ending in (".mp4", ".wav"):
            place = folder / "lrs3" / f"{path}{ending}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.encode())


def row(path: str, text: str = "so i said yes", frames: int = 25) -> str:
    return f"lrs3,{path}.mp4,{frames},17 4 2048,{text}"


def planted(folder: Path, speakers: int, clips: int) -> None:
    """A training split of ``speakers`` with ``clips`` each."""
    paths = [f"{ROOT}/talk{speaker:02d}/{clip:05d}" for speaker in range(speakers) for clip in range(clips)]
    touch(folder, *paths)
    label(folder, TRAIN, *map(row, paths))


def test_the_row_says_who_what_and_where(tmp_path, prepare_params):
    touch(tmp_path, f"{ROOT}/-aB3/50001", f"{ROOT}/-aB3/50001_02", "lrs3_video_seg24s/test/zZ9/00004")
    label(tmp_path, TRAIN, row(f"{ROOT}/-aB3/50001", "it's 2015 now"), row(f"{ROOT}/-aB3/50001_02"), "")
    label(tmp_path, TEST, row("lrs3_video_seg24s/test/zZ9/00004", 'he said "no"'))
    corpus = open_corpus(str(tmp_path), prepare_params)
    assert [(u.utterance_id, u.split, u.speaker, u.transcript) for u in corpus.utterances] == [
        ("lrs3_video_seg16s-trainval--aB3-50001", "train", "-aB3", "it's 2015 now"),
        ("lrs3_video_seg16s-trainval--aB3-50001_02", "train", "-aB3", "so i said yes"),
        ("lrs3_video_seg24s-test-zZ9-00004", "test", "zZ9", 'he said "no"'),
    ]
    # What was read is the clip's own: sound and mouth of the same stem.
    for found, path in zip(corpus.media(), ("-aB3/50001", "-aB3/50001_02", "zZ9/00004"), strict=True):
        assert (found.audio.suffix, found.video.suffix) == (".wav", ".mp4")
        assert found.audio.content == found.video.content
        assert found.audio.content.decode().endswith(path)
    assert corpus.speaker_disjoint


@pytest.mark.parametrize(
    ("file", "split"),
    [
        (TRAIN, "train"),
        (TEST, "test"),
        (VALIDATION, "validation"),
        ("lrs2_valid_transcript_lengths_seg24s.csv", "validation"),
        ("lrs3_trainval_transcript_lengths_seg16s_greater25.csv", "train"),
        ("lrs3_30h_latest.csv", "train"),  # no split is read out of the middle of a word
    ],
)
def test_the_name_of_a_label_file_says_the_split(tmp_path, prepare_params, file, split):
    touch(tmp_path, "a/b/1", "a/c/1")
    label(tmp_path, file, row("a/b/1"))
    label(tmp_path, "lrs2_val_other.csv", row("a/c/1"))
    assert open_corpus(str(tmp_path), prepare_params).utterances[-1 if split == "test" else 0].split == split


def test_without_a_validation_file_whole_speakers_are_held_out(tmp_path, prepare_params, monkeypatch, capsys):
    planted(tmp_path, speakers=30, clips=10)
    monkeypatch.setattr(splits, "_HELD_OUT", 25)
    corpus = open_corpus(str(tmp_path), prepare_params)
    # Three speakers of ten clips are the first that hold 25, in the order of their names' sums.
    ranked = sorted(
        (f"talk{n:02d}" for n in range(30)), key=lambda name: hashlib.sha256(name.encode()).digest()
    )
    assert {u.speaker for u in corpus.utterances if u.split == "validation"} == set(ranked[:3])
    assert {u.speaker for u in corpus.utterances if u.split == "train"} == set(ranked[3:])
    assert len(corpus.utterances) == 300
    assert corpus.speaker_disjoint
    said = "no label file for validation; held out of train are 30 clips of 3 speakers"
    assert said in capsys.readouterr().err


def test_a_small_corpus_gives_a_tenth_and_a_lone_speaker_nobody(tmp_path, prepare_params):
    planted(tmp_path / "small", speakers=20, clips=5)
    splits = [u.split for u in open_corpus(str(tmp_path / "small"), prepare_params).utterances]
    assert (splits.count("train"), splits.count("validation")) == (90, 10)
    planted(tmp_path / "lone", speakers=1, clips=5)
    splits = [u.split for u in open_corpus(str(tmp_path / "lone"), prepare_params).utterances]
    assert splits == ["train"] * 5


def test_with_a_validation_file_nobody_is_held_out(tmp_path, prepare_params, capsys):
    planted(tmp_path, speakers=3, clips=4)
    touch(tmp_path, f"{ROOT}/talk00/99999")
    label(tmp_path, VALIDATION, row(f"{ROOT}/talk00/99999"))
    corpus = open_corpus(str(tmp_path), prepare_params)
    assert [u.split for u in corpus.utterances].count("train") == 12
    assert not corpus.speaker_disjoint, "talk00 is in both"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            f"lrs3,{ROOT}/talk00/00000.mp4,25,17 4",
            r"line 2: 4 columns, .* expected 5: the text is missing; add it .* from files such as "
            r"lrs3/lrs3_text_seg16s/trainval/talk00/00000\.txt",
        ),
        (row("a/b/1", "well, yes"), "line 2: 6 columns, expected 5 .* no comma in the text"),
        ("lrs3", "line 2: 1 columns, expected 5"),
        ("dataset,path,frames,tokens,text", "line 2: 'frames' video frames, expected a number"),
        (row("../../etc/passwd"), "line 2: .* leaves the corpus folder"),
        (row(f"{ROOT}/talk00/00000"), r"line 2: lrs3_video_seg16s-.* is in .*seg16s.*\.csv, line 1, too"),
        (
            row(f"{ROOT}/talk00/7"),
            r"2 files of 2 clips are not there: .*\.csv, line 2: lrs3/.*/talk00/7\.mp4; ",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, prepare_params, line, said):
    touch(tmp_path, f"{ROOT}/talk00/00000")
    label(tmp_path, TRAIN, row(f"{ROOT}/talk00/00000"), line)
    with pytest.raises(CorpusError, match=said):
        open_corpus(str(tmp_path), prepare_params)


def test_a_clip_without_sound_is_named(tmp_path, prepare_params):
    planted(tmp_path, speakers=1, clips=3)
    (tmp_path / "lrs3" / ROOT / "talk00" / "00001.wav").unlink()
    with pytest.raises(
        CorpusError, match=r"1 files of 3 clips are not there: .*, line 2: lrs3/.*/00001\.wav"
    ):
        open_corpus(str(tmp_path), prepare_params)


def test_a_changed_clip_or_label_makes_another_corpus(tmp_path, prepare_params):
    planted(tmp_path, speakers=2, clips=2)
    before = open_corpus(str(tmp_path), prepare_params).key
    assert open_corpus(str(tmp_path), prepare_params).key == before
    (tmp_path / "lrs3" / ROOT / "talk01" / "00000.wav").write_bytes(b"other")
    changed = open_corpus(str(tmp_path), prepare_params).key
    label(tmp_path, TRAIN, *(row(f"{ROOT}/talk00/0000{n}", "something else") for n in range(2)))
    assert len({before, changed, open_corpus(str(tmp_path), prepare_params).key}) == 3


def test_real_clips_pass_validation_by_the_profile_of_the_papers(tmp_path, prepare_params, voice):
    rng = np.random.default_rng(0)
    mouths, rows = {}, []
    # From 12 frames to 16 s, as auto_avsr cuts them (model facts 10).
    for number, frames in enumerate((12, 50, 400)):
        path = f"{ROOT}/talk{number}/0000{number}"
        mouth = np.repeat(rng.integers(40, 200, (frames, 8, 8), np.uint8), 12, axis=1).repeat(12, axis=2)
        mouths[path.replace("/", "-")] = mouth
        place = tmp_path / "lrs" / "lrs3" / path
        place.parent.mkdir(parents=True)
        place.with_suffix(".mp4").write_bytes(encode_mouth(mouth))
        soundfile.write(place.with_suffix(".wav"), voice(number, frames / 25), 16_000)
        rows.append(row(path, "it was 1 of 12 then", frames))
    for file, line in zip((TRAIN, VALIDATION, TEST), rows, strict=True):
        label(tmp_path / "lrs", file, line)
    found = version.run(str(tmp_path / "lrs"), prepare_params, tmp_path / "registry")
    prepare.run(prepare_params, found.repo, found.revision, tmp_path / "dataset")
    utterances = read_manifest(tmp_path / "dataset")
    assert [(u.num_frames, u.num_samples, u.native_fps) for u in utterances] == [
        (frames, frames * 640, 25.0) for frames in (12, 50, 400)
    ]
    for split in ("train", "validation", "test"):
        for utterance, clip in read_split(tmp_path / "dataset", split):
            assert np.abs(clip.mouth.astype(int) - mouths[utterance.utterance_id]).mean() < 3
    papers = load_params(profile="lrs3-1b").validate_.model_copy(update={"min_utterances": {"train": 1}})
    assert validate.run(papers, tmp_path / "dataset", tmp_path / "report").passed

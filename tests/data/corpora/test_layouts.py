"""Layouts of the field that are lists beside recordings: small trees, and the shared recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.corpora import Corpus, open_corpus
from mome.errors import CorpusError

LJSPEECH = Path("../shared/corpora/ljspeech")


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def rows(corpus: Corpus) -> list[tuple[str, str, str, str]]:
    return [(u.utterance_id, u.split, u.speaker, u.transcript) for u in corpus.utterances]


def problems(corpus: Corpus) -> dict[str, str]:
    found = zip(corpus.utterances, corpus.media(), strict=True)
    return {u.utterance_id: media.problem for u, media in found if media.problem}


def test_voxceleb2_takes_the_texts_that_were_given(tmp_path, prepare_params):
    files = {
        f"dev/mp4/id{n:05d}/vid/0000{clip}.{kind}": f"said {n} {clip}"
        for n in range(4)
        for clip in (1, 2)
        for kind in ("mp4", "txt")
    }
    files |= {"dev/mp4/id00000/vid/00003.mp4": "in another language", "test/mp4/id00017/v/00001.mp4": "t"}
    files |= {
        "test/mp4/id00017/v/00001.txt": "Text:  HELLO\nConf: 3\n",
        "test/mp4/id00017/v/00002.txt": "lost",
    }
    corpus = open_corpus(str(write(tmp_path, files)), prepare_params)
    assert ("dev-id00002-vid-00001", "id00002", "said 2 1") in [(i, s, t) for i, _, s, t in rows(corpus)]
    assert rows(corpus)[-2:] == [
        ("test-id00017-v-00001", "test", "id00017", "HELLO"),
        ("test-id00017-v-00002", "test", "id00017", "lost"),
    ]
    held_out = {speaker for _, split, speaker, _ in rows(corpus) if split == "validation"}
    assert len(held_out) == 1
    assert len(rows(corpus)) == 10, "a clip without a text is none"
    assert corpus.speaker_disjoint
    assert problems(corpus) == {"test-id00017-v-00002": "00002.mp4: no such file or directory"}


def test_voxceleb2_without_texts_says_where_they_go(tmp_path, prepare_params):
    write(tmp_path, {"dev/mp4/id00000/vid/00001.mp4": b""})
    with pytest.raises(CorpusError, match=r"no text of its own; put one beside .* 00001\.txt"):
        open_corpus(str(tmp_path), prepare_params)


def test_librispeech_has_its_split_in_the_name_of_the_subset(tmp_path, prepare_params):
    write(
        tmp_path,
        {
            "LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt": "103-1240-0000 CHAPTER ONE\n"
            "103-1240-0001 THAT HAD ITS SOURCE\n../../secret X\n",
            "LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac": "one",
            "LibriSpeech/dev-other/84/121123/84-121123.trans.txt": "84-121123-0000 GO\n",
            "LibriSpeech/dev-other/84/121123/84-121123-0000.flac": "two",
            "LibriSpeech/test-clean/61/70968/61-70968.trans.txt": b"61-70968-0000 CAF\xe9\n",
        },
    )
    for folder in (tmp_path, tmp_path / "LibriSpeech"):
        corpus = open_corpus(str(folder), prepare_params)
        assert sorted(rows(corpus)) == [
            ("103-1240-0000", "train", "103", "CHAPTER ONE"),
            ("103-1240-0001", "train", "103", "THAT HAD ITS SOURCE"),
            ("103-1240-line-3", "train", "103", "X"),
            ("61-70968", "test", "61", ""),
            ("84-121123-0000", "validation", "84", "GO"),
        ]
        said = problems(corpus)
        assert said["103-1240-0001"] == "103-1240-0001.flac: no such file or directory"
        assert said["103-1240-line-3"] == (
            "103-1240.trans.txt, line 3: '../../secret' is no recording of this chapter"
        )
        assert "not UTF-8" in said["61-70968"]
        assert len(said) == 3


def test_one_subset_of_librispeech_is_split_by_reader(tmp_path, prepare_params):
    subset = tmp_path / "train-clean-100"
    for reader in range(20):
        for number in range(3):
            name = f"{reader}-7-{number:04d}"
            write(subset, {f"{reader}/7/{name}.flac": name})
        lines = "".join(f"{reader}-7-{number:04d} WORD\n" for number in range(3))
        write(subset, {f"{reader}/7/{reader}-7.trans.txt": lines})
    corpus = open_corpus(str(subset), prepare_params)
    splits = [u.split for u in corpus.utterances]
    assert (splits.count("train"), splits.count("validation"), splits.count("test")) == (48, 6, 6)
    assert corpus.speaker_disjoint
    assert not problems(corpus)


def test_ljspeech_is_read_as_the_corpus_reads_it_or_as_written(tmp_path, prepare_params):
    table = "LJ001-0001|in 1455,|in fourteen fifty-five,\nLJ001-0002|Only \u201cwritten\u201d, 1903|\n"
    write(tmp_path, {"metadata.csv": table, "wavs/LJ001-0001.wav": "a", "wavs/LJ001-0002.wav": "b"})
    corpus = open_corpus(str(tmp_path), prepare_params.model_copy(update={"text": "spoken"}))
    assert [u.transcript for u in corpus.utterances] == [
        "in fourteen fifty five",
        "only written nineteen oh three",
    ]
    assert [media.audio.content for media in corpus.media()] == [b"a", b"b"]
    (tmp_path / "metadata.csv").write_text("\ufeff" + table + "LJ001-3|too short\n")
    with pytest.raises(CorpusError, match=r"metadata\.csv, line 3: 'LJ001-3.*expected LJ001-0001\|text"):
        open_corpus(str(tmp_path), prepare_params)


@pytest.mark.skipif(not LJSPEECH.is_dir(), reason="the shared recordings are not on this machine")
def test_the_shared_ljspeech_has_nothing_outside_the_alphabet_when_it_is_spoken(
    prepare_params, validate_params
):
    corpus = open_corpus(str(LJSPEECH), prepare_params.model_copy(update={"text": "spoken"}))
    assert len(corpus.utterances) == 32
    assert not problems(corpus)
    written = (LJSPEECH / "transcripts.txt").read_text().splitlines()
    assert (
        sum(any(c not in validate_params.alphabet for c in row.split("|")[1].lower()) for row in written) > 20
    )
    assert not {c for u in corpus.utterances for c in u.transcript} - set(validate_params.alphabet)


def test_muavic_is_found_again_where_it_lies_now(tmp_path, prepare_params):
    for split in ("train", "valid", "test"):
        clips = [f"{split}/talk{split}/talk_000{n}" for n in range(2)]
        lines = [
            f"{clip}\t/old/muavic/es/video/{clip}.mp4\t/old/muavic/es/audio/{clip}.wav\t25\t16000"
            for clip in clips
        ]
        write(
            tmp_path / "es",
            {
                f"{split}.tsv": "/\n" + "".join(f"{line}\n" for line in lines),
                f"{split}.es": "hola\n\u00bfqu\u00e9?\n",
            },
        )
        write(tmp_path / "es", {f"video/{clip}.mp4": f"see {clip}" for clip in clips})
        write(tmp_path / "es", {f"audio/{clip}.wav": f"hear {clip}" for clip in clips})
    for folder in (tmp_path, tmp_path / "es"):
        corpus = open_corpus(str(folder), prepare_params)
        assert rows(corpus)[-2:] == [
            ("valid-talkvalid-talk_0000", "validation", "talkvalid", "hola"),
            ("valid-talkvalid-talk_0001", "validation", "talkvalid", "\u00bfqu\u00e9?"),
        ]
        assert corpus.speaker_disjoint
        for media, (name, *_) in zip(corpus.media(), rows(corpus), strict=True):
            assert media.audio.content.decode().replace("/", "-") == f"hear {name}"
            assert media.video.content.decode().replace("/", "-") == f"see {name}"
    write(tmp_path, {"fr/train.tsv": "/\n", "fr/train.fr": ""})
    with pytest.raises(CorpusError, match="holds es, fr; expected the folder of one language"):
        open_corpus(str(tmp_path), prepare_params)
    (tmp_path / "fr" / "train.tsv").unlink()
    (tmp_path / "es" / "train.es").write_text("hola\n")
    with pytest.raises(CorpusError, match=r"train\.tsv: 2 clips, but train\.es has 1 lines"):
        open_corpus(str(tmp_path), prepare_params)


def test_word_times_of_grid_have_to_be_of_the_sentence(tmp_path, prepare_params):
    write(
        tmp_path,
        {
            "s1/bbaf2n.mpg": "1",
            "s1/lwbsza.mpg": "2",
            "s1/swiz3n.mpg": "3",
            "align/s1/bbaf2n.align": "0 23750 sil\n23750 29500 bin\n29500 34000 blue\n34000 35500 at\n"
            "35500 41000 f\n41000 47250 two\n47250 53000 now\n53000 74500 sil\n",
            "align/s1/lwbsza.align": "0 74500 lay\n",
            "align/s1/swiz3n.align": "set white\n",
        },
    )
    corpus = open_corpus(str(tmp_path), prepare_params)
    assert len(corpus.utterances) == 3
    assert problems(corpus) == {
        "s1-lwbsza": "lwbsza.align: 'lay', but the name of the clip says 'lay white by s zero again'",
        "s1-swiz3n": "swiz3n.align: a row is not the start, the end and the word",
    }

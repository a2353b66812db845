"""LRS2 and LRS3 as they are downloaded: small trees with their layout."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from data.corpora import open_corpus
from data.corpora.lrs_clips import Word, pieces, read_text, read_words
from mome.errors import CorpusError
from mome.speech.audio import read_audio
from mome.speech.video import read_video

RATE = 16_000


def film(path: Path, seconds: float) -> None:
    """Write a picture that brightens by the second, with a tone that is louder every second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=RATE, layout="mono", bit_rate=128_000)
        for number in range(round(seconds * 25)):
            image = np.full((32, 32, 3), 20 + 10 * (number // 25), np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        t = np.arange(round(seconds * RATE)) / RATE
        tone = ((1 + np.floor(t)) / 32 * np.sin(2 * np.pi * 400 * t)).astype(np.float32)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(sound.encode(frame))
        container.mux(picture.encode())
        container.mux(sound.encode())


def text(path: Path, said: str, words: list[tuple[str, float, float]] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = "".join(f"{word} {start} {end} 5.1\n" for word, start, end in words or [])
    path.write_text(f"Text:  {said}\nConf:  4\n" + (f"\nWORD START END ASDSCORE\n{table}" if words else ""))


def clip(folder: Path, path: str, said: str = "SO I SAID YES") -> None:
    text(folder / f"{path}.txt", said)
    (folder / f"{path}.mp4").write_bytes(path.encode())


def test_lrs3_is_read_part_by_part_and_talks_are_held_out(tmp_path, prepare_params, capsys):
    for talk in range(10):
        clip(tmp_path, f"trainval/talk{talk}/50001", "IT'S {LG} HERE")
    clip(tmp_path, "test/0Fi83BHQsMA/00002")
    corpus = open_corpus(str(tmp_path), prepare_params)
    rows = {u.utterance_id: u for u in corpus.utterances}
    assert rows["test-0Fi83BHQsMA-00002"].split == "test"
    assert rows["trainval-talk3-50001"].transcript == "IT'S LG HERE"
    assert [u.split for u in corpus.utterances].count("validation") == 1
    assert corpus.speaker_disjoint
    assert "held out of train are 1 clips of 1 speakers" in capsys.readouterr().err
    assert all(media.audio is media.video for media in corpus.media())


def test_a_long_clip_is_cut_at_words_into_pieces_of_sound_and_picture(tmp_path, prepare_params):
    words = [(f"W{n}", 1.0 * n, n + 0.8) for n in range(20)]
    film(tmp_path / "pretrain/talk/00001.mp4", 20)
    text(tmp_path / "pretrain/talk/00001.txt", " ".join(w for w, _, _ in words), words)
    corpus = open_corpus(str(tmp_path), prepare_params)
    assert [
        (u.utterance_id, u.transcript.split()[0], u.transcript.split()[-1]) for u in corpus.utterances
    ] == [
        ("pretrain-talk-00001_00", "W0", "W15"),
        ("pretrain-talk-00001_01", "W16", "W19"),
    ]
    first, second = corpus.media()
    assert (len(read_audio(first.audio.content).samples), len(read_video(first.video.content).frames)) == (
        round(15.8 * RATE),
        395,
    )
    # What is heard and seen in the second is the whole one from its 16th second on.
    sound, picture = read_audio(second.audio.content).samples, read_video(second.video.content).frames
    assert (len(sound), len(picture)) == (round(3.8 * RATE), 95)
    whole = read_audio(tmp_path / "pretrain/talk/00001.mp4").samples
    np.testing.assert_allclose(sound, whole[16 * RATE : 16 * RATE + len(sound)], atol=1e-4)
    seen = read_video(tmp_path / "pretrain/talk/00001.mp4").frames.mean(axis=(1, 2))[400:495]
    assert np.abs(picture.mean(axis=(1, 2)) - seen).max() < 2


def test_a_short_clip_of_pretrain_stays_as_it_is(tmp_path, prepare_params):
    clip(tmp_path, "pretrain/talk/00001")
    text(tmp_path / "pretrain/talk/00001.txt", "SO YES", [("SO", 0.1, 0.3), ("YES", 0.4, 15.9)])
    corpus = open_corpus(str(tmp_path), prepare_params)
    assert [u.utterance_id for u in corpus.utterances] == ["pretrain-talk-00001"]
    assert next(corpus.media()).audio.content == b"pretrain/talk/00001"


def test_pieces_hold_every_word_once_and_none_is_longer_than_allowed():
    rng = np.random.default_rng(0)
    ends = np.cumsum(rng.uniform(0.1, 4.0, 500))
    words = [Word(str(n), end - 0.1, end) for n, end in enumerate(ends)]
    cut = pieces(words)
    assert [word for piece in cut for word in piece] == words
    assert max(piece[-1].end_s - piece[0].start_s for piece in cut) <= 16
    # As long as goes in: the next word would have been too much.
    for piece, following in itertools.pairwise(cut):
        assert following[0].end_s - piece[0].start_s > 16


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Conf: 4\n", "begins with 'Conf: 4'; expected 'Text:'"),
        (b"", "begins with ''"),
        (b"Text: caf\xe9\n", "not UTF-8"),
    ],
)
def test_a_text_that_is_none_is_refused(tmp_path, content, said):
    (tmp_path / "1.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=said):
        read_text(tmp_path / "1.txt")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("SO 0.1\n", "line 4: 'SO 0.1'; expected a word, its start and its end"),
        ("SO 0.9 0.2 5\n", "from 0.9 to 0.2 s; a word ends after its start"),
        ("SO 0.1 nan 5\n", "a word ends after its start"),
        ("SO 0.1 20 5\n", "lasts at most 16 s"),
        ("SO 0.1 0.5 5\nYES 0.3 0.9 5\n", "line 5: .* begins before the word before it has ended"),
        ("", "the table of word times is empty"),
    ],
)
def test_word_times_that_are_none_are_refused(tmp_path, rows, said):
    (tmp_path / "1.txt").write_text(f"Text: SO YES\nConf: 4\nWORD START END ASDSCORE\n{rows}")
    with pytest.raises(CorpusError, match=said):
        read_words(tmp_path / "1.txt")


def test_clips_that_cannot_be_used_have_a_reason_and_the_rest_goes_on(tmp_path, prepare_params):
    folder = tmp_path / "lrs3"
    clip(folder, "trainval/a/00001")
    (folder / "trainval/a/00002.mp4").write_bytes(b"no text")
    text(folder / "trainval/a/00003.txt", "NO VIDEO")
    (folder / "trainval/a/00004.mp4").write_bytes(b"another encoding")
    (folder / "trainval/a/00004.txt").write_bytes(b"Text: caf\xe9\n")
    (folder / "trainval/a/00005.mp4").symlink_to(folder / "trainval/a/00005.mp4")
    text(folder / "trainval/a/00005.txt", "A LOOP")
    film(folder / "pretrain/d/00001.mp4", 1)
    text(folder / "pretrain/d/00001.txt", "A B", [("A", 0.0, 0.5), ("B", 30.0, 31.0)])
    corpus = open_corpus(str(folder), prepare_params)
    problems = {
        u.utterance_id: media.problem for u, media in zip(corpus.utterances, corpus.media(), strict=True)
    }
    assert [name for name, problem in problems.items() if not problem] == [
        "pretrain-d-00001_00",
        "trainval-a-00001",
    ]
    assert problems["trainval-a-00002"] == "trainval/a/00002.txt: no such file or directory"
    assert problems["trainval-a-00003"] == "00003.mp4: no such file or directory"
    assert problems["trainval-a-00004"].startswith("trainval/a/00004.txt: not UTF-8 text")
    assert "symbolic links" in problems["trainval-a-00005"]
    assert problems["pretrain-d-00001_01"].startswith("00001.mp4: the part from 30 to 31 s is not in it")


def test_the_lists_of_lrs2_say_the_split(tmp_path, prepare_params):
    for number in range(1, 5):
        clip(tmp_path, f"main/5535/0000{number}")
    text(tmp_path / "pretrain/6000/00001.txt", "SO", [("SO", 0.1, 0.3)])
    for name, line in (("train", "5535/00001"), ("val", "5535/00002"), ("test", "5535/00003 NF")):
        (tmp_path / f"{name}.txt").write_text(f"{line}\n")
    (tmp_path / "pretrain.txt").write_text("6000/00001\n")
    corpus = open_corpus(str(tmp_path), prepare_params)
    assert [(u.utterance_id, u.split, u.speaker) for u in corpus.utterances] == [
        ("pretrain-6000-00001", "train", "6000"),
        ("main-5535-00001", "train", "5535"),
        ("main-5535-00002", "validation", "5535"),
        ("main-5535-00003", "test", "5535"),
    ]
    assert not corpus.speaker_disjoint, "a programme may be in two"
    (tmp_path / "val.txt").write_text("../../etc/passwd\n")
    with pytest.raises(CorpusError, match=r"val\.txt, line 1: .* leaves the corpus folder"):
        open_corpus(str(tmp_path), prepare_params)
    (tmp_path / "val.txt").unlink()
    with pytest.raises(CorpusError, match=r"val\.txt is missing that says which is which"):
        open_corpus(str(tmp_path), prepare_params)

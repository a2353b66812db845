"""Long recordings are cut where nobody speaks: against utterances at planted places, silent and in noise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mome.speech import utterances
from mome.speech.activity import FRAME
from mome.speech.audio import SAMPLING_RATE, read_audio, resample
from mome.speech.stretches import SAMPLES_PER_FRAME, Stretch
from mome.speech.utterances import Piece, Plan, cut, plan

CORPORA = Path("../shared/corpora")
Samples = NDArray[np.float32]


def cells(*speech: tuple[int, int], count: int, quiet: float = 1e-6) -> Plan:
    """Return so many cells, in some of which somebody speaks, and noise of a power in all others."""
    flags = np.zeros(count, np.bool_)
    for start, end in speech:
        flags[start:end] = True
    power = np.where(flags, 1.0, quiet).astype(np.float32)
    return Plan(flags, flags.copy(), power, flags.astype(np.float32), 1.0)


def test_an_utterance_has_what_is_around_it_and_a_clear_pause_is_left_out() -> None:
    given = cells((50, 100), (300, 350), count=400)
    assert plan(given, 300, 75) == [(40, 110), (290, 360)]


def test_neighbours_are_joined_over_the_shortest_pause_as_long_as_they_fit() -> None:
    given = cells((20, 50), (65, 90), (95, 125), count=200)
    # The last two are nearest; all three would be longer than is good.
    assert plan(given, 300, 75) == [(10, 57), (57, 135)]
    assert plan(given, 300, 120) == [(10, 135)]


def test_what_has_no_pause_is_cut_at_its_quietest_moments() -> None:
    given = cells((0, 1000), count=1000)
    given.depth[[240, 300, 500]] = 0.0, 0.5, 0.2
    pieces = plan(given, 300, 75)

    assert (240 in {start for start, _ in pieces}) and (500 in {start for start, _ in pieces})
    assert [start for start, _ in pieces[1:]] == [end for _, end in pieces[:-1]]
    assert (pieces[0][0], pieces[-1][1]) == (0, 1000)
    assert max(end - start for start, end in pieces) <= 300


def test_a_pause_in_which_noise_could_cover_speech_is_read() -> None:
    speech = ((50, 100), (300, 350))
    loud = plan(cells(*speech, count=400, quiet=0.6), 300, 75)
    assert loud[0][0] == 0
    assert loud[-1][1] == 400
    assert [start for start, _ in loud[1:]] == [end for _, end in loud[:-1]]
    assert max(end - start for start, end in loud) <= 300
    assert plan(cells(*speech, count=400, quiet=0.4), 300, 75) == [(40, 110), (290, 360)]


def test_a_pause_with_something_like_a_voice_in_it_is_read() -> None:
    given = cells((50, 100), (300, 350), count=400)
    given.doubtful[200] = True
    assert plan(given, 300, 200) == [(40, 110), (110, 290), (290, 360)]


def test_pieces_never_overlap_and_hold_all_speech() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        edges = np.sort(rng.choice(1000, size=2 * int(rng.integers(1, 20)), replace=False))
        speech = [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
        given = cells(*speech, count=1000, quiet=float(rng.choice([1e-6, 0.6])))
        longest = int(rng.integers(40, 300))
        pieces = plan(given, longest, int(rng.integers(25, longest)))

        covered = np.zeros(1000, np.int64)
        for start, end in pieces:
            assert 0 < end - start <= longest
            covered[start:end] += 1
        assert covered.max() == 1
        assert covered[given.speech].all()


def stretches(samples: Samples, mouth: NDArray[np.uint8] | None = None) -> Iterator[Stretch]:
    """Yield 0.4 s at a time."""
    for start in range(0, -(-len(samples) // SAMPLES_PER_FRAME), 10):
        sound = samples[start * SAMPLES_PER_FRAME : (start + 10) * SAMPLES_PER_FRAME]
        seen = None if mouth is None else mouth[start : start + 10]
        yield Stretch(sound, seen, found=True)


def pieces_of(samples: Samples, longest_s: float = 12.0, good_s: float = 3.0) -> list[Piece]:
    return [piece for heard in cut(stretches(samples), longest_s, good_s) for piece in heard.pieces]


class Loudness:
    """Voice activity by level alone, so that anything loud is speech."""

    def __init__(self) -> None:
        self._left = np.zeros(0, np.float32)

    def hear(self, samples: Samples) -> NDArray[np.float32]:
        samples = np.concatenate((self._left, samples))
        whole = len(samples) // FRAME
        self._left = samples[whole * FRAME :]
        loudest = np.abs(samples[: whole * FRAME].reshape(whole, FRAME)).max(axis=1, initial=0.0)
        return (loudest > 0.05).astype(np.float32)

    def end(self) -> NDArray[np.float32]:
        return self.hear(np.zeros(-len(self._left) % FRAME, np.float32))


@pytest.mark.parametrize("seed", range(6))
def test_silence_of_any_length_is_passed_over_and_no_speech_is_lost(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utterances, "VoiceActivity", Loudness)
    rng = np.random.default_rng(seed)
    parts: list[Samples] = []
    for _ in range(8):  # from a breath to a caller who is put on hold
        speech_s, pause_s = rng.uniform(0.3, 8.0), rng.choice([0.3, 1.0, 3.0, 20.0, 40.0, 100.0])
        parts.append(rng.uniform(0.06, 0.5, round(speech_s * SAMPLING_RATE)).astype(np.float32))
        parts.append(np.zeros(round(pause_s * SAMPLING_RATE), np.float32))
    samples = np.concatenate(parts if seed % 2 else parts[1:])
    heard = list(islice(cut(stretches(samples), 12.0, 3.0), 1000))

    assert heard[-1].until_s == len(samples) / SAMPLING_RATE
    times = [each.until_s for each in heard]
    assert all(before < after for before, after in pairwise(times))
    covered = np.zeros(len(samples), np.int64)
    for start_s, clip in (piece for each in heard for piece in each.pieces):
        assert clip.samples is not None
        assert 0 < len(clip.samples) <= 12 * SAMPLING_RATE
        start = round(start_s * SAMPLING_RATE)
        covered[start : start + len(clip.samples)] += 1
    assert covered.max() == 1
    assert covered[np.abs(samples) > 0.05].all()
    # As long as nobody has spoken, nobody knows how loud a voice is that noise would cover.
    first = int(np.argmax(np.abs(samples) > 0.05))
    silent = covered[first:][samples[first:] == 0]
    assert silent.sum() < 2.2 * SAMPLING_RATE * 8, "of a pause, little is read"


def test_pieces_are_the_samples_at_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(1).normal(scale=0.1, size=400_123).astype(np.float32)
    kept = 0
    for start_s, clip in pieces_of(samples, 2.0, 1.0):
        start = round(start_s * SAMPLING_RATE)
        assert clip.samples is not None
        np.testing.assert_array_equal(clip.samples, samples[start : start + len(clip.samples)])
        kept += len(clip.samples)
    assert kept == len(samples), "noise alone could cover anything: nothing is left out"


def test_lips_are_cut_at_the_same_times() -> None:
    samples = np.random.default_rng(1).normal(scale=0.1, size=300 * SAMPLES_PER_FRAME).astype(np.float32)
    mouth = np.broadcast_to(np.arange(300, dtype=np.uint8)[:, None, None], (300, 96, 96))
    found = [piece for heard in cut(stretches(samples, mouth), 3.0, 2.0) for piece in heard.pieces]

    assert len(found) > 3
    for start_s, clip in found:
        assert clip.samples is not None
        assert clip.mouth is not None
        assert len(clip.samples) == len(clip.mouth) * SAMPLES_PER_FRAME
        assert clip.mouth[0, 0, 0] == round(start_s * 25) % 256
    assert sum(len(clip.mouth) for _, clip in found if clip.mouth is not None) == 300


def test_lips_alone_are_cut_where_they_stand_still() -> None:
    rng = np.random.default_rng(2)
    mouth = rng.integers(0, 255, (200, 96, 96), dtype=np.uint8)
    mouth[90:110] = 7
    given = (Stretch(None, mouth[start : start + 50], found=True) for start in range(0, 200, 50))
    found = [piece for heard in cut(given, 6.0, 6.0) for piece in heard.pieces]

    assert 90 <= round(found[1].start_s * 25) <= 110
    assert sum(len(clip.mouth) for _, clip in found if clip.mouth is not None) == 200


def test_memory_holds_a_window_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is counted while half an hour goes through."""
    held: list[int] = []
    take = utterances._Window.take

    def counted(window: utterances._Window) -> utterances.Heard:
        assert window._sound is not None
        held.append(len(window._sound))
        return take(window)

    monkeypatch.setattr(utterances._Window, "take", counted)
    monkeypatch.setattr(utterances.VoiceActivity, "hear", lambda _, samples: np.zeros(len(samples) // 512))
    ten = np.random.default_rng(3).normal(scale=0.1, size=10 * 16_384).astype(np.float32)
    given = (Stretch(ten, None) for _ in range(180))

    until_s = [heard.until_s for heard in cut(given, 12.0, 3.0)]
    assert max(held) <= (3 * 12 + 10) * SAMPLING_RATE
    assert until_s == sorted(until_s)
    assert until_s[-1] == 1843.2


@pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings of ../shared/corpora")
@pytest.mark.parametrize("snr_db", [None, 5.0, 0.0, -5.0])
def test_no_word_is_lost_and_sentences_stay_apart(snr_db: float | None) -> None:
    """The corpus says when each word is said; between sentences there are pauses of one to four seconds."""
    rng = np.random.default_rng(4)
    parts: list[Samples] = []
    words: list[list[tuple[float, float]]] = []
    at_s = 0.0
    for name in ["bbaf2n"] * 5:
        audio = read_audio(CORPORA / "grid" / f"{name}.mpg")
        voice = resample(audio.samples, audio.sampling_rate, SAMPLING_RATE)
        pause = np.zeros(int(rng.uniform(1.0, 4.0) * SAMPLING_RATE), np.float32)
        at_s += len(pause) / SAMPLING_RATE
        words.append([(at_s + start_s, at_s + end_s) for start_s, end_s in said(name)])
        at_s += len(voice) / SAMPLING_RATE
        parts += [pause, voice]
    samples = np.concatenate(parts)
    if snr_db is not None:
        noise = np.resize(read_audio(CORPORA / "noise" / "doing_the_dishes.flac").samples, len(samples))
        power = np.mean(np.concatenate(parts[1::2]) ** 2)
        samples = samples + noise * np.float32(np.sqrt(power / np.mean(noise**2) / 10 ** (snr_db / 10)))

    pieces = []
    for start_s, clip in pieces_of(samples, 12.0, 3.0):
        assert clip.samples is not None
        pieces.append((start_s, start_s + len(clip.samples) / SAMPLING_RATE))
    assert len(words[0]) == 6
    for start_s, end_s in (word for sentence in words for word in sentence):
        heard_s = sum(max(0.0, min(end, end_s) - max(start, start_s)) for start, end in pieces)
        # A word that is cut in two would still be whole here; none may be left out.
        assert heard_s == pytest.approx(end_s - start_s, abs=1e-6)
    for sentence in words if snr_db is None else []:
        inside = [piece for piece in pieces if piece[0] < sentence[-1][1] and piece[1] > sentence[0][0]]
        assert len(inside) == 1, "a sentence without a pause is one piece"


def said(name: str) -> list[tuple[float, float]]:
    """Return when each word of a clip begins and ends."""
    lines = (CORPORA / "grid" / "s1_alignments.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return [(float(start), float(end)) for clip, start, end, word in rows if clip == name and word != "sil"]

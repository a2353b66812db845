"""What training reads: lips encoded once or seen anew, sound heard anew each time."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from mome.model.encoders import Encoders
from mome.speech.media import Clip
from mome.speech.noise import Babble, MadeNoise, with_noise
from mome.speech.shards import SplitReader, read_split
from mome.training.clips import TrainingClips, read_clips


def test_lips_are_encoded_once_and_found_on_disk(dataset: Path, foundation: Path, tmp_path: Path) -> None:
    encoders = Encoders.load(foundation, "cpu")
    file = tmp_path / "lips.safetensors"
    with closing(SplitReader(dataset, "test")) as reader:
        clips = read_clips(reader, encoders, file, "read")
        written = file.read_bytes()
        again = read_clips(reader, encoders, file, "read")
    assert file.read_bytes() == written
    for index, (utterance, clip) in enumerate(read_split(dataset, "test")):
        (expected,) = encoders.encode([Clip(None, clip.mouth)])
        for found in (clips, again):
            torch.testing.assert_close(found.see(index), expected.video_TC, atol=2e-3, rtol=2e-3)
            np.testing.assert_array_equal(found.waveforms[index], clip.samples)
            assert found.transcripts[index] == utterance.transcript


def test_sound_without_lips_is_varied_and_sound_with_lips_keeps_its_time() -> None:
    rng = np.random.default_rng(0)
    voices = [rng.normal(size=16_000).astype(np.float32) * 0.1 for _ in range(3)]
    alone = TrainingClips(voices, [], ["a", "b", "c"])
    seen = TrainingClips(voices, [torch.zeros(25, 4)] * 3, ["a", "b", "c"])
    lengths = {len(alone.hear(0, [None], rng, "cached-lips")) for _ in range(20)}
    assert len(lengths) > 5
    assert 16_000 / 1.14 - 1 <= min(lengths) < 16_000 < max(lengths) <= 16_000 / 0.88 + 1
    np.testing.assert_array_equal(alone.hear(0, [None], rng), voices[0])
    assert {len(seen.hear(0, [None], rng, "cached-lips")) for _ in range(20)} == {16_000}
    np.testing.assert_array_equal(seen.hear(0, [None], rng), voices[0])
    noisy = seen.hear(0, [0.0], rng, "cached-lips")
    assert len(noisy) == 16_000
    assert not np.array_equal(noisy, voices[0])


def test_each_time_a_clip_is_heard_one_of_several_noises_is_behind_it() -> None:
    rng = np.random.default_rng(0)
    voices = [rng.normal(size=1_600).astype(np.float32) * 0.1 for _ in range(3)]
    planted = [MadeNoise(lambda length, _: np.ones(length, np.float32)) for _ in range(2)]
    clips = TrainingClips(voices, [], ["a", "b", "c"], noise=(None, *planted))
    constant = [np.ptp(clips.hear(0, [20.0], rng) - voices[0]) < 1e-5 for _ in range(300)]
    assert 150 < sum(constant) < 250, "two of three"
    # One source takes no draw of its own: what was trained before is trained so again.
    alone = TrainingClips(voices, [], ["a", "b", "c"])
    again = np.random.default_rng(7)
    again.integers(1)  # the level
    expected = with_noise(Babble(voices), 1, voices[1], 5.0, again)
    np.testing.assert_array_equal(alone.hear(1, [5.0], np.random.default_rng(7)), expected)


def test_length_is_counted_in_video_frames_whatever_the_clip_holds() -> None:
    heard = TrainingClips([np.zeros(16_000, np.float32), np.zeros(6_400, np.float32)], [], ["a", "b"])
    seen = TrainingClips([], [torch.zeros(25, 4), torch.zeros(10, 4)], ["a", "b"])
    assert heard.num_frames.tolist() == seen.num_frames.tolist() == [25, 10]


def test_lips_that_are_not_encoded_are_read_when_asked_for(dataset: Path, foundation: Path) -> None:
    encoders = Encoders.load(foundation, "cpu")
    with closing(SplitReader(dataset, "test")) as reader:
        clips = read_clips(reader, encoders, None, "read")
        assert clips.modality == "av"
        assert clips.see(0) is None
        originals = [clip.mouth for _, clip in read_split(dataset, "test")]
        assert clips.num_frames.tolist() == [len(original) for original in originals]
        for index in (3, 0, 1):
            rng = np.random.default_rng(index)
            np.testing.assert_array_equal(clips.watch(index, 88, rng), originals[index])
            assert clips.watch(index, 88, rng, "llama-avsr").shape == (len(originals[index]), 88, 88)


def test_the_papers_masks_silence_the_speech_and_not_the_noise() -> None:
    rng = np.random.default_rng(0)
    voices = [rng.uniform(0.1, 0.2, 48_000).astype(np.float32) for _ in range(3)]
    clips = TrainingClips(voices, [torch.zeros(75, 4)] * 3, ["a", "b", "c"])
    masked = clips.hear(0, [None], np.random.default_rng(1), "llama-avsr")
    silent = masked == 0
    assert silent.any()
    np.testing.assert_array_equal(masked[~silent], voices[0][~silent])
    noisy = clips.hear(0, [10.0], np.random.default_rng(1), "llama-avsr")
    babble = noisy[silent]
    assert babble.all()
    # At 10 dB the powers of speech, masks included, and of babble differ by a factor of ten.
    assert np.abs(noisy).max() < 1, "turned down as a whole, powers could not be compared"
    power = np.square(noisy - masked, dtype=np.float64).mean()
    assert np.square(masked, dtype=np.float64).mean() / power == pytest.approx(10, rel=1e-3)

"""What training reads: lips encoded once, sound heard anew each time."""

from pathlib import Path

import numpy as np
import torch

from mome.model.encoders import Encoders
from mome.speech.media import Clip
from mome.speech.shards import read_split
from mome.training.clips import TrainingClips, draw_clips, read_clips


def test_lips_are_encoded_once_and_found_on_disk(dataset: Path, foundation: Path, tmp_path: Path) -> None:
    encoders = Encoders.load(foundation, "cpu")
    file = tmp_path / "lips.safetensors"
    clips = read_clips(read_split(dataset, "test"), 4, encoders, file, "read")
    written = file.read_bytes()
    again = read_clips(read_split(dataset, "test"), 4, encoders, file, "read")
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
    lengths = {len(alone.hear(0, [None], rng, vary=True)) for _ in range(20)}
    assert len(lengths) > 5
    assert 16_000 / 1.14 - 1 <= min(lengths) < 16_000 < max(lengths) <= 16_000 / 0.88 + 1
    np.testing.assert_array_equal(alone.hear(0, [None], rng, vary=False), voices[0])
    assert {len(seen.hear(0, [None], rng, vary=True)) for _ in range(20)} == {16_000}
    np.testing.assert_array_equal(seen.hear(0, [None], rng, vary=False), voices[0])
    noisy = seen.hear(0, [0.0], rng, vary=True)
    assert len(noisy) == 16_000
    assert not np.array_equal(noisy, voices[0])


def test_a_step_holds_so_many_clips_or_so_many_frames() -> None:
    rng = np.random.default_rng(0)
    num_frames = np.array([30, 75, 150, 20])
    assert {len(draw_clips(num_frames, 7, 0, rng)) for _ in range(5)} == {7}
    steps = [draw_clips(num_frames, 7, 6000, rng) for _ in range(100)]
    sums = [sum(num_frames[step]) for step in steps]
    assert max(sums) <= 6000
    assert min(sums) > 6000 - 150, "the longest would still have fitted"
    share = np.bincount(np.concatenate(steps), minlength=4) / sum(map(len, steps))
    np.testing.assert_allclose(share, 0.25, atol=0.02)
    assert len(draw_clips(num_frames, 7, 10, rng)) == 1


def test_length_is_counted_in_video_frames_whatever_the_clip_holds() -> None:
    heard = TrainingClips([np.zeros(16_000, np.float32), np.zeros(6_400, np.float32)], [], ["a", "b"])
    seen = TrainingClips([], [torch.zeros(25, 4), torch.zeros(10, 4)], ["a", "b"])
    assert heard.num_frames.tolist() == seen.num_frames.tolist() == [25, 10]

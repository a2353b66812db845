"""A recording that is read as a stream is the recording that is read at once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mome.errors import MediaError, TooLongError
from mome.speech.audio import Resampler, read_audio, resample, stream_audio
from mome.speech.stretches import claimed_s, read_stretches
from mome.speech.video import encode_mouth, read_video, stream_video, to_25_fps


def recording(seconds: float, rate: int, channels: int = 1) -> bytes:
    samples = np.random.default_rng(0).normal(scale=0.1, size=(round(seconds * rate), channels))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 11_025])
def test_resampling_in_pieces_is_resampling_the_whole(rate: int) -> None:
    samples = np.random.default_rng(1).normal(size=5 * rate + 77).astype(np.float32)
    resampler = Resampler(rate, 16_000)
    pieces = np.split(samples, [1, 500, 40_000])
    heard = np.concatenate([*(resampler.add(piece) for piece in pieces), resampler.end()])
    np.testing.assert_allclose(heard, resample(samples, rate, 16_000), atol=1e-5)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 1), (48_000, 2)])
def test_a_stream_of_sound_is_the_sound(rate: int, channels: int) -> None:
    content = recording(25.3, rate, channels)
    blocks = [sound.samples for sound in stream_audio(content, 60.0)]
    whole = read_audio(content)
    assert len(blocks) > 2
    np.testing.assert_allclose(
        np.concatenate(blocks), resample(whole.samples, whole.sampling_rate, 16_000), atol=1e-4
    )


def test_what_is_too_long_is_left_when_that_is_known() -> None:
    content = recording(25.0, 16_000)
    with pytest.raises(TooLongError, match="longer than 12 s"):
        read_audio(content, 12.0)
    read = stream_audio(content, 12.0)
    assert len(next(read).samples) >= 160_000
    with pytest.raises(TooLongError):
        list(read)


def test_a_stream_of_pictures_is_the_video() -> None:
    content = encode_mouth(np.random.default_rng(2).integers(0, 255, (300, 96, 96), dtype=np.uint8))
    frames = np.concatenate([pictures.frames for pictures in stream_video(content, 60.0)])
    np.testing.assert_array_equal(frames, to_25_fps(read_video(content)))


def test_sound_and_lips_come_together_and_whoever_goes_on_longer_comes_alone(tmp_path: Path) -> None:
    video, sound = tmp_path / "lips.mp4", tmp_path / "sound.wav"
    video.write_bytes(encode_mouth(np.full((300, 96, 96), 90, np.uint8)))
    sound.write_bytes(recording(20.0, 16_000))

    both = list(read_stretches(sound, video, "av", 60.0))
    for stretch in both:
        assert stretch.samples is not None
        assert stretch.mouth is None or len(stretch.samples) == 640 * len(stretch.mouth)
    assert sum(len(each.samples) for each in both if each.samples is not None) == 320_000
    assert sum(len(each.mouth) for each in both if each.mouth is not None) == 300
    assert all(each.mouth is None for each in read_stretches(sound, video, "audio", 60.0))
    assert all(each.samples is None for each in read_stretches(sound, video, "video", 60.0))
    assert (claimed_s(sound), claimed_s(video)) == (20.0, 12.0)


def test_lips_alone_need_a_face() -> None:
    blank = encode_mouth(np.zeros((50, 128, 128), np.uint8))
    with pytest.raises(MediaError, match="no face found"):
        list(read_stretches(blank, None, "av", 60.0))

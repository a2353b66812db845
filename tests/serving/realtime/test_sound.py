"""Appended bytes become the samples that other decoders make of them, however they are cut."""

from __future__ import annotations

import base64
import warnings

import numpy as np
import pytest
from scipy.signal import resample_poly

from serving.errors import ApiError
from serving.realtime.session import AudioFormat
from serving.realtime.sound import SoundStream, decoded_base64

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    audioop = pytest.importorskip("audioop", reason="Python 3.13 has no audioop to compare with")


def taken(data: bytes, size: int, **fields: object) -> np.ndarray:
    stream = SoundStream(AudioFormat(**fields))
    parts = [stream.take(data[start : start + size]) for start in range(0, len(data), size)]
    return np.concatenate([*parts, stream.end()])


def tone(rate: int) -> np.ndarray:
    at_s = np.arange(rate) / rate
    return (0.4 * np.sin(2 * np.pi * 440 * at_s) * np.sin(np.pi * at_s)).astype(np.float32)


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()


def test_16_bit_sound_at_16_khz_stays_as_it_is() -> None:
    data = np.random.default_rng(0).integers(-32_768, 32_767, 5_000, dtype="<i2")

    got = taken(data.tobytes(), 333, rate=16_000)  # an odd number: samples are cut in two

    np.testing.assert_array_equal(got, data.astype(np.float32) / 32_768)


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_other_rates_are_resampled_as_a_whole(rate: int) -> None:
    expected = resample_poly(tone(rate), 16_000 // 8_000, rate // 8_000)

    got = taken(pcm(tone(rate)), 960, rate=rate)

    assert abs(len(got) - 16_000) <= 2
    count = min(len(got), len(expected))
    assert np.abs(got[:count] - expected[:count]).max() < 0.01


@pytest.mark.parametrize(("name", "decode"), [("audio/pcmu", "ulaw2lin"), ("audio/pcma", "alaw2lin")])
def test_every_byte_of_g711_has_its_value(name: str, decode: str) -> None:
    stream = SoundStream(AudioFormat(type=name))
    codes = bytes(range(256))

    (frame,) = stream._decoder.decode(__import__("av").Packet(codes))

    expected = np.frombuffer(getattr(audioop, decode)(codes, 2), "<i2")
    np.testing.assert_array_equal(frame.to_ndarray()[0], expected)


def test_g711_in_pieces_is_the_whole() -> None:
    data = audioop.lin2ulaw(pcm(tone(8_000)), 2)

    np.testing.assert_allclose(
        taken(data, 161, type="audio/pcmu"), taken(data, len(data), type="audio/pcmu"), atol=1e-6
    )


@pytest.mark.parametrize("text", ["not base64!", None, 7, "YQ"])
def test_what_is_no_base64_is_refused(text: object) -> None:
    with pytest.raises(ApiError, match="'audio' is not base64"):
        decoded_base64(text, "audio")
    assert decoded_base64(base64.b64encode(b"ab").decode(), "audio") == b"ab"

"""Audio: what is read from each kind of file, and what is said about a broken one."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from mome.errors import MediaError
from mome.speech.audio import SAMPLING_RATE, encode_flac, read_audio, resample


def tone(hz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def wav(samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


def compressed(samples: np.ndarray, rate: int, codec: str, container_format: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def loudest_hz(samples: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


def test_a_wav_path_and_its_bytes_give_the_same_samples(tmp_path: Path) -> None:
    samples = tone(440, 8000)
    content = wav(samples, 8000)
    (tmp_path / "a.wav").write_bytes(content)
    from_bytes, from_path = read_audio(content), read_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(from_bytes.samples, from_path.samples)
    np.testing.assert_allclose(from_bytes.samples, samples, atol=1 / 32768)
    assert (from_path.sampling_rate, from_path.truncated) == (8000, False)
    assert from_path.samples.dtype == np.float32


def test_two_channels_become_their_mean() -> None:
    left, right = tone(300, 16000), tone(700, 16000)
    audio = read_audio(wav(np.stack([left, right], axis=1), 16000, "FLOAT"))
    np.testing.assert_allclose(audio.samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("codec", "container_format"), [("libmp3lame", "mp3"), ("aac", "mp4"), ("aac", "mov")]
)
def test_compressed_audio_is_read_from_any_container(codec: str, container_format: str) -> None:
    audio = read_audio(compressed(tone(1000, 44100, 1.0), 44100, codec, container_format))
    assert audio.sampling_rate == 44100
    assert not audio.truncated
    assert len(audio.samples) / 44100 == pytest.approx(1.0, abs=0.06)
    assert loudest_hz(audio.samples, 44100) == pytest.approx(1000, abs=2)


def test_nan_in_a_float_wav_stays_nan() -> None:
    samples = tone(440, 16000)
    samples[100] = np.nan
    audio = read_audio(wav(samples, 16000, "FLOAT"))
    assert np.flatnonzero(np.isnan(audio.samples)).tolist() == [100]


def test_a_wav_that_promises_more_than_it_holds_is_truncated() -> None:
    content = wav(tone(440, 16000), 16000)
    audio = read_audio(content[: len(content) // 2])
    assert audio.truncated
    assert 0 < len(audio.samples) < 8000


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000], ids=["FFmpeg", "SoX"])
def test_a_wav_written_into_a_pipe_is_not_truncated(size: int) -> None:
    content = bytearray(wav(tone(440, 16000), 16000))
    content[40:44] = size.to_bytes(4, "little")  # size of the data chunk of a plain header
    audio = read_audio(bytes(content))
    assert (len(audio.samples), audio.truncated) == (8000, False)


def test_a_flac_cut_in_the_middle_is_truncated() -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=64000).astype(np.float32)
    content = encode_flac(noise)
    audio = read_audio(content[: len(content) * 2 // 3])
    assert audio.truncated
    assert 0 < len(audio.samples) < 64000


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"not audio at all" * 50, wav(np.zeros(0, np.float32), 16000)]
)
def test_what_is_no_recording_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"broken\.wav.*expected|broken\.wav.*cannot be decoded"):
        read_audio(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"gone\.wav: no such file"):
        read_audio(tmp_path / "gone.wav")


def test_a_playlist_does_not_open_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.mp3").write_bytes(compressed(tone(440, 44100), 44100, "libmp3lame", "mp3"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{tmp_path / 'secret.mp3'}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    with pytest.raises(MediaError, match="cannot be decoded"):
        read_audio(playlist.encode())
    with pytest.raises(MediaError, match="cannot be decoded"):
        read_audio(tmp_path / "list.m3u8")


def test_hours_of_silence_in_a_small_file_are_refused() -> None:
    content = encode_flac(np.zeros(130 * 8000, np.float32), 8000)
    assert len(content) < 10_000
    with pytest.raises(MediaError, match="longer than 120 s"):
        read_audio(content)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_pitch_and_duration(rate: int) -> None:
    resampled = resample(tone(440, rate, 1.0), rate, SAMPLING_RATE)
    assert resampled.dtype == np.float32
    assert len(resampled) == SAMPLING_RATE
    # Compare with the tone itself, away from the edges where the filter runs over the end.
    np.testing.assert_allclose(resampled[800:-800], tone(440, SAMPLING_RATE, 1.0)[800:-800], atol=0.002)


def test_flac_gives_back_16_bits_and_always_the_same_bytes() -> None:
    samples = np.append(tone(440, 16000), np.float32([1.5, -1.5]))
    content = encode_flac(samples)
    assert content == encode_flac(samples)
    np.testing.assert_allclose(
        read_audio(content).samples, np.clip(samples, -1, 32767 / 32768), atol=0.5 / 32768
    )


def test_flac_refuses_nan() -> None:
    with pytest.raises(MediaError, match="NaN"):
        encode_flac(np.array([0.0, np.nan], np.float32))


@pytest.mark.parametrize("rate", [100, 100_000_007])
def test_a_sampling_rate_that_no_recorder_has_is_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(1000, np.float32), 16_000)
    header = bytearray(path.read_bytes())
    header[24:28] = rate.to_bytes(4, "little")  # the rate's place in a WAV header
    path.write_bytes(bytes(header))
    with pytest.raises(MediaError, match=f"claims {rate} Hz"):
        read_audio(path)

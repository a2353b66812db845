"""Audio: what is read from each kind of file, and what is said about a broken one."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from mome.errors import MediaError
from mome.speech.audio import SAMPLING_RATE, encode_flac, read_audio, resample
from mome.speech.container import has_picture


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
        for part in av.AudioResampler(format=stream.format, layout="mono", rate=rate).resample(frame):
            container.mux(stream.encode(part))
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


@pytest.mark.parametrize("riff", [0, 36, 16036, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_whose_writer_did_not_know_the_size_is_read_whole(riff: int, size: int) -> None:
    samples = tone(440, 16000)
    content = bytearray(wav(samples, 16000))
    content[4:8] = riff.to_bytes(4, "little")
    content[40:44] = size.to_bytes(4, "little")  # size of the data chunk of a plain header
    audio = read_audio(bytes(content))
    np.testing.assert_allclose(audio.samples, samples, atol=1 / 32768)
    assert not audio.truncated


@pytest.mark.parametrize("sizes", [None, bytes(24), b"\xff" * 24])
def test_a_large_wav_whose_writer_did_not_know_the_size_is_read_whole(sizes: bytes | None) -> None:
    samples, buffer = tone(440, 16000), io.BytesIO()
    soundfile.write(buffer, samples, 16000, format="RF64", subtype="PCM_16")
    content = bytearray(buffer.getvalue())
    assert content[12:16] == b"ds64"
    if sizes is not None:
        content[20:44] = sizes
    audio = read_audio(bytes(content))
    np.testing.assert_allclose(audio.samples[:8000], samples, atol=1 / 32768)
    assert len(audio.samples) - 8000 in range(32)  # libsndfile may put a chunk behind them
    assert not audio.truncated


def test_a_wav_without_samples_is_not_filled_with_what_follows_them() -> None:
    content = wav(np.zeros(0, np.float32), 16000) + b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    with pytest.raises(MediaError, match="holds no audio samples"):
        read_audio(content)


def noisy(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.1, size=round(rate * seconds)).astype(np.float32)


def channels(*content: np.ndarray) -> bytes:
    return wav(np.stack(content, axis=1), 16000, "FLOAT")


def test_an_inverted_channel_does_not_silence_the_other() -> None:
    speech, hiss = tone(440, 16000), noisy(0.5, 16000) / 20
    heard = read_audio(channels(speech + hiss, -0.8 * speech)).samples
    np.testing.assert_allclose(np.abs(heard), np.abs(0.9 * speech + hiss / 2), atol=1e-6)


def test_a_channel_that_nobody_speaks_into_does_not_make_the_other_quieter() -> None:
    speech = tone(440, 16000)
    for other in (np.zeros_like(speech), noisy(0.5, 16000) / 1000):
        for both in ((speech, other), (other, speech)):
            np.testing.assert_array_equal(read_audio(channels(*both)).samples, speech)


def test_a_film_is_heard_by_its_voice_not_by_its_rumble() -> None:
    silence, voice, rumble = np.zeros(8000, np.float32), tone(440, 16000), tone(40, 16000)
    surround = np.stack([silence, silence, voice, rumble, silence, silence])  # FL FR FC LFE BL BR
    np.testing.assert_array_equal(read_audio(channels(*surround)).samples, voice)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="5.1", bit_rate=256_000)
        frame = av.AudioFrame.from_ndarray(surround, format="fltp", layout="5.1")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    heard = read_audio(buffer.getvalue()).samples
    assert loudest_hz(heard, 16000) == pytest.approx(440, abs=2)
    assert np.abs(heard[2000:6000]).max() == pytest.approx(0.5, abs=0.05)


def stamped(pieces: list[tuple[float, np.ndarray]], rate: int = 16000) -> bytes:
    """Return Matroska PCM, each piece (first second, samples) in frames of 20 ms at its own time."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for at_s, samples in pieces:
            for start in range(0, len(samples), rate // 50):
                integers = np.rint(samples[start : start + rate // 50] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(integers[None], format="s16", layout="mono")
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(at_s * rate) + start
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def test_a_gap_in_the_time_stamps_is_silence() -> None:
    first, second = noisy(1.0, 16000), noisy(0.5, 16000, seed=1)
    heard = read_audio(stamped([(0.0, first), (1.7, second)])).samples
    assert len(heard) == pytest.approx(2.2 * 16000, abs=32)
    np.testing.assert_allclose(heard[:16000], first, atol=1e-4)
    assert not heard[16100:27100].any()
    np.testing.assert_allclose(heard[-8000:], second, atol=1e-4)


def test_a_clock_that_was_set_is_no_gap() -> None:
    first, second = noisy(1.0, 16000), noisy(0.5, 16000, seed=1)
    for at_s in (1000.0, 5000.0):
        heard = read_audio(stamped([(0.0, first), (at_s, second)])).samples
        np.testing.assert_allclose(heard, np.concatenate([first, second]), atol=1e-4)


@pytest.mark.parametrize(("codec", "container_format"), [("aac", "adts"), ("libmp3lame", "mp3")])
def test_a_sampling_rate_that_changes_midway_keeps_pitch_and_time(codec: str, container_format: str) -> None:
    content = b"".join(
        compressed(tone(1000, rate, 1.0), rate, codec, container_format) for rate in (22050, 44100)
    )
    audio = read_audio(content)
    assert audio.sampling_rate == 44100
    assert len(audio.samples) / 44100 == pytest.approx(2.0, abs=0.15)
    halves = audio.samples[4410:35000], audio.samples[-35000:-4410]
    assert [loudest_hz(half, 44100) for half in halves] == pytest.approx([1000, 1000], abs=3)


@pytest.mark.parametrize("kind", ["adts", "mp3"])
def test_a_recording_that_says_nowhere_how_long_it_is_cannot_be_cut_off(kind: str) -> None:
    # Quiet first: a duration guessed from the first bit rate is far too long.
    samples = np.concatenate([np.zeros(44100, np.float32), noisy(2.0, 44100)])
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind, options={"write_xing": "0"} if kind == "mp3" else {}) as container:
        stream = container.add_stream("aac" if kind == "adts" else "libmp3lame", rate=44100, layout="mono")
        stream.options = {} if kind == "adts" else {"global_quality": str(2 * 118), "flags": "+qscale"}
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    audio = read_audio(buffer.getvalue())
    assert len(audio.samples) / 44100 == pytest.approx(3.0, abs=0.1)
    assert not audio.truncated


def test_an_mp3_that_says_how_long_it_is_can_be_cut_off() -> None:
    content = compressed(noisy(3.0, 44100), 44100, "libmp3lame", "mp3")
    assert read_audio(content[: len(content) // 2]).truncated


@pytest.mark.parametrize(
    ("codec", "container_format", "rate"),
    [("alac", "caf", 44100), ("pcm_s16be", "caf", 44100), ("libopencore_amrnb", "amr", 8000)],
)
def test_voice_memos_are_read(codec: str, container_format: str, rate: int) -> None:
    audio = read_audio(compressed(tone(500, rate, 1.0), rate, codec, container_format))
    assert (audio.sampling_rate, audio.truncated) == (rate, False)
    assert len(audio.samples) / rate == pytest.approx(1.0, abs=0.06)
    assert loudest_hz(audio.samples, rate) == pytest.approx(500, abs=3)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("CAF", "ALAC_16"),
        ("CAF", "PCM_16"),
        ("NIST", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("W64", "PCM_16"),
        ("AU", "PCM_16"),
    ],
)
@pytest.mark.parametrize("num_samples", [16_000, 64_000, 64_001])  # packets of ALAC hold 4,096
def test_what_loses_nothing_is_read_to_its_last_sample(kind: str, subtype: str, num_samples: int) -> None:
    samples = noisy(num_samples / 16_000, 16_000)[:num_samples]
    integers = (samples / np.abs(samples).max() * 30_000).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, integers, 16_000, format=kind, subtype=subtype)
    audio = read_audio(buffer.getvalue())
    np.testing.assert_array_equal(np.rint(audio.samples * 32_768).astype(np.int16), integers)
    assert not audio.truncated


@pytest.mark.parametrize(("codec", "kind"), [("wavpack", "wv"), ("ac3", "ac3"), ("eac3", "eac3")])
def test_sound_as_broadcasters_and_archives_keep_it_is_read(codec: str, kind: str) -> None:
    audio = read_audio(compressed(tone(500, 48_000, 1.0), 48_000, codec, kind))
    assert (audio.sampling_rate, audio.truncated) == (48_000, False)
    assert len(audio.samples) / 48_000 == pytest.approx(1.0, abs=0.06)
    assert loudest_hz(audio.samples, 48_000) == pytest.approx(500, abs=3)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "koi8-r"])
def test_tags_in_any_encoding_do_not_matter(encoding: str, tmp_path: Path) -> None:
    name = "Мюллер" if encoding == "koi8-r" else "Müller"
    for codec, kind in (("pcm_s16le", "wav"), ("libmp3lame", "mp3"), ("aac", "mp4"), ("flac", "flac")):
        path = tmp_path / f"a.{kind}"
        with av.open(str(path), "w", metadata_errors="strict") as container:
            container.metadata["artist"] = "x" * len(name.encode(encoding))
            stream = container.add_stream(codec, rate=16000, layout="mono")
            integers = np.zeros((1, 4096), np.int16)
            frame = av.AudioFrame.from_ndarray(integers, format="s16", layout="mono")
            frame.sample_rate = 16000
            container.mux([p for part in resampled(frame, stream) for p in stream.encode(part)])
            container.mux(stream.encode())
        content = path.read_bytes()
        planted = "x" * len(name.encode(encoding))
        assert planted.encode() in content
        content = content.replace(planted.encode(), name.encode(encoding))
        assert len(read_audio(content).samples) >= 4096
        assert not has_picture(content)


def resampled(frame: av.AudioFrame, stream: av.AudioStream) -> list[av.AudioFrame]:
    return av.AudioResampler(format=stream.format, layout="mono", rate=16000).resample(frame)


def test_whatever_a_damaged_recording_makes_a_decoder_raise_is_one_sentence() -> None:
    rng = np.random.default_rng(0)
    kinds = [("aac", "mp4"), ("libmp3lame", "mp3"), ("aac", "adts"), ("libopus", "matroska"), ("alac", "caf")]
    whole = [compressed(noisy(0.5, 48000), 48000, *kind) for kind in kinds] + [wav(noisy(0.5, 16000), 16000)]
    messages = []
    for number in range(240):
        content = bytearray(whole[number % len(whole)])
        for _ in range(int(rng.choice([1, 4, 20, 200]))):
            end = len(content) if rng.random() < 0.5 else min(2000, len(content))
            content[rng.integers(end)] = rng.integers(256)
        try:
            read_audio(bytes(content))
        except MediaError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert not [message for message in messages if "\n" in message]


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


def test_a_format_that_is_not_read_is_called_so() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, noisy(1.0, 16_000), 16_000, format="IRCAM", subtype="PCM_16")
    with pytest.raises(MediaError, match=r"of a format that is not read; expected one like WAV, FLAC"):
        read_audio(buffer.getvalue())


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

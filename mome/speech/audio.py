"""Audio: read any recording as mono float samples, resample it, write FLAC."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import resample_poly

from mome.errors import MediaError
from mome.speech.container import MAX_DURATION_S, declared_s, is_cut_short, name_of, open_container

__all__ = ["SAMPLING_RATE", "Audio", "encode_flac", "read_audio", "resample"]

SAMPLING_RATE = 16_000  # Hz, what Whisper was trained on

_UNKNOWN_SIZE = 0x7FFF_0000  # bytes; SoX writes a little more than that into a pipe, FFmpeg twice as much

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Audio:
    """A decoded recording.

    Args:
        samples: Mono ``(N,)`` float32, full scale = 1; may hold NaN when the file does.
        sampling_rate: Hz, as recorded.
        truncated: The file promises more than it holds.
    """

    samples: Samples
    sampling_rate: int
    truncated: bool


# What recorders use, with room on both sides: the filter that resamples grows with the rate, and a
# damaged header would make it ask for gigabytes.
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz


def read_audio(source: Path | bytes) -> Audio:
    """Decode a recording, or the sound of a video; several channels become their mean.

    Raises:
        MediaError: If it is missing, empty, longer than `MAX_DURATION_S`, claims a sampling rate that
            no recorder has, or holds no audio that can be decoded.
    """
    is_sound_file = _first_bytes(source) in (b"RIFF", b"fLaC")
    audio = _read_sound_file(source) if is_sound_file else _read_container(source)
    if not len(audio.samples):
        raise MediaError(f"{name_of(source)}: holds no audio samples; expected recorded speech")
    if not _LOWEST_RATE <= audio.sampling_rate <= _HIGHEST_RATE:
        raise MediaError(
            f"{name_of(source)}: claims {audio.sampling_rate} Hz; "
            f"expected {_LOWEST_RATE} to {_HIGHEST_RATE} Hz"
        )
    return audio


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Return the signal at another sampling rate, ``(ceil(N * to_hz / from_hz),)``, without delay."""
    if from_hz == to_hz:
        return samples
    divisor = math.gcd(from_hz, to_hz)
    return np.asarray(resample_poly(samples, to_hz // divisor, from_hz // divisor), dtype=np.float32)


def encode_flac(samples: Samples, sampling_rate: int = SAMPLING_RATE) -> bytes:
    """Return mono samples ``(N,)`` as a 16-bit FLAC file; what lies beyond full scale is clipped.

    Raises:
        MediaError: If a sample is NaN or infinite, which 16 bits cannot say.
    """
    if not np.isfinite(samples).all():
        raise MediaError("samples hold NaN or infinity; expected finite numbers to write as FLAC")
    integers = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, integers, sampling_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _first_bytes(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:4]
    if not source.is_file():
        raise MediaError(f"{source}: no such file; expected an audio recording")
    with source.open("rb") as file:
        return file.read(4)


def _read_sound_file(source: Path | bytes) -> Audio:
    """Read WAV and FLAC with libsndfile, which keeps float samples as they are and is fast."""
    content = source if isinstance(source, bytes) else source.read_bytes()
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            declared, rate = file.frames, file.samplerate
            limit = int(MAX_DURATION_S * rate)
            samples, complete = _read_blocks(file, limit + 1)
    except soundfile.LibsndfileError:
        # A codec inside WAV that libsndfile does not know; a file that is no media at all fails there too.
        return _read_container(source)
    if len(samples) > limit:
        raise _too_long(source)
    missing = not complete or len(samples) < declared or _promises_more(content)
    return Audio(samples, rate, truncated=missing)


def _read_blocks(file: soundfile.SoundFile, limit: int) -> tuple[Samples, bool]:
    """Return mono samples up to ``limit`` and whether the stream could be read to its end.

    Block by block, because a damaged FLAC stream gives an error instead of what was good before it.
    """
    blocks: list[Samples] = []
    left = limit
    try:
        while left > 0:
            block = file.read(min(left, 1 << 16), dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0])
            left -= len(block)
    except soundfile.LibsndfileError:
        if not blocks:
            raise
        return np.concatenate(blocks), False
    return (np.concatenate(blocks) if blocks else np.zeros(0, np.float32)), True


def _promises_more(content: bytes) -> bool:
    """Tell whether the data chunk of a WAV file is larger than what follows it."""
    if content[:4] != b"RIFF":
        return False
    position = 12
    while position + 8 <= len(content):
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if content[position : position + 4] == b"data":
            # A program that writes into a pipe cannot know the size and puts a huge number there.
            return size < _UNKNOWN_SIZE and position + 8 + size > len(content)
        position += 8 + size + size % 2  # chunks start at even offsets
    return False


def _read_container(source: Path | bytes) -> Audio:
    name = name_of(source)
    blocks: list[Samples] = []
    complete = True
    with open_container(source) as container:
        if not container.streams.audio:
            raise MediaError(f"{name}: holds no audio stream; expected recorded speech")
        stream = container.streams.audio[0]
        rate = stream.rate
        limit = int(MAX_DURATION_S * rate)
        promised_s = declared_s(container, stream)
        planar = av.AudioResampler(format="fltp")
        length = 0
        try:
            for frame in container.decode(stream):
                for part in planar.resample(frame):
                    block = part.to_ndarray().mean(axis=0, dtype=np.float32)
                    blocks.append(block)
                    length += len(block)
                if length > limit:
                    raise _too_long(source)
        except av.FFmpegError:
            if not blocks:
                raise
            complete = False
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return Audio(samples, rate, not complete or is_cut_short(promised_s, len(samples) / rate))


def _too_long(source: Path | bytes) -> MediaError:
    return MediaError(f"{name_of(source)}: longer than {MAX_DURATION_S:g} s; expected one utterance")

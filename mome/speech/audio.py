"""Audio: read any recording as mono float samples, resample it, write FLAC."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import resample_poly

from mome.errors import MediaError
from mome.scales import AUDIO_FRAMES_PER_SECOND
from mome.speech.channels import to_mono
from mome.speech.container import (
    MAX_DURATION_S,
    decoding,
    first_bytes,
    has_stamps,
    is_cut_short,
    name_of,
    open_container,
    promised_s,
)
from mome.speech.wav import is_wav, mended, promises_more

__all__ = ["SAMPLES_PER_AUDIO_FRAME", "SAMPLING_RATE", "Audio", "encode_flac", "read_audio", "resample"]

SAMPLING_RATE = 16_000  # Hz, what Whisper was trained on
SAMPLES_PER_AUDIO_FRAME = SAMPLING_RATE // AUDIO_FRAMES_PER_SECOND  # 320, of an encoder frame

_MAX_BYTES = 1 << 30  # of decoded samples in memory, all channels together
# Time stamps of intact recordings jitter (milliseconds in Matroska, capture clocks in browsers). What is
# further off than that are sounds that are not there.
_GAP_S = 0.1

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Audio:
    """A decoded recording.

    Args:
        samples: Mono ``(N,)`` float32, full scale = 1; may hold NaN when the file does.
        sampling_rate: Hz, as recorded.
        truncated: The file promises more than it holds.
        start_s: When the first sample is heard, by the clock that sound and picture of a file share.
    """

    samples: Samples
    sampling_rate: int
    truncated: bool
    start_s: float = 0.0


# What recorders use, with room on both sides: the filter that resamples grows with the rate, and a
# damaged header would make it ask for gigabytes.
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz


def read_audio(source: Path | bytes) -> Audio:
    """Decode a recording, or the sound of a video; several channels become one, as `to_mono` does it.

    Gaps in the time stamps are silence; where the sampling rate changes midway, the highest is that of
    the whole.

    Raises:
        MediaError: If it is missing, empty, longer than `MAX_DURATION_S`, claims a sampling rate that
            no recorder has, or holds no audio that can be decoded.
    """
    is_sound_file = is_wav(first_bytes(source, 12)) or first_bytes(source, 4) == b"fLaC"
    with decoding(name_of(source)):
        audio = _read_sound_file(source) if is_sound_file else _read_container(source)
    if not len(audio.samples):
        raise MediaError(f"{name_of(source)}: holds no audio samples; expected recorded speech")
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


def _read_sound_file(source: Path | bytes) -> Audio:
    """Read WAV and FLAC with libsndfile, which keeps float samples as they are and is fast."""
    content = mended(source if isinstance(source, bytes) else source.read_bytes())
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            declared, rate = file.frames, file.samplerate
            _require_rate(source, rate)
            blocks, complete = _read_blocks(source, file, int(MAX_DURATION_S * rate) + 1)
    except soundfile.LibsndfileError:
        # A codec inside WAV that libsndfile does not know; a file that is no media at all fails there too.
        return _read_container(source, content)
    length = sum(block.shape[1] for block in blocks)
    if length > MAX_DURATION_S * rate:
        raise _too_long(source)
    missing = not complete or length < declared or promises_more(content)
    return Audio(to_mono(blocks), rate, truncated=missing)


def _read_blocks(source: Path | bytes, file: soundfile.SoundFile, limit: int) -> tuple[list[Samples], bool]:
    """Return channels ``(C, N)`` up to ``limit`` and whether the stream could be read to its end.

    Block by block, because a damaged FLAC stream gives an error instead of what was good before it.
    """
    blocks: list[Samples] = []
    left = limit
    try:
        while left > 0:
            block = file.read(min(left, 1 << 16), dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block.T)
            left -= len(block)
            _require_small(source, (limit - left) * block.shape[1] * block.itemsize)
    except soundfile.LibsndfileError:
        if not blocks:
            raise
        return blocks, False
    return blocks, True


def _read_container(source: Path | bytes, content: bytes | None = None) -> Audio:
    """Read the first sound stream; ``content`` are the bytes of ``source`` where they had to be mended."""
    name = name_of(source)
    track = _Track(source)
    complete = True
    with open_container(source if content is None else content, name) as container:
        if not container.streams.audio:
            raise MediaError(f"{name}: holds no audio stream; expected recorded speech")
        stream = container.streams.audio[0]
        promised = promised_s(source, container, stream)
        stamped = has_stamps(container)
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    # A damaged packet, or the tag of a second file behind the first: the next may be well.
                    complete = False
                    continue
                for frame in frames:
                    track.add(frame, float(frame.time) if stamped and frame.time is not None else None)
        except av.FFmpegError:
            if not track.runs:
                raise
            complete = False
    return track.audio(lambda decoded_s: not complete or is_cut_short(promised, decoded_s))


class _Track:
    """The frames of a sound stream, in the order and at the time of their stamps.

    A stretch for which there are none (a lost packet, a muted microphone) is silence: what follows must
    keep its distance to what came before, and to the picture.
    """

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        self.runs: list[tuple[int, list[Samples]]] = []  # sampling rate and blocks (C, N), one kind each
        self._start_s: float | None = None
        self._decoded_s = self._filled_s = self._clock_s = 0.0
        self._num_bytes = 0

    def add(self, frame: av.AudioFrame, time_s: float | None) -> None:
        """Take the next frame; its rate and number of channels may differ from those of the last."""
        block = _channels(frame)
        _require_rate(self._source, frame.sample_rate)
        if time_s is not None:
            self._keep_time(time_s, len(block), frame.sample_rate)
        self._append(block, frame.sample_rate)
        self._decoded_s += block.shape[1] / frame.sample_rate

    def audio(self, truncated: Callable[[float], bool]) -> Audio:
        """Return all of it at one rate, the highest; ``truncated`` judges how much was decoded."""
        rate = max((rate for rate, _ in self.runs), default=SAMPLING_RATE)
        pieces = [resample(to_mono(blocks), run_rate, rate) for run_rate, blocks in self.runs]
        samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        return Audio(samples, rate, truncated(self._decoded_s), self._start_s or 0.0)

    def _keep_time(self, time_s: float, channels: int, rate: int) -> None:
        if self._start_s is None:
            self._start_s = self._clock_s = time_s
        gap_s = time_s - self._clock_s - self._filled_s
        if _GAP_S < gap_s <= MAX_DURATION_S:
            self._append(np.zeros((channels, round(gap_s * rate)), np.float32), rate)
        elif abs(gap_s) > _GAP_S:
            self._clock_s += gap_s  # the clock was set: what was joined of two recordings begins again

    def _append(self, block: Samples, rate: int) -> None:
        kind = (rate, len(block))
        if not self.runs or kind != (self.runs[-1][0], len(self.runs[-1][1][0])):
            self.runs.append((rate, []))
        self.runs[-1][1].append(block)
        self._filled_s += block.shape[1] / rate
        self._num_bytes += block.nbytes
        _require_small(self._source, self._num_bytes)
        if self._filled_s > MAX_DURATION_S:
            raise _too_long(self._source)


def _channels(frame: av.AudioFrame) -> Samples:
    """Return a frame of any sample format as channels ``(C, N)``, full scale = 1."""
    values: npt.NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    samples: Samples = values.astype(np.float32)
    if values.dtype == np.uint8:
        return (samples - np.float32(128)) / np.float32(128)
    if values.dtype.kind == "i":
        return samples / np.float32(2 ** (8 * values.dtype.itemsize - 1))
    return samples


def _require_rate(source: Path | bytes, rate: int) -> None:
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise MediaError(
            f"{name_of(source)}: claims {rate} Hz; expected {_LOWEST_RATE} to {_HIGHEST_RATE} Hz"
        )


def _require_small(source: Path | bytes, num_bytes: int) -> None:
    if num_bytes > _MAX_BYTES:
        raise MediaError(
            f"{name_of(source)}: holds more than {_MAX_BYTES >> 30} GiB of samples; expected one utterance"
        )


def _too_long(source: Path | bytes) -> MediaError:
    return MediaError(f"{name_of(source)}: longer than {MAX_DURATION_S:g} s; expected one utterance")

"""Audio: read any recording as mono float samples, resample it, write FLAC."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from av.codec.context import Flags2
from scipy.signal import resample_poly

from mome.errors import MediaError, TooLongError
from mome.scales import AUDIO_FRAMES_PER_SECOND
from mome.speech.channels import Mono, to_mono
from mome.speech.container import (
    LONGEST_GAP_S,
    MAX_DURATION_S,
    contents,
    decoding,
    first_bytes,
    has_stamps,
    is_cut_short,
    name_of,
    open_container,
    promised_s,
)
from mome.speech.wav import is_wav, mended, promises_more

__all__ = [
    "SAMPLES_PER_AUDIO_FRAME",
    "SAMPLING_RATE",
    "Audio",
    "Resampler",
    "Sound",
    "encode_flac",
    "read_audio",
    "resample",
    "stream_audio",
]

SAMPLING_RATE = 16_000  # Hz, what Whisper was trained on
SAMPLES_PER_AUDIO_FRAME = SAMPLING_RATE // AUDIO_FRAMES_PER_SECOND  # 320, of an encoder frame

_MAX_BYTES = 1 << 30  # of decoded samples in memory, all channels together
_BLOCK_S = 10.0  # of a stream
_FILTER_REACH = 10  # of SciPy's filter, in samples of the lower rate, to either side
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


@dataclass(frozen=True)
class Sound:
    """The next piece of a recording.

    Args:
        samples: Mono ``(N,)`` float32 at 16 kHz, full scale = 1; may hold NaN when the file does.
        start_s: As of `Audio`, of the whole recording.
    """

    samples: Samples
    start_s: float


# What recorders use, with room on both sides: the filter that resamples grows with the rate, and a
# damaged header would make it ask for gigabytes.
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz


def read_audio(source: Path | bytes, longest_s: float = MAX_DURATION_S) -> Audio:
    """Decode a recording, or the sound of a video; several channels become one, as `to_mono` does it.

    Gaps in the time stamps are silence; where the sampling rate changes midway, the highest is that of
    the whole.

    Raises:
        MediaError: If it is missing, empty, claims a sampling rate that no recorder has, or holds no audio
            that can be decoded.
        TooLongError: If it is longer than ``longest_s``; that much of it was decoded, and no more.
    """
    is_sound_file = is_wav(first_bytes(source, 12)) or first_bytes(source, 4) == b"fLaC"
    with decoding(name_of(source)):
        read = _read_sound_file if is_sound_file else _read_container
        audio = read(source, longest_s)
    if not len(audio.samples):
        raise MediaError(f"{name_of(source)}: holds no audio samples; expected recorded speech")
    return audio


def stream_audio(source: Path | bytes, longest_s: float) -> Iterator[Sound]:
    """Decode a recording of any length a few seconds at a time, at 16 kHz.

    Like `read_audio`, but that what several channels weigh is what was heard of them so far.

    Raises:
        MediaError: As `read_audio`.
        TooLongError: When more than ``longest_s`` were read.
    """
    runs = _Runs()
    track = _Track(source, longest_s)
    with decoding(name_of(source)):
        for frame, time_s in _frames(source, track):
            for rate, block in track.blocks(frame, time_s):
                samples = runs.add(rate, block)
                if len(samples):
                    yield Sound(samples, track.start_s)
        samples = runs.end()
        if len(samples):
            yield Sound(samples, track.start_s)
        if not track.decoded_s:
            raise MediaError(f"{name_of(source)}: holds no audio samples; expected recorded speech")


class Resampler:
    """Brings a stream from one sampling rate to another, as `resample` does it to the whole."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        divisor = math.gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        reach = _FILTER_REACH * max(self._up, self._down) / self._up + 1
        # In whole periods of the two rates, of which each gives as many samples.
        self._reach = math.ceil(reach / self._down) * self._down
        self._held: Samples = np.zeros(0, np.float32)
        self._done = 0  # samples at the front of what is held that were passed on

    def add(self, samples: Samples) -> Samples:
        """Return what can be said of the stream up to here."""
        if self._up == self._down:
            return samples
        self._held = np.concatenate((self._held, samples))
        known = (len(self._held) - self._done - self._reach) // self._down * self._down
        return self._pass_on(max(0, known), self._done + max(0, known) + self._reach)

    def end(self) -> Samples:
        """Return the rest."""
        return self._pass_on(len(self._held) - self._done, len(self._held))

    def _pass_on(self, count: int, heard: int) -> Samples:
        if count == 0:
            return np.zeros(0, np.float32)
        out = resample_poly(self._held[:heard], self._up, self._down)
        first, last = (math.ceil(place * self._up / self._down) for place in (self._done, self._done + count))
        self._done += count
        front = max(0, self._done - self._reach) // self._down * self._down
        self._held = self._held[front:].copy()
        self._done -= front
        return np.asarray(out[first:last], dtype=np.float32)


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


def _read_sound_file(source: Path | bytes, longest_s: float) -> Audio:
    """Read WAV and FLAC with libsndfile, which keeps float samples as they are and is fast."""
    with contents(source) as content:
        header = mended(content)
        # Of a mended file there is a copy; of one on disk only as much is read as is wanted.
        file = str(source) if isinstance(source, Path) and header is content else io.BytesIO(header)
        try:
            with soundfile.SoundFile(file) as sound:
                declared, rate = sound.frames, sound.samplerate
                _require_rate(source, rate)
                blocks, complete = _read_blocks(source, sound, int(longest_s * rate) + 1)
        except soundfile.LibsndfileError:
            # A codec inside WAV that libsndfile does not know; what is no media at all fails there too.
            return _read_container(source, longest_s)
        length = sum(block.shape[1] for block in blocks)
        if length > longest_s * rate:
            raise _too_long(source, longest_s)
        missing = not complete or length < declared or promises_more(header)
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


def _read_container(source: Path | bytes, longest_s: float) -> Audio:
    """Read the first sound stream."""
    track = _Track(source, longest_s)
    runs: list[tuple[int, list[Samples]]] = []  # sampling rate and blocks (C, N), one kind each
    num_bytes = 0
    for frame, time_s in _frames(source, track):
        for rate, block in track.blocks(frame, time_s):
            if not runs or (rate, len(block)) != (runs[-1][0], len(runs[-1][1][0])):
                runs.append((rate, []))
            runs[-1][1].append(block)
            num_bytes += block.nbytes
            _require_small(source, num_bytes)
    highest = max((rate for rate, _ in runs), default=SAMPLING_RATE)
    pieces = [resample(to_mono(blocks), rate, highest) for rate, blocks in runs]
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return Audio(samples, highest, track.is_cut_short(), track.start_s)


def _frames(source: Path | bytes, track: _Track) -> Iterator[tuple[av.AudioFrame, float | None]]:
    """Yield what can be decoded of the first sound stream, each frame with the time of its stamp."""
    # FFmpeg reads a file to its end where the header does not know its size; of bytes it is told.
    content = source if isinstance(source, Path) else bytes(mended(source))
    with open_container(content, name_of(source)) as container:
        if not container.streams.audio:
            raise MediaError(f"{name_of(source)}: holds no audio stream; expected recorded speech")
        stream = container.streams.audio[0]
        if container.format.name == "caf" and stream.codec_context.name == "alac":
            # The last packet says how short it is, and FFmpeg takes off as much once more.
            stream.codec_context.flags2 |= Flags2.skip_manual
        track.promised_s = promised_s(source, container, stream)
        stamped = has_stamps(container)
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    # A damaged packet, or the tag of a second file behind the first: the next may be well.
                    track.complete = False
                    continue
                for frame in frames:
                    yield frame, float(frame.time) if stamped and frame.time is not None else None
        except av.FFmpegError:
            if not track.decoded_s:
                raise
            track.complete = False


class _Track:
    """Puts the frames of a sound stream in the order and at the time of their stamps.

    A stretch for which there are none (a lost packet, a muted microphone) is silence: what follows must
    keep its distance to what came before, and to the picture.
    """

    def __init__(self, source: Path | bytes, longest_s: float) -> None:
        self._source = source
        self._longest_s = longest_s
        self._start_s: float | None = None
        self._filled_s = self._clock_s = 0.0
        self.decoded_s = 0.0
        self.promised_s = 0.0
        self.complete = True

    @property
    def start_s(self) -> float:
        """When the first sample is heard."""
        return self._start_s or 0.0

    def is_cut_short(self) -> bool:
        """Tell whether less was decoded than was promised."""
        return not self.complete or is_cut_short(self.promised_s, self.decoded_s)

    def blocks(self, frame: av.AudioFrame, time_s: float | None) -> Iterator[tuple[int, Samples]]:
        """Yield the next frame with its rate, and before it the silence that it is late by.

        Its rate and number of channels may differ from those of the last.
        """
        block = _channels(frame)
        rate = frame.sample_rate
        _require_rate(self._source, rate)
        missing = 0 if time_s is None else round(self._gap_s(time_s) * rate)
        while missing > 0:
            silence = min(missing, round(_BLOCK_S * rate))
            yield rate, self._counted(np.zeros((len(block), silence), np.float32), rate)
            missing -= silence
        self.decoded_s += block.shape[1] / rate
        yield rate, self._counted(block, rate)

    def _gap_s(self, time_s: float) -> float:
        if self._start_s is None:
            self._start_s = self._clock_s = time_s
        gap_s = time_s - self._clock_s - self._filled_s
        if _GAP_S < gap_s <= LONGEST_GAP_S:
            return gap_s
        if abs(gap_s) > _GAP_S:
            self._clock_s += gap_s  # the clock was set: what was joined of two recordings begins again
        return 0.0

    def _counted(self, block: Samples, rate: int) -> Samples:
        self._filled_s += block.shape[1] / rate
        if self._filled_s > self._longest_s:
            raise _too_long(self._source, self._longest_s)
        return block


class _Runs:
    """Makes one stream at 16 kHz of blocks ``(C, N)`` whose rates and channels may change."""

    def __init__(self) -> None:
        self._kind = (0, 0)
        self._blocks: list[Samples] = []
        self._waiting_s = 0.0
        self._mono, self._resampler = Mono(), Resampler(1, 1)

    def add(self, rate: int, block: Samples) -> Samples:
        """Take the next block; returns what is ready, often nothing."""
        before = np.zeros(0, np.float32)
        if (rate, len(block)) != self._kind:
            before = self.end()
            self._kind = (rate, len(block))
            self._mono, self._resampler = Mono(), Resampler(rate, SAMPLING_RATE)
        self._blocks.append(block)
        self._waiting_s += block.shape[1] / rate
        # The first seconds say which channels hold a voice.
        return before if self._waiting_s < _BLOCK_S else np.concatenate((before, self._mixed()))

    def end(self) -> Samples:
        """Return the rest."""
        return np.concatenate((self._mixed(), self._resampler.end()))

    def _mixed(self) -> Samples:
        mixed = self._resampler.add(self._mono.mix(self._blocks))
        self._blocks, self._waiting_s = [], 0.0
        return mixed


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


def _too_long(source: Path | bytes, longest_s: float) -> TooLongError:
    return TooLongError(f"{name_of(source)}: longer than {longest_s:g} s")

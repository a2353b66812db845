"""Sound as clients append it: 16-bit PCM or G.711, in pieces of any size, to samples at 16 kHz."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

import av
import numpy as np
import numpy.typing as npt

from mome.speech.audio import SAMPLING_RATE
from serving.errors import ApiError
from serving.realtime.session import AudioFormat

__all__ = ["SoundStream", "decoded_base64"]

_CODECS = {"audio/pcm": ("pcm_s16le", 2), "audio/pcmu": ("pcm_mulaw", 1), "audio/pcma": ("pcm_alaw", 1)}

Samples = npt.NDArray[np.float32]


class SoundStream:
    """One stream of sound in one format.

    Args:
        audio_format: Of what is appended.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        codec, self._sample_bytes = _CODECS[audio_format.type]
        decoder = av.CodecContext.create(codec, "r")
        assert isinstance(decoder, av.AudioCodecContext)
        self._decoder = decoder
        self._decoder.sample_rate = audio_format.sampling_rate
        self._decoder.layout = "mono"
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLING_RATE)
        self._left = b""  # half a sample

    def take(self, data: bytes) -> Samples:
        """Return the samples ``(N,)`` that are complete now; full scale is 1."""
        data = self._left + data
        whole = len(data) - len(data) % self._sample_bytes
        self._left = data[whole:]
        return self._resampled(self._decoder.decode(av.Packet(data[:whole]))) if whole else _NONE

    def end(self) -> Samples:
        """Return what the filter still holds; afterwards the stream begins anew."""
        rest = self._resampled([None])
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLING_RATE)
        self._left = b""
        return rest

    def _resampled(self, frames: Iterable[av.AudioFrame | None]) -> Samples:
        parts = [part.to_ndarray()[0] for frame in frames for part in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else _NONE


_NONE: Samples = np.zeros(0, np.float32)


def decoded_base64(text: object, param: str) -> bytes:
    """Return the bytes that a field holds as base64.

    Raises:
        ApiError: If it is something else.
    """
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except binascii.Error:
        pass
    raise ApiError(
        f"{param!r} is not base64; expected bytes in that form", param=param, code="invalid_base64"
    )

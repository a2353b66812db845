"""Recordings in a folder, of people or of noise, as anybody may have them."""

from __future__ import annotations

from pathlib import Path

from mome.errors import ConfigError
from mome.speech.audio import SAMPLING_RATE, Samples, read_audio, resample

__all__ = ["find_recordings", "read_recording"]

_SUFFIXES = frozenset({".flac", ".mp4", ".mpg", ".wav"})


def find_recordings(folder: Path) -> list[Path]:
    """Return the recordings of a folder, at any depth, sorted.

    Raises:
        ConfigError: If there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ConfigError(f"{folder} holds no recording; expected {', '.join(sorted(_SUFFIXES))} files")
    return found


def read_recording(path: Path) -> Samples:
    """Return its sound ``(N,)`` at 16 kHz.

    Raises:
        MediaError: As `mome.speech.audio.read_audio` says.
    """
    audio = read_audio(path)
    return resample(audio.samples, audio.sampling_rate, SAMPLING_RATE)

"""Recorded noise, such as the babble of the papers, of which every utterance gets another stretch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mome.config import CORPUS, noise_sources
from mome.errors import ConfigError, MediaError
from mome.speech.audio import SAMPLING_RATE, read_audio
from mome.speech.noise import MadeNoise, Noise
from mome.speech.noises import bursts, steady

__all__ = ["NoiseFile", "NoiseFolder", "noise_digest", "noise_of", "recordings_digest", "recordings_of"]

Samples = npt.NDArray[np.float32]

_MAKERS = {"bursts": bursts, "steady": steady}  # as `mome.config.MADE` names them


class NoiseFile:
    """Noise from a file, from a place drawn anew for every utterance; one that is too short goes round.

    Args:
        path: Of a recording at 16 kHz.

    Raises:
        ConfigError: If there is no such recording, it has another sampling rate, or it is silent.

    Source: Llama-AVSR's training and test take ``babble_noise.wav`` of auto_avsr so (model facts 6, 7).
    """

    def __init__(self, path: Path) -> None:
        try:
            audio = read_audio(path)
        except MediaError as error:
            raise ConfigError(f"noise: {error}") from error
        if audio.sampling_rate != SAMPLING_RATE:
            raise ConfigError(f"noise: {path} has {audio.sampling_rate} Hz, expected {SAMPLING_RATE} Hz")
        if not audio.samples.any() or not np.isfinite(audio.samples).all():
            raise ConfigError(f"noise: {path} is silent or not finite; expected noise")
        self._samples = audio.samples

    def behind(self, index: int, num_samples: int, rng: np.random.Generator) -> Samples:  # noqa: ARG002
        """Return a stretch of the file; the utterance does not matter."""
        length = len(self._samples)
        start = int(rng.integers(max(1, length - num_samples + 1)))
        if start + num_samples <= length:
            return self._samples[start : start + num_samples]
        start = int(rng.integers(length))
        return self._samples[np.arange(start, start + num_samples) % length]


class NoiseFolder:
    """Noise from the recordings of a folder, one drawn anew for every utterance.

    Args:
        folder: Of WAV or FLAC files at 16 kHz, at any depth.

    Raises:
        ConfigError: If there is no such folder, none in it, or one of them as `NoiseFile` says.
    """

    def __init__(self, folder: Path) -> None:
        self._files = [NoiseFile(path) for path in recordings_of(folder)]

    def behind(self, index: int, num_samples: int, rng: np.random.Generator) -> Samples:
        """Return a stretch of one recording; the utterance does not matter."""
        return self._files[int(rng.integers(len(self._files)))].behind(index, num_samples, rng)


def recordings_digest(folder: Path) -> str:
    """Return one SHA-256 of all recordings of a folder, whatever their names.

    Raises:
        ConfigError: As `NoiseFolder`.
    """
    each = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in recordings_of(folder))
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def recordings_of(folder: Path) -> list[Path]:
    """Return the recordings of a folder, at any depth, sorted.

    Raises:
        ConfigError: If there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".flac", ".wav"))
    if not found:
        raise ConfigError(f"recordings: {folder} holds no .flac or .wav; expected noise at 16 kHz")
    return found


def noise_of(setting: str) -> tuple[Noise | None, ...]:
    """Return the sources that a setting ``noise`` names; None stands for babble of the corpus.

    Raises:
        ConfigError: As `NoiseFile` and `NoiseFolder`.
    """
    return tuple(_source(name) for name in noise_sources(setting))


def _source(name: str) -> Noise | None:
    if name == CORPUS:
        return None
    if name in _MAKERS:
        return MadeNoise(_MAKERS[name])
    return NoiseFolder(Path(name)) if Path(name).is_dir() else NoiseFile(Path(name))


def noise_digest(setting: str) -> str:
    """Return what a record says of the noise: each source's name, or the SHA-256 of its recordings.

    Raises:
        ConfigError: If there is no such file.
    """
    return " + ".join(_digest(name) for name in noise_sources(setting))


def _digest(name: str) -> str:
    if name == CORPUS or name in _MAKERS:
        return name
    if Path(name).is_dir():
        return recordings_digest(Path(name))
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"noise: {name}: no such file or folder; expected noise at 16 kHz, or one of {CORPUS}, "
            f"{', '.join(_MAKERS)}"
        ) from error

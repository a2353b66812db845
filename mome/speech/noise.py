"""Noise: add it to speech at a stated level, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mome.errors import MediaError

__all__ = [
    "Babble",
    "MadeNoise",
    "Noise",
    "babble",
    "mix_at_snr",
    "with_babble",
    "with_noise",
]

Samples = npt.NDArray[np.float32]

_TALKERS = 6  # too many to follow one, too few to be a hiss


def mix_at_snr(speech: Samples, noise: Samples, snr_db: float | None) -> Samples:
    """Return speech ``(N,)`` with noise ``(N,)`` scaled to a ratio of total powers; None means clean.

    A sum beyond full scale is turned down as a whole, which leaves the ratio as it is.

    Raises:
        MediaError: If the two differ in length, or one of them is silent.
    """
    if snr_db is None:
        return speech
    if len(speech) != len(noise):
        raise MediaError(f"speech and noise differ in length: {len(speech)} and {len(noise)} samples")
    speech_power, noise_power = _power(speech), _power(noise)
    if speech_power == 0.0 or noise_power == 0.0:
        raise MediaError(f"speech and noise must both be audible for a mix at {snr_db:g} dB; one is silent")
    gain = math.sqrt(speech_power / noise_power) * 10.0 ** (-snr_db / 20.0)
    mixed = speech + np.float32(gain) * noise
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())), dtype=np.float32)


def babble(
    voices: Sequence[Samples], num_samples: int, rng: np.random.Generator, talkers: int = _TALKERS
) -> Samples:
    """Return ``(num_samples,)`` of several people talking at once, equally loud, each without a pause.

    Args:
        voices: Recordings ``(N,)`` to draw from, at the sampling rate of the result. Take them from the
            split of the speech that the babble is for, or what is learnt of it leaks.
        num_samples: Length of the result.
        rng: Draws the recordings and where each talker starts.
        talkers: People talking at once.

    Raises:
        MediaError: If there is no audible recording.
    """
    audible = [voice for voice in voices if _power(voice) > 0.0]
    if not audible:
        raise MediaError(f"babble needs at least one audible recording, got {len(voices)} silent ones")
    total = np.zeros(num_samples, dtype=np.float32)
    for _ in range(talkers):
        parts: list[Samples] = []
        length = 0
        start = -1
        while start < 0 or length < start + num_samples:
            voice = audible[int(rng.integers(len(audible)))]
            if start < 0:
                start = int(rng.integers(len(voice)))  # in the middle of a word, as talk is overheard
            parts.append(voice / np.float32(math.sqrt(_power(voice))))
            length += len(voice)
        total += np.concatenate(parts)[start : start + num_samples]
    return total / np.float32(talkers)


class Noise(Protocol):
    """Where the noise behind an utterance comes from."""

    def behind(self, index: int, num_samples: int, rng: np.random.Generator) -> Samples:
        """Return ``(num_samples,)`` of noise at 16 kHz, for utterance ``index`` of a split."""
        ...


@dataclass(frozen=True)
class Babble:
    """Noise made of the other utterances of a split; one without others is drowned in itself.

    Args:
        waveforms: Of the split; only those that are drawn are looked at.
    """

    waveforms: Sequence[Samples]

    def behind(self, index: int, num_samples: int, rng: np.random.Generator) -> Samples:
        """Return babble of other utterances than ``index``."""
        # Numbers past the own one stand for the next: a list of the others would be long in a large corpus.
        count = max(1, len(self.waveforms) - 1)
        drawn = rng.choice(count, min(_TALKERS, count), replace=False)
        alone = len(self.waveforms) == 1
        voices = [self.waveforms[index if alone else other + (other >= index)] for other in drawn]
        return babble(voices, num_samples, rng)


@dataclass(frozen=True)
class MadeNoise:
    """Noise that a function makes, such as those of `mome.speech.noises`.

    Args:
        make: Takes a number of samples and what draws them.
    """

    make: Callable[[int, np.random.Generator], Samples]

    def behind(self, index: int, num_samples: int, rng: np.random.Generator) -> Samples:  # noqa: ARG002
        """Return noise made for this utterance alone; which one it is does not matter."""
        return self.make(num_samples, rng)


def with_noise(
    noise: Noise, index: int, speech: Samples, snr_db: float | None, rng: np.random.Generator
) -> Samples:
    """Return ``speech``, which is utterance ``index`` or what became of it, with noise at ``snr_db``.

    Args:
        noise: Of the split.
        index: Of the utterance.
        speech: ``(N,)`` at 16 kHz.
        snr_db: As `mix_at_snr` takes it.
        rng: Draws the noise.
    """
    if snr_db is None:
        return speech
    return mix_at_snr(speech, noise.behind(index, len(speech), rng), snr_db)


def with_babble(
    waveforms: Sequence[Samples], index: int, snr_db: float | None, rng: np.random.Generator
) -> Samples:
    """Return waveform ``index`` with babble of the others at ``snr_db``; without any when that is None."""
    return with_noise(Babble(waveforms), index, waveforms[index], snr_db, rng)


def _power(samples: Samples) -> float:
    return float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0

"""Noise: add it at a stated level, make babble of voices, and estimate how much there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from mome.errors import MediaError
from mome.speech.wada import MAX_SNR_DB, MIN_SNR_DB, amplitude_spread, snr_of_spread

__all__ = [
    "Babble",
    "Noise",
    "SnrEstimate",
    "babble",
    "estimate_snr",
    "mix_at_snr",
    "with_babble",
    "with_noise",
]

Samples = npt.NDArray[np.float32]

_TALKERS = 6  # too many to follow one, too few to be a hiss

_LSB = 1.0 / 32768  # one step of 16-bit audio: what is quieter holds no information
_SILENCE_DB = -100.0  # level of digital silence

_FRAME = 160  # samples, 10 ms at 16 kHz
_SMOOTHING = 5  # frames, 50 ms: shorter than a syllable, long enough that steady noise is steady
_ABOVE_FLOOR_DB = 2.0  # noise alone, so smoothed, stays within half a decibel of its own floor
_BELOW_PEAK_DB = 35.0  # quieter than that beside the loudest syllable is the room, not speech
_MIN_SPEECH_FRAMES = 5

_WINDOW = 512  # samples, 32 ms
_BAND = 5  # bins of 31.25 Hz averaged into one band
_FLOOR_QUANTILE = 0.1
# What the lowest tenth of Gaussian noise reads in such bands, as a part of its mean (a test measures it).
_FLOOR_OF_NOISE = 0.378
_MIN_WINDOWS = 8

_TRUSTED_GAP_DB = 6.0  # further apart, and one of the two meets noise that it was not made for
_CLEAN_DB = 20.0  # beyond it both say "clean", and by how much they differ does not matter


@dataclass(frozen=True)
class SnrEstimate:
    """How noisy a recording is, and what the estimate rests on.

    Args:
        snr_db: Signal-to-noise ratio in dB, -20 to 40; None without speech to measure it on.
        confident: Two independent methods agree.
        speech_share: Share of the 10 ms frames that stand out of the background, 0 to 1.
        level_db: Root mean square of the whole recording in dB full scale, at least -100.
    """

    snr_db: float | None
    confident: bool
    speech_share: float
    level_db: float


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


def estimate_snr(samples: Samples) -> SnrEstimate:
    """Estimate the signal-to-noise ratio of speech ``(N,)`` at 16 kHz, without a clean copy of it.

    The mean of two methods that look at different things: the distribution of amplitudes (WADA) and the
    quietest moments of every frequency band. Both read babble a few dB too clean, because babble is
    speech, but keep the order of levels. Short bursts with quiet between them fool both. Digital silence
    is left out, and samples that are NaN or infinite count as it.
    """
    finite = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    power = _power(finite)
    level_db = max(_SILENCE_DB, 10.0 * math.log10(power)) if power > 0.0 else _SILENCE_DB
    framed = finite[: len(finite) // _FRAME * _FRAME].reshape(-1, _FRAME)
    audible = framed.std(axis=1) > _LSB if len(framed) else np.zeros(0, dtype=np.bool_)
    speech = _speech_frames(framed, audible)
    share = float(speech.mean()) if len(speech) else 0.0
    windows = _audible_windows(finite, audible)
    if speech.sum() < _MIN_SPEECH_FRAMES or len(windows) < _MIN_WINDOWS:
        return SnrEstimate(None, False, share, level_db)
    by_amplitude = _snr_by_amplitude(framed[audible])
    by_floor = _snr_by_floor(windows)
    gap_db = abs(min(by_amplitude, _CLEAN_DB) - min(by_floor, _CLEAN_DB))
    return SnrEstimate((by_amplitude + by_floor) / 2.0, gap_db <= _TRUSTED_GAP_DB, share, level_db)


def _power(samples: Samples) -> float:
    return float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0


def _speech_frames(framed: Samples, audible: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return for every frame ``(F, 160)`` whether it stands out of the quietest tenth of the recording."""
    if audible.sum() < _MIN_SPEECH_FRAMES:
        return np.zeros(len(framed), dtype=np.bool_)
    power = framed.var(axis=1, dtype=np.float64)
    smooth = np.convolve(power, np.ones(_SMOOTHING) / _SMOOTHING, mode="same")
    smooth_db = 10.0 * np.log10(np.maximum(smooth, _LSB**2))
    floor_db = float(np.quantile(smooth_db[audible], _FLOOR_QUANTILE))
    threshold = max(floor_db + _ABOVE_FLOOR_DB, float(smooth_db.max()) - _BELOW_PEAK_DB)
    return np.asarray(audible & (smooth_db > threshold))


def _audible_windows(samples: Samples, audible: npt.NDArray[np.bool_]) -> Samples:
    """Return the windows ``(W, 512)``, one per frame, that hold no digital silence."""
    if len(samples) < _WINDOW:
        return np.zeros((0, _WINDOW), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_FRAME]
    whole = _WINDOW // _FRAME  # frames that lie within a window
    heard = np.asarray(np.lib.stride_tricks.sliding_window_view(audible, whole).all(axis=1))
    return np.asarray(windows[heard[: len(windows)]])


def _snr_by_amplitude(framed: Samples) -> float:
    # A constant offset of the recording is no speech, but would look like a very regular one.
    return snr_of_spread(amplitude_spread(framed - framed.mean(), smallest=_LSB / 2))


def _snr_by_floor(windows: Samples) -> float:
    """Return the ratio of what each band holds over time to what it holds in its quietest tenth."""
    spectrum = rfft(windows * np.hanning(_WINDOW).astype(np.float32), axis=1)[:, 1:-1]
    power = spectrum.real**2 + spectrum.imag**2
    bands = power.reshape(len(windows), -1, _BAND).mean(axis=2)
    floor = np.quantile(bands, _FLOOR_QUANTILE, axis=0) / _FLOOR_OF_NOISE
    ratio = float(bands.mean(axis=0).sum()) / max(float(floor.sum()), 1e-30) - 1.0
    return min(MAX_SNR_DB, max(MIN_SNR_DB, 10.0 * math.log10(max(ratio, 1e-10))))

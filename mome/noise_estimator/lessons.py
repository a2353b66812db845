"""What the noise estimator learns from: speech in noise of every kind and level, mixed anew in every step."""

# Shape letters: B sounds, N samples, T frames, M bands.

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mome.machine.processor import available_cores
from mome.machine.threads import one_thread_each
from mome.noise_estimator.voices import Talker, babble, speech
from mome.progress import progress
from mome.speech.audio import SAMPLING_RATE
from mome.speech.noise_bands import in_bands, spectra
from mome.speech.noise_network import NETWORK_KINDS
from mome.speech.noises import BURSTY_DB, burstiness_db, bursts, steady, unit_power

__all__ = ["NO_KIND", "Batch", "Sounds", "make_sounds", "mix"]

Samples = NDArray[np.float32]

NO_KIND = -100  # a sound between two kinds: torch's cross entropy leaves it out

_LENGTH = 4 * SAMPLING_RATE
_SHORTEST_S = 1.5
_PER_TASK = 50
_FULL_SCALE = 32_767

_NOISY_DB = (-12.0, 25.0)
_CLEAN_DB = (25.0, 45.0)
_NOISY_SHARE = 0.85
_BABBLE, _STEADY, _BURSTS = 0.46, 0.27, 0.27  # of the noisy ones: babble is the hardest
_TWO_SHARE, _SECOND_DB = 0.4, (-12.0, 0.0)  # of the noises without people: how often two, the second how loud
_ROOM_DB = (30.0, 70.0)  # no recording is silent behind the speech
_KIND_BELOW_DB, _NONE_ABOVE_DB = 18.0, 25.0  # between them it does not matter what the noise is


@dataclass(frozen=True)
class Sounds:
    """Ready pieces of 4 s, as 16-bit numbers ``(K, 64000)``."""

    speech: NDArray[np.int16]
    noises: dict[str, NDArray[np.int16]]  # by kind


@dataclass(frozen=True)
class Batch:
    """Mixed sounds and what is true of them.

    Args:
        powers_BTM: Of the mix.
        speech_BTM: Share of the speech in them.
        snr_db_B: Level.
        kinds_B: Index into `NETWORK_KINDS`, or `NO_KIND`.
    """

    powers_BTM: Tensor
    speech_BTM: Tensor
    snr_db_B: Tensor
    kinds_B: Tensor


def make_sounds(groups: Sequence[Sequence[Talker]], count: int, seed: int) -> Sounds:
    """Make ``count`` pieces of speech and half as many of each kind of noise.

    Args:
        groups: Of talkers; each group is heard as often as the others, and babble is made of one of them.
        count: Of pieces of speech.
        seed: Of everything that is drawn.
    """
    made: dict[str, NDArray[np.int16]] = {}
    with one_thread_each():
        pool = multiprocessing.get_context("spawn").Pool(available_cores(), _hold, (groups,))
    with pool:
        for place, name in enumerate(("speech", "babble", "steady", "bursts")):
            wanted = count if name == "speech" else count // 2
            tasks = [
                (name, [seed, place, part], min(_PER_TASK, wanted - part * _PER_TASK))
                for part in range(-(-wanted // _PER_TASK))
            ]
            parts = progress(pool.imap(_make, tasks), f"make {name}", total=len(tasks))
            made[name] = np.concatenate(list(parts))
    return Sounds(made.pop("speech"), made)


def mix(sounds: Sounds, batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw and mix a batch of one length between 1.5 and 4 s."""
    num_samples = int(rng.uniform(_SHORTEST_S * SAMPLING_RATE, _LENGTH))
    names = rng.choice(["babble", "steady", "bursts"], batch_size, p=[_BABBLE, _STEADY, _BURSTS])
    speech_BN = np.stack([_cut(sounds.speech, num_samples, rng) for _ in range(batch_size)])
    noise_BN = np.stack([_noise(sounds, name, num_samples, rng) for name in names])
    noisy_B = rng.random(batch_size) < _NOISY_SHARE
    level_db_B = np.where(noisy_B, rng.uniform(*_NOISY_DB, batch_size), rng.uniform(*_CLEAN_DB, batch_size))
    noise_BN *= _amplitude(-level_db_B)
    # One white stretch serves the whole batch: a room is too faint for anybody to learn it by heart.
    room_BN = np.lib.stride_tricks.sliding_window_view(
        rng.standard_normal(num_samples + batch_size - 1, dtype=np.float32), num_samples
    )
    noise_BN += room_BN * _amplitude(-rng.uniform(*_ROOM_DB, batch_size))
    snr_db_B = -10 * np.log10(np.square(noise_BN).mean(axis=1))

    by_power_B = np.where(burstiness_db(noise_BN) > BURSTY_DB, "bursts", "steady")
    names = np.where(names == "babble", names, by_power_B)
    kinds_B = np.array([NETWORK_KINDS.index(name) for name in names])
    kinds_B[snr_db_B > _KIND_BELOW_DB] = NO_KIND
    kinds_B[snr_db_B > _NONE_ABOVE_DB] = NETWORK_KINDS.index("none")

    speech_BTF, noise_BTF = spectra(speech_BN), spectra(noise_BN)
    speech_BTM, noise_BTM = in_bands(speech_BTF), in_bands(noise_BTF)
    return Batch(
        torch.from_numpy(in_bands(speech_BTF + noise_BTF)),
        torch.from_numpy(speech_BTM / (speech_BTM + noise_BTM + np.float32(1e-9))),
        torch.from_numpy(snr_db_B.astype(np.float32)),
        torch.from_numpy(kinds_B),
    )


def _noise(sounds: Sounds, name: str, num_samples: int, rng: np.random.Generator) -> Samples:
    """Return a piece of that kind; a kitchen is rarely of one noise, so two may sound together."""
    noise = _cut(sounds.noises[name], num_samples, rng)
    if name == "babble" or rng.random() >= _TWO_SHARE:
        return noise
    other = _cut(sounds.noises[str(rng.choice(["steady", "bursts"]))], num_samples, rng)
    return unit_power(noise + other * np.float32(10 ** (rng.uniform(*_SECOND_DB) / 20)))


def _cut(pieces: NDArray[np.int16], num_samples: int, rng: np.random.Generator) -> Samples:
    start = int(rng.integers(_LENGTH - num_samples + 1))
    piece = pieces[rng.integers(len(pieces)), start : start + num_samples]
    return unit_power(piece.astype(np.float32))


def _amplitude(level_db_B: NDArray[np.floating]) -> Samples:
    return (10 ** (level_db_B / 20)).astype(np.float32)[:, None]


_groups: Sequence[Sequence[Talker]] = ()  # of talkers, in a process that makes sounds


def _hold(groups: Sequence[Sequence[Talker]]) -> None:
    global _groups
    _groups = groups


def _make(task: tuple[str, list[int], int]) -> NDArray[np.int16]:
    name, seed, count = task
    rng = np.random.default_rng(seed)
    return np.stack([_stored(_sound(name, rng)) for _ in range(count)])


def _sound(name: str, rng: np.random.Generator) -> Samples:
    if name == "steady":
        return steady(_LENGTH, rng)
    if name == "bursts":
        return bursts(_LENGTH, rng)
    talkers = _groups[int(rng.integers(len(_groups)))]
    if name == "babble":
        return babble(talkers, _LENGTH, rng)
    return speech(talkers[int(rng.integers(len(talkers)))], _LENGTH, rng)


def _stored(sound: Samples) -> NDArray[np.int16]:
    peak = max(float(np.abs(sound).max()), 1e-9)
    return np.round(sound * np.float32(_FULL_SCALE / peak)).astype(np.int16)

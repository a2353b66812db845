"""Talkers for the noise estimator: synthetic ones of many languages, and people on recordings.

The accents of other languages read English words too: what counts is that sounds and melodies differ.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Sequence
from pathlib import Path

import espeakng_loader
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from mome.errors import ConfigError
from mome.foundation.words import draw_sentence
from mome.machine.processor import available_cores
from mome.progress import progress
from mome.speech.audio import SAMPLING_RATE
from mome.speech.augmentation import change_speed, colour, echo
from mome.speech.noises import unit_power
from mome.speech.recordings import find_recordings, read_recording
from mome.synthesis.speakers import voice_variants
from mome.synthesis.speech import Voice, speak

__all__ = ["Talker", "babble", "make_talkers", "recorded_talkers", "speech", "talk"]

Samples = NDArray[np.float32]
Talker = list[Samples]  # sentences, or recordings, of one voice at unit power

_SENTENCES = 3
_TALKERS_PER_PROCESS = 50
_ENGLISH = ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-US-nyc")
_SHORTEST = 6_000  # samples
_FEWEST_TALKERS, _MOST_TALKERS = 2, 20


def make_talkers(count: int, seed: int) -> list[Talker]:
    """Let eSpeak NG's training voices speak: three sentences each; every fifty come from a fresh process."""
    parts = [
        (seed * 10_000 + part, _TALKERS_PER_PROCESS) for part in range(-(-count // _TALKERS_PER_PROCESS))
    ]
    context = multiprocessing.get_context("spawn")
    with context.Pool(available_cores(), maxtasksperchild=1) as pool:
        made = progress(pool.imap(_make_part, parts, chunksize=1), "synthesise talkers", total=len(parts))
        return [talker for part in made for talker in part][:count]


def recorded_talkers(folder: Path) -> list[Talker]:
    """Take each recording of a folder for one person; what is shorter than a moment of speech is left out.

    Raises:
        ConfigError: If there is no recording, or none with enough to hear.
        MediaError: If one of them cannot be decoded.
    """
    paths = find_recordings(folder)
    heard = [read_recording(path) for path in progress(paths, f"read {folder.name}", total=len(paths))]
    talkers = [[unit_power(each)] for each in heard if len(each) >= _SHORTEST and each.any()]
    if not talkers:
        raise ConfigError(f"{folder}: every recording is silent or shorter than {_SHORTEST} samples")
    return talkers


def talk(talker: Talker, num_samples: int, rng: np.random.Generator, pauses: float) -> Samples:
    """Return ``(num_samples,)`` of a talker from some place on; ``pauses`` is how probable one is."""
    sentences: list[Samples] = []
    length = 0
    pace = rng.uniform(0.8, 1.2)
    while length < num_samples + SAMPLING_RATE:
        sentence = change_speed(talker[rng.integers(len(talker))], pace)
        sentences.append(sentence)
        length += len(sentence)
        if rng.random() < pauses:
            sentences.append(np.zeros(int(rng.uniform(0.05, 0.7) * SAMPLING_RATE), np.float32))
            length += len(sentences[-1])
    start = int(rng.integers(length - num_samples))
    return np.concatenate(sentences)[start : start + num_samples]


def speech(talker: Talker, num_samples: int, rng: np.random.Generator) -> Samples:
    """Return ``(num_samples,)`` of somebody who speaks into some microphone in some room, at unit power."""
    samples = talk(talker, num_samples, rng, pauses=0.3)
    # eSpeak stresses every word alike; people do not.
    points = np.arange(0, num_samples + 5000, int(rng.uniform(1500, 5000)))
    gain_db = np.interp(np.arange(num_samples), points, rng.normal(0, rng.uniform(0, 5), len(points)))
    samples = samples * (10 ** (gain_db / 20)).astype(np.float32)
    before, behind = (int(rng.uniform(0, 0.5) * SAMPLING_RATE) if rng.random() < 0.6 else 0 for _ in range(2))
    samples[:before] = 0.0
    samples[num_samples - behind :] = 0.0
    if rng.random() < 0.4:
        samples = echo(samples, rng)
    if rng.random() < 0.8:
        samples = colour(samples, rng)
    return unit_power(samples)


def babble(talkers: Sequence[Talker], num_samples: int, rng: np.random.Generator) -> Samples:
    """Return ``(num_samples,)`` of 2 to 20 people who talk at once, near and far, at unit power."""
    count = round(np.exp(rng.uniform(np.log(_FEWEST_TALKERS - 0.4), np.log(_MOST_TALKERS))))
    spread_db = rng.uniform(0, 3) if rng.random() < 0.4 else 0.0
    total = np.zeros(num_samples, np.float32)
    for chosen in rng.integers(len(talkers), size=count):
        voice = talk(talkers[chosen], num_samples, rng, pauses=0.2)
        if rng.random() < 0.5:
            voice = colour(voice, rng)
        total += unit_power(voice) * np.float32(10 ** (rng.normal(0, spread_db) / 20))
    if rng.random() < 0.3:
        total = echo(total, rng)
    if rng.random() < 0.3:
        total = colour(total, rng)
    return unit_power(total)


def _make_part(part: tuple[int, int]) -> list[Talker]:
    seed, count = part
    rng = random.Random(seed)
    accents = _accents()
    talkers: list[Talker] = []
    while len(talkers) < count:
        voice = Voice(
            rng.choice(_ENGLISH) if rng.random() < 0.5 else rng.choice(accents),
            rng.choice(voice_variants("train")),
            words_per_minute=rng.randint(100, 210),
            pitch=rng.randint(15, 80),
            pitch_range=rng.randint(20, 90),
        )
        try:
            spoken = [speak(draw_sentence(rng), voice) for _ in range(_SENTENCES)]
        except ValueError:  # a language without its dictionary is silent
            continue
        sentences = [resample_poly(each.samples, 320, 441).astype(np.float32) for each in spoken]
        if all(len(each) >= _SHORTEST and each.std() > 1e-3 for each in sentences):
            talkers.append([unit_power(each) for each in sentences])
    return talkers


def _accents() -> list[str]:
    folder = Path(espeakng_loader.get_data_path()) / "lang"
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.glob("*/*")
        if not path.name.startswith(("cmn", "yue", "hak"))  # tones need a script that the words lack
    )

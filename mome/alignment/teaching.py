"""Teach the aligner from recordings and their transcripts alone: nobody marked when a word is said.

An encoder looks around: it can tell a word half a second before it is said, and a head that learns on its
features when to say what settles on any times that are alike in all clips. So the times are found in
spectra of a tenth of a second, which cannot: from an even share of the loud frames for each character, the
best paths and the spectra of the characters improve each other (Viterbi training, as speech recognisers
began), at first for single characters, then for each between its neighbours, as an "a" sounds otherwise
in "at" than in "place". The heads on the encoders' frames are then solved for those times.
"""

# Shape letters: N samples, T frames of 20 ms, D width of a spectrum, M mel bands, K classes.

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.audio_utils import mel_filter_bank

from mome.alignment.aligner import Aligner
from mome.alignment.head import Floats, Head, fit
from mome.alignment.path import SILENCE, Classes, States, best_paths, states
from mome.model.audio_encoder import log_mel
from mome.progress import progress
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME, SAMPLING_RATE

__all__ = ["Times", "find_times", "solve_heads", "spectra"]

_BANDS = 40
_AROUND = 2  # frames before and behind: a tenth of a second
_ROUNDS = 6  # for single characters, and again for those between their neighbours
_LEAST_HEARD = 20  # times that a character is heard between the same neighbours, to count by itself
_CLIPS_AT_ONCE = 16  # half a minute each would take a tenth of a gigabyte
_LOUD = 0.4  # of the way from the quiet to the loud frames of a clip, in dB


class Times(NamedTuple):
    """What is said in every frame of 20 ms of a clip.

    Args:
        classes: Silence, or a character counted from 1 ``(T,)``.
        words: Number of the word ``(T,)``; -1 is silence.
    """

    classes: Classes
    words: Classes


def find_times(
    waveforms: Sequence[Floats], texts: Sequence[str], characters: str, taught: int
) -> list[Times]:
    """Return what is said when in every clip.

    Args:
        waveforms: Speech at 16 kHz.
        texts: What is said.
        characters: All that occur.
        taught: In so many of the first clips it is found out how characters sound.

    Raises:
        ValueError: If a clip has fewer frames than characters.
    """
    heard = [spectra(samples_N) for samples_N in waveforms]
    loud = [_loud(samples_N) for samples_N in waveforms[:taught]]
    values_TD = np.concatenate(heard[:taught])
    single = {character: number for number, character in enumerate(characters, SILENCE + 1)}
    plain = [states([[single[c] for c in word] for word in text.split()]) for text in texts]
    paths = [_even(each, is_loud) for each, is_loud in zip(plain[:taught], loud, strict=True)]
    between = _between_neighbours(texts, single, taught)
    rounds = [(plain, len(single) + 1)] * _ROUNDS + [(between, _count(between))] * _ROUNDS
    for each, num_classes in progress(rounds, "find the times of words"):
        labels_T = np.concatenate([s.classes[path] for s, path in zip(each[:taught], paths, strict=True)])
        head = fit(values_TD, labels_T, num_classes)
        paths = _best(head, heard[:taught], each[:taught])
    paths += _best(head, heard[taught:], between[taught:])
    return [Times(s.classes[path], s.words[path]) for s, path in zip(plain, paths, strict=True)]


def solve_heads(
    characters: str,
    times: Sequence[Classes],
    encode: Callable[[Sequence[int]], Sequence[tuple[Floats | None, Floats | None]]],
) -> Aligner:
    """Return the aligner whose heads name the classes in an encoder's frames.

    Args:
        characters: As `find_times` takes them.
        times: Classes that it returned.
        encode: Returns features of sound at 50 Hz and lips at 25 Hz, each or None, of clips by number.
    """
    found: dict[int, list[tuple[Floats, Classes]]] = {1: [], 2: []}
    starts = range(0, len(times), _CLIPS_AT_ONCE)
    for start in progress(starts, "align words to encoders"):
        indices = range(start, min(start + _CLIPS_AT_ONCE, len(times)))
        for index, both in zip(indices, encode(indices), strict=True):
            for every, features in zip(found, both, strict=True):
                if features is not None:
                    # A path enters a sound when most of a spectrum is in it, so the times are late: by about
                    # a frame of either encoder, synthetic and recorded voices alike.
                    labels = np.pad(times[index][every:], (0, every))[::every]
                    count = min(len(labels), len(features))
                    found[every].append((features[:count], labels[:count]))
    audio, video = (_solve(each, len(characters) + 1) for each in found.values())
    return Aligner(characters, audio, video)


def spectra(samples_N: Floats) -> Floats:
    """Return log-mel spectra ``(T, D)`` of every frame and those around it."""
    count = len(samples_N) // SAMPLES_PER_AUDIO_FRAME
    filters = mel_filter_bank(201, _BANDS, 0.0, SAMPLING_RATE / 2, SAMPLING_RATE, "slaney", "slaney")
    log_MF = log_mel(torch.from_numpy(samples_N), torch.from_numpy(filters).float()).numpy()
    frames_TD = log_MF[:, : 2 * count].T.reshape(count, 2 * _BANDS)
    padded = np.pad(frames_TD, ((_AROUND, _AROUND), (0, 0)), mode="edge")
    return np.concatenate([padded[place : place + count] for place in range(2 * _AROUND + 1)], axis=1)


def _loud(samples_N: Floats) -> NDArray[np.bool_]:
    count = len(samples_N) // SAMPLES_PER_AUDIO_FRAME
    frames = samples_N[: count * SAMPLES_PER_AUDIO_FRAME].reshape(count, -1)
    levels_T = np.log(np.square(frames).mean(axis=1) + 1e-9)
    low, high = np.percentile(levels_T, [10, 95])
    is_loud_T: NDArray[np.bool_] = levels_T >= low + _LOUD * (high - low)
    return is_loud_T


def _even(text: States, is_loud_T: NDArray[np.bool_]) -> Classes:
    """Share the frames from the first to the last loud one evenly among the characters."""
    first, *_, last = [*np.flatnonzero(is_loud_T), np.flatnonzero(is_loud_T)[-1]]
    spoken = np.flatnonzero(text.classes != SILENCE)
    path_T = np.zeros(len(is_loud_T), np.int64)
    count = last + 1 - first
    path_T[first : last + 1] = spoken[np.arange(count) * len(spoken) // count]
    path_T[last + 1 :] = len(text.classes) - 1
    return path_T


def _between_neighbours(texts: Sequence[str], single: dict[str, int], taught: int) -> list[States]:
    """Return states whose classes are characters between neighbours, or alone where that is rare."""
    every = [[[f" {word} "[i : i + 3] for i in range(len(word))] for word in text.split()] for text in texts]
    heard = Counter(three for text in every[:taught] for word in text for three in word)
    often = sorted(three for three, times in heard.items() if times >= _LEAST_HEARD)
    classes = {three: number for number, three in enumerate(often, len(single) + 1)}
    return [
        states([[classes.get(three, single[three[1]]) for three in word] for word in text]) for text in every
    ]


def _count(texts: Sequence[States]) -> int:
    return 1 + max(int(text.classes.max()) for text in texts)


def _best(head: Head, heard: Sequence[Floats], texts: Sequence[States]) -> list[Classes]:
    classes = [text.classes for text in texts]
    paths: list[Classes] = []
    for start in range(0, len(heard), _CLIPS_AT_ONCE):
        part = slice(start, start + _CLIPS_AT_ONCE)
        scores = [head(each)[:, text] for each, text in zip(heard[part], classes[part], strict=True)]
        paths += best_paths(scores, classes[part])
    return paths


def _solve(labelled: Sequence[tuple[Floats, Classes]], num_classes: int) -> Head | None:
    if not labelled:
        return None
    features, labels = zip(*labelled, strict=True)
    return fit(np.concatenate(features), np.concatenate(labels), num_classes)

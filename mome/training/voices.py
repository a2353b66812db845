"""Synthetic voices that say what people say in the corpus: for corpora of few talkers.

Of one talker's recordings a model learns that voice, and which words follow which. Where sound is read alone
somebody else says other sentences of the same words, so that it has to listen. Source of the idea: synthetic
speech as training data (Li et al. 2018, arXiv 1811.00707).
"""

# Shape letters: N samples.

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from mome.errors import TrainingError
from mome.progress import progress
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE, Samples
from mome.storage import new_file
from mome.synthesis import SyntheticUtterance, render_all
from mome.synthesis.speakers import speakers
from mome.training.processes import ALONE, Processes

__all__ = ["Voices", "joined_texts", "keep_voices"]

_PER_RECORDING, _MOST = (
    4,
    1000,
)  # sentences: each is heard a few times in a training of half an hour of recordings
_JOINED = 0.5  # share of the words before which another text goes on: no word follows from those before it
_DRAWS = 5  # tells these draws from all others of the same seed
_FRAME = SAMPLING_RATE // VIDEO_FRAMES_PER_SECOND


@dataclass(frozen=True)
class Voices:
    """Sentences, each of a voice of its own.

    Args:
        samples: Of all, one behind the other, int16 at 16 kHz.
        ends: Where each ends in them.
        transcripts: Of each.
    """

    samples: NDArray[np.int16]
    ends: NDArray[np.int64]
    transcripts: Sequence[str]

    def draw(self, rng: np.random.Generator) -> tuple[Samples, str]:
        """Return what one of them sounds like ``(N,)``, and what it says."""
        place = int(rng.integers(len(self.ends)))
        first = self.ends[place - 1] if place else 0
        samples_N = self.samples[first : self.ends[place]].astype(np.float32) / np.float32(32767)
        return samples_N, self.transcripts[place]


def keep_voices(
    path: Path,
    transcripts: Sequence[str],
    bounds: tuple[int, int],
    seed: int,
    processes: Processes = ALONE,
) -> Voices:
    """Let them speak, or return what they said from a file if an earlier start has.

    Args:
        path: Of the file.
        transcripts: Of the training split; English, for that is what they speak.
        bounds: Fewest and most video frames that a sentence may last; others are left out.
        seed: Of sentences and voices.
        processes: Of which the first one lets them speak, for all.

    Raises:
        TrainingError: If no sentence lasts so long.
    """
    if processes.is_first and not path.exists():
        _make(path, transcripts, bounds, seed)
    processes.wait()
    if not path.exists():
        raise TrainingError(
            "no synthetic voice says a text of this corpus in about the time of its recordings; "
            "set train.synthetic_voices to 0"
        )
    with safe_open(path, "numpy") as file:
        said = json.loads(file.metadata()["transcripts"])
        return Voices(file.get_tensor("samples"), file.get_tensor("ends"), said)


def joined_texts(transcripts: Sequence[str], count: int, share: float, rng: np.random.Generator) -> list[str]:
    """Return texts in which, at each word, another one may go on with its own word of the same number.

    Args:
        transcripts: To join, at least one with a word.
        count: Of texts to return.
        share: Of the words before which another one goes on.
        rng: Draws everything.
    """
    known = sorted((words for text in transcripts if (words := text.split())), key=len)
    texts = []
    for _ in range(count):
        taken = known[int(rng.integers(len(known)))]
        words = taken[:1]
        while len(words) < len(taken):
            if rng.random() < share:
                longer = bisect_right(known, len(words), key=len)
                taken = known[int(rng.integers(longer, len(known)))]
            words.append(taken[len(words)])
        texts.append(" ".join(words))
    return texts


def _make(path: Path, transcripts: Sequence[str], bounds: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng([seed, _DRAWS])
    count = min(_PER_RECORDING * len(transcripts), _MOST)
    everybody = speakers("train")  # what others of them say is left to be tested with
    plan = [
        SyntheticUtterance(
            f"voice-{number:05d}",
            "train",
            everybody[int(rng.integers(len(everybody)))],
            text,
            int(rng.integers(2**31)),
        )
        for number, text in enumerate(joined_texts(transcripts, count, _JOINED, rng))
    ]
    said: list[NDArray[np.int16]] = []
    texts = []
    for rendered in progress(render_all(plan, with_mouths=False), "let others speak", total=len(plan)):
        samples_N = rendered.clip.samples
        assert samples_N is not None  # they are heard
        if bounds[0] <= len(samples_N) // _FRAME <= bounds[1]:
            said.append(np.rint(samples_N * 32767).astype(np.int16))
            texts.append(rendered.utterance.transcript)
    if said:
        kept = {"samples": np.concatenate(said), "ends": np.cumsum([len(each) for each in said])}
        with new_file(path) as temporary:
            save_file(kept, temporary, {"transcripts": json.dumps(texts)})

"""How far word times are from the true ones, and what they cost a reading.

    python -m mome.benchmark.words --foundation FOLDER --checkpoint FOLDER
    ... --clips FOLDER --times FILE [--audio FOLDER]

Without recordings voices are synthesised, those that are measured in no training, and the synthesis knows
when it says each word. With recordings, every fifth is measured. Either way the aligner is taught on the
others, as training teaches it, and aligns the true text: a word that was misheard has no true time. The
file of times is tab-separated, with the columns ``clip``, ``start_s``, ``end_s`` and ``word``; ``sil`` and
``sp`` are silence.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mome.alignment import Aligner
from mome.alignment.aligner import Span
from mome.cli import main
from mome.config import load_params
from mome.errors import CorpusError
from mome.inference import Transcriber
from mome.model.audio_encoder import AudioEncoder
from mome.model.encoders import Encoders
from mome.model.recogniser import Recogniser
from mome.progress import progress
from mome.reading import Kept, Reading
from mome.records import Decoding, Modality
from mome.reporting.markdown import columns
from mome.speech.media import Clip, read_clip
from mome.synthesis import plan_corpus, render_all
from mome.training.alignment import teach_aligner
from mome.training.checkpoint import load_checkpoint
from mome.training.clips import TrainingClips
from mome.training.spoken import find_spoken

__all__ = ["Spoken", "errors_ms", "read_times"]

_TAUGHT, _MEASURED = 450, 100  # synthetic sentences
_EVERY = 5
_CLIPS_PER_PASS = 8
_REPETITIONS = 5
_SILENCE = ("sil", "sp")


class Spoken(NamedTuple):
    """A recording, and when each of its words is said."""

    clip: Clip
    words: tuple[str, ...]
    spans: tuple[Span, ...]


def read_times(path: Path) -> dict[str, list[tuple[str, Span]]]:
    """Return the words of each clip and their times.

    Raises:
        CorpusError: If a column is missing or a number is none.
    """
    found: dict[str, list[tuple[str, Span]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            try:
                span = Span(float(row["start_s"]), float(row["end_s"]))
                if row["word"] not in _SILENCE:
                    found[row["clip"]].append((row["word"], span))
            except (KeyError, TypeError, ValueError) as error:
                raise CorpusError(f"{path}: expected clip, start_s, end_s and word, got {row}") from error
    return found


def errors_ms(aligner: Aligner, encoders: Encoders, spoken: Sequence[Spoken], read: Modality) -> np.ndarray:
    """Return how much too late each word's start and end are found ``(words, 2)``, in milliseconds."""
    late = []
    for start in progress(range(0, len(spoken), _CLIPS_PER_PASS), f"time words by {read}"):
        part = spoken[start : start + _CLIPS_PER_PASS]
        for one, features in zip(part, encoders.encode([one.clip.only(read) for one in part]), strict=True):
            audio_TC, video_TC = (
                None if each is None else each.numpy(force=True)
                for each in (features.audio_TC, features.video_TC)
            )
            spans = aligner.spans(" ".join(one.words), audio_TC, video_TC)
            late.append(np.array(spans) - np.array(one.spans))
    errors: np.ndarray = 1000 * np.concatenate(late)
    return errors


def _synthetic() -> tuple[list[Spoken], list[Spoken]]:
    clips = render_all(plan_corpus(_TAUGHT, 0, _MEASURED, seed=23))
    spoken = [
        Spoken(
            each.clip,
            tuple(word.text for word in each.words),
            tuple(Span(word.start_s, word.end_s) for word in each.words),
        )
        for each in clips
    ]
    return spoken[:_TAUGHT], spoken[_TAUGHT:]


def _recorded(folder: Path, times: Path) -> tuple[list[Spoken], list[Spoken]]:
    known = read_times(times)
    paths = [path for path in sorted(folder.iterdir()) if path.stem in known]
    if len(paths) < _EVERY:
        raise CorpusError(
            f"{folder}: {len(paths)} of its recordings are in {times}; expected {_EVERY} or more"
        )
    spoken = []
    for path in progress(paths, "read recordings"):
        words, spans = zip(*known[path.stem], strict=True)
        spoken.append(Spoken(read_clip(path, None), words, spans))
    return [one for number, one in enumerate(spoken) if number % _EVERY], spoken[::_EVERY]


def _teach(recogniser: Recogniser, spoken: Sequence[Spoken], params_file: Path) -> tuple[Aligner, float]:
    """Return the aligner, and the processor seconds that it took."""
    mouths = [one.clip.mouth for one in spoken if one.clip.mouth is not None]
    lips = []
    with torch.inference_mode():
        for start in progress(range(0, len(mouths), _CLIPS_PER_PASS), "encode lips"):
            lips += [each.half() for each in recogniser.encoders.see(mouths[start : start + _CLIPS_PER_PASS])]
    waveforms = [one.clip.samples for one in spoken if one.clip.samples is not None]
    clips = TrainingClips(waveforms, lips, [" ".join(one.words) for one in spoken])
    began = time.process_time()
    times = find_spoken(clips)
    if times is None:
        raise CorpusError("there is no sound to teach an aligner on")
    aligner = teach_aligner(recogniser, clips, times, load_params(params_file).train)
    return aligner, time.process_time() - began


def _latency_ms(recogniser: Recogniser, aligner: Aligner, spoken: Sequence[Spoken]) -> tuple[float, float]:
    """Return the median processor time of a reading without words and with them, in turn."""
    greedy = Decoding(num_beams=1, max_new_tokens="by_duration")
    transcriber = Transcriber(recogniser, greedy, aligner)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for one in spoken:
        for timed in [False, True] * _REPETITIONS:
            began = time.process_time()
            transcriber.read([Reading(one.clip, transcriber.scales[0], timed)], [Kept()])
            taken[timed].append(1000 * (time.process_time() - began))
    return statistics.median(taken[False]), statistics.median(taken[True])


def _row(what: str, errors: np.ndarray) -> list[str]:
    size = np.abs(errors)
    start, end = size.mean(axis=0)
    shares = [f"{size.mean():.0f}", f"{start:.0f}", f"{end:.0f}", f"{np.median(size):.0f}"]
    return [what, *shares, f"{errors.mean():+.0f}", f"{(size > 100).mean():.1%}"]


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.benchmark.words", description="Measure word times.")
    parser.add_argument("--foundation", type=Path, required=True, help="folder with the frozen models")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder that training wrote")
    parser.add_argument("--clips", type=Path, help="folder of recordings")
    parser.add_argument("--times", type=Path, help="when their words are said")
    parser.add_argument("--audio", type=Path, help="folder of another Whisper, to hear with instead")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    given = parser.parse_args()
    if (given.clips is None) != (given.times is None):
        parser.error("--clips and --times go together")
    recogniser = load_checkpoint(given.checkpoint, given.foundation)
    if given.audio is not None:
        encoders = Encoders(AudioEncoder.load(given.audio), recogniser.encoders.video)
        recogniser = Recogniser(encoders, recogniser.model)
    taught, measured = _synthetic() if given.clips is None else _recorded(given.clips, given.times)
    aligner, seconds = _teach(recogniser, taught, given.params)
    rows = [
        _row(read, errors_ms(aligner, recogniser.encoders, measured, read))
        for read in (("audio", "video") if aligner.video is not None else ("audio",))
    ]
    head = ["read", "mean error, ms", "start", "end", "median", "too late by", "above 100 ms"]
    print(columns(head, rows))
    print(f"taught on {len(taught)} clips in {seconds:.1f} s of processor time, measured on {len(measured)}")
    if given.audio is None:
        without, with_words = _latency_ms(recogniser, aligner, measured[:20])
        print(f"a reading takes {without:.1f} ms of processor time, with words {with_words:.1f} ms")


if __name__ == "__main__":
    raise SystemExit(main(_command))

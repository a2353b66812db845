"""Seconds of one step of each lesson of the foundation, and of one training step, by precision.

``python -m mome.benchmark.lessons`` prints them as JSON; `mome.benchmark.kinds` starts it once per kind of
processor, for the libraries read their switches when they are loaded.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import torch

from mome.benchmark.models import embedded
from mome.benchmark.options import ALL_LAYERS, MOME, Options
from mome.benchmark.training import random_lesson
from mome.cli import main
from mome.config import Precision, Threads, load_params
from mome.foundation.encoders import new_audio_encoder, new_video_encoder, teach_audio, teach_video
from mome.foundation.language import new_language_model, pronounce_words, teach_language
from mome.foundation.lessons import make_lessons
from mome.foundation.side_by_side import Teaching
from mome.foundation.tokenizer import new_tokenizer
from mome.machine.processor import best_precision, use_threads
from mome.model.avsr import Features
from mome.model.precision import mixed_precision
from mome.model.tokens import TextTokens
from mome.training.step import backward_tasks, tasks_of

__all__ = ["seconds"]

_SEED = 29
_LESSONS = 32
_STEPS, _WARM_UP = 6, 2
_MOST_S = 6.0  # for one line: on the wrong precision a step alone takes seconds
_CLIPS, _CLIP_FRAMES = 6, 55  # of a training step: utterances of 2.2 s, as the embedded corpus has them

Steps = Callable[[Precision], Iterator[None]]


def seconds(precisions: Sequence[Precision]) -> dict[str, dict[str, float]]:
    """Return the median seconds of a step, by what is computed and precision.

    A lesson has one thread, as two have that are taught side by side; a training step has all.

    Args:
        precisions: ``auto`` is what this machine decides on.
    """
    found: dict[str, dict[str, float]] = {}
    for name, steps, threads in _measured():
        use_threads(threads)
        found[name] = {precision: _time(steps(precision)) for precision in precisions}
    return found


def _time(steps: Iterator[None]) -> float:
    times: list[float] = []
    began = time.perf_counter()
    for _ in range(_WARM_UP + _STEPS):
        started = time.perf_counter()
        next(steps)
        times.append(time.perf_counter() - started)
        if time.perf_counter() - began > _MOST_S:
            break
    return median(times[_WARM_UP:] or times[-1:])


def _measured() -> Iterator[tuple[str, Steps, Threads]]:
    lessons = make_lessons(_LESSONS, _SEED)
    said = pronounce_words()
    settings = {"steps": _WARM_UP + _STEPS + 1, "seed": _SEED}

    def audio(precision: Precision) -> Teaching:
        return teach_audio(new_audio_encoder()[0], lessons, precision=_here(precision), **settings)

    def video(precision: Precision) -> Teaching:
        return teach_video(new_video_encoder(), lessons, precision=_here(precision), **settings)

    def language(precision: Precision) -> Teaching:
        tokenizer = new_tokenizer(_SEED)
        llm, tokens = new_language_model(tokenizer), TextTokens(tokenizer)
        return teach_language(llm, tokens, said, precision=_here(precision), **settings)

    yield "audio lesson", audio, 1
    yield "video lesson", video, 1
    yield "language lesson", language, 1
    yield "training step", _training, "auto"


def _here(precision: Precision) -> Precision:
    """Return what a precision is on this machine."""
    return best_precision() if precision == "auto" else precision


def _training(precision: Precision) -> Iterator[None]:
    params = load_params()
    train = params.train.model_copy(update={**MOME, "device": "cpu", "precision": _here(precision)})
    options = Options("cpu", 1, ALL_LAYERS, quick=False, train=train, evaluate=params.evaluate)
    recogniser = embedded(options)
    lesson = random_lesson(recogniser, _CLIPS, _CLIP_FRAMES, _SEED)
    waveforms = [clip.samples for clip in lesson.clips if clip.samples is not None]
    model = recogniser.model
    while True:
        model.zero_grad(set_to_none=True)
        with torch.no_grad(), mixed_precision("cpu", train.precision):
            heard = recogniser.encoders.hear(waveforms)
        tasks = [
            task
            for sound, lips, text in zip(heard, lesson.lips, lesson.texts, strict=True)
            for task in tasks_of(Features(sound.float(), lips), model.scales, text, train.task_weights)
        ]
        backward_tasks(model, tasks, train)
        yield


def _print() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.benchmark.lessons", description=__doc__)
    parser.add_argument("--precisions", nargs="+", default=["auto"], choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--output", type=Path, help="JSON file to write instead")
    given = parser.parse_args()
    found = json.dumps(seconds(given.precisions))
    if given.output is None:
        print(found)
    else:
        given.output.write_text(found)


if __name__ == "__main__":
    raise SystemExit(main(_print))

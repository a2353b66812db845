"""What callers at a time gain from being read together, of any scales; on a GPU, how much speech that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

import numpy as np
import torch

from mome.benchmark.equality import ResultsDifferError
from mome.benchmark.models import (
    embedded,
    embedded_encoders,
    llama_1b,
    published_encoders,
    random_clip,
    recogniser,
)
from mome.benchmark.options import Options
from mome.benchmark.rows import Ratio, Row, Target
from mome.benchmark.timing import row, time_in_turn
from mome.machine.processor import processor
from mome.model.avsr import Task
from mome.model.captured_decoding import CapturedSteps
from mome.model.recogniser import Recogniser
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.media import Clip

__all__ = ["measure_batches"]

_CLIPS = 8
_FRAMES = (50, 100)  # 2 to 4 s
_NEW_TOKENS = 12
_TARGET = Target(low=4.0)
_CALLERS = 64  # on a GPU
_LONG_FRAMES = (75, 200)  # 3 to 8 s
_TOKENS_PER_S = 4  # of an LLM with a large vocabulary
_REAL_TIME = Target(low=300.0)


def measure_batches(options: Options) -> Iterator[Row]:
    """Yield a line for the embedded model, and one with an LLM of Llama-3.2-1B shapes; in float32.

    On a GPU: how many times faster than real time 64 callers are read, with the shapes of profile lrs3-1b.
    """
    if options.on_gpu:
        yield from _measure_on_gpu(options)
        return
    yield _measure("embedded size", embedded(options), "float32", None, options)
    dtype = torch.bfloat16 if processor().has_bfloat16 else torch.float32
    big = recogniser(embedded_encoders(options), llama_1b(options, dtype), options)
    note = f"embedded encoders; {options.note(dtype)}"
    yield _measure("Llama-3.2-1B shapes", big, note, _TARGET, options)


def _measure_on_gpu(options: Options) -> Iterator[Row]:
    both = recogniser(published_encoders(options), llama_1b(options, torch.bfloat16), options)
    both.model.captured_steps = CapturedSteps()
    rng = np.random.default_rng(7)
    frames = rng.integers(
        *(_FRAMES if options.quick else _LONG_FRAMES), size=2 if options.quick else _CALLERS
    )
    clips = [random_clip(int(each), rng) for each in frames]
    speech_s = sum(frames.tolist()) / VIDEO_FRAMES_PER_SECOND
    budgets = [2 if options.quick else int(each / VIDEO_FRAMES_PER_SECOND * _TOKENS_PER_S) for each in frames]
    for name, heard in (
        ("sound alone", [Clip(clip.samples, None) for clip in clips]),
        ("sound and lips", clips),
    ):
        read = partial(_read, both, heard, range(len(heard)), budgets)
        what = f"{len(clips)} callers with 3 to 8 s each, {name}, against real time"
        times = time_in_turn({"read": read}, what, repetitions=options.repetitions, device=options.device)
        ratio = Ratio.of([speech_s] * options.repetitions, times["read"])
        note = f"Whisper-medium, AV-HuBERT Large and Llama-3.2-1B shapes; {len(both.model.scales)} scales; "
        note += f"{_TOKENS_PER_S} tokens for each second; {options.note(torch.bfloat16)}, encoders float32"
        yield Row(what, speech_s, median(times["read"]), ratio, _REAL_TIME, note)


def _measure(name: str, both: Recogniser, note: str, target: Target | None, options: Options) -> Row:
    rng = np.random.default_rng(7)
    new_tokens = 2 if options.quick else _NEW_TOKENS
    # Sound alone, as most callers send it.
    clips = [Clip(random_clip(int(rng.integers(*_FRAMES)), rng).samples, None) for _ in range(_CLIPS)]
    numbers = range(_CLIPS)

    def together() -> list[str]:
        return _read(both, clips, numbers, new_tokens)

    def one_by_one() -> list[str]:
        return [text for number in numbers for text in _read(both, clips, [number], new_tokens)]

    what = f"{_CLIPS} clips of 2 to 4 s read together, {name}"
    if together() != one_by_one():
        raise ResultsDifferError(f"{what}: the texts are not those of the clips one by one")
    times = time_in_turn(
        {"one by one": one_by_one, "together": together},
        f"batches, {name}",
        repetitions=options.repetitions,
        device=options.device,
    )
    scales = f"{len(both.model.scales)} scales"
    note = f"{scales}; {new_tokens} tokens written; {note}"
    return row(what, times, "one by one", "together", target, note)


@torch.inference_mode()
def _read(
    both: Recogniser, clips: Sequence[Clip], numbers: Sequence[int], budgets: int | Sequence[int]
) -> list[str]:
    """Return the texts of some clips, each at the scale of its number."""
    encoders, model = both
    features = encoders.encode([clips[number] for number in numbers])
    scales = [model.scales[number % len(model.scales)] for number in numbers]
    tasks = [Task(each, scale) for each, scale in zip(features, scales, strict=True)]
    return model.transcribe(tasks, budgets)

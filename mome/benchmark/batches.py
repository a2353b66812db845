"""What eight callers at a time gain from being read together, of any scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch

from mome.benchmark.equality import ResultsDifferError
from mome.benchmark.models import embedded, embedded_encoders, llama_1b, random_clip, recogniser
from mome.benchmark.options import Options
from mome.benchmark.rows import Row, Target
from mome.benchmark.timing import row, time_in_turn
from mome.model.avsr import Task
from mome.model.recogniser import Recogniser
from mome.speech.media import Clip

__all__ = ["measure_batches"]

_CLIPS = 8
_FRAMES = (50, 100)  # 2 to 4 s
_NEW_TOKENS = 12
_TARGET = Target(low=4.0)


def measure_batches(options: Options) -> Iterator[Row]:
    """Yield a line for the embedded model, and one with an LLM of Llama-3.2-1B shapes; in float32."""
    yield _measure("embedded size", embedded(options), "float32", None, options)
    big = recogniser(embedded_encoders(options), llama_1b(options, torch.float32), options)
    note = f"embedded encoders; {options.note(torch.float32)}"
    yield _measure("Llama-3.2-1B shapes", big, note, _TARGET, options)


def _measure(name: str, both: Recogniser, note: str, target: Target | None, options: Options) -> Row:
    encoders, model = both
    rng = np.random.default_rng(7)
    new_tokens = 2 if options.quick else _NEW_TOKENS
    # Sound alone, as most callers send it.
    clips = [Clip(random_clip(int(rng.integers(*_FRAMES)), rng).samples, None) for _ in range(_CLIPS)]
    numbers = range(_CLIPS)

    def read(together: Sequence[int]) -> list[str]:
        features = encoders.encode([clips[number] for number in together])
        scales = [model.scales[number % len(model.scales)] for number in together]
        tasks = [Task(each, scale) for each, scale in zip(features, scales, strict=True)]
        return model.transcribe(tasks, new_tokens)

    def one_by_one() -> list[str]:
        return [text for number in numbers for text in read([number])]

    what = f"{_CLIPS} clips of 2 to 4 s read together, {name}"
    if read(numbers) != one_by_one():
        raise ResultsDifferError(f"{what}: the texts are not those of the clips one by one")
    times = time_in_turn(
        {"one by one": one_by_one, "together": partial(read, numbers)},
        f"batches, {name}",
        repetitions=options.repetitions,
        device=options.device,
    )
    scales = f"{len(model.scales)} scales"
    note = f"{scales}; {new_tokens} tokens written; {note}"
    return row(what, times, "one by one", "together", target, note)

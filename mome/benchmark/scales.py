"""What a coarser scale saves end to end, against what its fewer tokens allow."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

import numpy as np
import torch

from mome.benchmark.models import embedded, embedded_encoders, llama_1b, random_clip, recogniser
from mome.benchmark.options import Options
from mome.benchmark.rows import Ratio, Row, Target
from mome.benchmark.timing import time_in_turn
from mome.model.avsr import AVSRModel, Task
from mome.model.recogniser import Recogniser
from mome.scales import Scale

__all__ = ["allowed_time", "measure_scales"]

_FINE, _COARSE = Scale(4, 2), Scale(16, 5)
_TARGET = Target(0.85, 1.15)
_CLIP_FRAMES = 250  # 10 s
_NEW_TOKENS = 8
_DELIMITERS = 5  # the begin token among them


def measure_scales(options: Options) -> Iterator[Row]:
    """Yield a line for the embedded model, and one with an LLM of Llama-3.2-1B shapes; in float32."""
    yield _measure("embedded size", embedded(options), "float32", options)
    big = recogniser(embedded_encoders(options), llama_1b(options, torch.float32), options)
    note = f"embedded encoders; {options.note(torch.float32)}"
    yield _measure("Llama-3.2-1B shapes", big, note, options)


def allowed_time(fine_s: float, prefill_s: float, fine_positions: int, coarse_positions: int) -> float:
    """Return the time per clip at which the prefill has become shorter by as much as its positions.

    Encoders, and the tokens that are written, cost the same at both scales.

    Args:
        fine_s: Of a clip at the finer scale, end to end.
        prefill_s: The prefill's part of it.
        fine_positions, coarse_positions: What the LLM reads before it writes.
    """
    return fine_s - prefill_s * (1 - coarse_positions / fine_positions)


def _measure(name: str, both: Recogniser, note: str, options: Options) -> Row:
    encoders, model = both
    frames, new_tokens = (50, 2) if options.quick else (_CLIP_FRAMES, _NEW_TOKENS)
    clip = random_clip(frames, np.random.default_rng(5))
    features = encoders.encode([clip])[0]

    def end_to_end(scale: Scale) -> list[str]:
        return model.transcribe([Task(encoders.encode([clip])[0], scale)], new_tokens)

    times = time_in_turn(
        {
            "fine": partial(end_to_end, _FINE),
            "coarse": partial(end_to_end, _COARSE),
            # The first token falls out of the prefill.
            "prefill": partial(model.transcribe, [Task(features, _FINE)], 1),
        },
        f"scales, {name}",
        repetitions=options.repetitions,
        device=options.device,
    )
    positions = [_positions(model, Task(features, scale)) for scale in (_FINE, _COARSE)]
    allowed = [
        allowed_time(fine_s, prefill_s, *positions)
        for fine_s, prefill_s in zip(times["fine"], times["prefill"], strict=True)
    ]
    measured = Ratio.of(times["fine"], times["coarse"]).median
    possible = Ratio.of(times["fine"], allowed).median
    return Row(
        f"a clip of {frames / 25:g} s end to end at (16,5) against (4,2), {name}",
        median(times["fine"]),
        median(times["coarse"]),
        Ratio.of(allowed, times["coarse"]),
        _TARGET,
        f"{measured:.2f} times faster, {positions[0]} and {positions[1]} positions allow {possible:.2f}; "
        f"{new_tokens} tokens written; {note}",
    )


def _positions(model: AVSRModel, task: Task) -> int:
    return task.num_tokens + _DELIMITERS + len(model.tokens.prompt("av"))

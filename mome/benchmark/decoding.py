"""Decoding one clip on a GPU, against reading the weights once per token at the copy bandwidth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import torch

from mome.benchmark.language import random_prefix
from mome.benchmark.models import llama_1b
from mome.benchmark.options import Options
from mome.benchmark.rows import Ratio, Row, Target, not_measured
from mome.benchmark.timing import Side, time_in_turn
from mome.model.compiled_decoding import CompiledSteps

__all__ = ["bytes_per_token", "measure_decoding"]

_NAME = "decoding, Llama-3.2-1B shapes, batch 1, bfloat16, on a GPU"
_TARGET = Target(high=1.5)
_PREFIX = 257  # a clip of 10 s at (4,2)
_FEW, _MANY = 16, 80  # tokens; their difference is free of the prefill
_COPIED = 2**30  # bytes


def measure_decoding(options: Options) -> Iterator[Row]:
    """Yield the lines of one decoded token, by plain ``generate`` and by `CompiledSteps`."""
    if not options.on_gpu:
        yield not_measured(_NAME, _TARGET, "needs a GPU")
        return
    llm = llama_1b(options, torch.bfloat16)
    steps = CompiledSteps()
    with torch.inference_mode():
        prefix_BLD = random_prefix(llm, _PREFIX)
        copied, few, many = (2**20, 1, 3) if options.quick else (_COPIED, _FEW, _MANY)
        source = torch.empty(copied, dtype=torch.uint8, device=options.device)
        sides: dict[str, Side] = {"copy": partial(torch.empty_like(source).copy_, source)}
        for new_tokens in (few, many):
            sides[f"plain {new_tokens}"] = partial(_generate, llm, prefix_BLD, new_tokens, None)
            sides[f"compiled {new_tokens}"] = partial(_generate, llm, prefix_BLD, new_tokens, steps)
        times = time_in_turn(sides, _NAME, repetitions=options.repetitions, device=options.device)
    # A copy reads and writes.
    bandwidth = [2 * copied / seconds for seconds in times["copy"]]
    weights_s = [bytes_per_token(llm) / each for each in bandwidth]
    note = f"copy bandwidth {median(bandwidth) / 1e12:.2f} TB/s; {options.note(torch.bfloat16)}"
    for kind, target in (("plain", None), ("compiled", _TARGET)):
        pairs = zip(times[f"{kind} {few}"], times[f"{kind} {many}"], strict=True)
        tokens_s = [(longer - shorter) / (many - few) for shorter, longer in pairs]
        yield Row(
            f"{_NAME}, {kind} steps",
            median(weights_s),
            median(tokens_s),
            Ratio.of(tokens_s, weights_s),
            target,
            note,
        )


def bytes_per_token(llm: Any) -> int:
    """Return the bytes of weights that decoding one token reads: all of them, tied ones once."""
    return sum(parameter.numel() * parameter.element_size() for parameter in llm.parameters())


def _generate(llm: Any, prefix_BLD: torch.Tensor, new_tokens: int, steps: CompiledSteps | None) -> None:
    generate = llm.generate if steps is None else partial(steps.generate, llm)
    generate(
        inputs_embeds=prefix_BLD,
        attention_mask=torch.ones(prefix_BLD.shape[:2], dtype=torch.long, device=prefix_BLD.device),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=0,
    )

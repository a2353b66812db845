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
from mome.benchmark.timing import time_in_turn

__all__ = ["bytes_per_token", "measure_decoding"]

_NAME = "decoding, Llama-3.2-1B shapes, batch 1, bfloat16, on a GPU"
_TARGET = Target(high=1.5)
_PREFIX = 257  # a clip of 10 s at (4,2)
_FEW, _MANY = 16, 80  # tokens; their difference is free of the prefill
_COPIED = 2**30  # bytes


def measure_decoding(options: Options) -> Iterator[Row]:
    """Yield the line of one decoded token."""
    if not options.on_gpu:
        yield not_measured(_NAME, _TARGET, "needs a GPU")
        return
    llm = llama_1b(options, torch.bfloat16)
    with torch.inference_mode():
        prefix_BLD = random_prefix(llm, _PREFIX)
        copied, few, many = (2**20, 1, 3) if options.quick else (_COPIED, _FEW, _MANY)
        source = torch.empty(copied, dtype=torch.uint8, device=options.device)
        times = time_in_turn(
            {
                "few": partial(_generate, llm, prefix_BLD, few),
                "many": partial(_generate, llm, prefix_BLD, many),
                "copy": partial(torch.empty_like(source).copy_, source),
            },
            _NAME,
            repetitions=options.repetitions,
            device=options.device,
        )
    # A copy reads and writes.
    bandwidth = [2 * copied / seconds for seconds in times["copy"]]
    tokens_s = [
        (longer - shorter) / (many - few) for shorter, longer in zip(times["few"], times["many"], strict=True)
    ]
    weights_s = [bytes_per_token(llm) / each for each in bandwidth]
    yield Row(
        _NAME,
        median(weights_s),
        median(tokens_s),
        Ratio.of(tokens_s, weights_s),
        _TARGET,
        f"copy bandwidth {median(bandwidth) / 1e12:.2f} TB/s; {options.note(torch.bfloat16)}",
    )


def bytes_per_token(llm: Any) -> int:
    """Return the bytes of weights that decoding one token reads: all of them, tied ones once."""
    return sum(parameter.numel() * parameter.element_size() for parameter in llm.parameters())


def _generate(llm: Any, prefix_BLD: torch.Tensor, new_tokens: int) -> None:
    llm.generate(
        inputs_embeds=prefix_BLD,
        attention_mask=torch.ones(prefix_BLD.shape[:2], dtype=torch.long, device=prefix_BLD.device),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=0,
    )

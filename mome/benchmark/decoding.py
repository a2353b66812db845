"""Decoding one clip on a GPU, against the bare LLM, and against reading the weights once per token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from statistics import median
from typing import Any

import torch

from mome.benchmark.language import experts_removed, random_prefix
from mome.benchmark.models import llama_1b
from mome.benchmark.options import Options
from mome.benchmark.rows import Ratio, Row, Target, not_measured
from mome.benchmark.timing import Side, time_in_turn
from mome.model.captured_decoding import CapturedSteps, compiler
from mome.model.prefix import Assembled

__all__ = ["bytes_per_token", "measure_decoding"]

_NAME = "decoding, Llama-3.2-1B shapes, batch 1, bfloat16, on a GPU"
_OF_READING = Target(high=1.5)
_OF_BARE = Target(high=1.1)
_PREFIX = 257  # a clip of 10 s at (4,2)
_FEW, _MANY = 16, 80  # tokens; their difference is free of the prefill
_COPIED = 2**30  # bytes


def measure_decoding(options: Options) -> Iterator[Row]:
    """Yield the lines of one decoded token: by plain ``generate``, and by `CapturedSteps`, compiled too."""
    if not options.on_gpu:
        yield not_measured(_NAME, _OF_READING, "needs a GPU")
        return
    llm = llama_1b(options, torch.bfloat16)
    copied, few, many = (2**20, 1, 3) if options.quick else (_COPIED, _FEW, _MANY)
    with torch.inference_mode():
        prefix_BLD = random_prefix(llm, _PREFIX)
        mask_BL = torch.ones(prefix_BLD.shape[:2], dtype=torch.long, device=prefix_BLD.device)
        batch = Assembled(prefix_BLD, mask_BL)
        source = torch.empty(copied, dtype=torch.uint8, device=options.device)
        sides: dict[str, Side] = {"copy": partial(torch.empty_like(source).copy_, source)}
        for is_bare in (False, True):
            ways = {
                "plain": partial(_generate, llm, batch),
                "captured": partial(_read, llm, batch, CapturedSteps()),
                "compiled and captured": partial(_read, llm, batch, CapturedSteps(compiler())),
            }
            for name, write in ways.items():
                for tokens in (few, many):
                    sides[_side(name, is_bare, tokens)] = partial(_write, llm, is_bare, write, tokens)
        times = time_in_turn(sides, _NAME, repetitions=options.repetitions, device=options.device)
    # A copy reads and writes.
    bandwidth = [2 * copied / seconds for seconds in times["copy"]]
    weights_s = [bytes_per_token(llm) / each for each in bandwidth]
    note = f"copy bandwidth {median(bandwidth) / 1e12:.2f} TB/s; {options.note(torch.bfloat16)}"

    def seconds_a_token(way: str, is_bare: bool) -> list[float]:
        pairs = zip(times[_side(way, is_bare, few)], times[_side(way, is_bare, many)], strict=True)
        return [(longer - shorter) / (many - few) for shorter, longer in pairs]

    for way in ways:
        ours_s, bare_s = seconds_a_token(way, False), seconds_a_token(way, True)
        of_bare, of_reading = (None, None) if way == "plain" else (_OF_BARE, _OF_READING)
        yield _row(f"{_NAME}, {way} steps, against the bare LLM", bare_s, ours_s, of_bare, "")
        yield _row(f"{_NAME}, {way} steps, against reading the weights", weights_s, ours_s, of_reading, note)


def bytes_per_token(llm: Any) -> int:
    """Return the bytes of weights that decoding one token reads: all of them, tied ones once."""
    return sum(parameter.numel() * parameter.element_size() for parameter in llm.parameters())


def _row(
    what: str, before_s: Sequence[float], after_s: Sequence[float], target: Target | None, note: str
) -> Row:
    return Row(what, median(before_s), median(after_s), Ratio.of(after_s, before_s), target, note)


def _side(way: str, is_bare: bool, tokens: int) -> str:
    return f"{way} {'bare' if is_bare else 'experts'} {tokens}"


def _write(llm: Any, is_bare: bool, write: Callable[[int], None], tokens: int) -> None:
    with experts_removed(llm) if is_bare else nullcontext():
        write(tokens)


class _Endless:
    """A follower that never has enough."""

    def take(self, chosen: Sequence[int], logprobs: Sequence[float]) -> None:
        pass

    def is_wanted(self) -> bool:
        return True


def _read(llm: Any, batch: Assembled, steps: CapturedSteps, new_tokens: int) -> None:
    # As many positions for few tokens as for many: the same step.
    steps.read(llm, batch, new_tokens, _Endless(), ())


def _generate(llm: Any, batch: Assembled, new_tokens: int) -> None:
    llm.generate(
        inputs_embeds=batch.embeddings_BLD,
        attention_mask=batch.attention_mask_BL,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=0,
    )

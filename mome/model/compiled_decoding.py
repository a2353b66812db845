"""Greedy decoding on a GPU: a step that is compiled and captured once, and replayed for every token."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from transformers import CompileConfig, StaticCache

__all__ = ["CompiledSteps", "compile_config"]

_CACHE_STEP = 256  # positions: what was captured for one size of cache serves all clips that fit into it


class CompiledSteps:
    """Runs ``generate`` with a key-value cache of fixed size, so that one captured step serves all tokens.

    At batch 1 a GPU waits for Python: a step starts dozens of kernels per layer, each of a few
    microseconds. A captured step starts them all at once. The first texts are slow: every new size of
    batch or cache is compiled and captured.

    What was captured belongs to one thread and to one place in memory. So all decoding is done in one
    thread, whichever asks, and the cache is used again as long as its size stays the same. Beams would
    move it in every step; they are for plain ``generate``.

    Args:
        config: How to compile; None takes `compile_config`. On a CPU transformers compiles nothing.
    """

    def __init__(self, config: CompileConfig | None = None) -> None:
        # One object for good: transformers compiles anew for another one, even if it says the same.
        self._config = compile_config() if config is None else config
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compiled decoding")
        self._cache: tuple[tuple[int, int], StaticCache] | None = None

    def generate(self, llm: Any, **settings: Any) -> Tensor:
        """Return what ``llm.generate`` returns: new tokens ``(B, L)``.

        Args:
            llm: A causal LLM, adapted or not; always the same.
            settings: Arguments of ``generate``, with ``inputs_embeds`` and ``max_new_tokens``, but no beams.
        """
        return self._thread.submit(self._generate, llm, settings).result()

    @torch.inference_mode()  # belongs to a thread as well
    def _generate(self, llm: Any, settings: dict[str, Any]) -> Tensor:
        rows, positions = settings["inputs_embeds"].shape[:2]
        cache = self._cache_of(llm, rows, positions + settings["max_new_tokens"])
        ids_BL: Tensor = llm.generate(past_key_values=cache, compile_config=self._config, **settings)
        return ids_BL

    def _cache_of(self, llm: Any, rows: int, positions: int) -> StaticCache:
        """Return an empty cache; only the last one is kept, for the largest may fill a GPU."""
        size = (rows, -(-positions // _CACHE_STEP) * _CACHE_STEP)
        if self._cache is not None and self._cache[0] == size:
            self._cache[1].reset()
        else:
            self._cache = None  # freed before the next one is made
            self._cache = size, StaticCache(config=llm.config, max_cache_len=size[1])
        return self._cache[1]


def compile_config() -> CompileConfig:
    """Return how to compile here: kernels fused and captured, or only captured where no C compiler is.

    Each size of batch for itself: a graph for all of them cannot be captured.

    Triton, which makes the fused kernels, builds a small C program for each of them.
    """
    if shutil.which(os.environ.get("CC", "cc")) is None:
        return CompileConfig(backend="cudagraphs", mode="default", dynamic=False)
    return CompileConfig(mode="reduce-overhead", dynamic=False)

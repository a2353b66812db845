"""What experts cost beside a frozen LLM with the shapes of Llama-3.2-1B: prefill, and one decoding step."""

# Shape letters: B batch, L positions, D width of the LLM.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from mome.benchmark.models import llama_1b
from mome.benchmark.options import Options
from mome.benchmark.rows import Row, Target
from mome.benchmark.timing import Side, row, time_in_turn

__all__ = ["experts_removed", "faster_dtype", "measure_language", "random_prefix"]

_TARGET = Target(high=1.08)
_PREFILLS = (88, 257)  # a clip of 10 s at (16,5) and at (4,2) (model facts 2)


def measure_language(options: Options) -> Iterator[Row]:
    """Yield the lines of prefill and of one step, batch 1, in the precision that is faster here."""
    dtype = faster_dtype(options.device)
    llm = llama_1b(options, dtype)
    note = options.note(dtype)
    with torch.inference_mode():
        for length in (4, 8) if options.quick else _PREFILLS:
            prefix_BLD = random_prefix(llm, length)
            name = f"LLM with experts, prefill of {length} tokens"
            yield _against_frozen(name, partial(_prefill, llm, prefix_BLD), llm, note, options)
        step = partial(_decode, llm, _prefill(llm, prefix_BLD), prefix_BLD[:, :1])
        yield _against_frozen(f"LLM with experts, one token after {length}", step, llm, note, options)


@contextmanager
def experts_removed(llm: Any) -> Iterator[None]:
    """Make an adapted LLM what it was before experts were put beside its layers."""
    layers = llm.get_base_model().model.layers
    adapted = [layer.mlp for layer in layers]
    for layer, mlp in zip(layers, adapted, strict=True):
        layer.mlp = mlp.base_layer
    try:
        yield
    finally:
        for layer, mlp in zip(layers, adapted, strict=True):
            layer.mlp = mlp


def faster_dtype(device: str) -> torch.dtype:
    """Return bfloat16 on a GPU; on a CPU whichever multiplies one token and a prefill faster."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16
    sides: dict[str, Side] = {}
    for dtype in (torch.float32, torch.bfloat16):
        linear = nn.Linear(2048, 8192, bias=False, dtype=dtype).requires_grad_(False)
        for tokens in (1, 128):
            sides[f"{dtype} {tokens}"] = partial(linear, torch.ones(tokens, 2048, dtype=dtype))
    times = {
        name: median(each)
        for name, each in time_in_turn(sides, "choose", repetitions=3, device=device).items()
    }
    gain = 1.0
    for tokens in (1, 128):
        gain *= times[f"{torch.float32} {tokens}"] / times[f"{torch.bfloat16} {tokens}"]
    return torch.bfloat16 if gain > 1 else torch.float32


def _against_frozen(name: str, work: Side, llm: Any, note: str, options: Options) -> Row:
    def alone() -> None:
        with experts_removed(llm):
            work()

    times = time_in_turn(
        {"alone": alone, "experts": work}, name, repetitions=options.repetitions, device=options.device
    )
    return row(name, times, "experts", "alone", _TARGET, note)


def _prefill(llm: Any, prefix_BLD: Tensor) -> DynamicCache:
    return _read(llm.get_base_model(), prefix_BLD, None)


def _decode(llm: Any, cache: DynamicCache, token_BLD: Tensor) -> None:
    """Read one more token, and forget it again."""
    _read(llm.get_base_model(), token_BLD, cache).crop(-1)


def _read(llm: Any, embeddings_BLD: Tensor, cache: DynamicCache | None) -> DynamicCache:
    output = llm.model(inputs_embeds=embeddings_BLD, past_key_values=cache, use_cache=True)
    # In two dimensions: with three, torch on a CPU copies the whole vocabulary's weights in bfloat16.
    llm.lm_head(output.last_hidden_state[:, -1])
    cache = output.past_key_values
    assert isinstance(cache, DynamicCache)
    return cache


def random_prefix(llm: Any, length: int) -> Tensor:
    weight = llm.get_input_embeddings().weight
    torch.manual_seed(4)
    return torch.randn(1, length, weight.shape[1], dtype=weight.dtype, device=weight.device)

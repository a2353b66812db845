"""Greedy decoding on a GPU: a step that is captured once, and replayed for every token."""

# Shape letters: B rows, L positions, P positions of the prefix.

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import StaticCache

from mome.model.prefix import Assembled
from mome.tuners.mome import MomeModel

__all__ = ["CapturedSteps", "compiler"]

_log = logging.getLogger(__name__)

_CACHE_STEP = 256  # positions: what was captured for one size of cache serves all clips that fit into it
_MOST_POSITIONS = 2**16  # of all rows of all caches that are kept: 2 GB with the shapes of Llama-3.2-1B
_MOST_COMPILED = 64
_WARM_UPS = 3  # before a capture, in which nothing may be set up


class Follower(Protocol):
    """Whoever takes the tokens, such as `mome.model.decoding.Follower`."""

    def take(self, chosen: Sequence[int], logprobs: Sequence[float]) -> None:
        """Take the next token of each row, and its log probability."""

    def is_wanted(self) -> bool:
        """Tell whether any row needs more."""


Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]


class CapturedSteps:
    """Decodes with key-value caches of fixed size, so that one captured step serves all tokens.

    At batch 1 a GPU waits for Python: a step starts dozens of kernels per layer, each of a few
    microseconds. A captured step starts them all at once. Every new number of rows, size of cache and set of
    adapters is captured when it first comes, which takes about as long as ten plain steps.

    Whoever asks waits for its turn. On a CPU nothing is captured, and a step is computed anew each time.

    Args:
        compile_step: Fuses the kernels of a step before it is captured, such as `torch.compile`, which takes
            half a minute for each; None leaves them as they are.
    """

    def __init__(self, compile_step: Compile | None = None) -> None:
        self._compile = compile_step
        self._turn = threading.Lock()
        self._steps: dict[tuple[object, ...], _Step] = {}  # the one that was used last comes last
        self._pool: Any = None
        self._is_usable = True

    def read(
        self, llm: Any, batch: Assembled, budget: int, follower: Follower, adapters: tuple[str, ...]
    ) -> bool:
        """Write texts until the follower has enough of them.

        Args:
            llm: A causal LLM that adapters were put into; always the same.
            batch: Prefixes, padded on the left.
            budget: Most tokens of a text.
            follower: Takes the tokens of each row.
            adapters: Which of the LLM's are active.

        Returns:
            Whether it could: False, for good, where this LLM cannot be captured.
        """
        with self._turn, torch.cuda.device_of(batch.embeddings_BLD):
            try:
                step = self._step(llm, batch, budget, adapters) if self._is_usable else None
            except torch.OutOfMemoryError:
                self._steps.clear()  # whoever tries again, with less, has all the room there is
                raise
            if step is None:
                return False
            for number in range(budget):
                if number:
                    step.replay()
                follower.take(*step.chosen())
                if not follower.is_wanted():
                    break
            return True

    def _step(self, llm: Any, batch: Assembled, budget: int, adapters: tuple[str, ...]) -> _Step | None:
        """Return a step that has read the prefixes, or None where this LLM cannot be captured."""
        rows, positions = batch.attention_mask_BL.shape
        # Warm-ups write as steps do, and a GPU ends the process that writes beyond.
        length = -(-(positions + max(budget, _WARM_UPS)) // _CACHE_STEP) * _CACHE_STEP
        key = (rows, length, adapters)
        step = self._steps.pop(key, None)
        if step is None:
            self._make_room(rows * length)
            step = self._new_step(llm, batch, length)
            if step is None:
                return None
        else:
            step.read_prefixes(batch)
        self._steps[key] = step
        return step

    def _new_step(self, llm: Any, batch: Assembled, length: int) -> _Step | None:
        while True:
            step = _Step(llm, len(batch.attention_mask_BL), length, self._compile)
            step.read_prefixes(batch)
            if not self._is_on_gpu(batch):
                return step
            try:
                self._pool = step.capture(self._pool)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                if self._compile is None:
                    _log.warning("decoding takes several times as long: no step can be captured: %s", error)
                    self._is_usable = False
                    return None
                # Triton needs a C compiler and Python's headers, which not every machine has.
                _log.warning("the kernels of a decoding step stay as they are: %s", error)
                self._compile = None
            else:
                step.read_prefixes(batch)
                return step

    @staticmethod
    def _is_on_gpu(batch: Assembled) -> bool:
        return batch.embeddings_BLD.is_cuda

    def _make_room(self, positions: int) -> None:
        while (
            self._steps and positions + sum(each.positions for each in self._steps.values()) > _MOST_POSITIONS
        ):
            del self._steps[next(iter(self._steps))]


class _Step:
    """One step of so many rows, with the places in memory that it always reads and writes.

    Args:
        llm: A causal LLM.
        rows: Of the batch.
        length: Of the cache.
        compile_step: As `CapturedSteps` takes it.
    """

    def __init__(self, llm: Any, rows: int, length: int, compile_step: Compile | None) -> None:
        weight = llm.get_input_embeddings().weight
        self.positions = rows * length
        self._llm = llm
        self._cache = StaticCache(config=llm.config, max_cache_len=length)
        self._hidden = torch.finfo(weight.dtype).min
        self._mask_B11L = weight.new_full((rows, 1, 1, length), self._hidden)
        self._ids_B1 = torch.zeros(rows, 1, dtype=torch.long, device=weight.device)
        self._positions_B1 = torch.zeros_like(self._ids_B1)
        # Identifiers and log probabilities in one, so that one copy fetches both.
        self._chosen_2B = torch.zeros(2, rows, dtype=torch.float64, device=weight.device)
        self._scales_B: Tensor | None = None
        self._forward: Callable[..., Tensor] = self._logits
        if compile_step is not None:
            self._forward = compile_step(self._logits)
        self.replay: Callable[[], None] = self._run

    def read_prefixes(self, batch: Assembled) -> None:
        """Begin anew: read prefixes, and choose the first token of each row."""
        self._select_scales()
        self._cache.reset()
        mask_BP = batch.attention_mask_BL
        logits_B1V = self._llm(
            inputs_embeds=batch.embeddings_BLD,
            attention_mask=mask_BP,
            # Padding before the first token has none; it is hidden from all others.
            position_ids=(mask_BP.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        self._mask_B11L.fill_(self._hidden)
        self._mask_B11L[:, 0, 0, : mask_BP.shape[1]].masked_fill_(mask_BP.bool(), 0)
        self._positions_B1.copy_(mask_BP.sum(dim=1, keepdim=True) - 1)
        self._choose(logits_B1V)

    def chosen(self) -> tuple[list[int], list[float]]:
        """Wait for the last tokens, and return them with their log probabilities."""
        ids, logprobs = self._chosen_2B.tolist()
        return [int(each) for each in ids], logprobs

    def capture(self, pool: Any) -> Any:
        """Let `replay` start all kernels of a step at once; prefixes have to be read again.

        Args:
            pool: Memory of other steps, which never run at the same time; None for the first.

        Returns:
            The pool.
        """
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads go on meanwhile, and may ask for memory.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._run()
        self.replay = graph.replay
        return graph.pool()

    def _run(self) -> None:
        read: Any = self._cache.layers[0]  # of a static cache: it counts on the device
        self._mask_B11L.index_fill_(3, read.cumulative_length.view(1), 0)
        self._positions_B1.add_(1)
        self._choose(self._forward(self._ids_B1, self._mask_B11L, self._positions_B1))

    def _logits(self, ids_B1: Tensor, mask_B11L: Tensor, positions_B1: Tensor) -> Tensor:
        logits_B1V: Tensor = self._llm(
            input_ids=ids_B1,
            attention_mask=mask_B11L,
            position_ids=positions_B1,
            past_key_values=self._cache,
            use_cache=True,
        ).logits
        return logits_B1V

    def _choose(self, logits_B1V: Tensor) -> None:
        scores_BV = logits_B1V[:, -1].float()
        best_B, ids_B = scores_BV.max(dim=-1)
        self._ids_B1.copy_(ids_B[:, None])
        self._chosen_2B[0].copy_(ids_B)
        self._chosen_2B[1].copy_(best_B - scores_BV.logsumexp(dim=-1))

    def _select_scales(self) -> None:
        """Lay the scales that were selected where the step reads them."""
        experts = self._llm.base_model
        if not isinstance(experts, MomeModel) or experts.scales_B is None:
            return
        if self._scales_B is None:
            self._scales_B = experts.scales_B.clone()
        else:
            self._scales_B.copy_(experts.scales_B)
        experts.select_scales(self._scales_B)


def compiler() -> Compile:
    """Return what fuses the kernels of a step here."""
    # One for each number of rows and size of cache: a graph for all of them cannot be captured.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MOST_COMPILED)
    return partial(torch.compile, dynamic=False, fullgraph=True)

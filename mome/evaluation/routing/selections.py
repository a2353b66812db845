"""How often each expert was chosen while the model read clips and their reference texts."""

# Shape letters: B clips, L layers, N positions of a batch, E routed experts, K experts per token.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mome.errors import EvaluationError
from mome.model.avsr import AVSRModel, Features, Task
from mome.progress import progress
from mome.scales import Scale
from mome.tuners.mome.experts import Experts

__all__ = ["Selections", "count_selections"]


@dataclass(frozen=True)
class Selections:
    """What the routers chose at one scale.

    Args:
        scale: Of the prefix.
        num_tokens: Positions that were routed: delimiters, sound, lips, prompt and text.
        tokens_per_expert_LE: Share of a layer's selections that each expert got; a layer sums to one.
    """

    scale: Scale
    num_tokens: int
    tokens_per_expert_LE: np.ndarray


@torch.inference_mode()
def count_selections(
    model: AVSRModel,
    features: Sequence[Features],
    texts: Sequence[str],
    scales: Sequence[Scale],
    batch_size: int,
) -> list[Selections]:
    """Read every clip with its text once per scale and count which experts its tokens chose.

    The text is given, not written by the model (teacher forcing), so that all scales route the same
    words. Padding does not count, nor does the end of a text, which is written and never read.

    Args:
        model: The recogniser.
        features: Of the clips, ``B`` of them.
        texts: Their transcripts, in the same order.
        scales: To read the clips at.
        batch_size: Clips per pass.

    Returns:
        One per scale, in the given order.

    Raises:
        EvaluationError: If the model has no routed experts, or if there is no clip, or not one text per clip.
        UnknownScaleError: If the model cannot read at a scale.
        MediaError: If a clip is shorter than one token.

    Source: the statistics behind MoME's figures of expert use (model facts 4.9).
    """
    if not features or len(features) != len(texts):
        raise EvaluationError(
            f"expected clips to count experts on, and a text for each: got {len(features)} clips "
            f"and {len(texts)} texts"
        )
    if not any(isinstance(module, Experts) for module in model.llm.modules()):
        raise EvaluationError("the model has no routed experts to count; expected one fine-tuned with MoME")
    ids = [model.tokens.encode(text) for text in texts]
    selections = []
    for scale in scales:
        tasks = [Task(clip, scale, text) for clip, text in zip(features, ids, strict=True)]
        tasks.sort(key=lambda task: task.num_tokens)  # clips of one length waste no padding
        batches = [tasks[start : start + batch_size] for start in range(0, len(tasks), batch_size)]
        counted = [_count(model, batch) for batch in progress(batches, f"count experts at {scale}")]
        count_LE = np.sum([count_LE for _, count_LE in counted], axis=0)
        num_tokens = sum(num_tokens for num_tokens, _ in counted)
        selections.append(Selections(scale, num_tokens, count_LE / count_LE.sum(axis=1, keepdims=True)))
    return selections


def _count(model: AVSRModel, tasks: Sequence[Task]) -> tuple[int, np.ndarray]:
    """Return the tokens of one batch, and how often they chose each expert of each layer ``(L, E)``."""
    model(tasks)
    assert model.readers_RL is not None  # the model has just read
    readers_N = model.readers_RL.flatten()
    routings = model.llm.base_model.routings()
    count_LE = torch.stack([readers_N.double() @ routing.chosen_NE.double() for routing in routings])
    return int(readers_N.sum()), count_LE.cpu().numpy()

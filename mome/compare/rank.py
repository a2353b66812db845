"""How big LoRA must be to be as big as MoME: counted on shapes alone, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mome.config import TrainParams
from mome.methods import METHODS
from mome.model.describe import AdapterSize, adapter_size

__all__ = ["llm_width", "nearest_rank", "size_beside"]


def size_beside(foundation: Path, params: TrainParams) -> AdapterSize:
    """Return what a method puts beside the foundation's LLM."""
    return adapter_size(_shapes(foundation), params)


def llm_width(foundation: Path) -> int:
    """Return the width of a token inside the foundation's LLM."""
    return int(AutoConfig.from_pretrained(foundation / "llm", local_files_only=True).hidden_size)


def nearest_rank(foundation: Path, params: TrainParams, active: int) -> int:
    """Return the LoRA rank whose active parameters are nearest to ``active``; the lower of two as near.

    A method that sums two adapters (MTSK MSS) gets about half the rank of one that uses one: the papers
    give it twice the parameters instead (model facts 4.7).

    Args:
        foundation: Folder with the LLM.
        params: Of a method with LoRA.
        active: Parameters to meet.
    """
    assert METHODS[params.method].lora
    per_rank = size_beside(foundation, params.model_copy(update={"lora_rank": 1})).active
    below = max(1, active // per_rank)  # LoRA's count is proportional to its rank
    return min((below, below + 1), key=lambda rank: abs(rank * per_rank - active))


def _shapes(foundation: Path) -> Any:
    config = AutoConfig.from_pretrained(foundation / "llm", local_files_only=True)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)

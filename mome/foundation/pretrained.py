"""Takes models from a hub or a folder into a foundation, in the form in which everything here loads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, WhisperFeatureExtractor, WhisperModel

from mome.errors import CheckpointError, ConfigError
from mome.model.avhubert_checkpoint import import_checkpoint
from mome.model.hub import explain
from mome.model.loading import load_model
from mome.model.tokens import SPECIAL_TOKENS, rows_needed
from mome.model.video_encoder import VideoEncoder

__all__ = ["take_audio", "take_llm", "take_video"]


_HEAD = r"proj_out\..*"  # of Whisper as a transcriber, which is how it is published


def take_audio(source: str, output: Path) -> None:
    """Copy a Whisper of any size, with its feature extractor.

    Args:
        source: ``name@revision`` on a hub, or a folder.
        output: Folder to write.

    Raises:
        CheckpointError: If there is no such model in safetensors.
        ConfigError: If a hub name comes without a revision.
    """
    name, options = _where(source)
    whisper = load_model(WhisperModel, name, "a Whisper", unused=_HEAD, **options)
    try:
        extractor = WhisperFeatureExtractor.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: expected Whisper's feature extractor: {explain(error)}") from error
    whisper.save_pretrained(output)
    extractor.save_pretrained(output)


def take_video(source: str, output: Path) -> None:
    """Copy a converted AV-HuBERT, or convert the published checkpoint.

    Args:
        source: A folder with ``config.json`` and safetensors, or the checkpoint file.
        output: Folder to write.

    Raises:
        CheckpointError: If it is neither.
    """
    path = Path(source)
    if not path.exists():
        raise CheckpointError(
            f"{source}: no such file or folder in this step; is its volume mounted? On a cluster put the "
            "checkpoint on volume mome-models and give its whole path, foundation.video: /models/..."
        )
    if path.is_file():
        import_checkpoint(path, output)
        return
    VideoEncoder.load(path)  # says what is missing
    shutil.copytree(path, output)


def take_llm(source: str, output: Path, seed: int) -> None:
    """Copy a causal LLM and give its tokenizer the five rows that mark sound and lips.

    The rows are drawn like the LLM's own at their start, and stay frozen as the rest: without a mean of
    the others in them they can be told apart (model facts 1.6, 13.1).

    Args:
        source: ``name@revision`` on a hub, or a folder.
        output: Folder to write.
        seed: Of the new rows.

    Raises:
        CheckpointError: If there is no such model in safetensors.
        ConfigError: If a hub name comes without a revision.
    """
    name, options = _where(source)
    llm = load_model(AutoModelForCausalLM, name, "a causal LLM", dtype="auto", **options)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: expected the LLM's tokenizer: {explain(error)}") from error
    _add_rows(llm, tokenizer, seed)
    llm.save_pretrained(output)
    tokenizer.save_pretrained(output)


def _add_rows(llm: Any, tokenizer: Any, seed: int) -> None:
    pad, *delimiters = SPECIAL_TOKENS
    tokenizer.add_special_tokens({"pad_token": pad, "additional_special_tokens": delimiters})
    rows = llm.get_input_embeddings().weight.shape[0]
    # Some LLMs have more rows than their tokenizer asks for; those are kept.
    llm.resize_token_embeddings(max(rows, rows_needed(tokenizer)), mean_resizing=False)
    llm.config.pad_token_id = llm.generation_config.pad_token_id = tokenizer.pad_token_id
    _draw_rows(llm, tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)), seed)


@torch.no_grad()
def _draw_rows(llm: Any, ids: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tables: list[nn.Parameter] = [llm.get_input_embeddings().weight]
    if not llm.config.tie_word_embeddings:
        tables.append(llm.get_output_embeddings().weight)
    for table in tables:
        drawn = torch.randn(len(ids), table.shape[1], generator=generator) * llm.config.initializer_range
        table[ids] = drawn.to(table)


def _where(source: str) -> tuple[str, dict[str, Any]]:
    """Return what ``from_pretrained`` is told: a folder, or a hub's name and its pinned revision."""
    if Path(source).is_dir():
        return source, {"local_files_only": True}
    if source.startswith(("/", ".")):
        raise CheckpointError(f"{source}: no such folder in this step; is its volume mounted?")
    name, _, revision = source.partition("@")
    if not revision:
        raise ConfigError(f"{source}: expected a folder, or a hub's name with its revision: name@revision")
    return name, {"revision": revision}

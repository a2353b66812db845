"""Expert use on the test split of a data set: clean speech, a few clips, one pass per scale."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mome.config import EvaluateParams
from mome.errors import CorpusError
from mome.evaluation.routing.report import write_report
from mome.evaluation.routing.selections import count_selections
from mome.evaluation.routing.statistics import RoutingStatistics, summarise
from mome.model.avsr import Features
from mome.progress import progress
from mome.scales import Scale
from mome.speech.shards import read_manifest, read_split
from mome.training.checkpoint import load_checkpoint

__all__ = ["distinct_scales", "run", "spread"]

_CLIPS_PER_PASS = 8
_MAX_CLIPS = 64  # some thousand tokens per scale, in seconds


def run(
    params: EvaluateParams,
    dataset: Path,
    foundation: Path,
    checkpoint: Path,
    output: Path,
    max_clips: int = _MAX_CLIPS,
) -> RoutingStatistics:
    """Count which experts clean test clips are routed to, and compare the scales.

    Args:
        params: Section ``evaluate``.
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen encoders and LLM.
        checkpoint: Folder that training wrote.
        output: Folder for ``routing.json`` and ``routing.html``; what else it holds stays.
        max_clips: Clips to look at, spread over the test split.

    Raises:
        CorpusError: If the test split is empty.
        CheckpointError: If checkpoint and foundation do not belong together.
    """
    torch.set_num_threads(params.threads)
    encoders, model = load_checkpoint(checkpoint, foundation, params.device)
    corpus = json.loads((dataset / "corpus.json").read_text())
    rows = [row for row in read_manifest(dataset) if row.split == "test" and row.decodable]
    if not rows:
        raise CorpusError(f"{dataset}: the test split is empty, so there is nothing to count")
    chosen = set(spread(len(rows), max_clips))
    read = enumerate(progress(read_split(dataset, "test"), "read test clips", total=len(rows)))
    pairs = [pair for index, pair in read if index in chosen]
    clips = [clip for _, clip in pairs]
    features: list[Features] = []
    for start in progress(range(0, len(clips), _CLIPS_PER_PASS), "encode test clips"):
        features += encoders.encode(clips[start : start + _CLIPS_PER_PASS])
    texts = [utterance.transcript for utterance, _ in pairs]
    scales = distinct_scales(model.scales, features[0])
    statistics = summarise(
        count_selections(model, features, texts, scales, params.batch_size),
        corpus=corpus["name"],
        revision=corpus["revision"],
        modality=clips[0].modality,
        utterances=len(clips),
    )
    statistics.write(output / "routing.json")
    write_report(statistics, output / "routing.html")
    return statistics


def spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` indices below ``count``, evenly spread: speakers follow each other."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def distinct_scales(scales: Sequence[Scale], clip: Features) -> list[Scale]:
    """Return the scales at which such a clip is read differently, finest first.

    Without lips, scales that differ in the video rate alone are one and the same pass: they would
    agree with each other and say nothing.
    """
    rates: dict[tuple[int | None, int | None], Scale] = {}
    for scale in sorted(scales, key=lambda scale: scale.tokens_per_second, reverse=True):
        audio_rate = None if clip.audio_TC is None else scale.audio_rate
        video_rate = None if clip.video_TC is None else scale.video_rate
        rates.setdefault((audio_rate, video_rate), scale)
    return list(rates.values())

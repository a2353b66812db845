"""Expert use on the test split of a data set: clean speech, a few clips, one pass per scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mome.config import EvaluateParams
from mome.errors import CorpusError
from mome.evaluation.decode import readings_of
from mome.evaluation.routing.report import write_report
from mome.evaluation.routing.selections import count_selections
from mome.evaluation.routing.statistics import RoutingStatistics, summarise
from mome.machine.processor import use_threads
from mome.modalities import distinct_scales
from mome.model.avsr import Features
from mome.progress import progress
from mome.speech.shards import read_manifest, read_split
from mome.training.checkpoint import load_checkpoint

__all__ = ["run", "spread"]

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
        EvaluationError: If the corpus has nothing that the model was trained to read, or the model has
            no experts.
    """
    use_threads(params.threads)
    encoders, model = load_checkpoint(checkpoint, foundation, params.device)
    corpus = json.loads((dataset / "corpus.json").read_text())
    rows = [row for row in read_manifest(dataset) if row.split == "test" and row.decodable]
    if not rows:
        raise CorpusError(f"{dataset}: the test split is empty, so there is nothing to count")
    chosen = set(spread(len(rows), max_clips))
    read = enumerate(progress(read_split(dataset, "test"), "read test clips", total=len(rows)))
    pairs = [pair for index, pair in read if index in chosen]
    reads = readings_of(model, pairs[0][1].modality)
    clips = [clip.only(reads[0]) for _, clip in pairs]
    features: list[Features] = []
    for start in progress(range(0, len(clips), _CLIPS_PER_PASS), "encode test clips"):
        features += encoders.encode(clips[start : start + _CLIPS_PER_PASS])
    texts = [utterance.transcript for utterance, _ in pairs]
    finest_first = sorted(model.scales, key=lambda scale: scale.tokens_per_second, reverse=True)
    scales = [alike[0] for alike in distinct_scales(finest_first, reads[0])]
    statistics = summarise(
        count_selections(model, features, texts, scales, params.batch_size),
        corpus=corpus["name"],
        revision=corpus["revision"],
        modality=reads[0],
        utterances=len(clips),
    )
    statistics.write(output / "routing.json")
    write_report(statistics, output / "routing.html")
    return statistics


def spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` indices below ``count``, evenly spread: speakers follow each other."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()

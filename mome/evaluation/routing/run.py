"""Expert use on the test split of a data set: a few clips, clean and in babble, at every scale."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mome.alignment import ALIGNER_FILE, Aligner
from mome.config import EvaluateParams
from mome.errors import CorpusError
from mome.evaluation.decode import readings_of
from mome.evaluation.routing.association import associate
from mome.evaluation.routing.factors import HeardClip, count_by_factor
from mome.evaluation.routing.phonemes import frame_manners
from mome.evaluation.routing.report import write_report
from mome.evaluation.routing.selections import count_selections
from mome.evaluation.routing.statistics import RoutingStatistics, summarise
from mome.evaluation.scales import judged_scales
from mome.machine.processor import use_threads
from mome.modalities import distinct_scales
from mome.model.avsr import AVSRModel, Features
from mome.model.encoders import Encoders
from mome.progress import progress
from mome.records import Evaluation, Modality, condition_key, snr_key
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND
from mome.speech.media import Clip
from mome.speech.noise import Babble, with_noise
from mome.speech.noise_file import noise_of
from mome.speech.shards import read_manifest, read_split
from mome.training.checkpoint import load_checkpoint

__all__ = ["run", "spread"]

_CLIPS_PER_PASS = 8
_MAX_CLIPS = 64  # some thousand tokens per scale, in seconds
_NOISY_CLIPS = 32  # of them, each heard at every level and read at every scale


def run(
    params: EvaluateParams,
    dataset: Path,
    foundation: Path,
    checkpoint: Path,
    output: Path,
    max_clips: int = _MAX_CLIPS,
    evaluation: Path | None = None,
) -> RoutingStatistics:
    """Count which experts test clips are routed to, compare the scales, and say what experts answer for.

    Args:
        params: Section ``evaluate``: its levels of babble, and ``more_scales`` beside those of the model.
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen encoders and LLM.
        checkpoint: Folder that training wrote.
        output: Folder for ``routing.json`` and ``routing.html``; what else it holds stays.
        max_clips: Clips to look at, spread over the test split.
        evaluation: Folder with the ``evaluation.json`` of the checkpoint, for word errors beside the routing.

    Raises:
        CorpusError: If the test split is empty.
        CheckpointError: If checkpoint and foundation do not belong together.
        EvaluationError: If the corpus has nothing that the model was trained to read, or the model has
            no experts.
        MediaError: If a clip is shorter than one token.
        UnknownScaleError: If the model cannot read one of ``params.more_scales``.
    """
    use_threads(params.threads)
    encoders, model = load_checkpoint(checkpoint, foundation, params.device)
    wanted = judged_scales(model, params)
    corpus = json.loads((dataset / "corpus.json").read_text())
    rows = [row for row in read_manifest(dataset) if row.split == "test" and row.decodable]
    if not rows:
        raise CorpusError(f"{dataset}: the test split is empty, so there is nothing to count")
    chosen = set(spread(len(rows), max_clips))
    read = enumerate(progress(read_split(dataset, "test"), "read test clips", total=len(rows)))
    pairs = [pair for index, pair in read if index in chosen]
    reads = readings_of(model, pairs[0][1].modality)
    clips = [clip.only(reads[0]) for _, clip in pairs]
    features = _encode(encoders, clips, "encode test clips")
    texts = [utterance.transcript for utterance, _ in pairs]
    finest_first = sorted(wanted, key=lambda scale: scale.tokens_per_second, reverse=True)
    scales = [alike[0] for alike in distinct_scales(finest_first, reads[0])]
    selections = count_selections(model, features, texts, scales, params.batch_size)
    aligner = checkpoint / ALIGNER_FILE
    heard = _heard(
        params, encoders, model, clips, features, texts, Aligner.load(aligner) if aligner.exists() else None
    )
    trained = [scale for scale in scales if scale in model.scales]
    statistics = summarise(
        selections,
        corpus=corpus["name"],
        revision=corpus["revision"],
        modality=reads[0],
        utterances=len(clips),
        trained=model.scales,
        wer=None if evaluation is None else _clean(Evaluation.read(evaluation / "evaluation.json"), reads[0]),
        answers=[associate(each) for each in count_by_factor(model, heard, trained, params.batch_size)],
    )
    statistics.write(output / "routing.json")
    write_report(statistics, output / "routing.html")
    return statistics


def _heard(
    params: EvaluateParams,
    encoders: Encoders,
    model: AVSRModel,
    clips: Sequence[Clip],
    features: Sequence[Features],
    texts: Sequence[str],
    aligner: Aligner | None,
) -> list[HeardClip]:
    """Return some of the clips clean and at every level of babble, with what is said in their frames."""
    chosen = spread(len(clips), _NOISY_CLIPS)
    manners = {index: _manners(aligner, texts[index], features[index]) for index in chosen}
    sounds = [clip.samples for clip in clips if clip.samples is not None]
    levels: list[float | None] = [None]
    if sounds:
        levels += [snr_db for snr_db in params.snrs_db if snr_db is not None]
    (named,) = noise_of(params.noise)
    source = named or Babble(sounds)
    heard = []
    for place, snr_db in enumerate(levels):
        spoken = [features[index] for index in chosen]
        if snr_db is not None:
            rngs = [np.random.default_rng([params.seed, place, index]) for index in chosen]
            noisy = [
                Clip(with_noise(source, index, sounds[index], snr_db, rng), None)
                for index, rng in zip(chosen, rngs, strict=True)
            ]
            sound = _encode(encoders, noisy, f"encode clips at {snr_key(snr_db)} dB")
            spoken = [Features(s.audio_TC, clean.video_TC) for s, clean in zip(sound, spoken, strict=True)]
        noise = condition_key(None if snr_db is None else "babble", snr_db)
        heard += [
            HeardClip(each, model.tokens.encode(texts[index]), noise, *manners[index])
            for index, each in zip(chosen, spoken, strict=True)
        ]
    return heard


def _manners(
    aligner: Aligner | None, text: str, features: Features
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return what is said in each frame of sound and lips; None where nothing says when."""
    if aligner is None or not aligner.knows(features.modality):
        return None, None
    audio_TC, video_TC = (
        None if each is None else each.float().numpy(force=True)
        for each in (features.audio_TC, features.video_TC)
    )
    spans = aligner.spans(text, audio_TC, video_TC)
    words = text.split()
    audio_T, video_T = (
        None if each is None else frame_manners(words, spans, len(each), frames_per_second)
        for each, frames_per_second in (
            (audio_TC, AUDIO_FRAMES_PER_SECOND),
            (video_TC, VIDEO_FRAMES_PER_SECOND),
        )
    )
    return audio_T, video_T


def _encode(encoders: Encoders, clips: Sequence[Clip], what: str) -> list[Features]:
    features: list[Features] = []
    for start in progress(range(0, len(clips), _CLIPS_PER_PASS), what):
        features += encoders.encode(clips[start : start + _CLIPS_PER_PASS])
    return features


def _clean(evaluation: Evaluation, modality: Modality) -> dict[str, float]:
    rows = evaluation.wer.get(modality, {})
    return {scale: row[snr_key(None)].rate for scale, row in rows.items() if snr_key(None) in row}


def spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` indices below ``count``, evenly spread: speakers follow each other."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()

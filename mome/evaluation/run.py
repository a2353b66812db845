"""Evaluation: the word error table, what the noise looks like to the estimator, and the picture of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mome.config import EvaluateParams
from mome.errors import CorpusError, EvaluationError
from mome.estimated_wer import WerEstimator
from mome.evaluation.calibration import Measured, check_estimates, estimate_all, fit_curves
from mome.evaluation.decode import Decoded, Level, NoisyFeatures, decode_all, readings_of
from mome.evaluation.report import write_report
from mome.evaluation.scales import judged_scales
from mome.machine.devices import check_devices, is_out_of_memory
from mome.machine.memory import memory_watched
from mome.machine.processor import use_threads
from mome.machine.stopping import stoppable
from mome.modalities import needed
from mome.model.avsr import AVSRModel, Features
from mome.model.encoders import Encoders
from mome.progress import progress
from mome.records import (
    ESTIMATOR,
    Condition,
    Evaluation,
    Modality,
    NoiseKind,
    Split,
    TestedNoise,
    Utterance,
    WerCalibration,
    WordErrors,
    estimate_column,
)
from mome.scales import Scale
from mome.speech.audio import Samples
from mome.speech.media import Clip
from mome.speech.mouth import sharpness
from mome.speech.noise import Babble, Noise, with_noise
from mome.speech.noise_estimate import NoiseEstimate, estimate_noise
from mome.speech.noise_file import NoiseFolder, noise_digest, noise_of, recordings_digest
from mome.speech.noise_network import NETWORK_KINDS
from mome.speech.shards import SplitReader
from mome.storage import new_folder, write_text
from mome.training.checkpoint import load_checkpoint
from mome.training.lengths import too_long, too_short
from mome.wer import Difference, difference, summarise

__all__ = ["run"]

_CLIPS_PER_PASS = 8
_FITTED_CLIPS = 200  # of validation, for the curves that estimate word errors
_FITTED_SHARE = 0.25  # of them in each noise: a curve has few parameters, and each decoding costs
_MADE = "made"  # by functions of this project


@stoppable()
@memory_watched("evaluate", "lower evaluate.batch_size or evaluate.num_beams")
def run(
    params: EvaluateParams, dataset: Path, foundation: Path, checkpoint: Path, output: Path
) -> Evaluation:
    """Measure the word error rate of the test split for every trained modality, scale, noise and level.

    The scales are those of the model and ``params.more_scales``, which it reads without having been trained
    for them. Noise is mixed in at the stated ratio; 0 dB means 0 dB. All clips are heard clean, and a share
    of them in each noise, drawn once for all its levels. Some validation clips are read likewise, to fit the
    curves that estimate word errors without transcripts.

    Args:
        params: Section ``evaluate``.
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen encoders and LLM.
        checkpoint: Folder that training wrote.
        output: Folder to write ``evaluation.json``, ``hypotheses.jsonl``, ``baseline.parquet``,
            ``evaluation.html`` and ``evaluation.md`` to.

    Returns:
        The table.

    Raises:
        CorpusError: If the test split is empty.
        CheckpointError: If checkpoint and foundation do not belong together.
        ConfigError: If the device or the noise is not there.
        EvaluationError: If the corpus has nothing that the model was trained to read, a clip is shorter than
            a token of one of the scales, or the memory of the device runs out.
        UnknownScaleError: If the model cannot read one of ``params.more_scales``.
        Stopped: If a signal asks to stop.
    """
    check_devices(params.device)
    sources = _sources(params)
    use_threads(params.threads)
    encoders, model = load_checkpoint(checkpoint, foundation, params.device, params.compile_decoding)
    scales = judged_scales(model, params)
    corpus = json.loads((dataset / "corpus.json").read_text())
    with _memory_explained(params):
        test = _hear(dataset, "test", params, encoders, model, sources, scales)
        if test is None:
            raise CorpusError(f"{dataset}: the test split is empty, so there is nothing to measure")
        validation = _hear(
            dataset, "validation", _fewer(params), encoders, model, sources, scales, most=_FITTED_CLIPS
        )
    references = test.references
    evaluation = Evaluation(
        corpus=corpus["name"],
        revision=corpus["revision"],
        modality=test.reads[0],
        wer=_table(test.decoded, references, params),
        conditions=[_condition(level, test.baseline) for level in test.levels],
        utterances=len(test.utterances),
        hypotheses="hypotheses.jsonl",
        noise=_digests(params),
        estimator=ESTIMATOR,
        decoding=params.decoding,
        utterance_s=round(float(np.quantile([each.duration_s for each in test.utterances], 0.95)), 3),
        untrained=tuple(str(scale) for scale in scales if scale not in model.scales),
    )
    evaluation = _calibrated(evaluation, test, validation)
    with new_folder(output) as folder:
        evaluation.write(folder / "evaluation.json")
        _with_estimates(test, evaluation).to_parquet(folder / "baseline.parquet")
        ids = [utterance.utterance_id for utterance in test.utterances]
        write_text(folder / evaluation.hypotheses, _lines(test.decoded, ids, references))
        write_report(evaluation, folder / "evaluation.html", _lips(test.decoded, references, params))
    return evaluation


class _Heard(NamedTuple):
    """A split, or a part of it, in every condition."""

    utterances: list[Utterance]
    reads: tuple[Modality, ...]
    levels: list[Level]
    decoded: list[Decoded]
    baseline: pd.DataFrame
    measured: Measured

    @property
    def references(self) -> list[str]:
        return [utterance.transcript for utterance in self.utterances]


def _hear(
    dataset: Path,
    split: Split,
    params: EvaluateParams,
    encoders: Encoders,
    model: AVSRModel,
    sources: Mapping[TestedNoise, Noise | None],
    scales: Sequence[Scale],
    most: int | None = None,
) -> _Heard | None:
    """Decode a split, or so many clips of it, and measure their noise; None if it is empty."""
    with closing(SplitReader(dataset, split)) as reader:
        if not len(reader):
            return None
        reads = readings_of(model, reader.modality)
        # Lips are decoded only to be read; sound also to be measured.
        only = needed(reads) if needed(reads) == "audio" else "av"
        chosen = sorted(np.random.default_rng(params.seed).permutation(len(reader))[:most].tolist())
        utterances = [reader.utterances[index] for index in chosen]
        if problem := too_short(reader, needed(reads), scales):
            raise EvaluationError(f"{problem} of train.scales and evaluate.more_scales")
        if problem := too_long(reader, needed(reads), encoders.audio.max_num_samples):
            raise EvaluationError(problem)
        clips = [reader.clip(index, only) for index in progress(chosen, f"read {split} clips")]
    features, baseline = _listen(clips, encoders, params, needed(reads), sources, split)
    decoded = decode_all(
        model,
        features,
        [clip.duration_s for clip in clips],
        params.decoding,
        scales,
        batch_size=params.batch_size,
    )
    return _Heard(utterances, reads, list(features), decoded, baseline, _measured(features, baseline))


def _fewer(params: EvaluateParams) -> EvaluateParams:
    """Return how validation clips are heard: in every noise a quarter of them, and in noise of its own."""
    noises = dict.fromkeys(params.noises, _FITTED_SHARE)
    return params.model_copy(update={"noises": noises, "seed": params.seed + 1})


def _measured(features: NoisyFeatures, baseline: pd.DataFrame) -> Measured:
    """Return what was measured of each clip; the rows of the baseline are in the order of the clips."""
    found: dict[str, dict[int, tuple[float, NoiseKind]]] = {}
    rows = baseline.itertuples() if len(baseline) else iter(())
    for level, heard in features.items():
        for index, row in zip(heard, rows, strict=False):
            if row.noise_kind is not None and np.isfinite(row.snr_db):
                found.setdefault(level.key, {})[index] = (float(row.snr_db), row.noise_kind)
    return found


def _calibrated(evaluation: Evaluation, test: _Heard, validation: _Heard | None) -> Evaluation:
    """Return the evaluation with curves that estimate word errors, and how well they did on test clips."""
    if validation is None:
        return evaluation
    curves = fit_curves(validation.decoded, validation.references, validation.measured, evaluation.conditions)
    found = WerCalibration(curves=curves, clips=len(validation.utterances), checked={})
    estimator = WerEstimator(evaluation.model_copy(update={"calibration": found}))
    checked = check_estimates(estimator, test.decoded, test.references, test.measured)
    return evaluation.model_copy(update={"calibration": found.model_copy(update={"checked": checked})})


def _with_estimates(test: _Heard, evaluation: Evaluation) -> pd.DataFrame:
    """Return the baseline with a column of estimated word error rates for each scale of its modality."""
    if evaluation.calibration is None or test.baseline.empty:
        return test.baseline
    estimator = WerEstimator(evaluation)
    columns: dict[str, list[float | None]] = {}
    of_modality = {
        (each.level, str(each.scale)): each for each in test.decoded if each.modality == evaluation.modality
    }
    for scale in evaluation.wer[evaluation.modality]:
        rates: list[float | None] = []
        for level in test.levels:
            rates += estimate_all(estimator, of_modality[level, scale], test.measured).values()
        columns[estimate_column(evaluation.modality, scale)] = rates
    return test.baseline.assign(**{name: pd.Series(rates, dtype=float) for name, rates in columns.items()})


@contextmanager
def _memory_explained(params: EvaluateParams) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise EvaluationError(
            f"out of memory: lower evaluate.batch_size (now {params.batch_size}) or evaluate.num_beams "
            f"(now {params.num_beams})"
        ) from error


def _sources(params: EvaluateParams) -> dict[TestedNoise, Noise | None]:
    """Return where each noise comes from; None for babble of the corpus, which needs its clips."""
    (babble,), (steady,), (bursts,) = map(noise_of, (params.noise, "steady", "bursts"))
    made: dict[TestedNoise, Noise | None] = {"babble": babble, "steady": steady, "bursts": bursts}
    if "recorded" in params.noises:
        made["recorded"] = NoiseFolder(Path(params.recordings))
    return {noise: made[noise] for noise in params.noises}


def _digests(params: EvaluateParams) -> dict[TestedNoise, str]:
    found: dict[TestedNoise, str] = dict.fromkeys(params.noises, _MADE)
    if "babble" in found:
        found["babble"] = noise_digest(params.noise)
    if "recorded" in found:
        found["recorded"] = recordings_digest(Path(params.recordings))
    return found


def _levels(params: EvaluateParams, num_clips: int) -> dict[Level, list[int]]:
    """Return which clips are heard at each level: clean all of them, each noise its share of them."""
    levels: dict[Level, list[int]] = {}
    if None in params.snrs_db:
        levels[Level(None, None)] = list(range(num_clips))
    for place, (noise, share) in enumerate(params.noises.items()):
        # Drawn, not every second one: the speakers of a corpus often take turns.
        order = np.random.default_rng([params.seed, place]).permutation(num_clips)
        chosen = sorted(order[: max(1, round(share * num_clips))].tolist())
        levels |= {Level(noise, snr_db): chosen for snr_db in params.snrs_db if snr_db is not None}
    return levels


def _listen(
    clips: Sequence[Clip],
    encoders: Encoders,
    params: EvaluateParams,
    needs: Modality,
    sources: Mapping[TestedNoise, Noise | None],
    split: Split,
) -> tuple[NoisyFeatures, pd.DataFrame]:
    """Encode what of every clip is read, and measure what monitoring will measure in production.

    Both at every noise level. Sound of which only the noise counts is not encoded.
    """
    waveforms = [clip.samples for clip in clips if clip.samples is not None]
    # Lips are encoded once: noise is not seen.
    with_lips = clips[0].mouth is not None
    lips = _encode(encoders, [Clip(None, clip.mouth) for clip in clips]) if with_lips else None
    sharp = [None if clip.mouth is None else sharpness(clip.mouth) for clip in clips]
    rows: list[dict[str, object]] = []
    features: NoisyFeatures = {}
    levels = list(_levels(params, len(clips)).items())
    for place, (level, chosen) in enumerate(progress(levels, f"encode {split}: audio")):
        heard: dict[int, Samples] = {}
        for index in chosen if waveforms else []:
            rng = np.random.default_rng([params.seed, place, index])
            source = (None if level.noise is None else sources[level.noise]) or Babble(waveforms)
            heard[index] = with_noise(source, index, waveforms[index], level.snr_db, rng)
        spoken = [] if needs == "video" else _encode(encoders, [Clip(heard[index], None) for index in heard])
        sound = dict(zip(heard, spoken, strict=False))
        features[level] = {
            index: Features(
                sound[index].audio_TC if index in sound else None,
                None if lips is None else lips[index].video_TC,
            )
            for index in chosen
        }
        rows += [_row(estimate_noise(samples), sharp[index], level) for index, samples in heard.items()]
    return features, pd.DataFrame(rows)


def _encode(encoders: Encoders, clips: Sequence[Clip]) -> list[Features]:
    features: list[Features] = []
    for start in range(0, len(clips), _CLIPS_PER_PASS):
        features += encoders.encode(clips[start : start + _CLIPS_PER_PASS])
    return features


def _row(noise: NoiseEstimate, mouth_sharpness: float | None, level: Level) -> dict[str, object]:
    return {
        "snr_db": noise.snr_db,
        "noise_kind": noise.kind,
        "level_db": noise.level_db,
        "speech_share": noise.speech_share,
        "mouth_sharpness": mouth_sharpness,
        "condition": level.key,
    }


def _condition(level: Level, baseline: pd.DataFrame) -> Condition:
    measured = baseline[baseline["condition"] == level.key].dropna(subset=["snr_db"])
    if measured.empty:
        raise CorpusError(f"no test clip at {level.key} holds speech, so its noise cannot be estimated")
    low, median, high = np.percentile(measured["snr_db"].to_numpy(float), [10, 50, 90])
    kinds = measured["noise_kind"].value_counts(normalize=True)
    return Condition(
        noise=level.noise,
        snr_db=level.snr_db,
        estimated_snr_db=float(median),
        low=float(low),
        high=float(high),
        kinds={kind: float(kinds[kind]) for kind in NETWORK_KINDS if kind in kinds},
    )


def _table(
    decoded: Sequence[Decoded], references: Sequence[str], params: EvaluateParams
) -> dict[Modality, dict[str, dict[str, WordErrors]]]:
    table: dict[Modality, dict[str, dict[str, WordErrors]]] = {}
    for each in decoded:
        errors = summarise(_pairs(each, references), params.bootstrap_samples, params.seed)
        table.setdefault(each.modality, {}).setdefault(str(each.scale), {})[each.level.key] = errors
    return table


def _pairs(decoded: Decoded, references: Sequence[str]) -> list[tuple[str, str]]:
    return [(references[index], text) for index, text in decoded.hypotheses.items()]


def _lips(
    decoded: Sequence[Decoded], references: Sequence[str], params: EvaluateParams
) -> dict[str, dict[str, Difference]] | None:
    """Return what the lips change at the same scale and noise, or None without both modalities."""
    found = {(each.modality, each.scale, each.level): each for each in decoded}
    gained: dict[str, dict[str, Difference]] = {}
    for (modality, scale, level), both in found.items():
        sound = found.get(("audio", scale, level))
        if modality == "av" and sound is not None:
            gained.setdefault(str(scale), {})[level.key] = difference(
                _pairs(both, references), _pairs(sound, references), params.bootstrap_samples, params.seed
            )
    return gained or None


def _lines(decoded: Sequence[Decoded], ids: Sequence[str], references: Sequence[str]) -> str:
    rows = (
        {
            "utterance_id": ids[index],
            "modality": each.modality,
            "scale": str(each.scale),
            "noise": each.level.key,
            "reference": references[index],
            "hypothesis": hypothesis,
        }
        for each in decoded
        for index, hypothesis in each.hypotheses.items()
    )
    return "".join(json.dumps(row) + "\n" for row in rows)

"""Evaluation: the word error table, what the noise looks like to the estimator, and the picture of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from mome.config import EvaluateParams
from mome.errors import CorpusError, EvaluationError
from mome.evaluation.decode import Decoded, NoisyFeatures, decode_all, readings_of
from mome.evaluation.report import write_report
from mome.machine.devices import check_devices, is_out_of_memory
from mome.machine.memory import memory_watched
from mome.machine.processor import use_threads
from mome.machine.stopping import stoppable
from mome.modalities import needed
from mome.model.avsr import Features
from mome.model.encoders import Encoders
from mome.progress import progress
from mome.records import Condition, Evaluation, Modality, WordErrors, snr_key
from mome.speech.media import Clip
from mome.speech.mouth import sharpness
from mome.speech.noise import Babble, Noise, SnrEstimate, estimate_snr, with_noise
from mome.speech.noise_file import noise_digest, noise_of
from mome.speech.shards import SplitReader
from mome.storage import new_folder, write_text
from mome.training.checkpoint import load_checkpoint
from mome.wer import Difference, difference, summarise

__all__ = ["run"]

_CLIPS_PER_PASS = 8


@stoppable()
@memory_watched("evaluate", "lower evaluate.batch_size or evaluate.num_beams")
def run(
    params: EvaluateParams, dataset: Path, foundation: Path, checkpoint: Path, output: Path
) -> Evaluation:
    """Measure the word error rate of the test split for every trained modality, scale and noise level.

    Noise is babble of other test utterances, or a file, at the stated ratio; 0 dB means 0 dB.

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
        EvaluationError: If the corpus has nothing that the model was trained to read, or the memory of
            the device runs out.
        Stopped: If a signal asks to stop.
    """
    check_devices(params.device)
    noise = noise_of(params.noise)
    use_threads(params.threads)
    encoders, model = load_checkpoint(checkpoint, foundation, params.device, params.compile_decoding)
    corpus = json.loads((dataset / "corpus.json").read_text())
    with closing(SplitReader(dataset, "test")) as reader:
        utterances = reader.utterances
        if not utterances:
            raise CorpusError(f"{dataset}: the test split is empty, so there is nothing to measure")
        reads = readings_of(model, reader.modality)
        # Lips are decoded only to be read; sound also to be measured.
        only = needed(reads) if needed(reads) == "audio" else "av"
        clips = [reader.clip(index, only) for index in progress(range(len(reader)), "read test clips")]

    with _memory_explained(params):
        features, baseline = _listen(clips, encoders, params, needed(reads), noise)
        decoded = decode_all(
            model,
            features,
            batch_size=params.batch_size,
            max_new_tokens=params.max_new_tokens,
            num_beams=params.num_beams,
        )
    references = [utterance.transcript for utterance in utterances]
    evaluation = Evaluation(
        corpus=corpus["name"],
        revision=corpus["revision"],
        modality=reads[0],
        wer=_table(decoded, references, params),
        conditions=[_condition(snr_db, baseline) for snr_db in params.snrs_db],
        utterances=len(utterances),
        hypotheses="hypotheses.jsonl",
        noise=noise_digest(params.noise),
    )
    with new_folder(output) as folder:
        evaluation.write(folder / "evaluation.json")
        baseline.to_parquet(folder / "baseline.parquet")
        ids = [utterance.utterance_id for utterance in utterances]
        write_text(folder / evaluation.hypotheses, _lines(decoded, ids, references))
        write_report(evaluation, folder / "evaluation.html", _lips(decoded, references, params))
    return evaluation


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


def _listen(
    clips: Sequence[Clip], encoders: Encoders, params: EvaluateParams, needs: Modality, noise: Noise | None
) -> tuple[NoisyFeatures, pd.DataFrame]:
    """Encode what of every clip is read, and measure what monitoring will measure in production.

    Both at every noise level. Sound of which only the noise counts is not encoded.
    """
    nothing = [Features(None, None)] * len(clips)
    waveforms = [clip.samples for clip in clips if clip.samples is not None]
    # Lips are encoded once: babble is not seen.
    with_lips = clips[0].mouth is not None
    lips = _encode(encoders, [Clip(None, clip.mouth) for clip in clips]) if with_lips else nothing
    sharp = [None if clip.mouth is None else sharpness(clip.mouth) for clip in clips]
    rows, features = [], {}
    for level, snr_db in enumerate(progress(params.snrs_db, "encode test: audio")):
        heard = [
            with_noise(
                noise or Babble(waveforms),
                index,
                waveforms[index],
                snr_db,
                np.random.default_rng([params.seed, level, index]),
            )
            for index in range(len(waveforms))
        ]
        unheard = needs == "video"
        sound = nothing if unheard else _encode(encoders, [Clip(samples, None) for samples in heard])
        features[snr_db] = [Features(s.audio_TC, v.video_TC) for s, v in zip(sound, lips, strict=True)]
        rows += [_row(estimate_snr(samples), sharp[index], snr_db) for index, samples in enumerate(heard)]
    return features, pd.DataFrame(rows)


def _encode(encoders: Encoders, clips: Sequence[Clip]) -> list[Features]:
    features: list[Features] = []
    for start in range(0, len(clips), _CLIPS_PER_PASS):
        features += encoders.encode(clips[start : start + _CLIPS_PER_PASS])
    return features


def _row(noise: SnrEstimate, mouth_sharpness: float | None, snr_db: float | None) -> dict[str, object]:
    return {
        "snr_db": noise.snr_db,
        "level_db": noise.level_db,
        "speech_share": noise.speech_share,
        "mouth_sharpness": mouth_sharpness,
        "condition": snr_key(snr_db),
    }


def _condition(snr_db: float | None, baseline: pd.DataFrame) -> Condition:
    estimated = baseline.loc[baseline["condition"] == snr_key(snr_db), "snr_db"].dropna()
    if estimated.empty:
        raise CorpusError(f"no test clip at {snr_key(snr_db)} holds speech, so its noise cannot be estimated")
    low, median, high = np.percentile(estimated.to_numpy(float), [10, 50, 90])
    return Condition(snr_db=snr_db, estimated_snr_db=float(median), low=float(low), high=float(high))


def _table(
    decoded: Sequence[Decoded], references: Sequence[str], params: EvaluateParams
) -> dict[Modality, dict[str, dict[str, WordErrors]]]:
    table: dict[Modality, dict[str, dict[str, WordErrors]]] = {}
    for each in decoded:
        pairs = zip(references, each.hypotheses, strict=True)
        errors = summarise(pairs, params.bootstrap_samples, params.seed)
        table.setdefault(each.modality, {}).setdefault(str(each.scale), {})[snr_key(each.snr_db)] = errors
    return table


def _lips(
    decoded: Sequence[Decoded], references: Sequence[str], params: EvaluateParams
) -> dict[str, dict[str, Difference]] | None:
    """Return what the lips change at the same scale and noise, or None without both modalities."""
    texts = {(each.modality, each.scale, each.snr_db): each.hypotheses for each in decoded}
    gained: dict[str, dict[str, Difference]] = {}
    for (modality, scale, snr_db), both in texts.items():
        sound = texts.get(("audio", scale, snr_db))
        if modality == "av" and sound is not None:
            gained.setdefault(str(scale), {})[snr_key(snr_db)] = difference(
                zip(references, both, strict=True),
                zip(references, sound, strict=True),
                params.bootstrap_samples,
                params.seed,
            )
    return gained or None


def _lines(decoded: Sequence[Decoded], ids: Sequence[str], references: Sequence[str]) -> str:
    rows = (
        {
            "utterance_id": utterance_id,
            "modality": each.modality,
            "scale": str(each.scale),
            "snr": snr_key(each.snr_db),
            "reference": reference,
            "hypothesis": hypothesis,
        }
        for each in decoded
        for utterance_id, reference, hypothesis in zip(ids, references, each.hypotheses, strict=True)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)

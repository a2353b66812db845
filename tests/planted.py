"""Records with planted values, valid as they stand; a test states only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args

from mome.config import MonitorParams
from mome.records import (
    ESTIMATOR,
    Condition,
    Evaluation,
    Modality,
    NoiseKind,
    RequestRecord,
    TestedNoise,
    Utterance,
    WordErrors,
)
from mome.speech.media import Clip

Table = dict[str, dict[str, WordErrors]]  # scale -> noise level -> errors


def utterance(name: str, split: str, clip: Clip, **changed: object) -> Utterance:
    """Return the manifest row of a sound recording."""
    fields: dict[str, object] = {
        "utterance_id": name,
        "split": split,
        "speaker": "s1",
        "transcript": "bin blue",
        "shard": f"{split}-00000.tar",
        "decodable": True,
        "problem": "",
        "has_video": clip.mouth is not None,
        "duration_s": clip.duration_s,
        "num_samples": 0 if clip.samples is None else len(clip.samples),
        "num_frames": 0 if clip.mouth is None else len(clip.mouth),
        "native_sampling_rate": 16_000,
        "native_fps": 0.0 if clip.mouth is None else 25.0,
        "audio_video_gap_s": 0.0,
        "truncated": False,
        "finite": True,
        "peak": 0.5,
        "rms_db": -20.0,
        "clipped_share": 0.0,
        "speech_share": 0.7,
        "snr_db": 30.0,
        "mouth_found_share": 0.0 if clip.mouth is None else 1.0,
    }
    return Utterance.model_validate(fields | changed)


def request(
    request_id: str, at: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC), **changed: object
) -> RequestRecord:
    """Return the line of the request log for a clear recording of sound alone, answered at a4v2."""
    fields: dict[str, object] = {
        "request_id": request_id,
        "at": at,
        "scale": "a4v2",
        "modality": "audio",
        "duration_s": 1.0,
        "latency_ms": 50.0,
        "snr_db": 20.0,
        "snr_confident": True,
        "noise_kind": "babble",
        "noise_confidence": 0.9,
        "level_db": -20.0,
        "speech_share": 0.9,
        "mouth_sharpness": None,
        "status": 200,
    }
    return RequestRecord.model_validate(fields | changed)


def monitor_params(**changed: object) -> MonitorParams:
    """Return the damping of a rehearsal, with a promise for sound and lips together."""
    fields: dict[str, object] = {
        "window": 20,
        "min_requests": 12,
        "consecutive_windows": 2,
        "max_wer": {"av": 0.08},
        "confidence": 0.8,
        "cooldown_s": 2.0,
        "hysteresis_db": 1.0,
        "tolerance_db": 1.0,
        "max_age_s": 600.0,
        "drift_p_value": 0.01,
        "run_length": 10_000,
        "max_latency_ms": 0.0,
        "spend": "least",
    }
    return MonitorParams.model_validate(fields | changed)


def table(errors: Mapping[str, Mapping[str, int]]) -> Table:
    """Return a table from errors in a hundred words, as if they were known exactly."""
    return {
        scale: {
            level: WordErrors(errors=count, words=100, low=count / 100, high=count / 100)
            for level, count in row.items()
        }
        for scale, row in errors.items()
    }


def condition(
    snr_db: float | None, estimated_snr_db: float, low: float, high: float, noise: TestedNoise = "babble"
) -> Condition:
    """Return a condition whose noise the estimator always calls by its name; clean if ``snr_db`` is None."""
    clean = snr_db is None
    kinds: dict[NoiseKind, float] = {"none": 1.0} if clean or noise == "recorded" else {noise: 1.0}
    return Condition(
        noise=None if clean else noise,
        snr_db=snr_db,
        estimated_snr_db=estimated_snr_db,
        low=low,
        high=high,
        kinds=kinds,
    )


def evaluation(wer: Mapping[Modality, Table], **changed: object) -> Evaluation:
    """Return an evaluation; its modality is the richest one of the table."""
    fields: dict[str, object] = {
        "corpus": "planted",
        "revision": "0" * 40,
        "modality": max(wer, key=get_args(Modality).index),
        "wer": wer,
        "conditions": [condition(None, 30, 25, 40)],
        "noise": {"babble": "corpus"},
        "estimator": ESTIMATOR,
        "utterances": 20,
        "hypotheses": "hypotheses.jsonl",
    }
    return Evaluation.model_validate(fields | changed)

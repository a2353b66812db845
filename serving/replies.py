"""The shapes of a reply, as OpenAI's endpoint has them, and what is beyond in ``x_mome``."""

from __future__ import annotations

import zlib
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from mome.speech.voice import no_speech_probability
from serving.captions import Segment as Caption
from serving.captions import srt, vtt
from serving.engine import Engine, Segment, Transcription
from serving.errors import ApiError

__all__ = ["MEDIA_TYPES", "error_reply", "model_card", "reply"]

MEDIA_TYPES = {
    "json": "application/json",
    "text": "text/plain",
    "srt": "text/plain",
    "verbose_json": "application/json",
    "vtt": "text/vtt",
}


def reply(transcription: Transcription, response_format: str, engine: Engine) -> Response:
    """Shape a transcription as ``json``, ``text``, ``srt``, ``vtt`` or ``verbose_json``."""
    headers = {"X-MoME-Scale": str(transcription.scale), "X-Request-ID": transcription.request_id}
    if transcription.cut:
        headers["X-MoME-Cut"] = "true"
    if response_format == "text":
        return PlainTextResponse(transcription.text + "\n", headers=headers)
    if response_format == "json":
        return JSONResponse({"text": transcription.text}, headers=headers)
    if response_format == "srt":
        return PlainTextResponse(srt(_captions(transcription)), headers=headers)
    if response_format == "vtt":
        return Response(vtt(_captions(transcription)), media_type=MEDIA_TYPES["vtt"], headers=headers)
    return JSONResponse(_verbose(transcription, engine), headers=headers)


def error_reply(error: ApiError) -> JSONResponse:
    """Shape a refusal."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


def model_card(engine: Engine) -> dict[str, Any]:
    """Describe the served model, in OpenAI's shape with our own block."""
    bundle = engine.bundle
    return {
        "id": bundle.name,
        "object": "model",
        "created": int((bundle.path / "bundle.json").stat().st_mtime),
        "owned_by": "mome",
        "x_mome": {
            "version": bundle.version,
            "scales": [str(scale) for scale in engine.scales],
            "modalities": list(bundle.evaluation.wer),
            "corpus": bundle.evaluation.corpus,
            "revision": bundle.evaluation.revision,
            # What the registry knows of it: code, run and image; None if it did not come from one.
            "lineage": None if engine.registered is None else engine.registered.lineage.model_dump(),
        },
    }


def _spoken(transcription: Transcription) -> list[Segment]:
    """Return the segments in which something is said; the model gives no times within them."""
    return [segment for segment in transcription.segments if segment.said.text]


def _captions(transcription: Transcription) -> list[Caption]:
    return [Caption(each.start_s, each.end_s, each.said.text) for each in _spoken(transcription)]


def _verbose(transcription: Transcription, engine: Engine) -> dict[str, Any]:
    features = transcription.features
    return {
        "task": "transcribe",
        "language": engine.settings.language,
        "duration": transcription.duration_s,
        "text": transcription.text,
        "segments": [
            {
                "id": number,
                "seek": round(segment.start_s * 100),  # in hundredths of a second, as Whisper counts
                "start": segment.start_s,
                "end": segment.end_s,
                "text": segment.said.text,
                # What the model does not give is said to be unknown, not made up.
                "tokens": [],
                "avg_logprob": None,
                "temperature": 0.0,
                "compression_ratio": _compression_ratio(segment.said.text),
                "no_speech_prob": no_speech_probability(segment.features.voiced_s)
                if segment.modality == "audio"
                else 0.0,
                "x_mome": {"cut": segment.said.cut},
            }
            for number, segment in enumerate(_spoken(transcription))
        ],
        "usage": {"type": "duration", "seconds": transcription.duration_s},
        "x_mome": {
            "request_id": transcription.request_id,
            "scale": str(transcription.scale),
            "snr_db": features.snr_db,
            "snr_confident": features.snr_confident,
            "noise_kind": features.noise_kind,
            "noise_confidence": features.noise_confidence,
            "level_db": features.level_db,
            "speech_share": features.speech_share,
            "voiced_s": features.voiced_s,
            "mouth_sharpness": features.mouth_sharpness,
            "modalities": ["audio", "video"] if transcription.modality == "av" else [transcription.modality],
            "model_version": engine.bundle.version,
            "latency_ms": transcription.latency_ms,
            "cut": transcription.cut,
        },
    }


def _compression_ratio(text: str) -> float:
    """Return how much zlib shortens a text, as Whisper computes it: above 2.4 it repeats itself."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))

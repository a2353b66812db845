"""The shapes of a reply, as OpenAI's endpoint has them, and what is beyond in ``x_mome``."""

from __future__ import annotations

import zlib
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from mome.scales import Scale
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.speech.media import Clip
from mome.speech.voice import no_speech_probability
from serving.captions import Segment, srt, vtt
from serving.engine import Engine, Transcription
from serving.errors import ApiError

__all__ = ["error_reply", "facts", "model_card", "reply"]


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
        return PlainTextResponse(srt(_segments(transcription)), headers=headers)
    if response_format == "vtt":
        return Response(vtt(_segments(transcription)), media_type="text/vtt", headers=headers)
    return JSONResponse(_verbose(transcription, engine), headers=headers)


def error_reply(error: ApiError) -> JSONResponse:
    """Shape a refusal."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


def facts(transcription: Transcription, engine: Engine) -> dict[str, Any]:
    """Say what OpenAI's replies have no field for: how it was read, and what was measured."""
    clip, features = transcription.clip, transcription.features
    return {
        "request_id": transcription.request_id,
        "scale": str(transcription.scale),
        "tokens": _tokens(clip.filled(transcription.scale), transcription.scale),
        "snr_db": features.snr_db,
        "snr_confident": features.snr_confident,
        "noise_kind": features.noise_kind,
        "noise_confidence": features.noise_confidence,
        "level_db": features.level_db,
        "speech_share": features.speech_share,
        "voiced_s": features.voiced_s,
        "mouth_sharpness": features.mouth_sharpness,
        "modalities": ["audio", "video"] if clip.modality == "av" else [clip.modality],
        "model_version": engine.bundle.version,
        "latency_ms": transcription.latency_ms,
        "cut": transcription.cut,
    }


def _tokens(clip: Clip, scale: Scale) -> int:
    """Return how many tokens the language model was given of a clip."""
    audio = 0 if clip.samples is None else len(clip.samples) // SAMPLES_PER_AUDIO_FRAME // scale.audio_rate
    return audio + (0 if clip.mouth is None else len(clip.mouth) // scale.video_rate)


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


def _segments(transcription: Transcription) -> list[Segment]:
    """Return the one segment that an utterance is, or none: the model gives no times within it."""
    if not transcription.text:
        return []
    return [Segment(0.0, transcription.clip.duration_s, transcription.text)]


def _verbose(transcription: Transcription, engine: Engine) -> dict[str, Any]:
    clip, features = transcription.clip, transcription.features
    return {
        "task": "transcribe",
        "language": engine.settings.language,
        "duration": clip.duration_s,
        "text": transcription.text,
        "segments": [
            {
                "id": number,
                "seek": round(segment.start_s * 100),  # in hundredths of a second, as Whisper counts
                "start": segment.start_s,
                "end": segment.end_s,
                "text": segment.text,
                # What the model does not give is said to be unknown, not made up.
                "tokens": [],
                "avg_logprob": None,
                "temperature": 0.0,
                "compression_ratio": _compression_ratio(segment.text),
                "no_speech_prob": no_speech_probability(features.voiced_s) if clip.mouth is None else 0.0,
            }
            for number, segment in enumerate(_segments(transcription))
        ],
        "usage": {"type": "duration", "seconds": clip.duration_s},
        "x_mome": facts(transcription, engine),
    }


def _compression_ratio(text: str) -> float:
    """Return how much zlib shortens a text, as Whisper computes it: above 2.4 it repeats itself."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))

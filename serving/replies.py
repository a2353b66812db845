"""The shapes of a reply, as OpenAI's endpoint has them, and what is beyond in ``x_mome``."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from mome.reading import Token, Word
from mome.speech.voice import no_speech_probability
from serving.captions import Segment, srt, vtt
from serving.engine import Engine, Transcription
from serving.errors import ApiError

__all__ = ["error_reply", "logprobs", "model_card", "reply"]


def reply(
    transcription: Transcription,
    response_format: str,
    engine: Engine,
    *,
    times: Sequence[str] = ("segment",),
    with_logprobs: bool = False,
) -> Response:
    """Shape a transcription as ``json``, ``text``, ``srt``, ``vtt`` or ``verbose_json``.

    Args:
        transcription: Of the engine.
        response_format: One of them.
        engine: That transcribed it.
        times: Of what ``verbose_json`` says when it is said: ``segment``, ``word`` or both.
        with_logprobs: ``json`` says how sure the model was of each token.
    """
    headers = {"X-MoME-Scale": str(transcription.scale), "X-Request-ID": transcription.request_id}
    said = transcription.said
    if said.cut:
        headers["X-MoME-Cut"] = "true"
    if response_format == "text":
        return PlainTextResponse(said.text + "\n", headers=headers)
    if response_format == "json":
        sure = {"logprobs": logprobs(said.tokens)} if with_logprobs else {}
        return JSONResponse({"text": said.text, **sure}, headers=headers)
    if response_format == "srt":
        return PlainTextResponse(srt(_segments(transcription)), headers=headers)
    if response_format == "vtt":
        return Response(vtt(_segments(transcription)), media_type="text/vtt", headers=headers)
    return JSONResponse(_verbose(transcription, engine, times), headers=headers)


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
            "decoding": _decoding(engine),
            "corpus": bundle.evaluation.corpus,
            "revision": bundle.evaluation.revision,
            # What the registry knows of it: code, run and image; None if it did not come from one.
            "lineage": None if engine.registered is None else engine.registered.lineage.model_dump(),
        },
    }


def logprobs(tokens: Sequence[Token]) -> list[dict[str, Any]]:
    """Say how sure the model was of each token; a token that ends within a character has no bytes."""
    return [
        {"token": token.text, "logprob": token.logprob, "bytes": list(token.text.encode())}
        for token in tokens
    ]


def _decoding(engine: Engine) -> dict[str, Any]:
    """Say how texts are written, and whether the bundle was judged so; None if that was not kept."""
    judged = engine.bundle.evaluation.decoding
    as_judged = None if judged is None else judged == engine.decoding
    return engine.decoding.model_dump() | {"as_judged": as_judged}


def _segments(transcription: Transcription) -> list[Segment]:
    """Return the one segment that an utterance is, or none: the model gives no times within it."""
    if not transcription.said.text:
        return []
    return [Segment(0.0, transcription.clip.duration_s, transcription.said.text)]


def _verbose(transcription: Transcription, engine: Engine, times: Sequence[str]) -> dict[str, Any]:
    clip, features, said = transcription.clip, transcription.features, transcription.said
    timed = {}
    if "segment" in times:
        timed["segments"] = _verbose_segments(transcription)
    if "word" in times:
        timed["words"] = [_verbose_word(word, clip.duration_s) for word in said.words]
    return {
        "task": "transcribe",
        "language": engine.settings.language,
        "duration": clip.duration_s,
        "text": said.text,
        **timed,
        "usage": {"type": "duration", "seconds": clip.duration_s},
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
            "modalities": ["audio", "video"] if clip.modality == "av" else [clip.modality],
            "model_version": engine.bundle.version,
            "latency_ms": transcription.latency_ms,
            "cut": said.cut,
            "decoding": _decoding(engine),
        },
    }


def _verbose_segments(transcription: Transcription) -> list[dict[str, Any]]:
    clip, features, said = transcription.clip, transcription.features, transcription.said
    return [
        {
            "id": number,
            "seek": round(segment.start_s * 100),  # in hundredths of a second, as Whisper counts
            "start": segment.start_s,
            "end": segment.end_s,
            "text": segment.text,
            "tokens": [token.id for token in said.tokens],
            "avg_logprob": said.mean_logprob,
            "probability": math.exp(said.mean_logprob),  # beyond OpenAI's
            "temperature": 0.0,
            "compression_ratio": _compression_ratio(segment.text),
            "no_speech_prob": no_speech_probability(features.voiced_s) if clip.mouth is None else 0.0,
        }
        for number, segment in enumerate(_segments(transcription))
    ]


def _verbose_word(word: Word, duration_s: float) -> dict[str, Any]:
    return {
        "word": word.text,
        # A clip that is shorter than a token was read with silence behind it.
        "start": min(word.start_s, duration_s),
        "end": min(word.end_s, duration_s),
        "probability": word.probability,  # beyond OpenAI's
    }


def _compression_ratio(text: str) -> float:
    """Return how much zlib shortens a text, as Whisper computes it: above 2.4 it repeats itself."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))

"""The shapes of a reply, as OpenAI's endpoint has them, and what is beyond in ``x_mome``."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from mome.reading import Token, Word
from mome.speech.voice import no_speech_probability
from serving.captions import Segment as Caption
from serving.captions import srt, vtt
from serving.engine import Engine, Segment, Transcription
from serving.errors import ApiError
from serving.fields import Wanted

__all__ = ["MEDIA_TYPES", "error_reply", "facts", "logprobs", "model_card", "reply"]

MEDIA_TYPES = {
    "json": "application/json",
    "text": "text/plain",
    "srt": "text/plain",
    "verbose_json": "application/json",
    "vtt": "text/vtt",
}


def reply(transcription: Transcription, wanted: Wanted, engine: Engine) -> Response:
    """Shape a transcription as it is wanted."""
    headers = {
        "X-MoME-Scale": str(transcription.scale),
        "X-MoME-Scale-Chosen-By": transcription.chosen_by,
        "X-Request-ID": transcription.request_id,
    }
    if transcription.cut:
        headers["X-MoME-Cut"] = "true"
    if transcription.estimated_wer is not None:
        headers["X-MoME-Estimated-WER"] = f"{transcription.estimated_wer:.4f}"
    match wanted.response_format:
        case "text":
            return PlainTextResponse(transcription.text + "\n", headers=headers)
        case "json":
            sure = {"logprobs": logprobs(transcription.tokens)} if wanted.logprobs else {}
            return JSONResponse({"text": transcription.text, **sure}, headers=headers)
        case "srt":
            return PlainTextResponse(srt(_captions(transcription)), headers=headers)
        case "vtt":
            return Response(vtt(_captions(transcription)), media_type=MEDIA_TYPES["vtt"], headers=headers)
    return JSONResponse(_verbose(transcription, engine, wanted.times), headers=headers)


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
            "untrained": list(bundle.evaluation.untrained),
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


def _spoken(transcription: Transcription) -> list[Segment]:
    """Return the segments in which something is said."""
    return [segment for segment in transcription.segments if segment.said.text]


def _captions(transcription: Transcription) -> list[Caption]:
    return [Caption(each.start_s, each.end_s, each.said.text) for each in _spoken(transcription)]


def _verbose(transcription: Transcription, engine: Engine, times: Sequence[str]) -> dict[str, Any]:
    timed: dict[str, Any] = {}
    if "segment" in times:
        spoken = enumerate(_spoken(transcription))
        timed["segments"] = [_verbose_segment(number, segment) for number, segment in spoken]
    if "word" in times:
        timed["words"] = [_verbose_word(word) for word in transcription.words]
    return {
        "task": "transcribe",
        "language": engine.settings.language,
        "duration": transcription.duration_s,
        "text": transcription.text,
        **timed,
        "usage": {"type": "duration", "seconds": transcription.duration_s},
        "x_mome": facts(transcription, engine),
    }


def _verbose_segment(number: int, segment: Segment) -> dict[str, Any]:
    said = segment.said
    is_heard = segment.modality == "audio"
    return {
        "id": number,
        "seek": round(segment.start_s * 100),  # in hundredths of a second, as Whisper counts
        "start": _seconds(segment.start_s),
        "end": _seconds(segment.end_s),
        "text": said.text,
        "tokens": [token.id for token in said.tokens],
        "avg_logprob": said.mean_logprob,
        "probability": math.exp(said.mean_logprob),  # beyond OpenAI's
        "temperature": 0.0,
        "compression_ratio": _compression_ratio(said.text),
        "no_speech_prob": no_speech_probability(segment.features.voiced_s) if is_heard else 0.0,
        "x_mome": {"cut": said.cut, "scale": str(segment.scale)},
    }


def _verbose_word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": _seconds(word.start_s),
        "end": _seconds(word.end_s),
        "probability": word.probability,  # beyond OpenAI's
    }


def _seconds(time_s: float) -> float:
    # As in captions: what ends at 4.880000000000001 would end after what begins at 4.88.
    return round(time_s, 3)


def facts(transcription: Transcription, engine: Engine) -> dict[str, Any]:
    """Say what OpenAI's replies have no field for: how it was read, and what was measured."""
    features, modality = transcription.features, transcription.modality
    return {
        "request_id": transcription.request_id,
        "scale": str(transcription.scale),
        "scale_chosen_by": transcription.chosen_by,
        "tokens": sum(segment.num_tokens for segment in transcription.segments),
        "snr_db": features.snr_db,
        "snr_confident": features.snr_confident,
        "noise_kind": features.noise_kind,
        "noise_confidence": features.noise_confidence,
        "level_db": features.level_db,
        "speech_share": features.speech_share,
        "voiced_s": features.voiced_s,
        "mouth_sharpness": features.mouth_sharpness,
        "modalities": ["audio", "video"] if modality == "av" else [modality],
        "model_version": engine.bundle.version,
        "latency_ms": transcription.latency_ms,
        "cut": transcription.cut,
        "estimated_wer": transcription.estimated_wer,
        "decoding": _decoding(engine),
    }


def _compression_ratio(text: str) -> float:
    """Return how much zlib shortens a text, as Whisper computes it: above 2.4 it repeats itself."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))

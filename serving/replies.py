"""The form fields that OpenAI's endpoint has, which of them this model honours, and the reply's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from serving.engine import Engine, Transcription
from serving.errors import ApiError

__all__ = ["FIELDS", "check_fields", "error_reply", "model_card", "reply", "wants_stream"]

FIELDS = frozenset(
    {
        "chunking_strategy",
        "compression_scale",
        "include[]",
        "language",
        "model",
        "prompt",
        "response_format",
        "stream",
        "temperature",
        "timestamp_granularities[]",
    }
)
_FORMATS = ("json", "text", "verbose_json")
_STREAM = {"": False, "false": False, "0": False, "true": True, "1": True}
# Fields that may be sent with the value that says "as you do it anyway"; any other value is refused
# rather than ignored, because the caller would take the reply for what was asked.
_FIXED = {
    "chunking_strategy": ("", "auto"),
    "prompt": ("",),
    "timestamp_granularities[]": ("", "segment"),
    "include[]": ("",),
}


def check_fields(fields: Mapping[str, str], engine: Engine) -> None:
    """Refuse what the model cannot do.

    ``language`` is accepted as the hint that it is: a model speaks the one language of its corpus.

    Raises:
        ApiError: If the model is unknown (404), or a field has a value that is not supported (400).
    """
    model = fields.get("model", "")
    if model not in ("", engine.bundle.name):
        raise ApiError(
            f"the model {model!r} does not exist; this service has {engine.bundle.name!r}",
            status=404,
            param="model",
            code="model_not_found",
        )
    wanted = fields.get("response_format", "json")
    if wanted not in _FORMATS:
        raise _unsupported("response_format", wanted, _FORMATS)
    if wants_stream(fields) and wanted != "json":
        raise _unsupported("response_format", wanted, ("json",), " together with stream")
    for name, allowed in _FIXED.items():
        if fields.get(name, "") not in allowed:
            raise _unsupported(name, fields[name], tuple(value for value in allowed if value))
    temperature = fields.get("temperature", "")
    if temperature and not _is_zero(temperature):
        raise _unsupported("temperature", temperature, ("0",))


def wants_stream(fields: Mapping[str, str]) -> bool:
    """Tell whether the text is to be sent while it is decoded.

    Raises:
        ApiError: If ``stream`` is neither true nor false.
    """
    given = fields.get("stream", "")
    if given.lower() not in _STREAM:
        raise _unsupported("stream", given, ("true", "false"))
    return _STREAM[given.lower()]


def reply(transcription: Transcription, response_format: str, engine: Engine) -> Response:
    """Shape a transcription as ``json``, ``text`` or ``verbose_json``."""
    headers = {"X-MoME-Scale": str(transcription.scale), "X-Request-ID": transcription.request_id}
    if response_format == "text":
        return PlainTextResponse(transcription.text + "\n", headers=headers)
    if response_format == "json":
        return JSONResponse({"text": transcription.text}, headers=headers)
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


def _verbose(transcription: Transcription, engine: Engine) -> dict[str, Any]:
    clip, features = transcription.clip, transcription.features
    segments = []
    if transcription.text:
        # One utterance is one segment: the model gives no times within it.
        segments.append({"id": 0, "start": 0.0, "end": clip.duration_s, "text": transcription.text})
    return {
        "task": "transcribe",
        "duration": clip.duration_s,
        "text": transcription.text,
        "segments": segments,
        "x_mome": {
            "request_id": transcription.request_id,
            "scale": str(transcription.scale),
            "snr_db": features.snr_db,
            "snr_confident": features.snr_confident,
            "noise_kind": features.noise_kind,
            "noise_confidence": features.noise_confidence,
            "level_db": features.level_db,
            "speech_share": features.speech_share,
            "mouth_sharpness": features.mouth_sharpness,
            "modalities": ["audio", "video"] if clip.modality == "av" else [clip.modality],
            "model_version": engine.bundle.version,
            "latency_ms": transcription.latency_ms,
        },
    }


def _unsupported(name: str, value: str, allowed: tuple[str, ...], where: str = "") -> ApiError:
    expected = f"supported: {', '.join(allowed)}" if allowed else "leave it out"
    return ApiError(
        f"{name} {value!r} is not supported{where}; {expected}",
        param=name,
        code="unsupported_value",
    )


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0.0
    except ValueError:
        return False

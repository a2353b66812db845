"""What a client sets for its session: OpenAI's fields, and the scale as an extension.

Fields that are given replace those in force; the older, flat form of ``transcription_session.update`` is
read as the newer one.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serving.errors import ApiError

__all__ = ["AudioFormat", "ServerVad", "Session", "updated"]

_G711_RATE = 8_000
# Of the older form: its words for a format, and where its fields went.
_OLDER_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_OLDER_FIELDS = {
    "input_audio_format": "format",
    "input_audio_noise_reduction": "noise_reduction",
    "input_audio_transcription": "transcription",
    "turn_detection": "turn_detection",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AudioFormat(_Part):
    """How sound is written; G.711 has 8,000 samples a second."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: Literal[8_000, 16_000, 24_000] | None = None

    @model_validator(mode="after")
    def _has_one_rate(self) -> AudioFormat:
        if self.type != "audio/pcm" and self.rate not in (None, _G711_RATE):
            raise ValueError(f"{self.type} has {_G711_RATE} samples a second, got {self.rate}")
        return self

    @property
    def sampling_rate(self) -> int:
        """In Hz."""
        return self.rate or (24_000 if self.type == "audio/pcm" else _G711_RATE)


class TranscriptionModel(_Part):
    """Which model reads; a model speaks the language of its corpus, whatever is asked for."""

    model: str | None = None
    language: str | None = None
    prompt: Literal[""] | None = None  # the model was not trained to follow a text


class ServerVad(_Part):
    """When a turn begins and ends. OpenAI waits for 500 ms of silence; captions should not."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, gt=0, lt=1)
    prefix_padding_ms: int = Field(default=300, ge=0, le=2_000)
    silence_duration_ms: int = Field(default=160, ge=100, le=10_000)
    # Of conversations: nothing here responds.
    create_response: bool | None = None
    interrupt_response: bool | None = None
    idle_timeout_ms: None = None


class Input(_Part):
    """The sound."""

    format: AudioFormat = AudioFormat()
    noise_reduction: None = None  # it would hide what the scale follows
    transcription: TranscriptionModel | None = TranscriptionModel()
    turn_detection: ServerVad | None = ServerVad(type="server_vad")


class Audio(_Part):
    """All sound there is comes in."""

    input: Input = Input()


class Session(_Part):
    """One session; ``compression_scale`` and ``mouth`` are beyond OpenAI."""

    type: Literal["transcription"] = "transcription"
    audio: Audio = Audio()
    include: tuple[Literal["item.input_audio_transcription.logprobs"], ...] = ()
    # None for what the service's settings say, when an utterance begins.
    compression_scale: str | None = None
    mouth: bool = False  # whether the mouth that was found in camera frames is sent back

    def described(self, session_id: str) -> dict[str, Any]:
        """Return it in OpenAI's shape."""
        fields = self.model_dump(mode="json")
        fields["audio"]["input"]["format"]["rate"] = self.audio.input.format.sampling_rate
        return {"id": session_id, "object": "realtime.transcription_session", **fields}


def updated(session: Session, given: object) -> Session:
    """Return the session with the fields that a client sent.

    Args:
        session: In force.
        given: What it sent, of either form.

    Raises:
        ApiError: If a field is unknown, or has a value that is not taken; the message names it.
    """
    if not isinstance(given, dict):
        raise ApiError("'session' is missing; expected an object", param="session", code="invalid_value")
    given = _newer(given)
    fields = session.model_dump()
    audio = given.pop("audio", None) or {}
    inner = audio.get("input") if isinstance(audio, dict) else None
    if isinstance(inner, dict) and set(audio) == {"input"}:
        fields["audio"]["input"] |= inner
    elif audio:
        fields["audio"] = audio
    try:
        return Session.model_validate_json(json.dumps(fields | given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(("session", *map(str, first["loc"])))
        raise ApiError(
            f"{path}: {first['msg']}, got {_short(first['input'])}", param=path, code="invalid_value"
        ) from None


def _newer(given: dict[str, Any]) -> dict[str, Any]:
    older = {name: given[name] for name in _OLDER_FIELDS if name in given}
    if not older:
        return dict(given)
    given = {name: value for name, value in given.items() if name not in older}
    moved = {_OLDER_FIELDS[name]: value for name, value in older.items()}
    if "format" in moved:
        moved["format"] = {"type": _OLDER_FORMATS.get(str(moved["format"]), moved["format"])}
    return {**given, "audio": {"input": moved}}


def _short(value: object) -> str:
    return repr(value)[:80]

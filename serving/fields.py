"""The form fields that OpenAI's endpoint has, and which of their values this model honours.

docs/api.md holds the same as a table for people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from serving.engine import Engine
from serving.errors import ApiError

__all__ = ["FIELDS", "Wanted", "check_fields", "wanted_reply", "wants_stream"]

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
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_STREAM = {"": False, "false": False, "0": False, "true": True, "1": True}


class Wanted(NamedTuple):
    """What a reply is to say.

    Args:
        response_format: ``json``, ``text``, ``srt``, ``vtt`` or ``verbose_json``.
        times: Of what ``verbose_json`` says when it is said: ``segment``, ``word`` or both.
        logprobs: ``json`` says how sure the model was of each token.
    """

    response_format: str = "json"
    times: Sequence[str] = ("segment",)
    logprobs: bool = False

    @property
    def timed(self) -> bool:
        """Whether it says when each word is said."""
        return "word" in self.times


def wanted_reply(fields: Mapping[str, str]) -> Wanted:
    """Return what `check_fields` let through."""
    return Wanted(
        fields.get("response_format", "json"),
        _granularities(fields),
        "logprobs" in _several(fields, "include[]"),
    )


def check_fields(fields: Mapping[str, str], engine: Engine) -> None:
    """Refuse what the model cannot do, rather than ignore it: the reply would be taken for what was asked.

    ``language`` is accepted as the hint that it is: a model speaks the one language of its corpus.

    Raises:
        ApiError: If the model is unknown (404), or a field has a value that is not supported (400).
    """
    model = fields.get("model", "")
    known = (engine.bundle.name, *engine.settings.model_aliases)
    if model and model not in known:
        raise ApiError(
            f"the model {model!r} does not exist; this service has {', '.join(map(repr, known))}",
            status=404,
            param="model",
            code="model_not_found",
        )
    wanted = fields.get("response_format", "json")
    if wanted not in _FORMATS:
        raise _unsupported("response_format", wanted, f"supported: {', '.join(_FORMATS)}")
    if wants_stream(fields) and wanted != "json":
        raise _unsupported("response_format", wanted, "supported: json", " together with stream")
    for granularity in _granularities(fields):
        if granularity not in ("segment", "word"):
            raise _unsupported("timestamp_granularities[]", granularity, "supported: segment, word")
        if granularity == "word" and not engine.timed:
            raise _unsupported(
                "timestamp_granularities[]", granularity, "supported: segment; the model gives no word times"
            )
        if granularity == "word" and wanted != "verbose_json":
            raise _unsupported(
                "timestamp_granularities[]", granularity, "supported with response_format verbose_json"
            )
    for wish in _several(fields, "include[]"):
        if wish != "logprobs":
            raise _unsupported("include[]", wish, "supported: logprobs")
        if wanted != "json":
            raise _unsupported("include[]", wish, "supported with response_format json")
    if prompt := fields.get("prompt", ""):
        raise _unsupported(
            "prompt", prompt, "leave it out; the model was not trained to follow a text, and would ignore it"
        )
    temperature = fields.get("temperature", "")
    if temperature and not _is_zero(temperature):
        raise _unsupported("temperature", temperature, "supported: 0; the most probable text is given")
    _check_chunking(fields.get("chunking_strategy", ""))


def wants_stream(fields: Mapping[str, str]) -> bool:
    """Tell whether the text is to be sent while it is decoded.

    Raises:
        ApiError: If ``stream`` is neither true nor false.
    """
    given = fields.get("stream", "")
    if given.lower() not in _STREAM:
        raise _unsupported("stream", given, "supported: true, false")
    return _STREAM[given.lower()]


def _check_chunking(given: str) -> None:
    """Take ``auto``, as text or as an object without numbers: where to cut is for the service to say."""
    try:
        strategy = json.loads(given) if given.lstrip()[:1] in ("{", '"') else given
    except json.JSONDecodeError:
        strategy = None
    kind = strategy.get("type") if isinstance(strategy, dict) else strategy
    if kind not in ("", "auto", "server_vad"):
        raise _unsupported("chunking_strategy", given, 'supported: auto, {"type": "server_vad"}')
    if isinstance(strategy, dict) and strategy.keys() > {"type"}:
        numbers = ", ".join(sorted(strategy.keys() - {"type"}))
        raise _unsupported("chunking_strategy", given, f"leave out {numbers}: a recording is read as a whole")


def _granularities(fields: Mapping[str, str]) -> list[str]:
    """Return of what times are wanted: of segments, words or both; of segments where nothing is said."""
    return _several(fields, "timestamp_granularities[]") or ["segment"]


def _several(fields: Mapping[str, str], name: str) -> list[str]:
    """Return the values of a field that may be given several times."""
    return [value for value in fields.get(name, "").split(",") if value]


def _unsupported(name: str, value: str, expected: str, where: str = "") -> ApiError:
    return ApiError(
        f"{name} {value!r} is not supported{where}; {expected}", param=name, code="unsupported_value"
    )


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0.0
    except ValueError:
        return False

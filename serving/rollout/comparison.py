"""What two replies to one request say of the candidate."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from mome.wer import word_errors

__all__ = ["Bounds", "Comparison", "Heard", "compare", "estimate_of", "text_of"]


class Bounds(BaseModel):
    """What is too much of a candidate, as shares of its requests unless it says otherwise.

    Args:
        failures: No reply, or an error, where the champion answered.
        empty: No words, where the champion had some.
        slow: Replies that took over ``slow_ratio`` times the champion's time and ``slack_s`` more than it.
        disagreement: Word errors against the champion's text, at most 1 a request, on average. Two texts
            differ by at most the word errors of both: more than twice the budget says that one is over it.
        slow_ratio: Factor, see ``slow``.
        slack_s: Seconds, see ``slow``: what a network takes.
        false_alarm: Share of candidates within all bounds that are withdrawn nevertheless, at most.
        proven_after: Comparisons before which nothing is proven.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    failures: float = Field(default=0.02, gt=0, lt=1)
    empty: float = Field(default=0.02, gt=0, lt=1)
    slow: float = Field(default=0.25, gt=0, lt=1)
    disagreement: float = Field(default=0.30, gt=0, lt=1)
    slow_ratio: float = Field(default=2.0, ge=1)
    slack_s: float = Field(default=0.1, ge=0)
    false_alarm: float = Field(default=0.05, gt=0, lt=1)
    proven_after: int = Field(default=300, gt=0)

    def patience_s(self, champion_s: float) -> float:
        """Return after how many seconds a candidate is late, by what the champion took."""
        return max(self.slow_ratio * champion_s, champion_s + self.slack_s)


class Heard(NamedTuple):
    """One backend's reply, as far as it is compared.

    Args:
        status: HTTP status.
        seconds: To its end, or to a stream's first byte.
        text: If there is one.
        cut: Whether it ended before its time.
        estimated_wer: Of the text, as the backend says.
    """

    status: int
    seconds: float
    text: str | None
    cut: bool = False
    estimated_wer: float | None = None

    @property
    def grade(self) -> int:
        """0 answered, 1 refused, 2 failed."""
        if self.cut or self.status >= 500:
            return 2
        return 1 if self.status >= 400 else 0


class Comparison(NamedTuple):
    """What one request says of a candidate; None where it says nothing."""

    failures: bool
    empty: bool | None = None
    slow: bool | None = None
    disagreement: float | None = None
    champion_s: float | None = None
    candidate_s: float | None = None
    champion_wer: float | None = None
    candidate_wer: float | None = None


def compare(champion: Heard, candidate: Heard | None, bounds: Bounds) -> Comparison | None:
    """Compare two replies to the same request; None if it tells nothing, as the champion has not answered.

    Args:
        champion: Its reply.
        candidate: Its reply; None if nobody waited for it, because it was late.
        bounds: What counts as late.
    """
    if candidate is None:
        return Comparison(failures=False, slow=True)
    if candidate.grade > champion.grade:
        return Comparison(failures=True)
    if champion.grade:
        return None
    empty = disagreement = None
    if champion.text is not None and candidate.text is not None:
        expected, heard = champion.text.split(), candidate.text.split()
        if expected:
            empty = not heard
            errors, words = word_errors(champion.text, candidate.text)
            disagreement = min(1.0, errors / words)
        else:
            disagreement = float(bool(heard))  # words out of silence
    return Comparison(
        failures=False,
        empty=empty,
        slow=candidate.seconds > bounds.patience_s(champion.seconds),
        disagreement=disagreement,
        champion_s=champion.seconds,
        candidate_s=candidate.seconds,
        champion_wer=champion.estimated_wer,
        candidate_wer=candidate.estimated_wer,
    )


def text_of(content_type: str, body: bytes) -> str | None:
    """Return the words of a transcription in any of its formats; None if there is none in it."""
    kind = content_type.partition(";")[0].strip().lower()
    said = body.decode("utf-8", errors="replace")
    if kind == "application/json":
        return _text(_object(said))
    if kind == "text/event-stream":
        return _text(_last_event(said))
    if kind in ("text/plain", "text/vtt"):
        # Captions: what is neither a number nor a time.
        lines = said.removeprefix("WEBVTT").splitlines()
        if any("-->" in line for line in lines):
            lines = [line for line in lines if "-->" not in line and not re.fullmatch(r"\s*\d+\s*", line)]
        return " ".join(lines)
    return None


def estimate_of(header: str | None, content_type: str, body: bytes) -> float | None:
    """Return the word error rate that a service estimates of its text: by a header, or a stream's last event.

    Args:
        header: ``X-MoME-Estimated-WER``; None without one, as in a stream.
        content_type: Of the reply.
        body: Likewise.
    """
    said: object = header
    if header is None and content_type.startswith("text/event-stream"):
        beyond = _last_event(body.decode("utf-8", errors="replace")).get("x_mome")
        said = beyond.get("estimated_wer") if isinstance(beyond, dict) else None
    if not isinstance(said, str | int | float):
        return None
    try:
        rate = float(said)
    except ValueError:
        return None
    return rate if 0.0 <= rate <= 1.0 else None


def _last_event(said: str) -> dict[str, object]:
    """Return the event that ends a stream; an empty one if it was broken off."""
    events = [event.removeprefix("data: ") for event in said.split("\n\n")]
    done = [event for event in events if '"transcript.text.done"' in event]
    return _object(done[-1]) if done else {}


def _text(found: dict[str, object]) -> str | None:
    text = found.get("text")
    return text if isinstance(text, str) else None


def _object(said: str) -> dict[str, object]:
    try:
        found = json.loads(said)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

"""What the callers send: sentences of the embedded corpus's unseen speakers, at scales in turn or at none."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from mome.scales import Scale
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.speech.noise import with_babble
from mome.speech.video import encode_mouth
from mome.synthesis import plan_corpus, render_all

__all__ = ["BOUNDARY", "HEADERS", "Call", "calls", "form"]

BOUNDARY = "a-boundary-that-is-in-no-recording"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
_SEED = 29
_WITH_LIPS = 4  # every fourth


@dataclass(frozen=True)
class Call:
    """One request, ready to be sent.

    Args:
        body: A form with the boundary `BOUNDARY`.
        seconds: Length of the recording.
    """

    body: bytes
    seconds: float


def calls(
    count: int,
    scales: Sequence[Scale],
    *,
    with_lips: bool,
    snr_db: float | None = None,
    sentences: int = 1,
) -> list[Call]:
    """Return different requests, the same in every run.

    Args:
        count: How many.
        scales: They take turns; without any, nobody names one.
        with_lips: Let every fourth come with mouth video.
        snr_db: Level of the babble of the other speakers around each; None for clean ones.
        sentences: In each, one after the other.
    """
    made = []
    rng = np.random.default_rng(_SEED)
    plan = plan_corpus(0, 0, count * sentences, _SEED)
    single = [spoken.clip for spoken in render_all(plan, with_mouths=with_lips)]
    clips = [_joined(single[first : first + sentences]) for first in range(0, len(single), sentences)]
    voices = [clip.samples for clip in clips if clip.samples is not None]
    for index, clip in enumerate(clips):
        wav = io.BytesIO()
        samples = with_babble(voices, index, snr_db, rng)
        soundfile.write(wav, samples, SAMPLING_RATE, format="WAV", subtype="PCM_16")
        files = {"file": wav.getvalue()}
        if clip.mouth is not None and index % _WITH_LIPS == 0:
            files["video"] = encode_mouth(clip.mouth)
        scale = str(scales[index % len(scales)]) if scales else None
        made.append(Call(form(files, scale), clip.duration_s))
    return made


def _joined(clips: Sequence[Clip]) -> Clip:
    mouths = [clip.mouth for clip in clips if clip.mouth is not None]
    return Clip(
        np.concatenate([clip.samples for clip in clips if clip.samples is not None]),
        np.concatenate(mouths) if mouths else None,
    )


def form(files: dict[str, bytes], scale: str | None) -> bytes:
    """Return a request's body."""
    parts = []
    if scale is not None:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="compression_scale"\r\n\r\n'
        parts.append(f"{head}{scale}".encode())
    for name, content in files.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + content)
    return b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])

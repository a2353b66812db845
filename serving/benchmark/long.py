"""A long file: what it costs beside a file of a minute, its utterances one by one, and batches of them."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from statistics import median

import httpx
import numpy as np
import psutil
import soundfile

from mome.benchmark.rows import Ratio, Target
from mome.errors import ServiceError
from mome.inference import Transcriber
from mome.progress import progress
from mome.scales import Scale
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.wer import word_errors
from serving.benchmark.load import closed_loop
from serving.benchmark.recordings import HEADERS, Call, form
from serving.benchmark.server import Server
from serving.benchmark.speech import Samples, Spoken
from serving.benchmark.table import Row, figure

__all__ = ["lasting", "long_file", "recorded"]

_PAUSES_S = (0.2, 1.2)  # as long as somebody breathes, or turns a page
_MINUTE_S = 60.0
_BATCH = 16  # utterances that the model reads together, on both sides
_LOOK_S = 0.1  # for memory
_PATIENCE_S = 3600.0  # for a file
_SEED = 37


@dataclass
class _Answer:
    """What came back of a file, after how long, and the most memory that was in use meanwhile."""

    text: str
    seconds: float
    peak_bytes: int


def lasting(recordings: Iterable[Spoken], seconds: float) -> list[Spoken]:
    """Return recordings that last so long together, with pauses; from the first one again if they do not.

    Raises:
        ServiceError: If there is none, or nobody knows what is said in one.
    """
    chosen: list[Spoken] = []
    for spoken in cycle(recordings):
        if not spoken.text:
            raise ServiceError("--long: nobody knows what is said in the recordings; give --alignments")
        chosen.append(spoken)
        if _lasts_s(chosen) >= seconds:
            return chosen
    raise ServiceError("--long: there are no recordings")


def recorded(spoken: Sequence[Spoken]) -> Samples:
    """Return one recording of them, with pauses of faint noise between them, the same in every run."""
    rng = np.random.default_rng(_SEED)
    parts: list[Samples] = []
    for each in spoken:
        pause_s = rng.uniform(*_PAUSES_S)
        parts += [each.samples, rng.normal(0, 1e-4, round(pause_s * SAMPLING_RATE)).astype(np.float32)]
    return np.concatenate(parts)


def long_file(
    server: Server,
    transcriber: Transcriber,
    spoken: Sequence[Spoken],
    *,
    scale: Scale,
    repetitions: int,
    what: str,
) -> list[Row]:
    """Return what one file of all utterances takes, and how well it is read.

    Args:
        server: With its usual settings.
        transcriber: The same model here, for batches as evaluation makes them: sorted by length.
        spoken: As `lasting` returns them.
        scale: At which all of it is read.
        repetitions: How often file and batches take turns.
        what: The utterances, in words.

    Raises:
        ServiceError: If a request is not answered.
    """
    references = [each.text or "" for each in spoken]
    samples = recorded(spoken)
    minutes = len(samples) / SAMPLING_RATE / 60
    calls = [Call(form({"file": _encoded(each.samples)}, str(scale)), 0.0) for each in spoken]
    body = form({"file": _encoded(samples)}, str(scale))
    short = form({"file": _encoded(recorded(lasting(spoken, _MINUTE_S)))}, str(scale))
    _sent(server, short)  # what it keeps from then on is no file's
    minute = _sent(server, short)
    _in_batches(transcriber, spoken[:_BATCH], scale)
    files: list[_Answer] = []
    batches: list[float] = []
    for _ in progress(range(repetitions), f"{minutes:.1f} minutes in one file"):
        files.append(_sent(server, body))
        started = time.perf_counter()
        together = _in_batches(transcriber, spoken, scale)
        batches.append(time.perf_counter() - started)
    answers = closed_loop(server.url, calls, clients=_BATCH, requests=len(calls))
    if set(answers.statuses) != {200}:
        raise ServiceError(f"expected every utterance to be answered, got {answers.statuses}")
    alone = _rate(references, [answers.texts[number] for number in range(len(calls))])
    whole = _rate([" ".join(references)], [files[0].text])
    words = sum(len(reference.split()) for reference in references)
    growth = (max(each.peak_bytes for each in files) - minute.peak_bytes) / 1e6
    seconds = [each.seconds for each in files]
    name = f"{minutes:.1f} minutes of {what} in one file at {scale}"
    return [
        figure(
            f"memory at its highest over a file of a minute, in MB; {name}",
            f"{growth:+.0f} MB",
            growth,
            Target(high=300),
            f"{minute.peak_bytes / 1e6:.0f} MB with that, of all processes of the service",
        ),
        figure(
            "word errors beyond those of its utterances one by one, in points",
            f"{100 * whole:.2f} %",
            100 * (whole - alone),
            Target(high=0.3),
            f"{100 * alone:.2f} % one by one, {100 * _rate(references, together):.2f} % in batches; "
            f"{len(spoken)} utterances, {words} words",
        ),
        Row(
            "speed of batch evaluation, which has the utterances cut, decoded and sorted by length",
            f"{median(batches):.1f} s",
            f"{median(seconds):.1f} s",
            Ratio.of(batches, seconds),
            Target(low=0.9),
            f"{60 * minutes / median(seconds):.0f} times as fast as it was said",
        ),
    ]


def _lasts_s(spoken: Sequence[Spoken]) -> float:
    return sum(len(each.samples) / SAMPLING_RATE + sum(_PAUSES_S) / 2 for each in spoken)


def _encoded(samples: Samples) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _sent(server: Server, body: bytes) -> _Answer:
    with _peak(server) as peak:
        started = time.perf_counter()
        reply = httpx.post(
            f"{server.url}/v1/audio/transcriptions", content=body, headers=HEADERS, timeout=_PATIENCE_S
        )
        seconds = time.perf_counter() - started
    if reply.status_code != 200:
        raise ServiceError(f"expected the file to be answered, got {reply.status_code}: {reply.text[:500]}")
    return _Answer(reply.json()["text"], seconds, max(peak))


@contextmanager
def _peak(server: Server) -> Iterator[list[int]]:
    """Look how much memory is in use, again and again until the end of the block."""
    seen = [server.memory_bytes()]
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            try:
                seen.append(server.memory_bytes())
            except psutil.NoSuchProcess:  # a decoder that was replaced just then
                continue

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def _in_batches(transcriber: Transcriber, spoken: Sequence[Spoken], scale: Scale) -> list[str]:
    """Return the texts of utterances, read as evaluation reads them."""
    order = sorted(range(len(spoken)), key=lambda number: len(spoken[number].samples))
    texts = [""] * len(spoken)
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        clips = [Clip(spoken[number].samples, None).filled(scale) for number in batch]
        for number, text in zip(batch, transcriber.transcribe(clips, scale), strict=True):
            texts[number] = text
    return texts


def _rate(references: Sequence[str], texts: Sequence[str]) -> float:
    counts = [word_errors(reference, text) for reference, text in zip(references, texts, strict=True)]
    return sum(errors for errors, _ in counts) / sum(words for _, words in counts)

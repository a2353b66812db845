"""Live sessions, each fed at the pace of speech: how long words take, and how many are taken back."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt

from mome.benchmark.rows import Target
from mome.errors import ServiceError
from mome.progress import progress
from mome.speech.audio import SAMPLING_RATE, read_audio, resample
from mome.synthesis import plan_corpus, render_all
from mome.wer import word_errors
from serving.benchmark.server import Server
from serving.benchmark.table import Row, figure

__all__ = ["Stream", "joined", "live", "real_speech", "synthetic_speech", "taken_back"]

_PACKET_S = 0.04
_PAUSE_S = 1.2
_SILENT_DB = -30.0  # below its loudest 10 ms, a recording's ends are no speech
_WINDOW = SAMPLING_RATE // 100
_SEED = 31

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stream:
    """Recordings joined with pauses; where the speech of each begins and ends, in seconds."""

    samples: Samples
    spoken_s: tuple[tuple[float, float], ...]


@dataclass
class Heard:
    """What came back of one recording; times in seconds after its speech began, or ended."""

    first_s: float | None = None
    final_s: float | None = None
    items: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def synthetic_speech(count: int) -> list[Samples]:
    """Return sentences of the embedded corpus's unseen speakers."""
    clips = [spoken.clip.samples for spoken in render_all(plan_corpus(0, 0, count, _SEED))]
    return [samples for samples in clips if samples is not None]


def real_speech(folder: Path, count: int) -> list[Samples]:
    """Return the first recordings of a folder, at 16 kHz.

    Raises:
        ServiceError: If it has too few files.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in _SUFFIXES]
    if len(paths) < count:
        raise ServiceError(
            f"{folder} has {len(paths)} recordings ({', '.join(_SUFFIXES)}); {count} are needed"
        )
    sounds = [read_audio(path) for path in paths[:count]]
    return [resample(sound.samples, sound.sampling_rate, SAMPLING_RATE) for sound in sounds]


_SUFFIXES = (".flac", ".mp4", ".mpg", ".wav")


def joined(recordings: Sequence[Samples]) -> Stream:
    """Join recordings with pauses; the speech of each lies between its first and its last loud 10 ms."""
    rng = np.random.default_rng(_SEED)
    parts: list[Samples] = []
    spoken = []
    at = 0
    for samples in recordings:
        pause = rng.normal(0, 1e-4, round(_PAUSE_S * SAMPLING_RATE)).astype(np.float32)
        windows = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
        level_db = 10 * np.log10(np.mean(windows**2, axis=1) + 1e-12)
        loud = np.flatnonzero(level_db > level_db.max() + _SILENT_DB)
        at += len(pause)
        start, stop = at + loud[0] * _WINDOW, at + (loud[-1] + 1) * _WINDOW
        spoken.append((start / SAMPLING_RATE, stop / SAMPLING_RATE))
        parts += [pause, samples]
        at += len(samples)
    parts.append(rng.normal(0, 1e-4, round(_PAUSE_S * SAMPLING_RATE)).astype(np.float32))
    return Stream(np.concatenate(parts), tuple(spoken))


def live(server: Server, recordings: Sequence[Samples], *, streams: int, what: str) -> list[Row]:
    """Return the figures of sessions that are fed in real time, all at the same time.

    Args:
        server: With its usual settings.
        recordings: They are dealt out to the streams.
        streams: How many sessions.
        what: The recordings, in words.
    """
    fed = [joined(recordings[index::streams]) for index in range(streams)]
    for _ in progress(range(1), f"live, {what}"):
        heard = [each for stream in asyncio.run(_all(server.url, fed)) for each in stream]
    first = [each.first_s for each in heard if each.first_s is not None]
    final = [each.final_s for each in heard if each.final_s is not None]
    shown = sum(len(words.split()) for each in heard for words in each.shown)
    back = sum(
        taken_back(shown, said) for each in heard for shown, said in zip(each.shown, each.said, strict=True)
    )
    pieces = sum(len(each.items) for each in heard)
    note = f"{len(heard)} recordings, {pieces} utterances; {len(heard) - len(final)} without an answer"
    return [
        figure(
            f"first words after speech begins, median; {streams} streams of {what}",
            f"{1000 * _quantile(first, 0.5):.0f} ms",
            1000 * _quantile(first, 0.5),
            Target(high=480),
            f"95 %: {1000 * _quantile(first, 0.95):.0f} ms; {note}",
        ),
        figure(
            "whole text after the last speech, median",
            f"{1000 * _quantile(final, 0.5):.0f} ms",
            1000 * _quantile(final, 0.5),
            Target(high=300),
            f"95 %: {1000 * _quantile(final, 0.95):.0f} ms",
        ),
        figure(
            "shown words that the whole text has not, in %",
            f"{back} of {shown} words",
            100 * back / max(1, shown),
            Target(high=10),
        ),
    ]


def taken_back(shown: str, said: str) -> int:
    """Return how many of the shown words a text does not begin with: replaced, left out or put between."""
    words = said.split()
    if not shown.split():
        return 0
    return min(word_errors(shown, " ".join(words[:count]))[0] for count in range(len(words) + 1))


async def _all(url: str, streams: Sequence[Stream]) -> list[list[Heard]]:
    address = f"{url.replace('http', 'ws', 1)}/v1/realtime?intent=transcription"
    async with aiohttp.ClientSession() as client:
        return await asyncio.gather(*(_fed(client, address, stream) for stream in streams))


async def _fed(client: aiohttp.ClientSession, address: str, stream: Stream) -> list[Heard]:
    heard = [Heard() for _ in stream.spoken_s]
    items: dict[str, tuple[Heard, int]] = {}
    async with client.ws_connect(address, max_msg_size=0) as socket:
        sound = {"format": {"type": "audio/pcm", "rate": SAMPLING_RATE}}
        await socket.send_json(
            {"type": "session.update", "session": {"type": "transcription", "audio": {"input": sound}}}
        )
        began = time.monotonic()
        feeding = asyncio.create_task(_feed(socket, stream.samples, began))
        listening = asyncio.create_task(_listen(socket, stream, began, heard, items))
        await feeding
        await asyncio.wait({listening}, timeout=1.0)
        listening.cancel()
    return heard


async def _feed(socket: aiohttp.ClientWebSocketResponse, samples: Samples, began: float) -> None:
    pcm = (samples.clip(-1, 1) * 32_767).astype("<i2").tobytes()
    size = 2 * round(_PACKET_S * SAMPLING_RATE)
    for number, start in enumerate(range(0, len(pcm), size), 1):
        # As a microphone: a packet is there when its last sample was heard.
        await asyncio.sleep(max(0.0, began + number * _PACKET_S - time.monotonic()))
        audio = base64.b64encode(pcm[start : start + size]).decode()
        await socket.send_json({"type": "input_audio_buffer.append", "audio": audio})


async def _listen(
    socket: aiohttp.ClientWebSocketResponse,
    stream: Stream,
    began: float,
    heard: list[Heard],
    items: dict[str, tuple[Heard, int]],
) -> None:
    ends = [stop + _PAUSE_S / 2 for _, stop in stream.spoken_s]
    async for message in socket:
        now = time.monotonic() - began
        event: dict[str, Any] = message.json()
        kind = event["type"].removeprefix("conversation.item.input_audio_transcription.")
        if kind in ("error", "failed"):
            raise ServiceError(f"a live session failed: {event['error']['message']}")
        if kind == "input_audio_buffer.speech_started":
            number = min(int(np.searchsorted(ends, event["audio_start_ms"] / 1000)), len(heard) - 1)
            one = heard[number]
            items[event["item_id"]] = (one, number)
            one.items.append(event["item_id"])
            one.shown.append("")
            one.said.append("")
        elif kind == "delta":
            one, number = items[event["item_id"]]
            one.shown[one.items.index(event["item_id"])] += event["delta"]
            if one.first_s is None:
                one.first_s = now - stream.spoken_s[number][0]
        elif kind == "completed":
            one, number = items[event["item_id"]]
            one.said[one.items.index(event["item_id"])] = event["transcript"]
            one.final_s = now - stream.spoken_s[number][1]


def _quantile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(values, share)) if values else float("nan")

"""Live sessions, each fed at the pace of speech: how long words take, and how many are taken back."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from mome.benchmark.rows import Target
from mome.errors import ServiceError
from mome.progress import progress
from mome.speech.audio import SAMPLING_RATE
from mome.wer import word_errors
from serving.benchmark.server import Server
from serving.benchmark.speech import Samples, Spoken
from serving.benchmark.table import Row, figure

__all__ = ["joined", "live", "taken_back"]

_PACKET_S = 0.04
_PAUSE_S = 1.2
_SEED = 31


@dataclass(frozen=True, eq=False)
class Stream:
    """Recordings joined with pauses."""

    samples: Samples
    spoken: tuple[Spoken, ...]


@dataclass
class Heard:
    """What came back of one recording: seconds after speech began, its first word ended, and it ended."""

    first_s: float | None = None
    word_s: float | None = None
    final_s: float | None = None
    items: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def joined(recordings: Sequence[Spoken]) -> Stream:
    """Join recordings with pauses; each keeps its moments, on the stream's clock."""
    rng = np.random.default_rng(_SEED)
    parts: list[Samples] = []
    moved = []
    at_s = 0.0
    for spoken in recordings:
        pause = rng.normal(0, 1e-4, round(_PAUSE_S * SAMPLING_RATE)).astype(np.float32)
        at_s += _PAUSE_S
        word_s = None if spoken.word_s is None else at_s + spoken.word_s
        moved.append(Spoken(spoken.samples, at_s + spoken.start_s, at_s + spoken.stop_s, word_s))
        parts += [pause, spoken.samples]
        at_s += len(spoken.samples) / SAMPLING_RATE
    parts.append(rng.normal(0, 1e-4, round(_PAUSE_S * SAMPLING_RATE)).astype(np.float32))
    return Stream(np.concatenate(parts), tuple(moved))


def live(
    server: Server, recordings: Sequence[Spoken], *, streams: int, what: str, scale: str | None
) -> list[Row]:
    """Return the figures of sessions that are fed in real time, all at the same time.

    Args:
        server: With its usual settings.
        recordings: They are dealt out to the streams.
        streams: How many sessions.
        what: The recordings, in words.
        scale: At which they are read; None for the one in force.
    """
    fed = [joined(recordings[index::streams]) for index in range(streams)]
    spent_s, started = server.processor_s(), time.monotonic()
    for _ in progress(range(1), f"live, {what}"):
        heard = [each for stream in asyncio.run(_all(server.url, fed, scale)) for each in stream]
    cores = (server.processor_s() - spent_s) / (time.monotonic() - started)
    first = [each.first_s for each in heard if each.first_s is not None]
    final = [each.final_s for each in heard if each.final_s is not None]
    shown = sum(len(words.split()) for each in heard for words in each.shown)
    back = sum(
        taken_back(shown, said) for each in heard for shown, said in zip(each.shown, each.said, strict=True)
    )
    pieces = sum(len(each.items) for each in heard)
    word = [each.word_s for each in heard if each.word_s is not None]
    note = f"{len(heard)} recordings, {pieces} utterances; {len(heard) - len(final)} without an answer"
    rows = [
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
    rows.append(
        figure("cores that are busy with it, of all processes of the service", f"{cores:.2f}", cores, None)
    )
    if word:
        median_ms = 1000 * _quantile(word, 0.5)
        what = "first words after the first word has ended, median"
        rows.insert(1, figure(what, f"{median_ms:.0f} ms", median_ms, Target(high=480)))
    return rows


def taken_back(shown: str, said: str) -> int:
    """Return how many of the shown words a text does not begin with: replaced, left out or put between."""
    words = said.split()
    if not shown.split():
        return 0
    return min(word_errors(shown, " ".join(words[:count]))[0] for count in range(len(words) + 1))


async def _all(url: str, streams: Sequence[Stream], scale: str | None) -> list[list[Heard]]:
    address = f"{url.replace('http', 'ws', 1)}/v1/realtime?intent=transcription"
    async with aiohttp.ClientSession() as client:
        return await asyncio.gather(*(_fed(client, address, stream, scale) for stream in streams))


async def _fed(client: aiohttp.ClientSession, address: str, stream: Stream, scale: str | None) -> list[Heard]:
    heard = [Heard() for _ in stream.spoken]
    items: dict[str, tuple[Heard, int]] = {}
    async with client.ws_connect(address, max_msg_size=0) as socket:
        sound = {"format": {"type": "audio/pcm", "rate": SAMPLING_RATE}}
        session = {"type": "transcription", "audio": {"input": sound}, "compression_scale": scale}
        await socket.send_json({"type": "session.update", "session": session})
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
    ends = [spoken.stop_s + _PAUSE_S / 2 for spoken in stream.spoken]
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
                spoken = stream.spoken[number]
                one.first_s = now - spoken.start_s
                one.word_s = None if spoken.word_s is None else now - spoken.word_s
        elif kind == "completed":
            one, number = items[event["item_id"]]
            one.said[one.items.index(event["item_id"])] = event["transcript"]
            one.final_s = now - stream.spoken[number].stop_s


def _quantile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(values, share)) if values else float("nan")

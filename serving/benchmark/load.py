"""Callers of a service: some who wait for each answer, or as many as come, whoever waits."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
import numpy as np

from serving.benchmark.recordings import HEADERS, Call

__all__ = ["Answers", "Rate", "closed_loop", "open_loop", "open_loops"]

_TIMEOUT_S = 120.0
_LOST = "lost"  # no answer: refused, reset, timed out


@dataclass
class Answers:
    """What came back, and when.

    Args:
        elapsed_s: From the first request to the last answer.
        latencies_s: By status.
        texts: By the number of the call.
        seconds: Of recordings that were answered.
        errors: Kinds of errors of connections.
        request_ids: Of the answers with a text, as the request log has them.
        scales: At which they were read; "" where the reply began before that was known (docs/api.md).
        resets_s: When each whose connection broke began and ended, on `time.monotonic`.
    """

    elapsed_s: float = 0.0
    latencies_s: dict[int | str, list[float]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    request_ids: list[str] = field(default_factory=list)
    scales: Counter[str] = field(default_factory=Counter)
    resets_s: list[tuple[float, float]] = field(default_factory=list)

    @property
    def statuses(self) -> dict[int | str, int]:
        """How many of each."""
        return {status: len(each) for status, each in sorted(self.latencies_s.items(), key=str)}

    @property
    def per_s(self) -> float:
        """Requests answered with a text in a second."""
        return len(self.latencies_s.get(200, ())) / self.elapsed_s

    def quantile_ms(self, share: float, status: int = 200) -> float:
        """Return the latency that a share of the answers with this status did not exceed."""
        times = self.latencies_s.get(status)
        return 1000 * float(np.quantile(times, share)) if times else float("nan")


class Rate(NamedTuple):
    """So many requests in a second, for so long."""

    per_s: float
    seconds: float


def closed_loop(url: str, calls: Sequence[Call], *, clients: int, requests: int) -> Answers:
    """Let clients send requests, each its next one when it has its answer."""

    async def run() -> Answers:
        answers = Answers()
        numbers = iter(range(requests))
        async with _session() as session:

            async def client() -> None:
                for number in numbers:
                    await _send(session, url, number % len(calls), calls, answers)

            await _timed(answers, (client() for _ in range(clients)))
        return answers

    return asyncio.run(run())


def open_loop(url: str, calls: Sequence[Call], *, per_s: float, seconds: float) -> Answers:
    """Send requests at a steady rate, however many wait."""
    (answers,) = open_loops(url, calls, [Rate(per_s, seconds)])
    return answers


def open_loops(url: str, calls: Sequence[Call], rates: Iterable[Rate]) -> list[Answers]:
    """Send requests at one steady rate after the other, whoever waits still; returns the answers to each."""

    async def send(session: aiohttp.ClientSession, began: float, rate: Rate, first: int) -> Answers:
        answers = Answers()
        async with asyncio.TaskGroup() as group:
            for number in range(_requests(rate)):
                if (early := began + number / rate.per_s - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                group.create_task(_send(session, url, (first + number) % len(calls), calls, answers))
        answers.elapsed_s = time.perf_counter() - began
        return answers

    async def run() -> list[Answers]:
        began, first, all_of_them = time.perf_counter(), 0, []
        async with _session() as session:
            for rate in rates:
                all_of_them.append(asyncio.create_task(send(session, began, rate, first)))
                began, first = began + rate.seconds, first + _requests(rate)
            return await asyncio.gather(*all_of_them)

    return asyncio.run(run())


def _requests(rate: Rate) -> int:
    return math.floor(rate.seconds * rate.per_s) + 1


async def _timed(answers: Answers, clients: Iterable[object]) -> None:
    started = time.perf_counter()
    await asyncio.gather(*clients)  # type: ignore[call-overload]
    answers.elapsed_s = time.perf_counter() - started


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
    )


async def _send(
    session: aiohttp.ClientSession, url: str, number: int, calls: Sequence[Call], answers: Answers
) -> None:
    status: int | str = _LOST
    started = time.monotonic()
    try:
        address = f"{url}/v1/audio/transcriptions"
        async with session.post(address, data=calls[number].body, headers=HEADERS) as reply:
            said = await reply.read()
            status = reply.status
    except TimeoutError:
        answers.errors[TimeoutError.__name__] += 1
    except aiohttp.ClientError as error:
        answers.errors[type(error).__name__] += 1
        answers.resets_s.append((started, time.monotonic()))
    answers.latencies_s.setdefault(status, []).append(time.monotonic() - started)
    if status == 200:
        answers.texts[number] = json.loads(said)["text"]
        answers.request_ids.append(reply.headers.get("X-Request-ID", ""))
        answers.scales[reply.headers.get("X-MoME-Scale", "")] += 1
        answers.seconds += calls[number].seconds

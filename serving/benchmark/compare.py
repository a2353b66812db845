"""Two servers under the same load, in turn: whatever slows the machine slows both."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mome.benchmark.rows import Ratio, Target
from mome.errors import ServiceError
from mome.progress import progress
from serving.benchmark.load import Answers, closed_loop
from serving.benchmark.recordings import Call
from serving.benchmark.server import Server
from serving.benchmark.table import Row

__all__ = ["compare"]

_ALONE = 5  # a caller who is alone sends a fifth of the requests of many


def compare(
    before: Server, ours: Server, calls: Sequence[Call], *, clients: int, requests: int, repetitions: int
) -> list[Row]:
    """Return what many callers get of both, and one alone.

    Args:
        before: What ``ours`` is compared with.
        ours: This code.
        calls: They are sent in turn.
        clients: Callers at a time.
        requests: Of all of them, in each repetition.
        repetitions: How often.

    Raises:
        ServiceError: If a request is not answered, or not with the same text by both.
    """
    sides = (before, ours)
    rates: tuple[list[float], ...] = ([], [])
    costs: tuple[list[float], ...] = ([], [])
    tails: tuple[list[float], ...] = ([], [])
    texts: tuple[dict[int, str], ...] = ({}, {})
    for server in sides:
        _answered(closed_loop(server.url, calls, clients=clients, requests=len(calls)))
    for repetition in progress(range(repetitions), "load"):
        for side in (0, 1) if repetition % 2 == 0 else (1, 0):
            spent_s = sides[side].processor_s()
            many = _answered(closed_loop(sides[side].url, calls, clients=clients, requests=requests))
            costs[side].append((sides[side].processor_s() - spent_s) / requests)
            alone = closed_loop(sides[side].url, calls, clients=1, requests=max(1, requests // _ALONE))
            rates[side].append(many.per_s)
            tails[side].append(_answered(alone).quantile_ms(0.95))
            texts[side].update(many.texts)
    differ = [number for number, text in texts[0].items() if texts[1][number] != text]
    if differ:
        raise ServiceError(f"{len(differ)} of {len(texts[0])} texts differ, such as request {differ[0]}")
    same = f"{len(texts[0])} different recordings, texts identical"
    return [
        Row(
            f"throughput, {clients} clients",
            f"{median(rates[0]):.1f} requests/s",
            f"{median(rates[1]):.1f} requests/s",
            Ratio.of(rates[1], rates[0]),
            Target(low=3.0),
            same,
        ),
        Row(
            f"processor time of a request, {clients} clients",
            f"{1000 * median(costs[0]):.1f} ms",
            f"{1000 * median(costs[1]):.1f} ms",
            Ratio.of(costs[0], costs[1]),
            note="of all processes of the service",
        ),
        Row(
            "95 % of the answers to one client alone",
            f"{median(tails[0]):.0f} ms",
            f"{median(tails[1]):.0f} ms",
            Ratio.of(tails[1], tails[0]),
            Target(high=1.05),
        ),
    ]


def _answered(answers: Answers) -> Answers:
    if set(answers.statuses) != {200}:
        raise ServiceError(f"expected every request to be answered, got {answers.statuses}")
    return answers

"""Four times as many requests as can be answered: each is answered or refused, and none is lost."""

from __future__ import annotations

from collections.abc import Sequence

from mome.benchmark.rows import Target
from mome.progress import progress
from serving.benchmark.load import closed_loop, open_loop
from serving.benchmark.recordings import Call
from serving.benchmark.server import Server
from serving.benchmark.table import Row, figure

__all__ = ["overload"]

_TIMES = 4.0
_MEASURE_S = 10.0  # of the best rate


def overload(server: Server, calls: Sequence[Call], *, clients: int, seconds: float) -> list[Row]:
    """Return what becomes of the requests.

    Args:
        server: With its usual bounds.
        calls: They are sent in turn.
        clients: With which the best rate is measured.
        seconds: How long.
    """
    best = closed_loop(server.url, calls, clients=clients, requests=len(calls))
    best = closed_loop(
        server.url, calls, clients=clients, requests=max(len(calls), round(_MEASURE_S * best.per_s))
    )
    before_bytes = server.memory_bytes()
    for _ in progress(range(1), "overload"):
        answers = open_loop(server.url, calls, per_s=_TIMES * best.per_s, seconds=seconds)
    after_bytes = server.memory_bytes()
    statuses = answers.statuses
    failed = sum(count for status, count in statuses.items() if status not in (200, 429))
    total = sum(statuses.values())
    load = f"{_TIMES:g} × {best.per_s:.1f} requests/s for {seconds:g} s"
    return [
        figure(
            f"neither answered nor refused, {load}",
            f"{failed} of {total}",
            failed,
            Target(high=0),
            f"{statuses.get(200, 0)} answered, {statuses.get(429, 0)} refused",
        ),
        figure(
            "answered, of the best rate",
            f"{answers.per_s:.1f} requests/s",
            answers.per_s / best.per_s,
            Target(low=0.95),
        ),
        figure(
            "99 % of the refusals within",
            f"{answers.quantile_ms(0.99, 429):.0f} ms",
            answers.quantile_ms(0.99, 429),
            Target(high=50),
            f"half of them within {answers.quantile_ms(0.5, 429):.0f} ms",
        ),
        figure(
            "memory of all processes, after and before",
            f"{after_bytes / 1e6:.0f} MB",
            after_bytes / before_bytes,
            None,
            f"{before_bytes / 1e6:.0f} MB before",
        ),
    ]

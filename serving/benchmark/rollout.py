"""What the router is worth: ``python -m serving.benchmark.rollout``, about five minutes.

A real router before two planted services: how many requests a bad candidate gets before it is withdrawn, and
how many requests are lost; how often a good one is withdrawn; what the router adds to an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import tempfile
import time
from pathlib import Path

import aiohttp
import httpx
import numpy as np
import psutil

from mome.cli import main
from serving.benchmark.planted import FAULTS, Backend, routed
from serving.rollout.comparison import Bounds, Comparison
from serving.rollout.trial import Trial

__all__ = ["false_alarms", "load"]

_CLIENTS = 16
_PATH = "/v1/audio/transcriptions"


def load(url: str, requests: int, seed: int, clients: int = _CLIENTS) -> tuple[list[int], list[float]]:
    """Send different requests from several clients; return their statuses (0 if lost) and seconds."""

    async def run() -> tuple[list[int], list[float]]:
        statuses: list[int] = []
        seconds: list[float] = []
        numbers = iter(range(requests))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:

            async def client() -> None:
                for number in numbers:
                    started = time.perf_counter()
                    try:
                        async with session.post(url + _PATH, data=f"{seed} {number}".encode()) as reply:
                            await reply.read()
                            statuses.append(reply.status)
                    except (aiohttp.ClientError, TimeoutError):
                        statuses.append(0)
                    seconds.append(time.perf_counter() - started)

            await asyncio.gather(*(client() for _ in range(clients)))
        return statuses, seconds

    return asyncio.run(run())


def false_alarms(trials: int, requests: int, bounds: Bounds) -> int:
    """Return how many of simulated trials withdraw a candidate that lies on every one of its bounds."""
    withdrawn = 0
    for seed in range(trials):
        draw = random.Random(seed)
        trial = Trial("simulated", "canary", 1.0, bounds)
        for _ in range(requests):
            if draw.random() < bounds.failures:
                trial.add(Comparison(failures=True))
                continue
            trial.add(
                Comparison(
                    failures=False,
                    empty=draw.random() < bounds.empty,
                    slow=draw.random() < bounds.slow,
                    disagreement=float(draw.random() < bounds.disagreement),
                )
            )
            if not trial.runs:
                break
        withdrawn += not trial.runs
    return withdrawn


def _bad(fault: str, seeds: int) -> str:
    sent, lost, answers = [], 0, 0
    for seed in range(seeds):
        median_s = 0.1 if fault == "is slow" else 0.02  # a tenth of a second more is not late yet
        champion = Backend("champion", median_s=median_s)
        candidate = Backend("candidate", fault=fault, median_s=median_s)
        with (
            tempfile.TemporaryDirectory(prefix="mome-rollout-") as folder,
            routed(Path(folder), "canary", champion, candidate) as router,
        ):
            statuses, _ = load(router.url, 1200, seed)
            state = httpx.get(f"{router.url}/rollout").json()
        lost += sum(status != 200 for status in statuses)
        answers += len(statuses)
        sent.append(state["sent"] if state["decision"] == "withdrawn" else float("inf"))
    return f"| {fault} | {np.median(sent):g} | {max(sent):g} | {lost} of {answers} |"


def _good(seeds: int) -> str:
    withdrawn = proven = 0
    for seed in range(seeds):
        champion = Backend("champion", median_s=0.01)
        candidate = Backend("candidate", median_s=0.01, different=0.1)
        with (
            tempfile.TemporaryDirectory(prefix="mome-rollout-") as folder,
            routed(Path(folder), "canary", champion, candidate, "--share", "0.5") as router,
        ):
            load(router.url, 900, seed)
            decision = httpx.get(f"{router.url}/rollout").json()["decision"]
        withdrawn += decision == "withdrawn"
        proven += decision == "proven"
    return f"good, real router, {seeds} trials: withdrawn {withdrawn}, proven {proven}"


def _added() -> str:
    """Compare one client's answers through the router with those without it, in turn."""
    champion, candidate = Backend("champion"), Backend("candidate")
    direct: list[float] = []
    through: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="mome-rollout-") as folder,
        routed(Path(folder), "canary", champion, candidate) as router,
    ):
        process = psutil.Process(router.process.pid)
        before = sum(process.cpu_times()[:2])
        for turn in range(10):
            direct += load(champion.url, 200, turn, clients=1)[1]
            through += load(router.url, 200, turn, clients=1)[1]
        processor_s = sum(process.cpu_times()[:2]) - before
    return (
        f"added by the router ({1000 * processor_s / len(through):.1f} ms of processor time a request): "
        + ", ".join(
            f"p{share:g} {1000 * (np.percentile(through, share) - np.percentile(direct, share)):.1f} ms"
            f" ({1000 * np.percentile(direct, share):.1f} without)"
            for share in (50, 99)
        )
    )


def _command() -> None:
    logging.getLogger("serving.rollout.trial").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="python -m serving.benchmark.rollout", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=1000, help="simulated")
    given = parser.parse_args()
    print("| the candidate | requests until it is gone, median | most | not answered |")
    print("| --- | --- | --- | --- |")
    for fault in FAULTS:
        print(_bad(fault, given.seeds), flush=True)
    print(_good(given.seeds))
    alarms = false_alarms(given.trials, 2000, Bounds())
    print(f"on all four bounds, {given.trials} simulated trials of 2000 requests: withdrawn {alarms}")
    print(_added())


if __name__ == "__main__":
    raise SystemExit(main(_command))

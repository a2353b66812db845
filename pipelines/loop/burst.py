"""A burst of callers for real: at a scale that stays, and at the one that the monitor chooses by the load.

    python -m mome.benchmark.large BUNDLE LARGE
    python -m pipelines.loop.burst LARGE --latency-ms 15000 --bursts 2 3 4

The simulator (`monitoring.simulator.callers`) plays the same to the rules alone; here a real service answers,
in batches, a real controller reads its request log, and the callers take their share of the machine. They
come at half of what the service carries at its finest scale, then at some times that, then at half again;
which burst each way still holds says how many more callers the monitor lets come. Prints Markdown. Scales
differ by the length of the LLM's prefix, so a small LLM shows little.
"""

from __future__ import annotations

import argparse
import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import yaml

from mome.bundle import Bundle, read_bundle
from mome.cli import main
from mome.progress import progress
from mome.records import ScaleDecision
from mome.reporting.markdown import columns
from mome.scales import Scale
from monitoring.journal import read_decisions
from monitoring.parameters import load_monitor_params
from pipelines.loop.controllers import controlled
from serving.benchmark.load import Answers, Rate, closed_loop, open_loops
from serving.benchmark.recordings import Call, calls
from serving.benchmark.server import REPOSITORY, running
from serving.benchmark.table import machine

__all__ = ["Side", "played", "promising", "table"]

_ORDINARY = 0.5  # of what the service carries at its finest scale
_IN_TIME = 0.95  # of the callers, to whom the latency is promised
_CALLERS = 8  # at a time, with which it is measured what the service carries
_RECORDINGS = 24
_SENTENCES = 2  # in each: about five seconds


@dataclass(frozen=True)
class Side:
    """What came of the callers at one way to choose the scale.

    Args:
        name: Of the way.
        rates: Before the burst, in it, and after it.
        answers: Of the time before the burst, of the burst, and of the time after it.
        began: When the first of them came.
        decisions: Of the controller; none without one.
    """

    name: str
    rates: Sequence[Rate]
    answers: list[Answers]
    began: datetime
    decisions: list[ScaleDecision]

    def missed(self, latency_ms: float) -> int:
        """Return how many were answered too late, refused or lost."""
        return sum(_missed(each, latency_ms) for each in self.answers)

    def holds(self, latency_ms: float) -> bool:
        """Tell whether the promise was kept to those who came in the burst."""
        burst = self.answers[1]
        return _missed(burst, latency_ms) <= (1 - _IN_TIME) * _count(burst)

    @property
    def count(self) -> int:
        """All callers."""
        return sum(_count(each) for each in self.answers)

    @property
    def refused(self) -> int:
        """Of these, with 429."""
        return sum(each.statuses.get(429, 0) for each in self.answers)

    @property
    def burst_ms(self) -> float:
        """Latency that 95 of 100 did not exceed of those who came in the burst and were answered."""
        return self.answers[1].quantile_ms(_IN_TIME)

    @property
    def scales(self) -> Counter[str]:
        """How many were read at which scale; "" for replies that began before it was known (docs/api.md)."""
        return sum((each.scales for each in self.answers), Counter())


def _missed(answers: Answers, latency_ms: float) -> int:
    late = sum(1000 * each > latency_ms for each in answers.latencies_s.get(200, ()))
    return late + _count(answers) - answers.statuses.get(200, 0)


def _count(answers: Answers) -> int:
    return sum(answers.statuses.values())


def _carried(url: str, sent: Sequence[Call]) -> float:
    """Return how many requests in a second are answered when as many wait as a batch takes."""
    closed_loop(url, sent, clients=_CALLERS, requests=_CALLERS)
    return closed_loop(url, sent, clients=_CALLERS, requests=len(sent)).per_s


def played(
    bundle: Bundle,
    params: Path,
    folder: Path,
    rates: Sequence[Rate],
    sent: Sequence[Call],
    scale: Scale | None,
    code: Path = REPOSITORY,
) -> Side:
    """Let callers come, and return what came of them.

    Args:
        bundle: What is served.
        params: File whose section ``monitor`` counts.
        folder: For everything that is written; it exists.
        rates: Before the burst, in it, and after it.
        sent: What the callers send, in turn; none names a scale.
        scale: That stays; None lets a controller choose.
        code: Repository whose service runs.

    Raises:
        ServiceError: If the service does not start.
        MonitorError: If the controller does not decide.
    """
    state, requests = folder / "state", folder / "requests"
    state.mkdir()
    settings = {"MOME_REQUEST_LOG": str(requests), "MOME_SCALE_FILE": str(state / "scale.json")}
    name = "monitor" if scale is None else f"always {scale}"
    with ExitStack() as stack:
        if scale is None:
            log = folder / "monitor.log"
            controllers = stack.enter_context(controlled(bundle.path, requests, state, params, log))
            controllers.wait_for(state / "scale.json")
        else:
            _order(scale).write(state / "scale.json")
        server = stack.enter_context(running(bundle.path, code, settings))
        closed_loop(server.url, sent, clients=1, requests=2)  # what is done once is done
        began = datetime.now(UTC)
        for _ in progress(range(1), name):
            answers = open_loops(server.url, sent, rates)
    return Side(name, rates, answers, began, read_decisions(state / "decisions.jsonl", began))


def table(sides: Sequence[Side], latency_ms: float) -> str:
    """Return the sides as Markdown; below, which bursts were held, when which scale was served, and why."""
    rows = []
    for side in sides:
        served = ", ".join(f"{scale or 'not told'} {count}" for scale, count in sorted(side.scales.items()))
        missed = f"{side.missed(latency_ms)} ({side.refused} refused)"
        over = sum(not _holds(each) for each in side.decisions)
        words = f"{over} of {len(side.decisions)}" if side.decisions else ""
        came = f"{side.count}, {side.rates[1].per_s:.2f}"
        rows.append((came, side.name, missed, f"{side.burst_ms / 1000:.1f} s", served, words))
    head = (
        "callers, in the burst a second",
        "scale",
        "late or refused",
        "p95 in the burst",
        "read at",
        "looks over the promise on words",
    )
    lines = [columns(head, rows), "", *_held(sides, latency_ms)]
    for side in sides:
        burst = side.rates[1].per_s
        burst_at = timedelta(seconds=side.rates[0].seconds)
        for each in side.decisions:
            if each.switched:
                after_s = (each.at - side.began - burst_at).total_seconds()
                change = f"{each.previous} → {each.scale} by {each.cause}: {each.reason}"
                lines.append(f"- {burst:.2f} a second, {after_s:+.0f} s: {change}")
    return "\n".join(lines)


def _held(sides: Sequence[Side], latency_ms: float) -> list[str]:
    """Return for each way the largest burst in which it kept the promise, beside the first way's."""
    most: dict[str, float] = {}
    for side in sides:
        held = side.rates[1].per_s if side.holds(latency_ms) else 0.0
        most[side.name] = max(most.get(side.name, 0.0), held)
    first = next(iter(most.values()))
    return [
        f"- {name}: "
        + (f"a burst of {rate:.2f} a second is held" if rate else "none of the bursts is held")
        + (f", {rate / first:.2f} times the first" if first and rate != first else "")
        for name, rate in most.items()
    ]


def _holds(decision: ScaleDecision) -> bool:
    """Tell whether the scale that is served is expected to keep the promise on words."""
    expected = decision.expected_wer.get(decision.scale)
    return expected is None or decision.max_wer is None or expected <= decision.max_wer


def _order(scale: Scale) -> ScaleDecision:
    return ScaleDecision(
        at=datetime.now(UTC),
        scale=str(scale),
        previous=None,
        switched=False,
        snr_db=None,
        requests=0,
        reason="it stays",
    )


def promising(params: Path, latency_ms: float, folder: Path) -> Path:
    """Write the monitor's section with a promise on latency and ``spend: spare``; return the file.

    Raises:
        ConfigError: If there is no such section.
    """
    section = load_monitor_params(params).model_dump(mode="json")
    section |= {"max_latency_ms": latency_ms, "spend": "spare"}
    path = folder / "monitor.yaml"
    path.write_text(yaml.safe_dump({"monitor": section}), encoding="utf-8")
    return path


def _times(given: str) -> float:
    times = float(given)
    if not (math.isfinite(times) and times > 0):
        raise argparse.ArgumentTypeError(f"{given} is not a number of times")
    return times


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.loop.burst",
        description="Let some times as many callers come, at a scale that stays and at the monitor's.",
    )
    parser.add_argument("bundle", type=Path, help="folder of a bundle")
    parser.add_argument("--latency-ms", type=float, required=True, help="promised to 95 of 100 callers")
    parser.add_argument(
        "--bursts",
        type=_times,
        nargs="+",
        default=[3.0],
        metavar="TIMES",
        help="as many times the ordinary callers, one burst after the other; 2 is what the finest scale "
        "carries; default: 3",
    )
    parser.add_argument("--calm-s", type=float, default=120.0, help="seconds before the burst, and after it")
    parser.add_argument("--burst-s", type=float, default=300.0, help="seconds that it takes")
    parser.add_argument("--snr-db", type=float, help="level of babble around every caller; default: none")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="its section monitor counts")
    parser.add_argument("--output", type=Path, help="new folder to keep everything in; default: nothing is")
    given = parser.parse_args()
    bundle = read_bundle(given.bundle)
    finest, coarsest = bundle.scales[0], bundle.scales[-1]
    with tempfile.TemporaryDirectory(prefix="mome-burst-") as temporary:
        folder: Path = given.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=given.output is None)
        params = promising(given.params, given.latency_ms, folder)
        made = {
            scale: calls(
                _RECORDINGS,
                () if scale is None else (scale,),
                with_lips=False,
                snr_db=given.snr_db,
                sentences=_SENTENCES,
            )
            for scale in (finest, coarsest, None)
        }
        with running(bundle.path) as server:
            fine, coarse = (_carried(server.url, made[scale]) for scale in (finest, coarsest))
        ordinary = _ORDINARY * fine
        calm = Rate(ordinary, given.calm_s)
        sides = []
        for times, scale in itertools.product(given.bursts, (finest, None)):
            own = folder / f"{times:g}" / ("monitor" if scale is None else str(scale))
            own.mkdir(parents=True)
            rates = [calm, Rate(times * ordinary, given.burst_s), calm]
            sides.append(played(bundle, params, own, rates, made[None], scale))
    seconds = np.mean([call.seconds for call in made[None]])
    print("\n".join(machine()))
    print(
        f"\nRecordings of {seconds:.1f} s on average. {_CALLERS} callers at a time are answered "
        f"{fine:.2f} times a second at {finest}, {coarse:.2f} times at {coarsest} ({coarse / fine:.2f} times "
        f"as many). Before the burst and after it {ordinary:.2f} a second came; "
        f"{given.latency_ms / 1000:g} s are promised.\n"
    )
    print(table(sides, given.latency_ms))


if __name__ == "__main__":
    raise SystemExit(main(_command))

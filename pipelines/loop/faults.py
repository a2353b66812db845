"""Fault injection: workers and monitors are killed under load; nothing may be torn, lost or written by two.

    python -m pipelines.loop.faults BUNDLE --minutes 10 --seed 1

A real service with two workers, two real controllers of which one waits, and callers whose noise comes and
goes, so that the scale has to switch. Somebody who knows nothing of the code reads all that is published.
Prints what was promised beside what was seen, as Markdown, and fails if one is not as promised.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from mome.cli import main
from mome.errors import MonitorError
from mome.progress import progress
from mome.reporting.markdown import columns
from pipelines.loop.account import Row, account
from pipelines.loop.controllers import Controllers, controlled
from pipelines.loop.kills import killing
from pipelines.loop.witness import Witness
from serving.benchmark.load import open_loop
from serving.benchmark.recordings import Call, calls
from serving.benchmark.server import REPOSITORY, Server, running
from serving.benchmark.table import machine

__all__ = ["changing_noise", "inject", "table"]

_WORKERS = 2
_MONITORS = 2
_WHOLE_AGAIN_S = 60.0
_BABBLE_DB = 0.0


def changing_noise(count: int) -> list[Call]:
    """Return requests that leave the scale to the service: as many clean ones, then as many in babble."""
    return [*calls(count, (), with_lips=False), *calls(count, (), with_lips=False, snr_db=_BABBLE_DB)]


def inject(
    bundle: Path,
    params: Path,
    folder: Path,
    sent: Sequence[Call],
    *,
    seconds: float,
    per_s: float,
    every_s: float,
    seed: int,
    code: Path = REPOSITORY,
) -> list[Row]:
    """Kill what runs, at random, and return what came of it.

    Args:
        bundle: What is served.
        params: File whose section ``monitor`` counts.
        folder: For everything that is written; it exists.
        sent: What the callers send, in turn.
        seconds: How long.
        per_s: Requests in a second.
        every_s: Mean time between two kills of a worker, and between two of a monitor.
        seed: Of the moments.
        code: Repository whose service runs.

    Raises:
        ServiceError: If the service does not start.
        MonitorError: If no monitor decides.
    """
    folder = folder.resolve()
    state, requests = folder / "state", folder / "requests"
    state.mkdir()
    settings = {
        "MOME_SCALE_FILE": str(state / "scale.json"),
        "MOME_REQUEST_LOG": str(requests),
        "BENTOML_CONFIG_OPTIONS": f"services.mome.workers={_WORKERS}",
    }
    monitors: list[Controllers] = []
    # It is there before anybody writes and when nobody does any more.
    witness = Witness(state, requests, lambda: [pid for each in monitors for pid in each.pids])
    with ExitStack() as stack:
        stack.enter_context(witness)
        log = folder / "monitors.log"
        controllers = stack.enter_context(controlled(bundle, requests, state, params, log, _MONITORS))
        monitors.append(controllers)
        server = stack.enter_context(running(bundle, code, settings))
        controllers.wait_for(state / "scale.json")
        with killing(server, controllers, witness, seed=seed, every_s=every_s) as kills:
            for _ in progress(range(1), "kill"):
                answers = open_loop(server.url, sent, per_s=per_s, seconds=seconds)
        whole_s = _until_whole(server, controllers, witness)
    rows = account(witness.seen, answers, kills)
    found = "never" if whole_s is None else f"{whole_s:.1f} s later"
    promised = f"within {_WHOLE_AGAIN_S:g} s"
    return [*rows, Row("all workers and a monitor back", found, promised, whole_s is not None)]


def _until_whole(server: Server, controllers: Controllers, witness: Witness) -> float | None:
    """Return how long it took until everything ran again."""
    started = time.monotonic()
    while (now := time.monotonic()) < started + _WHOLE_AGAIN_S:
        if len(server.workers()) == _WORKERS and len(controllers.pids) == _MONITORS and witness.holders():
            return now - started
        time.sleep(0.1)
    return None


def table(rows: Sequence[Row]) -> str:
    """Return the account as Markdown."""
    verdicts = {None: "", True: "kept", False: "broken"}
    head = ("what", "seen", "promised", "")
    return columns(
        head, [(row.what, row.found, row.promised, verdicts[row.kept]) for row in rows], numbers=False
    )


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.loop.faults",
        description="Kill workers and monitors under load, and account for every file and decision.",
    )
    parser.add_argument("bundle", type=Path, help="folder of a bundle")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--every", type=float, default=15.0, help="mean seconds between kills of one kind")
    parser.add_argument("--per-s", type=float, default=3.0, help="requests in a second")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="its section monitor counts")
    parser.add_argument("--output", type=Path, help="new folder to keep everything in; default: nothing is")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mome-faults-") as temporary:
        folder = given.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=given.output is None)
        rows = inject(
            given.bundle,
            given.params,
            folder,
            changing_noise(round(20 * given.per_s)),
            seconds=60 * given.minutes,
            per_s=given.per_s,
            every_s=given.every,
            seed=given.seed,
        )
    print("\n".join([*machine(), "", table(rows)]))
    broken = [row.what for row in rows if row.kept is False]
    if broken:
        raise MonitorError(f"{len(broken)} of {len(rows)} are not as promised: {'; '.join(broken)}")


if __name__ == "__main__":
    raise SystemExit(main(_command))

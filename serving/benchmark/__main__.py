"""How much traffic the service carries: ``python -m serving.benchmark BUNDLE [--before FOLDER | --live]``.

Two real servers in one run, loaded in turn: one that reads requests one at a time (or another state of
the code, ``--before``), and this one. Prints a Markdown table; fails if a text differs between the two.
With ``--live``, sessions that are fed at the pace of speech, in place of that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mome.bundle import read_bundle
from mome.cli import main
from mome.errors import ServiceError
from serving.benchmark.compare import compare
from serving.benchmark.live import live, real_speech, synthetic_speech
from serving.benchmark.overload import overload
from serving.benchmark.recordings import calls
from serving.benchmark.server import Server, running
from serving.benchmark.table import Row, machine, table

__all__: list[str] = []

_DIFFERENT = 48  # recordings


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.benchmark", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--before", type=Path, help="a repository with an earlier state of the code")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=320, help="in each repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--overload-s", type=float, default=60.0, help="0 leaves it out")
    parser.add_argument("--with-lips", action="store_true", help="every fourth request has video")
    parser.add_argument("--live", action="store_true", help="measure live sessions, and nothing else")
    parser.add_argument("--streams", type=int, default=4, help="live sessions at a time")
    parser.add_argument("--recordings", type=int, default=32, help="of all live sessions")
    parser.add_argument("--speech", type=Path, help="folder of their recordings; default: synthetic speakers")
    parser.add_argument("--scale", help="at which they are read; default: the one in force")
    parser.add_argument("--alignments", type=Path, help="table of when their words are said")
    given = parser.parse_args()
    bundle = read_bundle(given.bundle)
    if given.with_lips and bundle.evaluation.modality != "av":
        raise ServiceError(f"--with-lips: {bundle.name} reads {bundle.evaluation.modality} alone")
    if given.live:
        with running(bundle.path) as server:
            rows = _live(server, given)
        print("\n".join([*machine(), "", *table(rows)]))
        return
    sent = calls(_DIFFERENT, bundle.scales, with_lips=given.with_lips)
    # The other side is named first: what it is compared with.
    if given.before is None:
        before = running(bundle.path, settings={"MOME_MAX_BATCH": "1"})
    else:
        before = running(bundle.path, code=given.before.resolve())
    with before as other, running(bundle.path) as ours:
        rows = compare(
            other,
            ours,
            sent,
            clients=given.clients,
            requests=given.requests,
            repetitions=given.repetitions,
        )
        if given.overload_s:
            rows += overload(ours, sent, clients=given.clients, seconds=given.overload_s)
    print("\n".join([*machine(), "", *table(rows)]))


def _live(server: Server, given: argparse.Namespace) -> list[Row]:
    if given.speech is None:
        recordings, what = synthetic_speech(given.recordings), "synthetic speakers"
    else:
        recordings, what = real_speech(given.speech, given.recordings, given.alignments), given.speech.name
    return live(server, recordings, streams=given.streams, what=what, scale=given.scale)


if __name__ == "__main__":
    raise SystemExit(main(_command))

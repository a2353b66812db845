"""How much traffic the service carries: ``python -m serving.benchmark BUNDLE [--before FOLDER]``.

Two real servers in one run, loaded in turn: one that reads requests one at a time (or another state of
the code, ``--before``), and this one. Prints a Markdown table; fails if a text differs between the two.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mome.bundle import read_bundle
from mome.cli import main
from mome.errors import ServiceError
from serving.benchmark.compare import compare
from serving.benchmark.overload import overload
from serving.benchmark.recordings import calls
from serving.benchmark.server import running
from serving.benchmark.table import machine, table

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
    given = parser.parse_args()
    bundle = read_bundle(given.bundle)
    if given.with_lips and bundle.evaluation.modality != "av":
        raise ServiceError(f"--with-lips: {bundle.name} reads {bundle.evaluation.modality} alone")
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


if __name__ == "__main__":
    raise SystemExit(main(_command))

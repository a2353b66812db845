"""How much the service carries: ``python -m serving.benchmark BUNDLE [--before FOLDER | --live | --long N]``.

Two real servers in one run, loaded in turn: one that reads requests one at a time (or another state of
the code, ``--before``), and this one. Prints a Markdown table; fails if a text differs between the two.
With ``--live``, sessions that are fed at the pace of speech, in place of that; with ``--long``, one file of
N minutes against its utterances one by one, and against batches of them as evaluation makes them.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from mome.bundle import Bundle, read_bundle
from mome.cli import main
from mome.errors import ServiceError
from mome.inference import Transcriber
from mome.scales import Scale
from serving.benchmark.compare import compare
from serving.benchmark.live import live
from serving.benchmark.long import lasting, long_file
from serving.benchmark.overload import overload
from serving.benchmark.recordings import calls
from serving.benchmark.server import Server, running
from serving.benchmark.speech import every_recording, real_speech, synthetic_speech
from serving.benchmark.table import Row, machine, table

__all__: list[str] = []

_DIFFERENT = 48  # recordings
_SENTENCE_S = 2.5  # of synthetic speakers, with the pause behind it


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
    parser.add_argument("--long", type=float, metavar="N", help="measure one long file, and nothing else")
    parser.add_argument("--speech", type=Path, help="folder of recordings; default: synthetic speakers")
    parser.add_argument("--scale", help="at which they are read; default: the one in force")
    parser.add_argument("--alignments", type=Path, help="table of when their words are said")
    given = parser.parse_args()
    bundle = read_bundle(given.bundle)
    if given.with_lips and bundle.evaluation.modality != "av":
        raise ServiceError(f"--with-lips: {bundle.name} reads {bundle.evaluation.modality} alone")
    if given.long is not None:
        print("\n".join([*machine(), "", *table(_long(bundle, given))]))
        return
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


def _long(bundle: Bundle, given: argparse.Namespace) -> list[Row]:
    seconds = 60 * given.long
    if not seconds > 0:
        raise ServiceError(f"--long: expected minutes above zero, got {given.long:g}")
    if given.speech is None:
        heard, what = synthetic_speech(math.ceil(seconds / _SENTENCE_S)), "synthetic speakers"
        spoken = lasting(heard, seconds)
    else:
        spoken, what = lasting(every_recording(given.speech, given.alignments), seconds), given.speech.name
    scale = bundle.default_scale if given.scale is None else Scale.parse(given.scale)
    transcriber = Transcriber.load(bundle.foundation, bundle.checkpoint, bundle.decoding)
    with running(bundle.path) as server:
        return long_file(server, transcriber, spoken, scale=scale, repetitions=given.repetitions, what=what)


if __name__ == "__main__":
    raise SystemExit(main(_command))

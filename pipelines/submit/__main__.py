"""The command ``python -m pipelines.submit``."""

from __future__ import annotations

import argparse
import re
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from mome.errors import MomeError
from mome.storage import write_text
from pipelines.calls import Patience, ServerError, one_line
from pipelines.client import Connection, add_options
from pipelines.compile import PIPELINES
from pipelines.submit.images import check_images
from pipelines.submit.job import Interrupted, Wishes, execute
from pipelines.submit.outcome import Exit, Outcome, Submission
from pipelines.submit.plan import Plan, plan, read_plan, write_plan
from pipelines.submit.report import markdown
from pipelines.submit.triggers import KINDS, PAYLOAD

__all__ = ["main"]

CODES = """\
exit code:
  0    the gate passed the model; or the run ended well and has no gate, or nobody waited for it
  1    parameters, package, payload or images are wrong: nothing was started
  2    the command line is wrong
  3    the gate rejected the model
  4    the run failed before or after the gate, or was cancelled on the server
  5    the server is away, too old, or does not let us in
  6    the run had not ended after --timeout, or its turn had not come
  130  interrupted

A run is started at most once: its name holds --key and is looked for before each attempt. The same
command with the same key finds the run of an attempt that was broken off, and waits for it; after a run
that failed or was cancelled it starts another one.
"""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (`outcome.Exit`)."""
    options = _options(arguments)
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _run(options)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(options: argparse.Namespace) -> int:
    submission: Submission | None = None
    patience = Patience(first_wait_s=options.retry_wait)
    try:
        job = _plan(options)
        if options.require_digests:
            job.package.require_digests()
        if options.check_images:
            check_images(job.package.images, patience)
        if options.dry_run:
            _show(job)
            if options.save_plan:
                write_plan(options.save_plan, job)
            return Exit.PASSED
        submission = execute(
            job,
            Connection.find(options.host, options.namespace, options.token_file, options.ca_cert),
            _wishes(options),
            patience,
        )
    except Interrupted as interruption:
        submission = interruption.submission
    except KeyboardInterrupt:
        print(
            "interrupted; what was started is found again by the same command with the same --key",
            file=sys.stderr,
        )
        return Exit.INTERRUPTED
    except MomeError as error:
        code = Exit.SERVER if isinstance(error, ServerError) else Exit.INPUT
        said = one_line(error)
        print("error:", said, file=sys.stderr)
        submission = Submission(
            pipeline=options.pipeline,
            version=options.version or "",
            trigger=options.trigger or "",
            outcome=Outcome(verdict="error", reason=said),
            exit_code=code,
        )
        _write(submission, options)
        return code
    _write(submission, options)
    print(one_line(f"{submission.outcome.verdict}: {submission.outcome.reason}"))
    return submission.exit_code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.submit",
        description="Submit a pipeline to a Kubeflow server and exit as the gate decided.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ", ".join(PIPELINES)
    parser.add_argument(
        "pipeline", nargs="?", default="training", help=f"{known}, or a compiled file; default: training"
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--profile", help="of mome/profiles; its sections stand in for those of params.yaml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="train.steps=200, corpus=embedded, ...",
    )
    parser.add_argument("--pointer", type=Path, help=".dvc file that names the corpus and its revision")
    parser.add_argument(
        "--trigger", choices=KINDS, help=f"what asks for the run; its payload is the variable {PAYLOAD}"
    )
    parser.add_argument("--version", help="of the pipeline; default: <version>+g<commit>")
    parser.add_argument("--tag", help="of a release; must be v<version>, in a checkout without changes")
    parser.add_argument("--require-digests", action="store_true", help="refuse images named by a tag")
    parser.add_argument(
        "--check-images",
        action="store_true",
        help="ask their registry for every image before a run is started",
    )
    parser.add_argument(
        "--save-plan", type=Path, metavar="FILE", help="with --dry-run: keep what was checked"
    )
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="submit what --save-plan kept; --set may add parameters of the pipeline, as in registry=...",
    )
    parser.add_argument("--experiment", default="mome", help="default: mome")
    parser.add_argument("--key", type=_key, default=None, help="of this submission; default: a drawn one")
    parser.add_argument(
        "--one-at-a-time", action="store_true", help="wait until no other run of the experiment is at work"
    )
    parser.add_argument("--service-account", help="that the steps run as")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--dry-run", action="store_true", help="check all, show the plan, ask no server")
    ways.add_argument(
        "--upload-only", action="store_true", help="put the version on the server, start no run"
    )
    ways.add_argument("--no-wait", action="store_true", help="start the run and leave")
    parser.add_argument(
        "--timeout", type=_duration, default=_duration("24h"), help="90m, 6h, 2d; default: 24h"
    )
    parser.add_argument("--poll", type=_duration, default=15.0, help="between two looks; default: 15s")
    parser.add_argument(
        "--retry-wait", type=_duration, default=1.0, help="first wait after a fault; default: 1s"
    )
    parser.add_argument(
        "--terminate-on",
        action="append",
        default=[],
        choices=("interrupt", "timeout"),
        help="end the run on the server too; by default it goes on",
    )
    parser.add_argument("--result", type=Path, help="JSON file: what it came to")
    parser.add_argument("--markdown", type=Path, help="Markdown file: the same for a comment")
    add_options(parser)
    options = parser.parse_args(arguments)
    if options.save_plan and not options.dry_run:
        parser.error("--save-plan goes with --dry-run: what is submitted at once needs no file")
    more = [name for name in ("profile", "pointer", "trigger", "version", "tag") if getattr(options, name)]
    if options.plan and more:
        parser.error(f"--plan and --{more[0]}: the plan holds it already")
    return options


def _plan(options: argparse.Namespace) -> Plan:
    if options.plan:
        return read_plan(options.plan, options.set)
    return plan(
        options.pipeline,
        params=options.params,
        profile=options.profile,
        changes=options.set,
        pointer=options.pointer,
        trigger=options.trigger,
        version=options.version,
        tag=options.tag,
        starts=not options.upload_only,
    )


def _wishes(options: argparse.Namespace) -> Wishes:
    more: dict[str, Any] = {}
    if options.service_account:
        more["service_account"] = options.service_account
    return Wishes(
        experiment=options.experiment,
        key=options.key or secrets.token_hex(4),
        wait=not options.no_wait,
        upload_only=options.upload_only,
        in_turn=options.one_at_a_time,
        every_s=options.poll,
        at_most_s=options.timeout,
        end_on=frozenset(options.terminate_on),
        more=more,
    )


def _write(submission: Submission, options: argparse.Namespace) -> None:
    if options.result:
        submission.write(options.result)
    if options.markdown:
        write_text(options.markdown, markdown(submission))


def _show(job: Plan) -> None:
    print(f"{job.package.name} {job.version}")
    for name, value in job.changes.items():
        print(f"  {name} = {one_line(value)}")
    for image in sorted(job.package.images):
        print(f"  image {image}")


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 15s, 90m, 6h or 2d")
    return float(found[1]) * UNITS[found[2] or "s"]


def _key(text: str) -> str:
    if re.fullmatch(r"[\w.-]{1,64}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected up to 64 letters, digits, dots and dashes")
    return text


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # CI sends one signal and a few seconds later the other: that must not break off what the first one
    # began, the end of the run. A person who presses Ctrl-C again means it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())

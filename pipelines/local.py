"""The main job: ``python -m pipelines.local`` runs the training pipeline on this machine.

The compiled pipeline is what runs, the same that a Kubeflow cluster gets; every step is a process
of its own. State lies under ``var/``, what a person reads under ``reports/``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from mome.changes import configured
from mome.cli import main
from mome.config import Params, load_params, parse_section
from mome.machine.memory import check_memory
from mome.machine.processor import decided_everywhere, machine
from mome.progress import PROGRESS_VARIABLE
from mome.storage import new_file
from pipelines.compile import compile_pipeline
from pipelines.exclusive import exclusive
from pipelines.execution import Stage, StageFailed, execute
from pipelines.memory import PeakMemory
from pipelines.submit.arguments import inside_sections, parse_changes
from pipelines.summary import describe, summarise, write_summary

__all__ = ["run"]

EMBEDDED = "embedded"
# What the job takes at its highest, with models that are taught here; summary.json has it of every run.
_MEMORY_GIB = {"float32": 2.4, "bfloat16": 3.5}
# What a person may want to read of a stage: the name of its report, and of the file under reports/.
REPORTS = {
    "version_corpus": "corpus",
    "prepare": "dataset",
    "validate": "validation",
    "build_foundation": "foundation",
    "train": "training",
    "evaluate": "evaluation",
    "gate": "gate",
    "package": "package",
    "rehearse": "rehearsal",
    "promote": "promotion",
}


def run(
    corpus: str,
    params: Path,
    state: Path,
    reports: Path,
    profile: str | None = None,
    changes: Sequence[str] = (),
) -> None:
    """Run the training pipeline, leave reports and summary, and print what it came to.

    Args:
        corpus: ``embedded``, a folder of recordings, or the address of a DVC repository.
        params: The experiment's numbers.
        state: Folder for everything that outlives the run: results of stages, revisions, models.
        reports: Folder for reports; ``summary.json`` in it is the newest run's, of any corpus.
        profile: Of ``mome/profiles``, whose sections stand in for those of ``params``.
        changes: Of single values after that, each as ``train.steps=200``.

    Raises:
        StageFailed: If a step fails; its report and a summary of what was reached are there.
        MomeError: If the parameters are wrong, or another run is at work in ``state``.
    """
    values = load_params(params, profile)
    if changes:
        single = inside_sections(parse_changes(changes))
        values = parse_section(Params, configured(single, values.sections()))
    # Here already: what was decided is part of what a reused result is known by.
    values = decided_everywhere(values)
    if EMBEDDED in (values.foundation.audio, values.foundation.video):
        check_memory(
            int(_MEMORY_GIB[values.foundation.precision] * 2**30),
            "the job",
            f"lower foundation.utterances (now {values.foundation.utterances})",
        )
    arguments = {
        # A folder by its whole path; a word or an address stays what it is.
        "corpus": str(Path(corpus).resolve()) if Path(corpus).is_dir() else corpus,
        "registry": str(state.resolve() / "registry"),
    }
    own = reports / Path(corpus.partition("@")[0]).resolve().name.removesuffix(".git")
    with exclusive(state), PeakMemory() as memory:
        # An earlier run's reports would pass for this one's if it stops early.
        shutil.rmtree(own, ignore_errors=True)
        (reports / "summary.json").unlink(missing_ok=True)
        os.environ["MOME_WORK_DIR"] = str(state.resolve() / "work")
        os.environ[PROGRESS_VARIABLE] = f"/proc/{os.getpid()}/fd/{sys.stderr.fileno()}"
        print(f"{machine(values.train.device)}: {_precisions(values)}", file=sys.stderr)
        show = _Lines()
        stages: dict[str, Stage] = {}
        failure: StageFailed | None = None

        def done(stage: Stage) -> None:
            stages[stage.name] = stage
            show.end(stage)

        try:
            execute(
                compile_pipeline("training", values),
                arguments,
                root=state / "runs",
                log=own / "run.log",
                on_start=show.start,
                on_end=done,
            )
        except StageFailed as error:
            failure = error
            show.fail(error.stage)
            if error.stage.name == "gate":  # rejected, and the decision says why
                stages["gate"] = error.stage

    found = _collect(stages, failure, own)
    summary = summarise(stages, hypotheses=found.get("hypotheses"), peak_rss_bytes=memory.bytes)
    write_summary(summary, failure, [own / "summary.json", reports / "summary.json"])
    print(
        "\n"
        + describe(summary, stages, found | {"log": own / "run.log", "summary": reports / "summary.json"})
    )
    if failure is not None:
        report = found.get(REPORTS.get(failure.stage.name, ""), own / "run.log")
        raise StageFailed(failure.stage, f"{failure.stage.name}: {failure} (report: {report})")


def _precisions(values: Params) -> str:
    taught, trained = values.foundation.precision, values.train.precision
    return trained if taught == trained else f"{taught} for the foundation, {trained} for training"


def _collect(stages: dict[str, Stage], failure: StageFailed | None, reports: Path) -> dict[str, Path]:
    """Copy what a person reads out of the stages' folders and return where it is now."""
    found: dict[str, Path] = {}
    for stage, name in REPORTS.items():
        page = None
        if stage in stages and f"{name}_report" in stages[stage].outputs:
            page = stages[stage].path(f"{name}_report")
        elif failure is not None and failure.stage.name == stage:
            page = next(iter(sorted(failure.stage.folder.rglob("*.html"))), None)
        if page is not None:
            found[name] = _copy(page, reports / f"{name}.html")
    if "evaluate" in stages:
        found["hypotheses"] = _copy(stages["evaluate"].path("evaluation") / "hypotheses.jsonl", reports)
    return found


def _copy(source: Path, target: Path) -> Path:
    target = target / source.name if target.is_dir() else target
    with new_file(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


class _Lines:
    """One line per stage; on a terminal its name stands there while it runs, under its progress bars."""

    def __init__(self) -> None:
        self._out = sys.stdout  # kept, for the steps' output is sent to the log
        self._live = self._out.isatty()

    def start(self, stage: Stage) -> None:
        if self._live:
            print(f"  {stage.name} ...", end="\r", file=self._out, flush=True)

    def end(self, stage: Stage) -> None:
        self._say(stage, "reused" if stage.reused else f"{stage.seconds:7.1f} s")

    def fail(self, stage: Stage) -> None:
        self._say(stage, f"{stage.seconds:7.1f} s  failed")

    def _say(self, stage: Stage, state: str) -> None:
        clear = "\r\033[K" if self._live else ""
        print(f"{clear}  {stage.name:<20} {state:>9}", file=self._out, flush=True)


def _command() -> None:
    parser = argparse.ArgumentParser(description="Run the training pipeline on this machine.")
    parser.add_argument(
        "--corpus",
        default=EMBEDDED,
        help="'embedded' (default), a folder, or the address of a DVC repository",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's numbers")
    parser.add_argument("--profile", help="of mome/profiles; its sections stand in for those of params.yaml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="train.steps=200, foundation.audio=path/to/whisper-tiny.en, ...",
    )
    parser.add_argument(
        "--state", type=Path, default=Path("var"), help="revisions, results, models (default: var)"
    )
    parser.add_argument(
        "--reports", type=Path, default=Path("reports"), help="what to read (default: reports)"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    run(
        arguments.corpus,
        arguments.params,
        arguments.state,
        arguments.reports,
        arguments.profile or None,
        arguments.set,
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # so that the steps are ended as after Ctrl-C


if __name__ == "__main__":
    raise SystemExit(main(_command))

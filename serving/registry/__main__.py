"""The registry on the command line.

    python -m serving.registry list [CORPUS]
    python -m serving.registry show CORPUS [VERSION]
    python -m serving.registry register CORPUS BUNDLE
    python -m serving.registry review CORPUS VERSION PAGE [--trial FILE]
    python -m serving.registry promote CORPUS VERSION [--again --reason TEXT]
    python -m serving.registry rollback CORPUS --reason TEXT [--to VERSION]
    python -m serving.registry wait CORPUS VERSION [--every SECONDS]
    python -m serving.registry pull CORPUS FOLDER [--version VERSION]
    python -m serving.registry evaluation CORPUS FOLDER
    python -m serving.registry prune CORPUS [--keep N]
    python -m serving.registry sync CORPUS

``--registry`` takes a folder or s3://bucket/prefix (default: MOME_REGISTRY, else var/registry).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from mome.cli import main
from mome.errors import BundleError, ServiceError
from mome.machine.stopping import stoppable
from mome.registry.history import History, Lineage, Version
from mome.reporting.report import Report
from serving.registry.address import open_registry
from serving.registry.lineage import code_revision, user
from serving.registry.registry import Registry
from serving.rollout.report import add_evidence
from serving.rollout.trial import TrialState, read_state

_DEFAULT = "var/registry"


def _list(registry: Registry, given: argparse.Namespace) -> None:
    rows = [("corpus", "version", "stage", "promoted", "clean word errors", "data", "code", "run")]
    for corpus in [given.corpus] if given.corpus else registry.models():
        history = registry.history(corpus)
        for version in reversed(history.versions.values()):
            at = history.promoted_at(version.version)
            rows.append(
                (
                    corpus,
                    version.version,
                    history.stage(version.version),
                    f"{at:%Y-%m-%d %H:%M}" if at else "-",
                    _clean(version),
                    version.revision[:12],
                    version.lineage.code[:12] or "-",
                    version.lineage.run or "-",
                )
            )
    if len(rows) == 1:
        print("nothing is registered")
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _clean(version: Version) -> str:
    rate = version.figures.get(f"wer_{version.default_scale}_clean")
    return "-" if rate is None else f"{rate:.1%} at {version.default_scale}"


def _show(registry: Registry, given: argparse.Namespace) -> None:
    history = registry.history(given.corpus)
    version = _chosen(history, given.version)
    facts = {
        "version": version.version,
        "stage": history.stage(version.version),
        "name": version.name,
        "corpus": f"{version.corpus} @ {version.revision}",
        "code": version.lineage.code or "not known",
        "run": version.lineage.run or "not known",
        "trained by": version.lineage.image or "not known",
        "serve with": version.lineage.serve_image or "not known",
        "monitor with": version.lineage.monitor_image or "not known",
        "gate": version.gate,
        "files": registry.uri(version),
        "bundle.json": f"SHA-256 {version.manifest_sha256}",
    }
    facts |= {name: f"{rate:.2%}" for name, rate in version.figures.items()}
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.ljust(width)}  {value}")
    print("\nhistory")
    for entry in history.entries:
        if entry.version == version.version:
            print(f"  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.event}, by {entry.by}: {entry.reason}")
        elif entry.event == "rolled back" and entry.replaced == version.version:
            print(f"  {entry.at:%Y-%m-%d %H:%M:%S}  left for {entry.version}, by {entry.by}: {entry.reason}")


def _chosen(history: History, version: str | None) -> Version:
    if version is None:
        return history.in_use()
    if version in history.versions:
        return history.versions[version]
    known = ", ".join(history.versions) or "none"
    raise BundleError(f"{history.corpus}: no version {version!r} is registered; versions: {known}")


def _register(registry: Registry, given: argparse.Namespace) -> None:
    lineage = Lineage(
        code=given.code or code_revision(),
        run=given.run,
        image=given.image,
        serve_image=given.serve_image,
        monitor_image=given.monitor_image,
    )
    version = registry.register(given.bundle, given.corpus, lineage, by=given.by, again=given.again)
    print(f"{given.corpus}: {version.version} is {registry.history(given.corpus).stage(version.version)}")


def _review(registry: Registry, given: argparse.Namespace) -> None:
    beside = "" if given.trial is None else _evidence(read_state(given.trial), given.version)
    asked = registry.review(given.corpus, given.version, given.page, beside)
    print(f"{given.corpus}: the gate says of {given.version}: {asked.reason}; see {given.page}")


def _evidence(state: TrialState, version: str) -> str:
    """Return a trial's part of the gate's page."""
    tried = state.versions.get("candidate", "none that has answered")
    if tried != version:
        raise BundleError(f"--trial: is of {tried}, and asked is {version}")
    report = Report(f"Trial of {version}")
    report.heading("What its trial has shown")
    add_evidence(report, state)
    return report.body()


def _promote(registry: Registry, given: argparse.Namespace) -> None:
    if given.again and not given.reason:
        raise BundleError(
            "--again: give --reason, too: why the way back from this version is over; it is kept"
        )
    version = registry.promote(
        given.corpus, given.version, by=given.by, reason=given.reason, again=given.again
    )
    print(f"{given.corpus}: the champion is {version.version}")


def _rollback(registry: Registry, given: argparse.Namespace) -> None:
    version = registry.rollback(given.corpus, to=given.to, by=given.by, reason=given.reason)
    print(f"{given.corpus}: the champion is {version.version} again")


def _wait(registry: Registry, given: argparse.Namespace) -> None:
    """Look until the version is registered; a pod that ended instead would be started ever more seldom."""
    said = ""
    with stoppable("it had waited for a version, and nothing is lost"):
        while True:
            try:
                _chosen(registry.history(given.corpus), given.version)
                break
            except (BundleError, ServiceError) as error:
                if said != (said := f"waiting: {error}"):
                    print(said, flush=True)
            time.sleep(given.every)
    print(f"{given.corpus}: {given.version} is registered")


def _pull(registry: Registry, given: argparse.Namespace) -> None:
    version = registry.pull(given.corpus, given.folder, given.version)
    print(f"{given.corpus}: {version.version} is in {given.folder}; serve it with MOME_BUNDLE={given.folder}")


def _evaluation(registry: Registry, given: argparse.Namespace) -> None:
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "evaluation.json").unlink(missing_ok=True)
    found = registry.fetch_evaluation(given.corpus, given.folder)
    print(f"{given.corpus}: {found / 'evaluation.json' if found else 'no champion yet'}")


def _prune(registry: Registry, given: argparse.Namespace) -> None:
    removed = registry.prune(given.corpus, keep=given.keep, by=given.by)
    print(f"{given.corpus}: files removed of {', '.join(removed) or 'no version'}")


def _sync(registry: Registry, given: argparse.Namespace) -> None:
    for line in registry.publish(given.corpus) or ["nothing to change"]:
        print(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.registry",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--registry", default=os.environ.get("MOME_REGISTRY", "") or _DEFAULT)
    parser.add_argument("--model-registry", default="", help="Kubeflow's; default: MOME_MODEL_REGISTRY")
    parser.add_argument("--by", default=user(), help="who does it; default: the login name")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, work: object, meaning: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=meaning, description=meaning)
        added.set_defaults(work=work)
        return added

    added = command("list", _list, "the versions, newest first")
    added.add_argument("corpus", nargs="?")
    added = command("show", _show, "one version: lineage, figures, history; default: the champion")
    added.add_argument("corpus")
    added.add_argument("version", nargs="?")
    added = command("register", _register, "keep a bundle as a candidate")
    added.add_argument("corpus")
    added.add_argument("bundle", type=Path)
    added.add_argument("--code", default="", help="git commit; default: that of the image or checkout")
    added.add_argument("--run", default="", help="of the pipeline")
    added.add_argument("--image", default="", help="that trained, by digest")
    added.add_argument("--serve-image", default="", help="to serve it with, by digest")
    added.add_argument("--monitor-image", default="", help="to watch it with, by digest")
    added.add_argument("--again", action="store_true", help="put the files of a known version there anew")
    added = command("review", _review, "write the gate's page for who decides; changes nothing")
    added.add_argument("corpus")
    added.add_argument("version")
    added.add_argument("page", type=Path, help="HTML file to write")
    added.add_argument("--trial", type=Path, help="state that its router kept; the page shows it, too")
    added = command("promote", _promote, "make a version the champion, if the gate agrees")
    added.add_argument("corpus")
    added.add_argument("version")
    added.add_argument("--reason", default="", help="why; it is kept")
    added.add_argument("--again", action="store_true", help="although somebody went back from it")
    added = command("rollback", _rollback, "make an earlier champion the champion again")
    added.add_argument("corpus")
    added.add_argument("--to", help="an earlier champion; default: the one before")
    added.add_argument("--reason", required=True, help="why; it is kept")
    added = command("wait", _wait, "wait until a version is registered, and say meanwhile which ones are")
    added.add_argument("corpus")
    added.add_argument("version")
    added.add_argument("--every", type=float, default=5.0, help="seconds between two looks (default: 5)")
    added = command("pull", _pull, "copy a version's bundle into a folder, every file compared with its sum")
    added.add_argument("corpus")
    added.add_argument("folder", type=Path)
    added.add_argument("--version", help="default: the champion")
    added = command("evaluation", _evaluation, "write the champion's word errors into a folder, for the gate")
    added.add_argument("corpus")
    added.add_argument("folder", type=Path)
    added = command("prune", _prune, "delete the files of old versions; their entries stay")
    added.add_argument("corpus")
    added.add_argument("--keep", type=int, default=2, help="earlier champions, and candidates (default: 2)")
    added = command("sync", _sync, "show the state again in Kubeflow's Model Registry")
    added.add_argument("corpus")
    return parser


def _command() -> None:
    given = _parser().parse_args()
    given.work(open_registry(given.registry, given.model_registry), given)


if __name__ == "__main__":
    raise SystemExit(main(_command))

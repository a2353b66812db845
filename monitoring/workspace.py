"""Evidently's own pages over the looks of the monitor: what differed from the baseline, look by look.

    python -m monitoring.workspace var/state --port 8000

The snapshots in ``state/drift`` become runs of one project in a workspace of Evidently, with a plot of each
feature's p-value over time. The workspace is made anew whenever this starts; the snapshots are what is kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from mome.cli import main
from mome.errors import MonitorError
from mome.progress import progress
from mome.storage import new_folder
from monitoring.drift import FEATURES

__all__ = ["Gathered", "gather"]

PROJECT = "MoME"
_TAB = "Drift"
_TITLE = "p-value of each feature: as in the baseline above monitor.drift_p_value"


class Gathered(NamedTuple):
    """How many snapshots became runs, and how many could not be read."""

    runs: int
    unreadable: int


def gather(state: Path, workspace: Path) -> Gathered:
    """Write a workspace with all snapshots of a monitor, in place of one that is there.

    Args:
        state: Folder of the monitor.
        workspace: Folder to write.

    Raises:
        MonitorError: If there is no snapshot that can be read.
    """
    with warnings.catch_warnings():
        # As in monitoring.drift: all of it while Evidently is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently.core.report import Snapshot
        from evidently.sdk.models import PanelMetric
        from evidently.sdk.panels import line_plot_panel
        from evidently.ui.workspace import Workspace

    paths = sorted((state / "drift").glob("*.json"))
    runs = unreadable = 0
    with new_folder(workspace) as folder:
        opened = Workspace.create(str(folder))
        project = opened.create_project(PROJECT, description="Requests beside the baseline of the bundle")
        values = [
            PanelMetric(
                metric="evidently:metric_v2:ValueDrift", metric_labels={"column": feature}, legend=feature
            )
            for feature in FEATURES
        ]
        # One panel: of several in a tab, Evidently 0.7.23 lists all but the first twice.
        project.dashboard.add_panel(line_plot_panel(title=_TITLE, values=values), tab=_TAB)
        for path in progress(paths, "read snapshots"):
            try:
                snapshot = Snapshot.load(path)
            except (OSError, ValueError):  # of a look without a comparison, of an earlier version, or damaged
                unreadable += 1
                continue
            opened.add_run(project.id, snapshot, name=path.stem)
            runs += 1
        if not runs:
            raise MonitorError(
                f"{state / 'drift'}: none of {len(paths)} files is a snapshot of Evidently; the monitor "
                "writes one when a window has enough requests to compare"
            )
    return Gathered(runs, unreadable)


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.workspace",
        description="Show the monitor's looks in Evidently's pages.",
    )
    parser.add_argument("state", type=Path, help="folder of the monitor, with drift/")
    parser.add_argument("--host", default="127.0.0.1", help="that the pages are served on")
    parser.add_argument("--port", type=int, default=8000, help="likewise; default 8000")
    given = parser.parse_args()
    workspace = given.state / "evidently"
    gathered = gather(given.state, workspace)
    left_out = f", {gathered.unreadable} files were none" if gathered.unreadable else ""
    print(f"{gathered.runs} snapshots{left_out}; http://{given.host}:{given.port}", flush=True)
    command = ["ui", "--workspace", str(workspace), "--host", given.host, "--port", str(given.port)]
    # Evidently counts its users unless told not to.
    environment = os.environ | {"DO_NOT_TRACK": "1"}
    subprocess.run([sys.executable, "-m", "evidently.cli", *command], env=environment, check=False)


if __name__ == "__main__":
    raise SystemExit(main(_command))

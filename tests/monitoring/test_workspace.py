"""Snapshots as the monitor writes them become runs of a workspace that Evidently opens."""

import warnings
from pathlib import Path

import pytest

from mome.errors import MonitorError
from monitoring.drift import FEATURES, Drift, compare
from monitoring.workspace import PROJECT, Gathered, gather
from tests.monitoring.test_drift import baseline, requests

pytest.importorskip("evidently", reason="the monitoring extra is not installed")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for number in range(2):
        compare(requests(baseline(40, seed=number + 1)), baseline(), 12, 0.01).write_json(
            tmp_path / "drift" / f"2026010{number + 1}T000000.000000Z.json"
        )
    Drift((), {}, None).write_json(tmp_path / "drift" / "20260103T000000.000000Z.json")  # too few requests
    (tmp_path / "drift" / "20260104T000000.000000Z.json").write_text('{"metrics": []}')  # an earlier version
    return tmp_path


def test_all_snapshots_are_runs_of_one_project_and_gathered_again_they_are_the_same(state: Path) -> None:
    for _ in range(2):
        assert gather(state, state / "evidently") == Gathered(runs=2, unreadable=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently.ui.workspace import Workspace

    workspace = Workspace(str(state / "evidently"))
    (project,) = workspace.list_projects()
    assert project.name == PROJECT
    (panel,) = project.dashboard.model().panels
    assert [value.metric_labels["column"] for value in panel.values] == list(FEATURES)
    found = [workspace.get_run(project.id, run) for run in workspace.list_runs(project.id)]
    assert sorted(run.name for run in found if run is not None) == [
        "20260101T000000.000000Z",
        "20260102T000000.000000Z",
    ]


def test_a_monitor_that_has_compared_nothing_yet_is_named(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="drift: none of 0 files is a snapshot of Evidently"):
        gather(tmp_path, tmp_path / "evidently")
    assert not (tmp_path / "evidently").exists()

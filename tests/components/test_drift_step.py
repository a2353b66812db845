"""Step ``check_drift`` as a function: a look that goes well, one that is tried again, and what it refuses."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components.catalogue import check_drift, request_retraining
from mome.errors import ConfigError, MomeError, MonitorError
from mome.records import ScaleDecision
from monitoring.lease import FileLease
from tests.monitoring.test_check import Site

Sections = dict[str, dict[str, Any]]


class Watched:
    """A served model, and the two steps of a look at it."""

    def __init__(self, folder: Path, artifact: Callable[..., Any], sections: Sections) -> None:
        self.site, self.sections = Site(folder), sections
        self.site.now -= timedelta(minutes=5)
        self.shown, self.page = artifact(dsl.Metrics, "look"), artifact(dsl.HTML, "page")
        sections["monitor"] |= {"consecutive_windows": 1, "max_age_s": 3600.0, "max_wer": {"audio": 0.08}}

    def look(self, publish_to: str = "") -> tuple[str, bool, bool]:
        folders = [str(folder) for folder in (self.site.bundle, self.site.requests, self.site.state)]
        given = self.sections["monitor"], self.sections["train"]
        return check_drift.python_func(self.shown, self.page, *folders, *given, publish_to=publish_to)

    def request(self) -> dict[str, Any]:
        (section,) = request_retraining.python_func(self.page, str(self.site.state), self.sections["train"])
        return section


@pytest.fixture
def watched(tmp_path: Path, artifact: Callable[..., Any], sections: Sections) -> Watched:
    return Watched(tmp_path, artifact, sections)


def test_a_look_without_requests_serves_the_choice_for_clean_speech(watched: Watched) -> None:
    assert watched.look() == ("a16v5", False, False)


def test_a_look_publishes_the_scale_and_leaves_a_page_and_figures(watched: Watched) -> None:
    watched.site.serve(4.0)
    assert watched.look() == ("a4v2", True, False)
    assert '"a4v2"' in watched.site.scale_file.read_text()
    assert watched.shown.metadata["requests"] == 20
    assert watched.shown.metadata["switched"] == 1
    assert "Monitor: switched to a4v2" in Path(watched.page.path).read_text()
    assert ScaleDecision.read(Path(watched.shown.path)).scale == "a4v2"


def test_a_wish_outlives_the_look_that_failed_after_it(watched: Watched) -> None:
    watched.site.serve(0.5)  # at which no scale is within its budget
    with pytest.raises(MonitorError):
        watched.look(publish_to="/proc/scale.json")
    # Kubeflow tries the step again: nothing new was said since, and the wish is still there.
    assert watched.look()[2]
    assert -10.0 in watched.request()["noise_snrs_db"]
    assert not watched.look()[2], "a training was asked for"


def test_beside_a_controller_the_step_reports_and_does_not_decide(watched: Watched) -> None:
    watched.site.serve(4.0)
    watched.look()
    before = (watched.site.state / "decisions.jsonl").read_text()
    with FileLease(watched.site.state / "monitor.lock"):
        watched.site.serve(30.0)
        # It would fail if it tried to publish.
        assert watched.look(publish_to="/proc/scale.json") == ("a4v2", True, False)
    assert (watched.site.state / "decisions.jsonl").read_text() == before
    assert "Monitor: switched to a4v2" in Path(watched.page.path).read_text()


def test_a_bundle_that_is_not_there_is_refused(watched: Watched) -> None:
    (watched.site.bundle / "evaluation.json").unlink()
    with pytest.raises(MomeError, match=r"the bundle cannot be monitored: .*evaluation\.json: no such file"):
        watched.look()


def test_parameters_of_the_wrong_type_are_refused_by_the_first_look_whoever_reads_them(
    watched: Watched,
) -> None:
    for section, said in (("monitor", "MonitorParams: window: "), ("train", "TrainParams: steps: ")):
        name = said.split()[1].rstrip(":")
        before = watched.sections[section][name]
        watched.sections[section][name] = "20"
        with pytest.raises(ConfigError, match=rf"^{said}.* got '20'"):
            watched.look()
        watched.sections[section][name] = before
    assert not watched.site.state.exists()

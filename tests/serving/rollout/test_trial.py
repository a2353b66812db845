"""A trial: a bad candidate goes, a good one is proven, and a router that is started again knows both."""

import json
import logging
import math
import random
from pathlib import Path

import pytest

from mome.errors import ConfigError
from serving.benchmark.rollout import false_alarms
from serving.rollout.comparison import Bounds, Comparison
from serving.rollout.trial import Trial, TrialState

BOUNDS = Bounds()
GOOD = Comparison(failures=False, empty=False, slow=False, disagreement=0.0, champion_s=1.0, candidate_s=0.5)


def started(file: Path | None = None, name: str = "a-b") -> Trial:
    return Trial(name, "canary", 0.1, BOUNDS, file)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (GOOD._replace(failures=True), "failed where the champion answered"),
        (GOOD._replace(empty=True), "had no words"),
        (GOOD._replace(slow=True), "came late"),
        (GOOD._replace(disagreement=1.0), "words unlike the champion's"),
    ],
)
def test_a_candidate_that_is_bad_in_one_way_is_withdrawn_after_a_few_requests_and_it_is_said_once(
    bad: Comparison, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    trial = started()
    for _ in range(30):
        trial.add(bad)
    assert trial.state.decision == "withdrawn"
    assert trial.state.why.startswith(why)
    assert not trial.runs
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert trial.state.why in said.getMessage()


@pytest.mark.parametrize(
    ("kind", "rate"), [("failures", 0.2), ("empty", 0.2), ("slow", 0.7), ("disagreement", 0.75)]
)
def test_a_candidate_that_is_bad_now_and_then_is_gone_after_a_hundred_of_its_requests(
    kind: str, rate: float
) -> None:
    def needed(seed: int) -> int:
        draw, trial = random.Random(seed), started()
        while trial.runs:
            trial.add(GOOD._replace(**{kind: float(draw.random() < rate)}))
        return trial.state.compared

    counts = [needed(seed) for seed in range(50)]
    assert sum(count <= 100 for count in counts) >= 48


def test_a_candidate_on_all_of_its_bounds_is_withdrawn_no_more_often_than_stated() -> None:
    assert false_alarms(200, 400, BOUNDS) <= 200 * (0.05 + 3 * math.sqrt(0.05 * 0.95 / 200))


def test_a_good_candidate_is_proven_after_the_stated_number_and_not_promoted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    trial = started()
    for _ in range(BOUNDS.proven_after - 1):
        trial.add(GOOD)
    assert trial.state.decision == "undecided"
    assert trial.state.why == "299 of 300 requests were compared"
    for _ in range(100):
        trial.add(GOOD)
    assert trial.state.decision == "proven"
    assert trial.runs
    assert len(caplog.records) == 1
    # And it is still watched.
    for _ in range(100):
        trial.add(GOOD._replace(failures=True))
    assert trial.state.decision == "withdrawn"


def test_what_nobody_compared_proves_nothing() -> None:
    trial = started()
    for _ in range(400):
        trial.add(GOOD._replace(disagreement=None, empty=None))
    assert trial.state.decision == "undecided"
    assert trial.state.why == "not below its bound yet: empty, disagreement"


def test_a_router_that_is_started_again_goes_on_and_gives_a_withdrawn_candidate_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "folder" / "trial.json"
    trial = started(file)
    for _ in range(20):
        trial.add(GOOD)
    assert started(file).state == trial.state
    for _ in range(20):
        trial.add(GOOD._replace(failures=True))
    again = started(file)
    assert not again.runs
    assert again.state.criteria == TrialState.model_validate_json(file.read_text()).criteria
    # Another candidate begins anew.
    assert started(file, name="a-c").state.compared == 0


def test_a_state_that_cannot_be_read_or_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    broken = tmp_path / "trial.json"
    broken.write_text("{}")
    with pytest.raises(ConfigError, match=r"--state .*trial\.json: is no state"):
        started(broken)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--state .*: cannot be written"):
        started(tmp_path / "file" / "trial.json")


def test_a_state_from_before_there_were_estimates_is_taken_up(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    started(file)
    kept = json.loads(file.read_text())
    for name in ("estimated", "champion_wer", "candidate_wer"):
        del kept[name]
    file.write_text(json.dumps(kept | {"sent": 7}))
    trial = started(file)
    assert trial.state.sent == 7
    assert trial.state.estimated_wer == {}
    trial.add(GOOD._replace(champion_wer=0.03, candidate_wer=0.05))
    trial.add(GOOD._replace(champion_wer=0.05))
    assert trial.state.estimated_wer == pytest.approx({"champion": 0.03, "candidate": 0.05})

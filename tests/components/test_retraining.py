"""What was heard in production is what the next training hears."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from components.catalogue import request_retraining
from components.request_retraining.noise import learn_noise
from mome.changes import configured
from mome.config import TrainParams, load_params
from mome.errors import ConfigError, MomeError
from mome.records import RetrainRequest
from monitoring.wish import is_open, take_over
from pipelines.submit.__main__ import main
from pipelines.submit.arguments import parse_changes
from tests.page_text import page_text

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


@pytest.fixture
def params() -> TrainParams:
    return load_params().train.model_copy(update={"noise_snrs_db": [None, 10.0, 0.0]})


def request(
    low: float, high: float, at: datetime = NOW, noise: str = "steady", recordings: str = ""
) -> RetrainRequest:
    return RetrainRequest(
        at=at,
        snr_low_db=low,
        snr_high_db=high,
        noise=noise,
        reason="no scale fits",
        recordings=recordings,
    )


@pytest.mark.parametrize(
    ("low", "high", "levels"),
    [
        (-7.2, -3.1, [None, 10.0, 0.0, -5.0, -10.0]),
        (0.0, 0.0, [None, 10.0, 0.0]),
        (1.0, 4.0, [None, 10.0, 5.0, 0.0]),
    ],
)
def test_levels_reach_over_the_observed_range_and_the_old_ones_stay(
    params: TrainParams, low: float, high: float, levels: list[float | None]
) -> None:
    assert learn_noise(params, request(low, high)).noise_snrs_db == levels


def test_clean_speech_is_heard_as_often_as_before(params: TrainParams) -> None:
    often = params.model_copy(update={"noise_snrs_db": [None, None, None, 10.0, 10.0, 0.0]})
    assert learn_noise(often, request(-4.0, -2.0)).noise_snrs_db == [None, None, None, 10.0, 10.0, 0.0, -5.0]


@pytest.mark.parametrize(
    ("before", "noise", "recordings", "after"),
    [
        ("corpus", "babble", "", "corpus"),
        ("corpus", "steady", "", "corpus + steady"),
        ("corpus + steady", "bursts", "", "corpus + steady + bursts"),
        ("corpus", "bursts", "/data/kitchen", "corpus + /data/kitchen"),
        ("corpus + /data/kitchen", "bursts", "/data/kitchen", "corpus + /data/kitchen"),
        ("babble.wav", "babble", "", "babble.wav"),
        ("steady", "babble", "", "steady + corpus"),
        ("corpus", "of another version", "", "corpus"),
    ],
)
def test_the_noise_that_was_heard_stands_beside_those_of_before(
    params: TrainParams, before: str, noise: str, recordings: str, after: str
) -> None:
    heard = request(-4.0, -2.0, noise=noise, recordings=recordings)
    learned = learn_noise(params.model_copy(update={"noise": before}), heard)
    assert learned.noise == after
    TrainParams.model_validate(learned.model_dump())


def shown(folder: Path) -> list[Any]:
    return [SimpleNamespace(path=str(folder / "page"))]


def test_the_step_hands_on_a_section_that_the_next_run_accepts(params: TrainParams, tmp_path: Path) -> None:
    request(-9.0, -6.0).write(tmp_path / "retrain.json")
    (section,) = request_retraining.python_func(
        *shown(tmp_path), str(tmp_path), params.model_dump(mode="json")
    )
    after = TrainParams.model_validate(section)
    assert (after.noise, after.noise_snrs_db) == ("corpus + steady", [None, 10.0, 0.0, -5.0, -10.0])


def test_the_line_on_the_page_asks_for_the_training_that_the_step_hands_on(
    params: TrainParams, tmp_path: Path
) -> None:
    request(-9.0, -6.0).write(tmp_path / "retrain.json")
    (section,) = request_retraining.python_func(
        *shown(tmp_path), str(tmp_path), params.model_dump(mode="json")
    )
    said = page_text(tmp_path / "page")
    assert "observed noise: -9.0 to -6.0 dB, steady" in said
    (line,) = [line for line in said.splitlines() if line.startswith("python -m pipelines.submit ")]
    line = line.replace("=CORPUS", "=embedded").replace("=REGISTRY", "=/models/registry")
    assert main([*shlex.split(line)[3:], "--dry-run"]) == 0  # as CI would check it
    changes = parse_changes(shlex.split(line)[5::2])
    levels = yaml.safe_load(changes.pop("train.noise_snrs_db"))
    assert changes.pop("train.noise") == section["noise"] == "corpus + steady"
    assert changes == {"corpus": "embedded", "registry": "/models/registry"}
    found = configured({"train.noise_snrs_db": levels}, load_params().sections())
    assert found["train"]["noise_snrs_db"] == section["noise_snrs_db"]


def test_a_look_that_asks_for_nothing_leaves_the_section_as_it_was_and_says_so(
    params: TrainParams, tmp_path: Path
) -> None:
    request(-9.0, -6.0).write(tmp_path / "retrain.json")  # of an earlier look
    section = params.model_dump(mode="json")
    (after,) = request_retraining.python_func(*shown(tmp_path), str(tmp_path), section, asked=False)
    assert after == section
    assert is_open(tmp_path)
    assert "No new training is asked for" in page_text(tmp_path / "page")
    assert "nothing to do" in page_text(tmp_path / "page")


def test_the_step_refuses_a_missing_request_and_a_wrong_section(params: TrainParams, tmp_path: Path) -> None:
    section: dict[str, Any] = params.model_dump(mode="json")
    with pytest.raises(MomeError, match=r"retrain\.json: no such file"):
        request_retraining.python_func(*shown(tmp_path), str(tmp_path), section)
    request(-9.0, -6.0).write(tmp_path / "retrain.json")
    with pytest.raises(ConfigError, match="stepps: unknown key"):
        request_retraining.python_func(*shown(tmp_path), str(tmp_path), section | {"stepps": 3})


def test_a_wish_is_open_until_it_was_taken_over_and_a_new_one_is_again(tmp_path: Path) -> None:
    assert not is_open(tmp_path)
    first, second = request(-9.0, -6.0), request(-12.0, -6.0, NOW + timedelta(minutes=5))
    for wish in (first, second):
        wish.write(tmp_path / "retrain.json")
        assert is_open(tmp_path)
        assert is_open(tmp_path), "the look before may have failed after it"
        take_over(tmp_path, wish)
        assert not is_open(tmp_path)
    (tmp_path / "retrain.taken.json").write_text("{")
    assert is_open(tmp_path)


def test_the_step_takes_the_wish_over_when_all_else_is_done(params: TrainParams, tmp_path: Path) -> None:
    request(-9.0, -6.0).write(tmp_path / "retrain.json")
    section: dict[str, Any] = params.model_dump(mode="json")
    with pytest.raises(ConfigError):
        request_retraining.python_func(*shown(tmp_path), str(tmp_path), section | {"stepps": 3})
    assert is_open(tmp_path)
    request_retraining.python_func(*shown(tmp_path), str(tmp_path), section)
    assert not is_open(tmp_path)

"""What is filled into a run's form is checked at once, all of it, before anything is computed."""

from typing import Any

import pytest

from mome.changes import configured
from mome.config import load_params
from mome.errors import ConfigError

GRID = ("a4v2", "a4v5", "a16v2", "a16v5")


@pytest.fixture
def sections() -> dict[str, dict[str, Any]]:
    return load_params().sections()


def test_without_changes_the_sections_stay_and_are_left_alone(sections: dict[str, dict[str, Any]]) -> None:
    before = load_params().sections()
    found = configured({}, sections)
    assert found == before
    found["train"]["steps"] = 1
    assert sections == before


def test_changes_reach_their_place_and_nothing_else(sections: dict[str, dict[str, Any]]) -> None:
    found = configured({"train.steps": 7, "gate.max_wer.av.a4v2": 0.5}, sections)
    assert found["train"].pop("steps") == 7
    assert found["gate"]["max_wer"]["av"].pop("a4v2") == 0.5
    del sections["train"]["steps"], sections["gate"]["max_wer"]["av"]["a4v2"]
    assert found == sections


def test_a_struct_turns_whole_numbers_into_floats_and_they_come_back_whole(
    sections: dict[str, dict[str, Any]],
) -> None:
    steps = configured({"train.steps": 7.0}, sections)["train"]["steps"]
    assert (steps, type(steps)) == (7, int)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.steps": "200"}, r"^train\.steps: input should be a valid integer, got '200'"),
        ({"train.steps": 2.5}, r"^train\.steps: .* got 2\.5"),
        ({"train.steps": True}, r"^train\.steps: .* got True"),
        ({"train.stepps": 200}, r"train\.stepps: section train has seed, .* not 'stepps'"),
        ({"trian.steps": 200}, r"params\.yaml has prepare, .* not 'trian'"),
        ({"train.device": "gpu"}, r"^train\.device: .* got 'gpu'"),
        ({"evaluate.device": "mps"}, r"^evaluate\.device: .* got 'mps'"),
        ({"steps": 200}, r"expected section\.name, as in train\.steps"),
        ({"train.steps.more": 1}, r"train\.steps is one value and holds no others"),
        ({"train.learning_rate": float("nan")}, r"^train\.learning_rate: .* got nan"),
        ({"package.default_scale": "a2v2"}, r"package\.default_scale is a2v2, but train\.scales are a4v2"),
        ({"train.scales": ["a2v2"], "package.default_scale": "a2v2"}, "gate would reject any model"),
        (
            {"train.task_weights": {"video": 1.0}, "gate.max_wer": {"av": dict.fromkeys(GRID, 0.1)}},
            "of what train.task_weights trains, video, none has a budget",
        ),
        ({"evaluate.snrs_db": [0, 10]}, "clean is missing"),
        (
            {"validate.alphabet": "abc 12"},
            r"validate\.alphabet has 12, but the embedded foundation\.llm writes",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    sections: dict[str, dict[str, Any]], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        configured(changes, sections)
    assert str(error.value).endswith("correct it in the run's parameters and start the run again")


@pytest.mark.parametrize("changes", [None, ["train.steps"], "train.steps=200", 7.0])
def test_a_form_that_was_filled_in_with_something_else_is_shown_an_example(
    sections: dict[str, dict[str, Any]], changes: Any
) -> None:
    with pytest.raises(ConfigError, match=r'^changes: expected .* as in \{"train\.steps": 200\}, .* got'):
        configured(changes, sections)


@pytest.mark.parametrize(
    ("device", "gpus", "said"),
    [
        ("cuda", 0, "train.device is cuda in the parameters, but steps.train.gpu.count is 0"),
        ("cpu", 8, "train.device is cpu in the parameters, but steps.train.gpu.count is 8"),
        ("cuda:9", 8, "train.device is cuda:9 in the parameters, but steps.train.gpu.count is 8"),
    ],
)
def test_a_device_that_the_cluster_does_not_give_is_named(
    sections: dict[str, dict[str, Any]], device: str, gpus: int, said: str
) -> None:
    # A pipeline's numbers arrive as floats.
    given = {"train": float(gpus), "evaluate": 0.0}
    with pytest.raises(ConfigError, match=f"^{said} for the cluster: .*start the run again$"):
        configured({"train.device": device}, sections, given)


def test_devices_that_the_cluster_gives_or_says_nothing_of_are_taken(
    sections: dict[str, dict[str, Any]],
) -> None:
    changes = {"train.device": "cuda:7", "evaluate.device": "cuda"}
    for gpus in ({"train": 8, "evaluate": 1}, {}, None):
        assert configured(changes, sections, gpus)["train"]["device"] == "cuda:7"


def test_all_mistakes_are_named_at_once(sections: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"train\.steps.*; monitor\.window"):
        configured({"train.steps": "200", "monitor.window": -1}, sections)


def test_a_scale_that_stacked_frames_do_not_fit_is_named_before_anything_is_trained(
    sections: dict[str, dict[str, Any]],
) -> None:
    changes = {"evaluate.more_scales": ["a8v3", "a4v2"]}
    assert configured(changes, sections)["evaluate"]["more_scales"] == ["a8v3", "a4v2"]
    with pytest.raises(ConfigError, match=r"more_scales has a8v3, but train\.compression is stack"):
        configured(changes | {"train.compression": "stack"}, sections)
    with pytest.raises(ConfigError, match=r"evaluate\.more_scales\.0: .*rates of at least 1, got audio 0"):
        configured({"evaluate.more_scales": ["a0v3"]}, sections)

"""A profile's sections reach the steps of a run, also those that judge the data."""

from pathlib import Path

import pytest
import yaml

from mome.changes import configured
from mome.config import PARAMS_FILE, load_params, with_profile
from mome.errors import ConfigError
from pipelines.compile import COMPILED
from pipelines.submit.arguments import arguments
from pipelines.submit.package import load_package


@pytest.mark.parametrize("pipeline", ["training", "training_sharded"])
@pytest.mark.parametrize("profile", sorted(path.stem for path in Path("mome/profiles").glob("lr*.yaml")))
def test_validation_judges_by_the_profile(pipeline: str, profile: str) -> None:
    package = load_package(str(COMPILED / f"{pipeline}.yaml"))
    given = arguments(package, Path("params.yaml"), profile, {"corpus": "lrs"}, {})
    assert given == {"corpus": "lrs", "profile": profile, "changes": {}}
    judged_by = configured(given["changes"], with_profile(package.defaults, given["profile"]))
    assert judged_by == load_params(profile=profile).sections()
    assert judged_by["validate"] != load_params().sections()["validate"]


def test_values_of_another_file_reach_a_run_as_its_changes(tmp_path: Path) -> None:
    package = load_package(str(COMPILED / "training.yaml"))
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["train"]["steps"], content["gate"]["max_wer"]["av"]["a4v2"] = 7, 0.125
    content["evaluate"]["snrs_db"] = ["clean", 3.0]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    given = arguments(package, tmp_path / "own.yaml", None, {"gate.max_wer.av.a4v2": "0.25"}, {})
    assert given == {
        "profile": PARAMS_FILE,
        "changes": {"train.steps": 7, "gate.max_wer.av.a4v2": 0.25, "evaluate.snrs_db": ["clean", 3.0]},
    }


def test_a_form_that_was_filled_in_for_a_submission_is_read_as_the_page_would_read_it() -> None:
    package = load_package(str(COMPILED / "training.yaml"))
    form = {"profile": "lrs3-1b", "changes": "{train.steps: 9}", "train.seed": "3"}
    given = arguments(package, Path("params.yaml"), None, form, {})
    assert given == {"profile": "lrs3-1b", "changes": {"train.steps": 9, "train.seed": 3}}
    with pytest.raises(ConfigError, match="profile 'lrs4': unknown; there are lrs2-3b, "):
        arguments(package, Path("params.yaml"), None, {"profile": "lrs4"}, {})

"""A profile's sections reach the steps of a run, also those that judge the data."""

from pathlib import Path

import pytest

from mome.config import load_params
from pipelines.compile import COMPILED
from pipelines.submit.arguments import arguments
from pipelines.submit.package import load_package


@pytest.mark.parametrize("pipeline", ["training", "training_sharded"])
@pytest.mark.parametrize("profile", sorted(path.stem for path in Path("mome/profiles").glob("*.yaml")))
def test_validation_judges_by_the_profile(pipeline: str, profile: str) -> None:
    package = load_package(str(COMPILED / f"{pipeline}.yaml"))
    given = arguments(package, Path("params.yaml"), profile, {"corpus": "lrs"}, {})
    assert given["validate"] == load_params(profile=profile).sections()["validate"]
    assert given["validate"] != load_params().sections()["validate"]

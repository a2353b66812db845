"""A verdict goes on or ends the run; there is nothing between."""

import pytest

from mome.errors import ConfigError, GateRejected, MomeError, ValidationFailed
from mome.verdict import require


@pytest.mark.parametrize("stage", ["validate", "gate"])
def test_a_yes_goes_on(stage: str) -> None:
    require(stage, True, "all checks hold")


@pytest.mark.parametrize(("stage", "error"), [("validate", ValidationFailed), ("gate", GateRejected)])
def test_a_no_ends_the_run_with_the_reason_and_where_to_read_more(stage: str, error: type[MomeError]) -> None:
    with pytest.raises(error, match=f"^budget of a4v2: 9%; .* the whole report is shown by step {stage}$"):
        require(stage, False, "budget of a4v2: 9%")


def test_a_stage_that_judges_nothing_is_refused_even_with_a_yes() -> None:
    with pytest.raises(ConfigError, match="stage 'train' judges nothing; expected one of validate, gate"):
        require("train", True, "")

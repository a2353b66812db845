"""The gate's words: the champion stands beside the candidate, cell by cell."""

import re
from pathlib import Path

import pytest

from mome.config import GateParams
from mome.evaluation import gate
from mome.records import Evaluation, WordErrors
from tests.page_text import page_text
from tests.planted import evaluation

PARAMS = GateParams(max_wer={"av": {"a4v2": 0.05, "a16v5": 0.05}})


def cell(errors: int) -> WordErrors:
    return WordErrors(errors=errors, words=1000, low=errors / 1000 - 0.01, high=errors / 1000 + 0.01)


def planted(fine: int, coarse: int) -> Evaluation:
    return evaluation({"av": {"a4v2": {"clean": cell(fine)}, "a16v5": {"clean": cell(coarse)}}})


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    planted(20, 90).write(tmp_path / "candidate" / "evaluation.json")
    planted(25, 20).write(tmp_path / "champion" / "evaluation.json")
    made = gate.judge(PARAMS, tmp_path / "candidate", tmp_path / "champion", tmp_path / "gate")
    assert not made.passed
    return tmp_path / "gate"


def test_a_cell_shows_both_rates_and_marks_what_is_beyond_chance(judged: Path) -> None:
    smalls = re.findall(r"<small>(.*?)</small>", (judged / "gate.html").read_text())
    assert smalls == ["champion 2.5%, -0.5", "champion 2.0%, <b>+7.0</b>"]


def test_the_page_says_first_what_failed_and_lists_every_check(judged: Path) -> None:
    said = page_text(judged / "gate.html")
    assert said.startswith("# Gate\n**rejected** budget of a16v5: 9.0%")
    assert "| budget of a16v5 | " in said
    assert "9.0% of words wrong on clean speech, 5.0% allowed" in said


def test_without_a_champion_the_cells_say_so(tmp_path: Path) -> None:
    planted(20, 30).write(tmp_path / "evaluation.json")
    assert gate.judge(PARAMS, tmp_path, None, tmp_path / "gate").passed
    assert "<small>20 / 1000, no champion</small>" in (tmp_path / "gate" / "gate.html").read_text()
    assert "- champion: none yet\n" in page_text(tmp_path / "gate" / "gate.html")

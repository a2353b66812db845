"""A run names every number that is not that of params.yaml, wherever it was changed."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

from mome.changes import configured
from mome.config import load_params
from mome.errors import ConfigError
from mome.reporting.differences import describe

Sections = dict[str, dict[str, Any]]


@pytest.fixture
def defaults() -> Sections:
    return load_params().sections()


def rows(sections: Sections, changes: dict[str, Any], defaults: Sections, folder: Path) -> list[list[str]]:
    describe(sections, changes, "lrs3-1b", defaults, folder / "page")
    table = (folder / "page").read_text().partition("<table")[2].partition("</table>")[0]
    lines = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in table.split("<tr>")]
    return [[html.unescape(cell) for cell in line] for line in lines if line][1:]


def test_nothing_differs_from_itself_also_when_whole_numbers_are_floats(
    defaults: Sections, tmp_path: Path
) -> None:
    sent = load_params().sections()
    sent["train"]["steps"] = float(sent["train"]["steps"])  # as a protobuf Struct has it
    assert rows(configured({}, sent), {}, sent, tmp_path) == []
    assert "no value differs" in (tmp_path / "page").read_text()


def test_single_changes_and_changed_sections_are_told_apart(defaults: Sections, tmp_path: Path) -> None:
    steps, budget = defaults["train"]["steps"], defaults["gate"]["max_wer"]["av"]["a4v2"]
    form = load_params().sections()
    form["train"]["noise_snrs_db"] = ["clean", 5]
    changes = {"train.steps": steps + 1, "gate.max_wer.av": {"a4v2": 0.5, "a4v5": 0.05}}
    changes["gate.max_wer.av"] |= {scale: defaults["gate"]["max_wer"]["av"][scale] for scale in ("a16v2",)}
    changes["gate.max_wer.av"] |= {"a16v5": defaults["gate"]["max_wer"]["av"]["a16v5"]}
    found = rows(configured(changes, form), changes, defaults, tmp_path)
    usual = ", ".join(str(level) for level in defaults["train"]["noise_snrs_db"])
    assert ["train.steps", str(steps), str(steps + 1), "changes"] in found
    assert ["gate.max_wer.av.a4v2", str(budget), "0.5", "changes"] in found
    assert ["train.noise_snrs_db", usual.replace(".0", ""), "clean, 5", "profile lrs3-1b"] in found
    assert len(found) == 3


def test_a_value_that_only_one_of_the_two_has_is_named(defaults: Sections, tmp_path: Path) -> None:
    form = load_params().sections()
    form["validate"]["min_utterances"] = {"train": 8, "validation": 1}
    assert rows(configured({}, form), {}, defaults, tmp_path) == [
        ["validate.min_utterances.test", "1", "–", "profile lrs3-1b"]
    ]


def test_a_profile_differs_in_its_own_sections_alone(defaults: Sections, tmp_path: Path) -> None:
    found = rows(load_params(profile="lrs3-1b").sections(), {}, defaults, tmp_path)
    assert "train.num_experts" not in {path for path, *_ in found}  # 23 in both
    assert {path for path, *_ in found} >= {"foundation.llm", "train.steps"}
    assert all(before != after for _, before, after, _ in found)


def test_a_pipeline_that_was_not_compiled_by_make_compile_says_so(defaults: Sections, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prepare: missing"):
        describe(defaults, {}, "params.yaml", {}, tmp_path / "page")

"""A page has its parts in their order, and what comes from outside stays text."""

import re
from pathlib import Path

import pytest

from mome.reporting.page import command as page_command
from mome.reporting.report import Report
from mome.reporting.sizes import file_bytes, size

NASTY = "<script>alert(1)</script> *b* | `c`"


def test_the_parts_stand_in_their_order(tmp_path: Path) -> None:
    report = Report("Model")
    report.verdict(False, "rejected", "too many errors")
    report.facts([("corpus", "calls"), ("clips", 3)])
    report.heading("Errors")
    report.say("Of the test split.")
    report.table(["scale", "rate"], [["a4v2", "1.0%"], ["a4v5", "2.0%"]])
    report.command("run --it")
    report.picture("<svg></svg>")
    report.write(tmp_path / "page")
    body = (tmp_path / "page").read_text().partition("<body>")[2]
    assert body.count("<svg></svg>") == 1
    said = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", body)).strip()
    assert said == (
        "Model rejected too many errors corpus calls clips 3 Errors Of the test split. "
        "scale rate a4v2 1.0% a4v5 2.0% run --it"
    )


def test_what_comes_from_outside_stays_text(tmp_path: Path) -> None:
    report = Report(NASTY)
    report.verdict(True, NASTY, NASTY)
    report.facts([(NASTY, NASTY)])
    report.heading(NASTY)
    report.say(NASTY)
    report.table([NASTY, NASTY], [[NASTY, f"<td>{NASTY}"]], numbers=False)
    report.command(NASTY)
    report.write(tmp_path / "page")
    assert "<script" not in (tmp_path / "page").read_text()


def test_lines_to_copy_stay_as_they_are() -> None:
    assert page_command("a < b\nc") == "<pre><code>a &lt; b\nc</code></pre>"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (3_000_000, "3.0 MB")]
)
def test_sizes_are_read_in_the_unit_that_fits(count: int, text: str) -> None:
    assert size(count) == text


def test_only_files_have_bytes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"678")
    assert file_bytes(tmp_path.rglob("*")) == 8

"""A comment shows strangers' words as words."""

import re

import pytest

from pipelines.submit.outcome import Outcome, Submission
from pipelines.submit.report import LONGEST, markdown, records_in
from tests.planted import evaluation, table


def submission(**changed: object) -> Submission:
    fields: dict[str, object] = {
        "pipeline": "mome-training",
        "version": "1+gabc",
        "outcome": Outcome(verdict="failed", reason="r"),
        "exit_code": 4,
    }
    return Submission.model_validate(fields | changed)


@pytest.mark.parametrize(
    ("said", "never"),
    [
        ("ping @everyone", "@everyone"),
        ("see https://evil.example.org now", "https://evil"),
        ("<img src=x onerror=alert(1)>", "<img"),
        ("[click](x)", "[click]("),
        ("![p](x)", "![p]("),
        ("a | b", "a | b"),
        ("one\n# two", "\n# two"),
        ("`code`", "`code`"),
        ("closes #1", " #1"),
    ],
)
def test_words_of_others_are_no_markup(said: str, never: str) -> None:
    outcome = Outcome(verdict="failed", reason=said, failed={"train": said})
    page = markdown(submission(outcome=outcome, changes={"x": said}))
    # What has a backslash before it is a letter.
    assert never not in re.sub(r"\\.", "", page).replace("# Retraining failed", "")


def test_a_corpus_with_a_strange_name_is_no_markup() -> None:
    wer = evaluation({"av": table({"a4v2": {"clean": 1}})}, corpus="<b>@all</b>")
    page = markdown(submission(evaluation=wer))
    assert "<b>" not in re.sub(r"\\.", "", page)
    assert "@all" not in page


def test_a_comment_fits_where_it_goes() -> None:
    failed = {f"step-{number}": "x" * 5000 for number in range(500)}
    page = markdown(submission(outcome=Outcome(verdict="failed", reason="y" * 9000, failed=failed)))
    assert len(page) <= LONGEST


def test_records_are_found_among_other_lines_and_the_last_one_counts() -> None:
    first, last = (evaluation({"av": table({"a4v2": {"clean": errors}})}) for errors in (3, 4))
    lines = [
        "I1120 launcher",
        first.model_dump_json(),
        '{"level": "info"}',
        f"  {last.model_dump_json()}",
        "{x",
    ]
    log = "\n".join(lines)
    assert records_in(log) == (last, None)

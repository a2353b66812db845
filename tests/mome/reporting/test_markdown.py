"""Markdown: what comes from outside stays text."""

from mome.reporting.markdown import bullets, columns, document


def test_parts_stand_apart_and_empty_ones_are_left_out() -> None:
    assert document("Title", "one", "", "two") == "# Title\n\none\n\ntwo\n"


def test_a_table_has_a_line_for_each_row() -> None:
    lines = columns(["scale", "rate"], [["a4v2", "1.0%"], ["a4v5", 2]]).splitlines()
    assert lines == ["| scale | rate |", "|---|--:|", "| a4v2 | 1.0% |", "| a4v5 | 2 |"]


def test_names_cannot_become_markup() -> None:
    said = bullets([("corpus", "[x](javascript:1) <img src=x> a|b `c` *d*\n# e")])
    assert said == r"- corpus: \[x\](javascript:1) \<img src=x\> a\|b \`c\` \*d\* \# e"

"""Subtitles: times beyond an hour, and what would be markup."""

from serving.captions import Segment, srt, vtt

SEGMENTS = [Segment(0.0, 1.2345, "one"), Segment(3661.9996, 3662.5, "a < b & c --> d")]


def test_subrip() -> None:
    assert srt(SEGMENTS) == (
        "1\n00:00:00,000 --> 00:00:01,234\none\n\n2\n01:01:02,000 --> 01:01:02,500\na < b & c --> d\n\n"
    )


def test_webvtt() -> None:
    assert vtt(SEGMENTS) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.234\none\n\n"
        "01:01:02.000 --> 01:01:02.500\na &lt; b &amp; c --&gt; d\n\n"
    )

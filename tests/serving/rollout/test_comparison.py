"""Two replies to one request: what they say of the candidate, in every format of a transcription."""

import json

import pytest

from serving.captions import Segment, srt, vtt
from serving.rollout.comparison import Bounds, Heard, compare, estimate_of, text_of

BOUNDS = Bounds()
ANSWER = Heard(200, 1.0, "place red now")


@pytest.mark.parametrize(
    ("champion", "candidate", "failed"),
    [
        (ANSWER, Heard(500, 0.1, None), True),
        (ANSWER, Heard(502, 0.1, None), True),
        (ANSWER, Heard(200, 0.1, "place", cut=True), True),
        (ANSWER, Heard(401, 0.1, None), True),
        (Heard(400, 0.1, None), Heard(500, 0.1, None), True),
        (Heard(400, 0.1, None), Heard(400, 0.1, None), None),
        (Heard(503, 0.1, None), Heard(500, 0.1, None), None),
        (Heard(500, 0.1, None), ANSWER, None),
        (ANSWER, ANSWER, False),
    ],
)
def test_a_candidate_fails_where_it_does_worse_than_the_champion(
    champion: Heard, candidate: Heard, failed: bool | None
) -> None:
    found = compare(champion, candidate, BOUNDS)
    assert (found and found.failures) == failed


@pytest.mark.parametrize(
    ("expected", "heard", "empty", "disagreement"),
    [
        ("place red now", "place red now", False, 0.0),
        ("place red now", "Place RED now", False, 0.0),
        ("place red now", "place blue now", False, 1 / 3),
        ("place red now", "", True, 1.0),
        ("red", "a whole other sentence", False, 1.0),
        ("", "", None, 0.0),
        ("", "words out of silence", None, 1.0),
        ("red", None, None, None),
    ],
)
def test_texts_are_compared_word_by_word(
    expected: str, heard: str | None, empty: bool | None, disagreement: float | None
) -> None:
    found = compare(Heard(200, 1.0, expected), Heard(200, 1.0, heard), BOUNDS)
    assert found is not None
    assert (found.empty, found.disagreement) == (empty, pytest.approx(disagreement))


def test_late_is_more_than_a_ratio_and_more_than_what_a_network_takes() -> None:
    def slow(champion_s: float, candidate_s: float) -> bool | None:
        found = compare(Heard(200, champion_s, "red"), Heard(200, candidate_s, "red"), BOUNDS)
        assert found is not None
        return found.slow

    assert slow(1.0, 2.1)
    assert not slow(1.0, 1.9)
    assert not slow(0.01, 0.1)  # ten times as long, and nobody would notice
    missed = compare(ANSWER, None, BOUNDS)
    assert missed is not None
    assert missed.slow


def test_the_words_are_found_in_every_format() -> None:
    segments = [Segment(0.0, 1.5, "place red"), Segment(2.0, 3.0, "two now")]
    events = 'data: {"type": "transcript.text.delta", "delta": "pl"}\n\n'
    events += 'data: {"type": "transcript.text.done", "text": "place red"}\n\n'
    found = {
        ("application/json", json.dumps({"text": "place red"})): "place red",
        ("application/json; charset=utf-8", json.dumps({"text": "é", "segments": []})): "é",
        ("text/event-stream; charset=utf-8", events): "place red",
        ("text/plain", "place red\n"): "place red",
        ("text/plain", srt(segments)): "place red two now",
        ("text/vtt", vtt(segments)): "place red two now",
    }
    for (kind, body), expected in found.items():
        said = text_of(kind, body.encode())
        assert said is not None
        assert said.split() == expected.split(), kind


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", "{"),
        ("application/json", "[]"),
        ("application/json", '{"error": {"message": "no"}}'),
        ("text/event-stream", 'data: {"error": {"message": "no"}}\n\n'),
        ("text/html", "<p>place</p>"),
        ("", "place"),
    ],
)
def test_what_holds_no_transcription_has_no_words(kind: str, body: str) -> None:
    assert text_of(kind, body.encode()) is None


@pytest.mark.parametrize(
    ("header", "body", "rate"),
    [
        ("0.0312", b"{}", 0.0312),
        (
            None,
            b'data: {"type": "transcript.text.done", "text": "a", "x_mome": {"estimated_wer": 0.2}}\n\n',
            0.2,
        ),
        (None, b'data: {"type": "transcript.text.done", "text": "a", "x_mome": []}\n\n', None),
        (None, b'data: {"type": "transcript.text.delta", "delta": "a"}\n\n', None),
        (None, b"data: [not JSON", None),
        ("many", b"", None),
        ("nan", b"", None),
        ("-1", b"", None),
    ],
)
def test_an_estimate_is_read_from_a_header_or_the_last_event_and_nonsense_is_none(
    header: str | None, body: bytes, rate: float | None
) -> None:
    assert estimate_of(header, "text/event-stream; charset=utf-8", body) == rate
    assert estimate_of(None, "application/json", body) is None

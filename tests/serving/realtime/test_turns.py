"""Turns begin and end where speech does; times are in frames of 512 samples."""

from __future__ import annotations

from mome.speech.activity import FRAME
from serving.realtime.session import ServerVad
from serving.realtime.turns import Turn, Turns


def followed(probabilities: list[float], **vad: float) -> list[tuple[int, Turn]]:
    turns = Turns(ServerVad(type="server_vad", **vad), 0)
    return [(at, turn) for at, p in enumerate(probabilities) if (turn := turns.step(p)) is not None]


def test_speech_of_two_frames_begins_a_turn_and_a_click_does_not() -> None:
    assert followed([0.9, 0.1, 0.9, 0.9]) == [(3, Turn.STARTED)]


def test_a_turn_ends_after_the_silence_that_was_asked_for() -> None:
    heard = followed([0.9] * 4 + [0.0] * 20, silence_duration_ms=320)

    assert heard == [(1, Turn.STARTED), (5, Turn.PAUSED), (13, Turn.STOPPED)]


def test_a_short_pause_is_within_a_turn() -> None:
    heard = followed([0.9] * 4 + [0.0] * 4 + [0.9] * 2, silence_duration_ms=320)

    assert heard == [(1, Turn.STARTED), (5, Turn.PAUSED), (8, Turn.RESUMED)]


def test_between_the_thresholds_speech_goes_on_and_a_silence_too() -> None:
    assert followed([0.9] * 2 + [0.4] * 30) == [(1, Turn.STARTED)]
    assert followed([0.9] * 2 + [0.1] + [0.4] * 4)[-1] == (6, Turn.STOPPED)


def test_it_knows_where_speech_began_and_ended() -> None:
    turns = Turns(ServerVad(type="server_vad"), 10 * FRAME)
    for probability in [0.0] * 3 + [0.8] * 5 + [0.0] * 2:
        turns.step(probability)

    assert (turns.started_at, turns.quiet_at) == (13 * FRAME, 18 * FRAME)

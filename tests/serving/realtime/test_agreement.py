"""Shown words are those that two readings in a row begin with, and are never taken back."""

from __future__ import annotations

import random

from mome.reading import Token
from serving.realtime.agreement import Agreement, tokens_of

LONG_S = 100.0  # enough for any word


def test_a_word_is_shown_when_two_readings_agree_on_it() -> None:
    agreement = Agreement()
    readings = ["bin", "bin blue", "bin blue at", "bin blue by", "bin blue by f"]

    assert [agreement.read(text, LONG_S) for text in readings] == ["", "bin", " blue", "", " by"]
    assert agreement.end("bin blue by f two") == " f two"


def test_what_was_shown_is_never_said_otherwise() -> None:
    agreement = Agreement()
    for text in ("lay red", "lay red", "lay green", "lay green"):
        agreement.read(text, LONG_S)

    assert agreement.shown == ["lay", "red"]
    assert agreement.end("lay green now") == ""


def test_the_pieces_are_the_common_beginnings_whatever_is_read() -> None:
    draw = random.Random(3)
    for _ in range(200):
        readings = [[draw.choice("ab") for _ in range(draw.randrange(5))] for _ in range(6)]
        agreement, pieces, shown = Agreement(), "", []
        for before, words in zip([[], *readings], readings, strict=False):
            pieces += agreement.read(" ".join(words), LONG_S)
            common = []
            for one, other in zip(words, before, strict=False):
                if one != other:
                    break
                common.append(one)
            if common[: len(shown)] == shown:
                shown = common
            assert pieces.split() == shown


def test_words_that_nobody_can_have_said_yet_wait() -> None:
    agreement = Agreement()
    sentence = "place blue at f two now"
    shown = [agreement.read(sentence, spoken_s) for spoken_s in (0.3, 0.4, 0.7, 1.3)]

    assert shown == ["", "place", "", " blue at"]


def test_every_token_of_a_reading_comes_with_one_piece() -> None:
    tokens = [Token(0, text, -1.0) for text in ("", "bi", "n", " blue a", "t", "", " f", " two")]
    shown, told = "", list[list[str]]()
    for words in ("bin", " blue", " at f", " two"):
        shown += words
        told.append([token.text for token in tokens_of(words, shown, tokens)])

    assert told == [["", "bi", "n"], [], [" blue a", "t", "", " f"], [" two"]]


def test_a_hurried_speaker_is_followed_a_second_behind() -> None:
    agreement = Agreement()
    sentence = " ".join(map(str, range(50)))
    agreement.read(sentence, 10.0)
    agreement.read(sentence, 10.0)

    assert len(agreement.shown) == 45

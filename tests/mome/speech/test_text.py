"""Transcripts: what is mended silently, and what is named as foreign."""

from mome.speech.text import EMBEDDED_ALPHABET, normalise, outside_alphabet


def test_case_and_white_space_do_not_matter() -> None:
    assert normalise("  Bin BLUE\tat\n f  ") == "bin blue at f"


def test_each_foreign_character_is_named_once_in_order() -> None:
    assert outside_alphabet("naïve 2 élan naïve", "abcdefghijklmnopqrstuvwxyz ") == "ï2é"


def test_the_alphabet_itself_is_inside() -> None:
    assert outside_alphabet(EMBEDDED_ALPHABET, EMBEDDED_ALPHABET) == ""


def test_a_letter_and_its_accent_are_one_character_however_they_were_typed() -> None:
    assert normalise("U\u0308ber  CAFE\u0301") == "über café"
    assert outside_alphabet("über", "u\u0308ber") == ""

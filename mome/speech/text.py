"""Transcripts as the whole system writes them: lower case, single spaces, one small alphabet."""

__all__ = ["ALPHABET", "normalise", "outside_alphabet"]

# Digits are absent on purpose: how "10" is read aloud is for the corpus to say, not for us to guess.
ALPHABET = "abcdefghijklmnopqrstuvwxyz' "


def normalise(text: str) -> str:
    """Return ``text`` in lower case, with single spaces between words and none around them."""
    return " ".join(text.lower().split())


def outside_alphabet(text: str) -> str:
    """Return the characters of ``text`` that are not in `ALPHABET`, each once, in order of appearance."""
    return "".join(dict.fromkeys(character for character in text if character not in ALPHABET))

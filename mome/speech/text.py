"""Transcripts as the whole system writes them: lower case, single spaces, a small alphabet."""

from __future__ import annotations

import unicodedata

__all__ = ["EMBEDDED_ALPHABET", "composed", "normalise", "outside_alphabet"]

# What the LLM that is taught here can write. Of published ones a corpus may ask for more: validate.alphabet.
EMBEDDED_ALPHABET = "abcdefghijklmnopqrstuvwxyz' "


def composed(text: str) -> str:
    """Return ``text`` with a letter and its accents as one character (NFC), however it was typed.

    A Mac's file names, and what is copied from them, hold them apart: the same word would be another.
    """
    return unicodedata.normalize("NFC", text)


def normalise(text: str) -> str:
    """Return ``text`` composed, in lower case, with single spaces between words and none around them."""
    return " ".join(composed(text.lower()).split())


def outside_alphabet(text: str, alphabet: str) -> str:
    """Return the characters of ``text`` that are not in ``alphabet``, each once, in order of appearance."""
    known = composed(alphabet)
    return "".join(dict.fromkeys(character for character in text if character not in known))

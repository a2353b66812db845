"""Transcripts as the whole system writes them: lower case, single spaces, a small alphabet."""

__all__ = ["EMBEDDED_ALPHABET", "normalise", "outside_alphabet"]

# What the LLM that is taught here can write. Of published ones a corpus may ask for more: validate.alphabet.
EMBEDDED_ALPHABET = "abcdefghijklmnopqrstuvwxyz' "


def normalise(text: str) -> str:
    """Return ``text`` in lower case, with single spaces between words and none around them."""
    return " ".join(text.lower().split())


def outside_alphabet(text: str, alphabet: str) -> str:
    """Return the characters of ``text`` that are not in ``alphabet``, each once, in order of appearance."""
    return "".join(dict.fromkeys(character for character in text if character not in alphabet))

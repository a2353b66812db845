"""Sentences of the GRID grammar: command, colour, preposition, letter, digit, adverb (51 words).

Source: Cooke, Barker, Cunningham, Shao: An audio-visual corpus for speech perception and automatic
speech recognition, JASA 120 (2006), table I.
"""

from __future__ import annotations

import random

__all__ = ["GRID", "grid_sentence"]

GRID: tuple[tuple[str, ...], ...] = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple("abcdefghijklmnopqrstuvxyz"),  # without w, whose name is three syllables long
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("again", "now", "please", "soon"),
)


def grid_sentence(rng: random.Random) -> str:
    """Draw one of the 64,000 sentences."""
    return " ".join(rng.choice(words) for words in GRID)

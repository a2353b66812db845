"""The phoneme classes of English that frame labels use, and how the mouth looks for each.

eSpeak NG has finer mnemonics, which differ between accents; they are folded into these classes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PHONEMES", "SILENCE", "MouthShape", "mouth_shapes", "phoneme_class"]

SILENCE = "_"


@dataclass(frozen=True)
class MouthShape:
    """A mouth, each from 0 to 1: how open, how wide, how rounded, teeth seen, tongue seen."""

    opening: float
    width: float
    rounding: float
    teeth: float
    tongue: float


# Visemes: phonemes that one row lists look the same, as they do on real lips. A diphthong moves
# through two shapes.
_VISEMES: tuple[tuple[str, tuple[MouthShape, ...]], ...] = (
    (SILENCE, (MouthShape(0.03, 0.5, 0.0, 0.0, 0.0),)),
    ("p b m", (MouthShape(0.0, 0.48, 0.0, 0.0, 0.0),)),
    ("f v", (MouthShape(0.11, 0.54, 0.0, 1.0, 0.0),)),
    ("T D", (MouthShape(0.21, 0.54, 0.0, 0.6, 1.0),)),
    ("t d n", (MouthShape(0.22, 0.58, 0.0, 0.7, 0.3),)),
    ("s z", (MouthShape(0.15, 0.70, 0.0, 1.0, 0.0),)),
    ("l", (MouthShape(0.34, 0.55, 0.0, 0.4, 0.8),)),
    ("S Z tS dZ", (MouthShape(0.27, 0.33, 0.6, 0.9, 0.0),)),
    ("k g N h", (MouthShape(0.34, 0.53, 0.0, 0.3, 0.1),)),
    ("r", (MouthShape(0.24, 0.34, 0.5, 0.3, 0.2),)),
    ("w u U", (MouthShape(0.16, 0.20, 0.95, 0.0, 0.0),)),
    ("i I j", (MouthShape(0.30, 0.82, 0.0, 0.6, 0.1),)),
    ("E", (MouthShape(0.52, 0.70, 0.0, 0.4, 0.2),)),
    ("a", (MouthShape(0.80, 0.68, 0.0, 0.3, 0.3),)),
    ("A V", (MouthShape(0.85, 0.53, 0.0, 0.1, 0.2),)),
    ("O", (MouthShape(0.70, 0.34, 0.6, 0.0, 0.1),)),
    ("@ 3", (MouthShape(0.39, 0.52, 0.15, 0.2, 0.1),)),
    ("eI", (MouthShape(0.52, 0.70, 0.0, 0.4, 0.2), MouthShape(0.30, 0.82, 0.0, 0.6, 0.1))),
    ("aI", (MouthShape(0.85, 0.53, 0.0, 0.1, 0.2), MouthShape(0.30, 0.82, 0.0, 0.6, 0.1))),
    ("OI", (MouthShape(0.70, 0.34, 0.6, 0.0, 0.1), MouthShape(0.30, 0.82, 0.0, 0.6, 0.1))),
    ("oU", (MouthShape(0.70, 0.34, 0.6, 0.0, 0.1), MouthShape(0.16, 0.20, 0.95, 0.0, 0.0))),
    ("aU", (MouthShape(0.85, 0.53, 0.0, 0.1, 0.2), MouthShape(0.16, 0.20, 0.95, 0.0, 0.0))),
)
_SHAPES = {phoneme: shapes for phonemes, shapes in _VISEMES for phoneme in phonemes.split()}
PHONEMES: tuple[str, ...] = tuple(_SHAPES)

_FOLDED = {
    ";": "j", "?": "t", "t[": "t", "d[": "d", "x": "k", "R": "r", "r-": "r", "w#": "w", "@L": "l",
    "0": "A", "0#": "A", "O2": "O", "o": "O", "o@": "O", "O@": "O", "A@": "A", "A#": "A", "aa": "a",
    "a#": "@", "a2": "a", "e": "E", "e@": "E", "E2": "E", "E#": "I", "I#": "I", "I2": "I", "i@": "I",
    "i@3": "I", "V@": "3", "U@": "U", "3:": "3", "@2": "@", "@5": "@", "@-": "@", "oI": "OI",
    "o#": "oU", "@U": "oU", "aI2": "aI", "aI3": "aI", "aI@": "aI", "aU@": "aU", "y": "u", "Y": "u",
    "u#": "u", "U#": "U", "l^": "l", "H": "h",
}  # fmt: skip


def phoneme_class(symbol: str) -> str:
    """Fold an eSpeak NG mnemonic into its class; a mnemonic nobody met yet folds by its first letter."""
    for candidate in (symbol, symbol.rstrip("#2345:-^"), symbol[:2], symbol[:1]):
        if candidate in _SHAPES:
            return candidate
        if candidate in _FOLDED:
            return _FOLDED[candidate]
    return SILENCE


def mouth_shapes(phoneme: str) -> tuple[MouthShape, ...]:
    """Return the shapes that the mouth passes through during a phoneme class.

    Raises:
        KeyError: If there is no such class.
    """
    return _SHAPES[phoneme]

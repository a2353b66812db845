"""Texts as they are read aloud, in English: what the papers score has words only, no digit and no mark.

    Printing, in 1455, cost "£3.50".  ->  printing in fourteen fifty five cost three pounds fifty

Letters keep their accents, and an apostrophe within a word stays. What is read in more than one way is read
in the most frequent one: four digits from 1100 to 1999 are a year.
"""

from __future__ import annotations

import re
from dataclasses import replace

from data.corpora.raw import Corpus, fingerprint
from mome.config import TextForm
from mome.speech.text import composed, normalise

__all__ = ["cardinal", "ordinal", "spoken", "with_text"]

_BELOW_20 = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_POWERS = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_LARGEST = 10**15  # longer numbers are read digit by digit
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_YEARS = range(1100, 2000)
_MONEY = {"$": ("dollar", "cent"), "£": ("pound", ""), "€": ("euro", "")}
_SIGNS = {"&": " and ", "%": " percent ", "@": " at ", "+": " plus ", "=": " equals "}
# Those that the table of LJ Speech explains, and nobody says as they are written.
_ABBREVIATIONS = {
    "capt": "captain",
    "co": "company",
    "col": "colonel",
    "dr": "doctor",
    "esq": "esquire",
    "gen": "general",
    "hon": "honorable",
    "jr": "junior",
    "lt": "lieutenant",
    "ltd": "limited",
    "maj": "major",
    "mr": "mister",
    "mrs": "missus",
    "rev": "reverend",
    "sgt": "sergeant",
}
_ABBREVIATED = re.compile(rf"\b({'|'.join(_ABBREVIATIONS)})\.")
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})
_NUMBER = re.compile(
    r"(?<![^\W_])(?P<money>[$£€])?(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<part>\.\d+)?"
    r"(?P<ordinal>st|nd|rd|th)?(?P<plural>s)?(?![^\W_])"
    r"|(?P<digits>\d+)"
)


def with_text(corpus: Corpus, text: TextForm) -> Corpus:
    """Return a corpus with its texts as they are, or as they are read aloud."""
    if text == "as-is":
        return corpus
    return replace(
        corpus,
        key=fingerprint([corpus.key, text]),
        utterances=[
            replace(utterance, transcript=spoken(utterance.transcript)) for utterance in corpus.utterances
        ],
    )


def spoken(text: str) -> str:
    """Return ``text`` as it is read aloud: lower case, words and apostrophes within them, single spaces."""
    text = _NUMBER.sub(lambda found: f" {_read(found)} ", composed(text).translate(_QUOTES).lower())
    text = _ABBREVIATED.sub(lambda found: f"{_ABBREVIATIONS[found[1]]} ", text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    # A mark is no part of a word, and between two words a space: dashes, slashes, brackets.
    kept = (c if c == "'" or c.isalnum() or _is_accent(c) else " " for c in text)
    return normalise(" ".join(word.strip("'") for word in "".join(kept).split()))


def cardinal(number: int) -> str:
    """Return a number in words, American style: 1,205 is "one thousand two hundred five".

    Args:
        number: From zero; one of more than fifteen digits is read digit by digit.
    """
    if number >= _LARGEST:
        return _digits(str(number))
    if number < 20:
        return _BELOW_20[number]
    if number < 100:
        return f"{_TENS[number // 10]} {_BELOW_20[number % 10]}" if number % 10 else _TENS[number // 10]
    power, name = next(pair for pair in _POWERS if number >= pair[0])
    rest = number % power
    return f"{cardinal(number // power)} {name}" + (f" {cardinal(rest)}" if rest else "")


def ordinal(number: int) -> str:
    """Return the place that a number counts: 21 is "twenty first"."""
    *others, last = cardinal(number).split()
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*others, _ORDINALS.get(last, regular)])


def _read(found: re.Match[str]) -> str:
    if found["digits"]:  # among letters: b52s
        return _digits(found["digits"])
    whole, part = found["whole"], found["part"]
    number = int(whole.replace(",", ""))
    if found["money"]:
        return _amount(number, part, *_MONEY[found["money"]])
    if found["ordinal"] and not part:
        return ordinal(number)
    if part:
        return f"{cardinal(number)} point {_digits(part[1:])}"
    if whole.startswith("0") and len(whole) > 1:
        return _digits(whole)
    said = _year(number) if number in _YEARS and "," not in whole else cardinal(number)
    if found["plural"]:  # the 1830s
        return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"
    return said


def _amount(number: int, part: str | None, coin: str, hundredth: str) -> str:
    said = f"{cardinal(number)} {coin}{'' if number == 1 else 's'}"
    small = int((part or ".0")[1:3].ljust(2, "0"))
    if not small:
        return said
    return f"{said} {cardinal(small)}" + (f" {hundredth}{'' if small == 1 else 's'}" if hundredth else "")


def _year(number: int) -> str:
    century, year = divmod(number, 100)
    if not year:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if year < 10 else ''}{cardinal(year)}"


def _digits(text: str) -> str:
    return " ".join(_BELOW_20[int(digit)] for digit in text)


def _is_accent(character: str) -> bool:
    return "\u0300" <= character <= "\u036f"

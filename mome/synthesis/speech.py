"""Speech from eSpeak NG, with the times of its phonemes and words.

The library and its data come with the pip package ``espeakng-loader``; nothing is installed on the
machine. The library keeps one global state: one process speaks one sentence at a time, and what it
spoke before changes the next sentence a little. The same sentences in the same order from a fresh
process are the same samples; `mome.synthesis.render_all` sees to that.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

__all__ = ["Phoneme", "Spoken", "SpokenWord", "Voice", "speak"]

_RETRIEVAL, _PHONEME_EVENTS, _DONT_EXIT = 1, 1, 0x8000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_UTF8, _EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 1, 0, 1, 7


@dataclass(frozen=True)
class Voice:
    """Who speaks, and how.

    Args:
        accent: An English of eSpeak NG, by its file, such as ``gmw/en-US``.
        variant: A voice variant of eSpeak NG, such as ``f2``: the shape of the vocal tract.
        words_per_minute: Speaking rate.
        pitch: 0 to 99.
        pitch_range: 0 to 99, monotone to lively.
    """

    accent: str
    variant: str
    words_per_minute: int = 170
    pitch: int = 50
    pitch_range: int = 50


@dataclass(frozen=True)
class Phoneme:
    """One phoneme in eSpeak NG's mnemonic, without stress marks; ``_`` is silence."""

    symbol: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class SpokenWord:
    """One word as it is written, from its first phoneme to the end of its last."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Spoken:
    """A spoken sentence.

    Args:
        samples: Waveform ``(N,)`` float32 within -1..1.
        sampling_rate: Hz.
        phonemes: In order, without gaps.
        words: In order.
    """

    samples: NDArray[np.float32]
    sampling_rate: int
    phonemes: tuple[Phoneme, ...]
    words: tuple[SpokenWord, ...]


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Engine:
    """The loaded library; collects what its callback delivers."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.sampling_rate = self.library.espeak_Initialize(
            _RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), _PHONEME_EVENTS | _DONT_EXIT
        )
        if self.sampling_rate <= 0:
            raise RuntimeError("eSpeak NG did not start: its data folder is missing or of another version")
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breath and jitter of some voices use rand()
        self.chunks: list[NDArray[np.int16]] = []
        self.events: list[tuple[str, int]] = []  # phonemes, and the sample at which each begins
        self.word_starts: list[int] = []
        self.callback = _Callback(self._collect)  # kept: ctypes does not hold a reference
        self.library.espeak_SetSynthCallback(self.callback)

    def _collect(
        self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        if count > 0 and samples:
            self.chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_PHONEME:
                self.events.append((events[index].id.string.decode(), events[index].sample))
            elif events[index].type == _EVENT_WORD:
                self.word_starts.append(events[index].sample)
            index += 1
        return 0


@cache
def _engine() -> _Engine:
    return _Engine()


def speak(text: str, voice: Voice) -> Spoken:
    """Speak an English text; a lone "a" is the letter.

    Raises:
        ValueError: If eSpeak NG has no such accent; it takes an unknown variant for its plain voice.
    """
    engine = _engine()
    library = engine.library
    if library.espeak_SetVoiceByName(f"{voice.accent}+{voice.variant}".encode()) != 0:
        raise ValueError(f"eSpeak NG has no voice {voice.accent}+{voice.variant}")
    for parameter, value in (
        (_RATE, voice.words_per_minute),
        (_VOLUME, 100),
        (_PITCH, voice.pitch),
        (_RANGE, voice.pitch_range),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    engine.chunks, engine.events, engine.word_starts = [], [], []
    # A lone "a" would be read as the article; in letters and labels it is the letter's name, as "eh" is.
    encoded = " ".join("eh" if word == "a" else word for word in text.split()).encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    samples = np.concatenate(engine.chunks).astype(np.float32) / np.float32(32768)
    phonemes = _with_ends(engine.events, len(samples), engine.sampling_rate)
    starts_s = [sample / engine.sampling_rate for sample in engine.word_starts]
    return Spoken(samples, engine.sampling_rate, phonemes, _words(text.split(), starts_s, phonemes))


def _words(texts: list[str], starts_s: list[float], phonemes: tuple[Phoneme, ...]) -> tuple[SpokenWord, ...]:
    """Let each word last until the end of its phonemes, or until the next word begins with a closure."""
    words = []
    for text, start_s, until_s in zip(texts, starts_s, [*starts_s[1:], np.inf], strict=True):
        ends = [p.end_s for p in phonemes if p.symbol != "_" and start_s <= p.start_s < until_s]
        words.append(SpokenWord(text, start_s, min(max(ends, default=start_s), until_s)))
    return tuple(words)


def _with_ends(events: list[tuple[str, int]], num_samples: int, sampling_rate: int) -> tuple[Phoneme, ...]:
    """Turn phoneme onsets into intervals: each lasts until the next one starts."""
    starts = [min(sample, num_samples) for _, sample in events] + [num_samples]
    return tuple(
        Phoneme(symbol.strip("',:_ ") or "_", start / sampling_rate, end / sampling_rate)
        for (symbol, _), start, end in zip(events, starts, starts[1:], strict=False)
        if end > start
    )

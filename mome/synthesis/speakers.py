"""The synthetic speakers: a voice and a look each, and which of them nobody trains on."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from mome.records import Split
from mome.synthesis.face import Look, draw_look
from mome.synthesis.speech import Voice

__all__ = ["Speaker", "speakers", "voice_variants"]

_ACCENTS = {
    "us": "gmw/en-US",
    "gb": "gmw/en",
    "rp": "gmw/en-GB-x-rp",
    "mid": "gmw/en-GB-x-gbcwmd",
    "lan": "gmw/en-GB-x-gbclan",
    "nyc": "gmw/en-US-nyc",
}

# Voice variants of eSpeak NG that sound like people; a variant belongs to one split only, so that a
# test speaker's vocal tract was never heard in training.
_VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": (
        "m1", "m2", "m4", "m6", "m7", "m8", "f1", "f2", "f4", "Alex", "Alicia", "Andrea", "Andy",
        "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Michael",
        "Mike", "Nguyen", "Reed", "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris",
        "caleb", "david", "ed", "grandma", "grandpa", "ian", "iven", "klatt", "klatt2", "linda",
        "marcelo", "max", "michel", "miguel", "norbert", "pablo", "quincy", "rob", "sandro", "shelby",
        "travis", "victor",
    ),
    "validation": ("m5", "Gene2", "pedro", "steph"),
    "test": ("m3", "f3", "f5", "edward", "john", "Mario", "paul", "steph2"),
}  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """Somebody who does not exist."""

    name: str
    voice: Voice
    look: Look

    def speaking(self, rng: np.random.Generator) -> Voice:
        """Return the voice for one sentence: people do not keep exactly their pace and pitch."""
        return replace(
            self.voice,
            words_per_minute=int(self.voice.words_per_minute * rng.uniform(0.9, 1.1)),
            pitch=int(np.clip(self.voice.pitch + rng.normal(0, 4), 0, 99)),
        )


def speakers(split: Split) -> list[Speaker]:
    """Return the speakers of a split; every variant with two accents."""
    accents = list(_ACCENTS)
    found = []
    for index, variant in enumerate(_VARIANTS[split]):
        for accent in (accents[index % len(accents)], accents[(index + 3) % len(accents)]):
            name = f"{variant.lower()}-{accent}"
            # A speaker's traits hang on the name alone, so that lists can grow without changing anybody.
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            voice = Voice(
                accent=_ACCENTS[accent],
                variant=variant,
                words_per_minute=int(rng.integers(120, 165)),
                pitch=int(rng.integers(30, 70)),
                pitch_range=int(rng.integers(30, 70)),
            )
            found.append(Speaker(name, voice, draw_look(rng)))
    return found


def voice_variants(split: Split) -> tuple[str, ...]:
    """Return the voice variants of eSpeak NG that belong to a split, and to no other."""
    return _VARIANTS[split]

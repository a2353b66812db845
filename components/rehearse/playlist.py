"""Which clips the rehearsal plays, in which noise, as the files that a caller would send."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mome.config import RehearseParams
from mome.errors import CorpusError
from mome.records import Utterance
from mome.speech.audio import encode_flac
from mome.speech.media import Clip
from mome.speech.noise import with_babble
from mome.speech.shards import read_manifest, read_split
from mome.speech.video import encode_mouth

__all__ = ["PHASES", "Item", "files", "playlist"]

PHASES = ("clean", "babble", "clean again")


class Item(NamedTuple):
    """One clip to send: the phase it belongs to, and what was really said."""

    phase: str
    utterance: Utterance
    clip: Clip


def playlist(params: RehearseParams, dataset: Path) -> Iterator[Item]:
    """Yield the clips of the three phases; all are held-out utterances, and so are the voices of the babble.

    A corpus without sound has no noise to add: its clips are played as they are.

    Raises:
        CorpusError: If the dataset has no usable test utterance, or cannot be read.
    """
    rng = np.random.default_rng(params.seed)
    ids = [u.utterance_id for u in read_manifest(dataset) if u.split == "test" and u.decodable]
    if not ids:
        raise CorpusError(f"{dataset}: no usable test utterance; a rehearsal plays held-out clips")
    # Each clip once before any is played again.
    chosen = list(islice(cycle(rng.permutation(ids).tolist()), len(PHASES) * params.requests_per_phase))
    wanted = set(chosen)
    clips = {u.utterance_id: (u, clip) for u, clip in read_split(dataset, "test") if u.utterance_id in wanted}
    for number, name in enumerate(chosen):
        phase = PHASES[number // params.requests_per_phase]
        utterance, clip = clips[name]
        if phase == "babble" and clip.samples is not None:
            voices = {other: c.samples for other, (_, c) in clips.items() if c.samples is not None}
            place = list(voices).index(name)
            clip = Clip(with_babble(list(voices.values()), place, params.snr_db, rng), clip.mouth)
        yield Item(phase, utterance, clip)


def files(clip: Clip) -> dict[str, tuple[str, bytes, str]]:
    """Return the upload: sound as ``file`` and lips as ``video``, or the one that there is as ``file``."""
    sound = None if clip.samples is None else ("clip.flac", encode_flac(clip.samples), "audio/flac")
    lips = None if clip.mouth is None else ("clip.mp4", encode_mouth(clip.mouth), "video/mp4")
    if sound is not None and lips is not None:
        return {"file": sound, "video": lips}
    only = sound or lips
    assert only is not None  # a clip has sound or lips
    return {"file": only}

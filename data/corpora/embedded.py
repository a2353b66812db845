"""The embedded corpus: synthetic speakers that are heard and seen, rendered on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from data.corpora.raw import Corpus, MediaFile, RawMedia, RawUtterance, fingerprint
from mome.config import PrepareParams
from mome.speech.audio import encode_flac
from mome.speech.video import encode_mouth
from mome.synthesis import SYNTHESIS_VERSION, plan_corpus, render_all

__all__ = ["EMBEDDED", "read_embedded"]

EMBEDDED = "embedded"  # its name, and what to ask for


def read_embedded(params: PrepareParams) -> Corpus:
    """Plan the embedded corpus; no speaker occurs in two splits."""
    plan = plan_corpus(
        params.train_utterances, params.validation_utterances, params.test_utterances, params.seed
    )

    def media() -> Iterator[RawMedia]:
        for rendered in render_all(plan):
            samples, mouth = rendered.clip.samples, rendered.clip.mouth
            assert samples is not None
            assert mouth is not None
            yield RawMedia(MediaFile(".flac", encode_flac(samples)), MediaFile(".mp4", encode_mouth(mouth)))

    return Corpus(
        name=EMBEDDED,
        speaker_disjoint=True,
        key=fingerprint([EMBEDDED, str(SYNTHESIS_VERSION), params.model_dump_json()]),
        utterances=[RawUtterance(u.utterance_id, u.split, u.speaker.name, u.transcript) for u in plan],
        media=media,
    )

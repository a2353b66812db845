"""What a reader lists, clip by clip, and the corpus made of it; what is wrong with one stands at its row."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.corpora.cut import Cutter, Span
from data.corpora.raw import (
    Corpus,
    RawMedia,
    RawUtterance,
    corpus_name,
    file_stamp,
    fingerprint,
    read_media,
    require_unique_ids,
)
from data.corpora.splits import hold_out, split_items
from mome.errors import CorpusError
from mome.records import Split

__all__ = ["Take", "corpus_of", "with_validation"]

_MIN_DISJOINT_SPEAKERS = 3  # one per split


@dataclass(frozen=True)
class Take:
    """One clip of a corpus.

    Args:
        utterance: Who says what.
        audio: The file with the sound; a video counts as both.
        video: A file of its own with the face or mouth.
        span: The part of a longer recording that it is.
        problem: Why it cannot be used; then no file is opened.
    """

    utterance: RawUtterance
    audio: Path
    video: Path | None = None
    span: Span | None = None
    problem: str = ""


def corpus_of(layout: str, folder: Path, takes: Sequence[Take]) -> Corpus:
    """Return the corpus that these clips are.

    Args:
        layout: Name of the layout: the same folder read as another is another corpus.
        folder: That they are in; its name is that of the corpus.
        takes: In a stable order.

    Raises:
        CorpusError: If there are none, or two have one id.
    """
    if not takes:
        raise CorpusError(f"{folder}: no clip of {layout} in it; expected at least one")
    require_unique_ids((take.utterance.utterance_id for take in takes), folder)

    def media() -> Iterator[RawMedia]:
        cutter = Cutter()
        for take in takes:
            if take.problem:
                # Without the folder: the same corpus elsewhere gives the same bytes.
                yield RawMedia(None, None, take.problem.replace(f"{folder}/", ""))
            elif take.span is None:
                yield read_media(take.audio, take.video)
            else:
                yield cutter.cut(take.audio, take.video, take.span)

    files = dict.fromkeys(path for take in takes for path in (take.audio, take.video) if path is not None)
    return Corpus(
        name=corpus_name(folder.resolve().name),
        speaker_disjoint=_is_disjoint(take.utterance for take in takes),
        key=fingerprint(
            [
                layout,
                str(folder.resolve()),
                *(repr((take.utterance, take.span, take.problem)) for take in takes),
                *map(file_stamp, files),
            ]
        ),
        utterances=[take.utterance for take in takes],
        media=media,
    )


def with_validation(folder: Path, takes: Sequence[Take]) -> list[Take]:
    """Hold clips out for the splits that a corpus does not define, and say so.

    Without validation, whole speakers of train are held out. Without test either, a tenth of the speakers
    goes to each; of the clips where there are fewer than three speakers. Always the same ones: by rank of
    a hash of their names.
    """
    defined = {take.utterance.split for take in takes}
    if "validation" in defined:
        return list(takes)
    if "test" in defined:
        train = [take.utterance.speaker for take in takes if take.utterance.split == "train"]
        held_out = hold_out(train)
        moved = [
            _moved(take, "validation")
            if take.utterance.split == "train" and take.utterance.speaker in held_out
            else take
            for take in takes
        ]
        count = sum(take.utterance.split == "validation" for take in moved)
        said = f"no validation split; held out of train are {count} clips of {len(held_out)} speakers"
    else:
        speakers = {take.utterance.speaker for take in takes}
        by_speaker = len(speakers) >= _MIN_DISJOINT_SPEAKERS
        names = [take.utterance.speaker if by_speaker else take.utterance.utterance_id for take in takes]
        splits = split_items(names)
        moved = [_moved(take, splits[name]) for take, name in zip(takes, names, strict=True)]
        whom = "speakers" if by_speaker else "clips"
        said = f"no splits; a tenth of its {whom} each goes to validation and test"
    print(f"{folder}: {said}", file=sys.stderr)
    return moved


def _moved(take: Take, split: Split) -> Take:
    return replace(take, utterance=replace(take.utterance, split=split))


def _is_disjoint(utterances: Iterable[RawUtterance]) -> bool:
    pairs = {(utterance.speaker, utterance.split) for utterance in utterances}
    return len(pairs) == len({speaker for speaker, _ in pairs})

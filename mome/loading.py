"""A packaged model in three lines of Python: load a folder or a registry's version, transcribe a file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mome.errors import BundleError, MediaError, TooLongError, UnknownScaleError

# torch takes seconds to import: whoever imports mome for something else does not wait for it.
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mome.bundle import Bundle
    from mome.inference import Transcriber
    from mome.reading import Word
    from mome.records import Modality
    from mome.scales import Scale
    from mome.speech.noise_estimate import NoiseEstimate
    from mome.speech.utterances import Heard, Piece

__all__ = ["Model", "Segment", "Transcript", "load"]

_BATCH = 16  # pieces of a long recording that are read together
_LONGEST_S = 24 * 3600.0  # a file whose length nobody knows ends at some time


@dataclass(frozen=True)
class Segment:
    """What was said in one piece of a recording.

    Args:
        start_s: When the piece begins.
        end_s: When it ends.
        text: Never empty.
    """

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """What was said, and how it was read.

    Args:
        text: Lower case, without punctuation, as the corpus of the model is written.
        words: Each of them, when it is said, and how sure the model was of it; empty if the model was taught
            no times of words.
        noise: As `mome.speech.noise_estimate` measures it, in a long recording in the piece of middling
            noise; None without sound.
        scale: At which it was read, such as ``a4v2``.
        modality: What was read: ``audio``, ``video`` or ``av``.
        duration_s: Of the recording.
        segments: A long recording has several; one in which nobody speaks has none.
    """

    text: str
    words: tuple[Word, ...]
    noise: NoiseEstimate | None
    scale: str
    modality: str
    duration_s: float
    segments: tuple[Segment, ...]


@dataclass
class _Read:
    """What was read of a recording so far."""

    until_s: float = 0.0
    pieces: list[tuple[Modality, NoiseEstimate | None]] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    other: Modality | None = None  # what a piece held that this model does not read


class Model:
    """A bundle and its weights in memory; one call at a time."""

    def __init__(self, bundle: Bundle, transcriber: Transcriber) -> None:
        self.bundle = bundle
        self._transcriber = transcriber

    @property
    def scales(self) -> tuple[str, ...]:
        """Scales to choose from, finest first: the trained ones, and others that were evaluated with them."""
        return tuple(map(str, self._scales()))

    def transcribe(
        self, file: str | Path, video: str | Path | None = None, *, scale: str | None = None
    ) -> Transcript:
        """Transcribe one recording of any length; a long one is cut at its pauses, and progress is shown.

        Args:
            file: Sound, video, or video with sound.
            video: The face or the mouth, where it is another file.
            scale: One of `scales`; default: the one that the bundle is served at.

        Raises:
            MediaError: If the recording cannot be decoded, is too short for any scale, or holds nothing that
                the model reads.
            UnknownScaleError: If the scale is none of `scales`.
        """
        from mome.progress import progress
        from mome.speech.stretches import claimed_s

        chosen = self._choose(scale)
        read = _Read()
        total = claimed_s(Path(file))
        work = self._read(Path(file), None if video is None else Path(video), chosen, read)
        # An item is a second of the recording: how many there are is what its header says.
        for _ in progress(work, "transcribe", None if total is None else round(total)):
            pass
        if not read.pieces:
            known = ", ".join(self.bundle.evaluation.wer)
            raise MediaError(f"{file}: holds {read.other or 'nothing'}, but this model reads {known}")
        modalities = [modality for modality, _ in read.pieces]
        return Transcript(
            text=" ".join(segment.text for segment in read.segments),
            words=tuple(read.words),
            noise=_middling([noise for _, noise in read.pieces if noise is not None]),
            scale=str(chosen),
            modality=max(modalities, key=modalities.count),
            duration_s=read.until_s,
            segments=tuple(read.segments),
        )

    def _read(self, file: Path, video: Path | None, scale: Scale, read: _Read) -> Iterator[None]:
        """Read a recording into ``read``, batch by batch; yields once for each second that is done."""
        from mome.modalities import readings
        from mome.speech.utterances import Piece

        for until_s, found in self._heard(file, video):
            pieces: list[Piece] = []
            for start_s, clip in found:
                reads = readings(self.bundle.evaluation.wer, clip.modality)
                if reads:
                    pieces.append(Piece(start_s, clip.only(reads[0])))
                else:
                    read.other = clip.modality
            for first in range(0, len(pieces), _BATCH):
                self._add(pieces[first : first + _BATCH], scale, read)
            seconds = int(until_s) - int(read.until_s)
            read.until_s = until_s
            yield from [None] * seconds

    def _heard(self, file: Path, video: Path | None) -> Iterator[Heard]:
        from mome.modalities import needed
        from mome.speech.media import read_file
        from mome.speech.stretches import read_stretches
        from mome.speech.utterances import Heard, Piece, cut

        longest_s = self._transcriber.max_duration_s
        evaluation = self.bundle.evaluation
        try:
            clip = read_file(file, video, longest_s, self.bundle.face_models)
        except TooLongError:
            wanted = needed(evaluation.wer)
            stretches = read_stretches(file, video, wanted, _LONGEST_S, self.bundle.face_models)
            yield from cut(stretches, longest_s, evaluation.utterance_s or longest_s)
        else:
            yield Heard(clip.duration_s, [Piece(0.0, clip)])

    def _add(self, pieces: list[Piece], scale: Scale, read: _Read) -> None:
        from mome.reading import Kept, Reading
        from mome.speech.noise_estimate import estimate_noise
        from mome.speech.voice import hear_voice, is_silent

        spoken: list[Piece] = []
        for piece in pieces:
            samples, noise = piece.clip.samples, None
            if samples is not None:
                noise = estimate_noise(samples)
            read.pieces.append((piece.clip.modality, noise))
            # What is one clip is read whatever it holds; of a long recording, where somebody may speak.
            is_whole = piece.start_s == 0.0 and len(pieces) == 1
            if (
                is_whole
                or piece.clip.mouth is not None
                or noise is None
                or samples is None
                or not is_silent(piece.clip.duration_s, hear_voice(samples), noise)
            ):
                spoken.append(piece)
        kept = [Kept() for _ in spoken]
        wanted = [Reading(piece.clip.filled(scale), scale, timed=True) for piece in spoken]
        self._transcriber.read(wanted, kept)
        for piece, said in zip(spoken, (each.text for each in kept), strict=True):
            if said.text:
                end_s = piece.start_s + piece.clip.duration_s
                read.segments.append(Segment(piece.start_s, end_s, said.text))
                read.words += (word.later(piece.start_s) for word in said.words)

    def _scales(self) -> tuple[Scale, ...]:
        return self.bundle.readable(self._transcriber.scales)

    def _choose(self, wanted: str | None) -> Scale:
        from mome.scales import Scale

        scale = self.bundle.default_scale if wanted is None else Scale.parse(wanted)
        if scale not in self._scales():
            raise UnknownScaleError(f"scale {wanted} is not there; the model has {', '.join(self.scales)}")
        return scale


def _middling(noises: list[NoiseEstimate]) -> NoiseEstimate | None:
    """Return the estimate in the middle; those of pieces without speech count as clean."""
    ordered = sorted(noises, key=lambda noise: math.inf if noise.snr_db is None else noise.snr_db)
    return ordered[len(ordered) // 2] if ordered else None


def load(
    place: str | Path, device: str = "cpu", *, corpus: str | None = None, version: str | None = None
) -> Model:
    """Load a packaged model, from a folder or from a registry.

    Args:
        place: A bundle, as ``package`` writes it, or a folder that holds one as ``bundle``; or a registry, as
            ``MOME_REGISTRY`` and ``python -m serving.registry --registry`` name it: a folder or
            ``s3://bucket/prefix``.
        device: As torch names it.
        corpus: Whose model, of a registry; default: its only one.
        version: Of that model; default: the champion.

    Raises:
        BundleError: If there is no bundle, no such version, or a file of it is missing or was changed.
        ServiceError: If the registry does not answer.
        ConfigError: If the address is none, or credentials or the package for a bucket are missing.
        CheckpointError: If its weights do not belong together.
    """
    from mome.bundle import read_bundle
    from mome.inference import Transcriber

    bundle = read_bundle(_bundle(place, corpus, version))
    transcriber = Transcriber.load(bundle.foundation, bundle.checkpoint, bundle.decoding, device)
    return Model(bundle, transcriber)


def _bundle(place: str | Path, corpus: str | None, version: str | None) -> Path:
    """Return the folder of a bundle, fetched if it is in a registry."""
    folder = Path(place)
    found = next((each for each in (folder, folder / "bundle") if (each / "bundle.json").is_file()), None)
    if found is None and ("://" in str(place) or (folder / "models").is_dir()):
        from mome.registry.fetching import fetch

        return fetch(str(place), corpus, version)
    if corpus is not None or version is not None:
        raise BundleError(f"{place}: is no registry, which has a folder 'models'; only one has versions")
    return found or folder

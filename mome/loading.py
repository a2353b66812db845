"""A packaged model in three lines of Python: load a folder, transcribe a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mome.errors import BundleError, MediaError, UnknownScaleError

# torch takes seconds to import: whoever imports mome for something else does not wait for it.
if TYPE_CHECKING:
    from mome.bundle import Bundle
    from mome.inference import Transcriber
    from mome.reading import Word
    from mome.scales import Scale
    from mome.speech.noise_estimate import NoiseEstimate

__all__ = ["Model", "Transcript", "load"]


@dataclass(frozen=True)
class Transcript:
    """What was said, and how it was read.

    Args:
        text: Lower case, without punctuation, as the corpus of the model is written.
        words: Each of them, when it is said, and how sure the model was of it; empty if the model was taught
            no times of words.
        noise: As `mome.speech.noise_estimate` measures it; None without sound.
        scale: At which it was read, such as ``a4v2``.
        modality: What was read: ``audio``, ``video`` or ``av``.
        duration_s: Of the recording.
    """

    text: str
    words: tuple[Word, ...]
    noise: NoiseEstimate | None
    scale: str
    modality: str
    duration_s: float


class Model:
    """A bundle and its weights in memory; one call at a time."""

    def __init__(self, bundle: Bundle, transcriber: Transcriber) -> None:
        self.bundle = bundle
        self._transcriber = transcriber

    @property
    def scales(self) -> tuple[str, ...]:
        """Scales to choose from, finest first."""
        return tuple(map(str, self._scales()))

    def transcribe(
        self, file: str | Path, video: str | Path | None = None, *, scale: str | None = None
    ) -> Transcript:
        """Transcribe one recording.

        Args:
            file: Sound, video, or video with sound.
            video: The face or the mouth, where it is another file.
            scale: One of `scales`; default: the one that the bundle is served at.

        Raises:
            MediaError: If the recording cannot be decoded, is too long, too short for any scale, or holds
                nothing that the model reads.
            UnknownScaleError: If the model lacks the scale.
        """
        from mome.modalities import readings
        from mome.reading import Kept, Reading
        from mome.speech.media import read_file
        from mome.speech.noise_estimate import estimate_noise

        chosen = self._choose(scale)
        file, video = Path(file), None if video is None else Path(video)
        clip = read_file(file, video)
        reads = readings(self.bundle.evaluation.wer, clip.modality)
        if not reads:
            known = ", ".join(self.bundle.evaluation.wer)
            raise MediaError(f"{file}: holds {clip.modality}, but this model reads {known}")
        clip = clip.only(reads[0])
        noise = None if clip.samples is None else estimate_noise(clip.samples)
        kept = Kept()
        self._transcriber.read([Reading(clip.filled(chosen), chosen, timed=True)], [kept])
        text, words = kept.text.text, kept.text.words
        return Transcript(text, words, noise, str(chosen), clip.modality, clip.duration_s)

    def _scales(self) -> tuple[Scale, ...]:
        # As in service: a scale needs trained weights, and a place in the table that says what it is worth.
        return tuple(scale for scale in self.bundle.scales if scale in self._transcriber.scales)

    def _choose(self, wanted: str | None) -> Scale:
        from mome.scales import Scale

        scale = self.bundle.default_scale if wanted is None else Scale.parse(wanted)
        if scale not in self._scales():
            raise UnknownScaleError(f"scale {wanted} is not there; the model has {', '.join(self.scales)}")
        return scale


def load(folder: str | Path, device: str = "cpu") -> Model:
    """Load a packaged model.

    Args:
        folder: A bundle, as ``package`` writes it and ``python -m serving.registry pull`` fetches it, or a
            folder that holds one as ``bundle``.
        device: As torch names it.

    Raises:
        BundleError: If there is no bundle, or a file of it is missing or was changed.
        CheckpointError: If its weights do not belong together.
    """
    from mome.bundle import read_bundle
    from mome.inference import Transcriber

    place = Path(folder)
    if not (place / "bundle.json").is_file() and (place / "bundle" / "bundle.json").is_file():
        place = place / "bundle"
    if "://" in str(folder):
        raise BundleError(f"{folder}: expected a folder; fetch it with python -m serving.registry pull")
    bundle = read_bundle(place)
    transcriber = Transcriber.load(bundle.foundation, bundle.checkpoint, bundle.decoding, device)
    return Model(bundle, transcriber)

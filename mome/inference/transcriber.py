"""A trained model from its two folders, and clips to text with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mome.alignment import ALIGNER_FILE, Aligner
from mome.config import Threads
from mome.inference.timing import Timed
from mome.machine.processor import use_threads
from mome.model.avsr import Task
from mome.model.recogniser import Recogniser
from mome.reading import Kept, Listener, Reading
from mome.records import Decoding, Modality
from mome.scales import Scale
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.training.checkpoint import load_checkpoint

__all__ = ["Transcriber"]

# Below, a pass is a chain of steps so short that a second thread waits longer than it computes
# (docs/performance.md), on a core that others need.
_FEW_WEIGHTS = 50_000_000


class Transcriber:
    """Transcribe clips at any scale, trained or between trained ones, on one set of weights.

    Args:
        recogniser: Fine-tuned.
        decoding: How texts are written.
        aligner: Taught beside it; without one, nothing says when a word is said.
    """

    def __init__(self, recogniser: Recogniser, decoding: Decoding, aligner: Aligner | None = None) -> None:
        self._encoders, self._model = recogniser
        self._aligner = aligner
        self.decoding = decoding

    @classmethod
    def load(
        cls,
        foundation: Path,
        checkpoint: Path,
        decoding: Decoding,
        device: str = "cpu",
        threads: Threads = "auto",
        compile_decoding: bool = False,
    ) -> Transcriber:
        """Load both folders onto a device.

        Args:
            foundation: Folder with the frozen encoders and LLM.
            checkpoint: Folder that training wrote.
            decoding: How texts are written; that of the evaluation, where they are to be as it judged them.
            device: As torch names it.
            threads: CPU threads for the whole process; ``auto`` for one per core that it may use, or one
                for a small model.
            compile_decoding: As `load_checkpoint` takes it.

        Raises:
            CheckpointError: If a folder is incomplete or the two do not belong together.
        """
        use_threads(threads)
        recogniser = load_checkpoint(checkpoint, foundation, device, compile_decoding)
        if threads == "auto" and _num_weights(recogniser) < _FEW_WEIGHTS:
            use_threads(1)
        file = checkpoint / ALIGNER_FILE
        return cls(recogniser, decoding, Aligner.load(file) if file.exists() else None)

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The scales that the model was trained for."""
        return self._model.scales

    def times(self, modality: Modality) -> bool:
        """Tell whether it can say when each word of a clip is said that holds ``modality``."""
        return self._aligner is not None and self._aligner.knows(modality)

    @property
    def max_duration_s(self) -> float:
        """Longest clip with sound that the audio encoder takes."""
        return self._encoders.audio.max_num_samples / SAMPLING_RATE

    def transcribe(self, clips: Sequence[Clip], scale: Scale) -> list[str]:
        """Return the text of each clip, from whatever it holds: sound, mouth video or both.

        Args:
            clips: Of any lengths.
            scale: Of all of them.

        Raises:
            UnknownScaleError: If the model cannot read at the scale.
            MediaError: If a clip is shorter than one token at this scale, or too long.
        """
        kept = [Kept() for _ in clips]
        self.read([Reading(clip, scale) for clip in clips], kept)
        return [each.text.text for each in kept]

    def read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        """Encode and decode readings of any scales, modalities and lengths together.

        One call at a time. A text does not depend on what else is read with it.

        Args:
            readings: What to read. Those that the model cannot time get no words.
            listeners: One for each; it gets the text as soon as that has ended, and before if it wants.

        Raises:
            UnknownScaleError: As `transcribe`, before any text.
            MediaError: Likewise.
        """
        features = self._encoders.encode([reading.clip for reading in readings])
        tasks = [Task(each, reading.scale) for each, reading in zip(features, readings, strict=True)]
        budgets = [self.decoding.budget(reading.clip.duration_s) for reading in readings]
        heard = [
            Timed(listener, self._aligner, each)
            if reading.timed and self._aligner is not None and self._aligner.knows(each.modality)
            else listener
            for reading, listener, each in zip(readings, listeners, features, strict=True)
        ]
        self._model.read(tasks, budgets, heard, self.decoding.num_beams)


def _num_weights(recogniser: Recogniser) -> int:
    encoders, model = recogniser
    modules = (encoders.audio, encoders.video, model)
    return sum(parameter.numel() for module in modules for parameter in module.parameters())

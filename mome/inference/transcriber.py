"""A trained model from its two folders, and clips to text with it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from mome.config import Threads
from mome.machine.processor import use_threads
from mome.model.avsr import Task
from mome.model.recogniser import Recogniser
from mome.scales import Scale
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.training.checkpoint import load_checkpoint

__all__ = ["Transcriber"]

_MAX_NEW_TOKENS = 64


class Transcriber:
    """Transcribe clips at any scale that the model was trained for, on one set of weights.

    Args:
        recogniser: Fine-tuned.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self._encoders, self._model = recogniser

    @classmethod
    def load(
        cls,
        foundation: Path,
        checkpoint: Path,
        device: str = "cpu",
        threads: Threads = "auto",
        compile_decoding: bool = False,
    ) -> Transcriber:
        """Load both folders onto a device.

        Args:
            foundation: Folder with the frozen encoders and LLM.
            checkpoint: Folder that training wrote.
            device: As torch names it.
            threads: CPU threads for the whole process; ``auto`` for one per core that it may use.
            compile_decoding: As `load_checkpoint` takes it.

        Raises:
            CheckpointError: If a folder is incomplete or the two do not belong together.
        """
        use_threads(threads)
        return cls(load_checkpoint(checkpoint, foundation, device, compile_decoding))

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The scales that the model was trained for."""
        return self._model.scales

    @property
    def max_duration_s(self) -> float:
        """Longest clip with sound that the audio encoder takes."""
        return self._encoders.audio.max_num_samples / SAMPLING_RATE

    def transcribe(self, clips: Sequence[Clip], scale: Scale, num_beams: int = 1) -> list[str]:
        """Return the text of each clip, from whatever it holds: sound, mouth video or both.

        Args:
            clips: Of any lengths.
            scale: Of all of them.
            num_beams: Hypotheses kept in parallel; 1 is greedy.

        Raises:
            UnknownScaleError: If the model was not trained for the scale.
            MediaError: If a clip is shorter than one token at this scale, or too long.
        """
        features = self._encoders.encode(clips)
        return self._model.transcribe([Task(each, scale) for each in features], _MAX_NEW_TOKENS, num_beams)

    def stream(self, clip: Clip, scale: Scale) -> Generator[str, None, None]:
        """Yield the text that `transcribe` returns for one clip, word by word as it is decoded.

        One at a time, and no `transcribe` in between: close it, or take it to its end.

        Raises:
            UnknownScaleError: In place of the first piece, as `transcribe` does.
            MediaError: Likewise.
        """
        (features,) = self._encoders.encode([clip])
        yield from self._model.stream(Task(features, scale), _MAX_NEW_TOKENS)

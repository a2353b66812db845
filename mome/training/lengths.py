"""Whether the shortest clip of a split leaves a token at the coarsest scale: asked before the first step."""

from __future__ import annotations

from collections.abc import Sequence

from mome.config import TrainParams
from mome.errors import TrainingError
from mome.records import Modality, Utterance
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND, Scale
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.speech.shards import SplitReader
from mome.training.clips import PACE

__all__ = ["check_lengths", "too_short"]


def check_lengths(reader: SplitReader, read: Modality, params: TrainParams) -> None:
    """Refuse clips that would end a training hours later, in whichever step reads them.

    Args:
        reader: Of a split, with at least one utterance.
        read: What of a clip some task reads.
        params: At which scales, and whether training plays a clip faster.

    Raises:
        TrainingError: If a clip has fewer encoder frames than the largest rate pools into one token.
    """
    is_paced = params.augmentation == "cached-lips" and read == "audio" and reader.split == "train"
    scales = [Scale.parse(text) for text in params.scales]
    if problem := too_short(reader, read, scales, PACE[1] if is_paced else 1.0):
        raise TrainingError(f"{problem} of train.scales")


def too_short(reader: SplitReader, read: Modality, scales: Sequence[Scale], pace: float = 1.0) -> str:
    """Return what is wrong if a clip has fewer encoder frames than a rate pools into one token, else nothing.

    Args:
        reader: Of a split, with at least one utterance.
        read: What of a clip is read.
        scales: At which.
        pace: Times as fast as it was spoken, at most, a clip is played.
    """
    if read != "video":
        num_samples, index = min((reader.num_samples(index), index) for index in range(len(reader)))
        frames = int(num_samples / pace) // SAMPLES_PER_AUDIO_FRAME
        rate = max(scale.audio_rate for scale in scales)
        if frames < rate:
            return _problem(reader.utterances[index], "audio", frames, rate, AUDIO_FRAMES_PER_SECOND / pace)
    if read != "audio":
        shortest = min(reader.utterances, key=lambda utterance: utterance.num_frames)
        rate = max(scale.video_rate for scale in scales)
        if shortest.num_frames < rate:
            return _problem(shortest, "video", shortest.num_frames, rate, VIDEO_FRAMES_PER_SECOND)
    return ""


def _problem(shortest: Utterance, kind: str, frames: int, rate: int, frames_per_second: float) -> str:
    return (
        f"utterance {shortest.utterance_id} ({shortest.split}) is too short: it may have only {frames} "
        f"{kind} frames, but {kind} rate {rate} needs {rate}; leave out what is shorter than "
        f"{rate / frames_per_second:.2f} s, or that rate"
    )

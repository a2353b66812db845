"""Whether the shortest clip of a split leaves a token at the coarsest scale: asked before the first step."""

from __future__ import annotations

from mome.config import TrainParams
from mome.errors import TrainingError
from mome.records import Modality, Utterance
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND, Scale
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.speech.shards import SplitReader
from mome.training.clips import PACE

__all__ = ["check_lengths"]


def check_lengths(reader: SplitReader, read: Modality, params: TrainParams) -> None:
    """Refuse clips that would end a training hours later, in whichever step reads them.

    Args:
        reader: Of a split, with at least one utterance.
        read: What of a clip some task reads.
        params: At which scales, and whether training plays a clip faster.

    Raises:
        TrainingError: If a clip has fewer encoder frames than the largest rate pools into one token.
    """
    scales = [Scale.parse(text) for text in params.scales]
    if read != "video":
        is_paced = params.augmentation != "llama-avsr" and read == "audio" and reader.split == "train"
        pace = PACE[1] if is_paced else 1.0
        num_samples, index = min((reader.num_samples(index), index) for index in range(len(reader)))
        frames = int(num_samples / pace) // SAMPLES_PER_AUDIO_FRAME
        rate = max(scale.audio_rate for scale in scales)
        _check(reader.utterances[index], "audio", frames, rate, AUDIO_FRAMES_PER_SECOND / pace)
    if read != "audio":
        shortest = min(reader.utterances, key=lambda utterance: utterance.num_frames)
        rate = max(scale.video_rate for scale in scales)
        _check(shortest, "video", shortest.num_frames, rate, VIDEO_FRAMES_PER_SECOND)


def _check(shortest: Utterance, kind: str, frames: int, rate: int, frames_per_second: float) -> None:
    if frames < rate:
        raise TrainingError(
            f"utterance {shortest.utterance_id} ({shortest.split}) is too short: it may have only {frames} "
            f"{kind} frames, but {kind} rate {rate} of train.scales needs {rate}; leave out what is shorter "
            f"than {rate / frames_per_second:.2f} s, or that rate"
        )

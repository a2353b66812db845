"""Whether the clips of a split fit their scales and their encoder: asked before the first step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mome.config import TrainParams
from mome.errors import TrainingError
from mome.records import Modality, Utterance
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND, Scale
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME, SAMPLING_RATE
from mome.speech.shards import SplitReader
from mome.training.clips import PACE

__all__ = ["check_lengths", "joined_lengths", "too_long", "too_short"]

_LONGER = 1.5  # times the longest recording: memory was planned for those


def check_lengths(reader: SplitReader, read: Modality, params: TrainParams, max_num_samples: int) -> None:
    """Refuse clips that would end a training hours later, in whichever step reads them.

    Args:
        reader: Of a split, with at least one utterance.
        read: What of a clip some task reads.
        params: At which scales, and whether training plays a clip faster and slower.
        max_num_samples: That the audio encoder takes.

    Raises:
        TrainingError: If a clip has fewer encoder frames than the largest rate pools into one token, or
            more sound than the encoder takes.
    """
    is_paced = params.augmentation != "llama-avsr" and read == "audio" and reader.split == "train"
    scales = [Scale.parse(text) for text in params.scales]
    slowest, fastest = PACE if is_paced else (1.0, 1.0)
    if problem := too_short(reader, read, scales, fastest):
        raise TrainingError(f"{problem} of train.scales")
    if problem := too_long(reader, read, max_num_samples, slowest):
        raise TrainingError(problem)


def joined_lengths(params: TrainParams, max_num_samples: int, longest: int) -> tuple[int, int]:
    """Return the fewest and the most video frames that an utterance joined of recordings may have.

    Args:
        params: At which scales it is read.
        max_num_samples: That the audio encoder takes.
        longest: Video frames of the longest recording.
    """
    slowest, fastest = PACE
    per_frame = AUDIO_FRAMES_PER_SECOND // VIDEO_FRAMES_PER_SECOND
    rates = [
        rate
        for scale in map(Scale.parse, params.scales)
        for rate in (scale.audio_rate / per_frame, scale.video_rate)
    ]
    taken = max_num_samples // (SAMPLES_PER_AUDIO_FRAME * per_frame)
    return math.ceil(max(rates) * fastest), int(min(taken * slowest, _LONGER * longest))


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


def too_long(reader: SplitReader, read: Modality, max_num_samples: int, pace: float = 1.0) -> str:
    """Return what is wrong if the audio encoder does not take all of a clip, else nothing.

    Args:
        reader: Of a split, with at least one utterance.
        read: What of a clip is read.
        max_num_samples: That the encoder takes, at 16 kHz.
        pace: Times as fast as it was spoken, at least, a clip is played.
    """
    if read == "video":
        return ""
    num_samples, index = max((reader.num_samples(index), index) for index in range(len(reader)))
    if round(num_samples / pace) <= max_num_samples:
        return ""
    utterance = reader.utterances[index]
    played = "" if pace == 1 else f", and may be played as {num_samples / pace / SAMPLING_RATE:.2f} s"
    return (
        f"utterance {utterance.utterance_id} ({utterance.split}) is too long: it has "
        f"{num_samples / SAMPLING_RATE:.2f} s of sound{played}, but the audio encoder takes "
        f"{max_num_samples / SAMPLING_RATE:g} s; leave out what is longer than "
        f"{max_num_samples * pace / SAMPLING_RATE:.2f} s (validate.max_duration_s), or cut it"
    )


def _problem(shortest: Utterance, kind: str, frames: int, rate: int, frames_per_second: float) -> str:
    return (
        f"utterance {shortest.utterance_id} ({shortest.split}) is too short: it may have only {frames} "
        f"{kind} frames, but {kind} rate {rate} needs {rate}; leave out what is shorter than "
        f"{rate / frames_per_second:.2f} s, or that rate"
    )

"""Encoders that a training teaches itself before MoME: which they are, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from mome.config import EMBEDDED, TrainParams
from mome.foundation.side_by_side import Teaching, teach_side_by_side
from mome.machine.processor import number_of_threads
from mome.modalities import needed
from mome.model.audio_encoder import AudioEncoder, load_whisper
from mome.model.video_encoder import VideoEncoder
from mome.records import Modality
from mome.speech.noise_file import noise_digest
from mome.storage import new_folder
from mome.training.clips import TrainingClips
from mome.training.lips import teach_lips
from mome.training.processes import Processes
from mome.training.sound import teach_sound
from mome.training.spoken import Spoken
from mome.training.state import key

__all__ = ["NO_OWN", "OwnEncoders", "has_own", "teach_own"]


class OwnEncoders(NamedTuple):
    """Folders with encoders that take the place of the foundation's; None where that one stays."""

    audio: Path | None = None
    video: Path | None = None


NO_OWN = OwnEncoders()


def has_own(params: TrainParams, modality: Modality, foundation: Path) -> tuple[bool, bool]:
    """Tell whether a training teaches the audio encoder and the video encoder themselves.

    Args:
        params: Section ``train``.
        modality: Of the corpus.
        foundation: A published audio encoder stays as it is.
    """
    read = (needed(params.task_weights), modality)
    return (
        params.audio_steps > 0 and "video" not in read and _audio_is_embedded(foundation),
        params.video_steps > 0 and "audio" not in read,
    )


def teach_own(
    clips: TrainingClips,
    foundation: Path,
    params: TrainParams,
    work: Path,
    source: str,
    spoken: Spoken | None,
    processes: Processes,
) -> OwnEncoders:
    """Teach what `has_own` names, both side by side, unless an earlier start has.

    Args:
        clips: Of the training split, with recordings.
        foundation: Where the lessons begin.
        params: Section ``train``.
        work: Folder to keep encoders in.
        source: Hash of data and foundation.
        spoken: When the words of the clips are said; None where no sound tells.
        processes: Of which the first one teaches.
    """
    hears, sees = has_own(params, clips.modality, foundation)
    lessons = (params.seed, params.precision, None if spoken is None else len(spoken.indices))
    noise = (noise_digest(params.noise), params.noise_snrs_db)
    own = OwnEncoders(
        work / f"audio-{key(source, params.audio_steps, *lessons, *noise)}" if hears else None,
        work / f"video-{key(source, params.video_steps, *lessons)}" if sees else None,
    )
    missing = OwnEncoders(*(None if each is None or each.exists() else each for each in own))
    if processes.is_first and any(missing):
        _teach(missing, clips, foundation, params, spoken)
    processes.wait()
    return own


def _teach(
    own: OwnEncoders, clips: TrainingClips, foundation: Path, params: TrainParams, spoken: Spoken | None
) -> None:
    teachings: dict[str, Teaching] = {}
    if own.video:
        video = VideoEncoder.load(foundation / "video").to(params.device)
        teachings["video"] = teach_lips(video, clips, spoken, params)
    if own.audio:
        whisper, extractor = load_whisper(foundation / "audio")
        audio = AudioEncoder(whisper, extractor, params.audio_padding).to(params.device)
        teachings["audio"] = teach_sound(audio, clips, spoken, params)
    steps = params.video_steps * bool(own.video) + params.audio_steps * bool(own.audio)
    teach_side_by_side(teachings, steps=steps, threads=number_of_threads(params.threads))
    if own.video:
        with new_folder(own.video) as folder:
            video.avhubert.save_pretrained(folder)
    if own.audio:
        with new_folder(own.audio) as folder:
            whisper.save_pretrained(folder)
            extractor.save_pretrained(folder)


def _audio_is_embedded(foundation: Path) -> bool:
    try:
        about = json.loads((foundation / "foundation.json").read_text())
    except FileNotFoundError:
        return False
    return bool(about["params"]["audio"] == EMBEDDED)

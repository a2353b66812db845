"""Decode one recording and measure what validation judges it by; a broken one becomes a row that says why."""

from __future__ import annotations

import math

import numpy as np

from data.archive import ArchiveRow
from mome.errors import MediaError
from mome.records import Utterance
from mome.speech.audio import SAMPLING_RATE
from mome.speech.container import name_of
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.media import Clip, Recording, read_recording
from mome.speech.noise_estimate import estimate_noise
from mome.speech.synchrony import synchrony
from mome.speech.text import normalise

__all__ = ["measure"]

# A recording clipped at full scale and resampled ripples around it: a little below counts, too.
_CLIPPED = 0.99
_SILENCE_DB = -100.0


def measure(
    row: ArchiveRow, audio: bytes | None, video: bytes | None, face_models: FaceModels = CASCADE
) -> tuple[Utterance, Clip | None]:
    """Return the utterance with everything measured on it, and its clip; None if it cannot be used."""
    problem = row.problem
    if not problem and audio is not None:
        try:
            return _measured(row, read_recording(audio, video, face_models=face_models))
        except MediaError as error:
            problem = _with_names(str(error), {row.audio: audio, row.video: video})
    return _unusable(row, problem or "no recording"), None


def _measured(row: ArchiveRow, recording: Recording) -> tuple[Utterance, Clip]:
    samples, mouth = recording.clip.samples, recording.clip.mouth
    assert samples is not None  # read_recording was given audio
    finite = np.isfinite(samples)
    # FLAC cannot hold NaN; validation stops such a corpus, so nobody trains on the zeros.
    samples = np.where(finite, samples, 0.0).astype(np.float32)
    estimate = estimate_noise(samples)
    together = None
    if mouth is not None and recording.mouth_found_share > 0:
        together = synchrony(mouth, samples)
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    utterance = Utterance(
        utterance_id=row.utterance_id,
        split=row.split,
        speaker=row.speaker,
        transcript=normalise(row.transcript),
        shard=row.shard,
        decodable=True,
        problem=_problem(recording, len(finite) - int(finite.sum())),
        has_video=mouth is not None,
        duration_s=len(samples) / SAMPLING_RATE,
        num_samples=len(samples),
        num_frames=len(mouth) if mouth is not None else 0,
        native_sampling_rate=recording.native_sampling_rate,
        native_fps=recording.native_fps,
        audio_video_gap_s=recording.audio_video_gap_s,
        truncated=recording.truncated,
        finite=bool(finite.all()),
        peak=float(np.abs(samples).max()),
        rms_db=20 * math.log10(level) if level > 0 else _SILENCE_DB,
        clipped_share=float(np.mean(np.abs(samples) >= _CLIPPED)),
        speech_share=estimate.speech_share,
        snr_db=estimate.snr_db if estimate.snr_db is not None else 0.0,
        mouth_found_share=recording.mouth_found_share,
        mouth_confidence=recording.mouth_confidence,
        faces=recording.faces,
        mouth_problem=recording.mouth_problem,
        sync_offset_frames=together.offset_frames if together else None,
        sync_confidence=together.confidence if together else None,
    )
    return utterance, Clip(samples, mouth)


def _problem(recording: Recording, not_finite: int) -> str:
    if recording.truncated:
        return "the file promises more than it holds: it was cut off"
    if not_finite:
        return f"{not_finite} samples are not numbers (NaN or infinity)"
    return recording.mouth_problem


def _unusable(row: ArchiveRow, problem: str) -> Utterance:
    return Utterance(
        utterance_id=row.utterance_id,
        split=row.split,
        speaker=row.speaker,
        transcript=normalise(row.transcript),
        shard="",
        decodable=False,
        problem=problem,
        has_video=False,
        duration_s=0.0,
        num_samples=0,
        num_frames=0,
        native_sampling_rate=0,
        native_fps=0.0,
        audio_video_gap_s=0.0,
        truncated=False,
        finite=True,
        peak=0.0,
        rms_db=0.0,
        clipped_share=0.0,
        speech_share=0.0,
        snr_db=0.0,
        mouth_found_share=0.0,
    )


def _with_names(message: str, files: dict[str, bytes | None]) -> str:
    """Say which file a decoder complains about: it was handed bytes and could not know."""
    for name, content in files.items():
        if content is not None:
            message = message.replace(name_of(content), name)
    return message

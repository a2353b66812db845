"""One utterance as the model takes it: 16 kHz sound, 25 fps mouth video, or both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mome.errors import MediaError, NotFiniteError, TooLongError
from mome.records import Modality
from mome.scales import VIDEO_FRAMES_PER_SECOND, Scale
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME, SAMPLING_RATE, read_audio, resample
from mome.speech.container import MAX_DURATION_S, decoding, has_picture, name_of, open_container
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.mouth import MouthTrack, find_mouth
from mome.speech.video import VideoFrames, read_video, to_25_fps

__all__ = [
    "Clip",
    "Recording",
    "as_long_as_video",
    "check_finite",
    "from_one_moment",
    "has_sound",
    "length_beside_video",
    "no_face",
    "read_clip",
    "read_file",
    "read_recording",
    "together_s",
]

_SAMPLES_PER_FRAME = SAMPLING_RATE // VIDEO_FRAMES_PER_SECOND  # 640 of a mouth frame
_WHOLE_FRAME = 0.05  # of a frame, by which time stamps may be rounded
_MOST_FITTED = SAMPLING_RATE // 2  # samples


@dataclass(frozen=True)
class Clip:
    """One utterance; at least one of the two is there.

    Args:
        samples: Mono ``(N,)`` float32 at 16 kHz, full scale = 1, or None.
        mouth: Gray mouth video ``(T, 96, 96)`` uint8 at 25 fps, or None.

    Raises:
        MediaError: If both are None.
    """

    samples: npt.NDArray[np.float32] | None
    mouth: npt.NDArray[np.uint8] | None

    def __post_init__(self) -> None:
        if self.samples is None and self.mouth is None:
            raise MediaError("a clip needs audio, video or both, got neither")

    @property
    def modality(self) -> Modality:
        """What the clip holds: ``audio``, ``video`` or ``av``."""
        if self.samples is None:
            return "video"
        return "audio" if self.mouth is None else "av"

    def only(self, modality: Modality) -> Clip:
        """Return the clip without what ``modality`` does not use.

        Raises:
            MediaError: If nothing would be left.
        """
        return Clip(
            None if modality == "video" else self.samples, None if modality == "audio" else self.mouth
        )

    def filled(self, scale: Scale) -> Clip:
        """Return the clip; one shorter than a token of ``scale`` gets silence and its last frame behind.

        A coarse scale then reads what a finer one can.
        """
        samples, mouth = self.samples, self.mouth
        missing = 0 if samples is None else scale.audio_rate * SAMPLES_PER_AUDIO_FRAME - len(samples)
        unseen = 0 if mouth is None or not len(mouth) else scale.video_rate - len(mouth)
        if samples is not None and missing > 0:
            samples = np.pad(samples, (0, missing))
        if mouth is not None and unseen > 0:
            mouth = np.pad(mouth, ((0, unseen), (0, 0), (0, 0)), mode="edge")
        return Clip(samples, mouth)

    def num_tokens(self, scale: Scale) -> int:
        """Return how many tokens the language model is given of the clip."""
        filled = self.filled(scale)
        frames = 0 if filled.samples is None else len(filled.samples) // SAMPLES_PER_AUDIO_FRAME
        mouths = 0 if filled.mouth is None else len(filled.mouth)
        return frames // scale.audio_rate + mouths // scale.video_rate

    @property
    def duration_s(self) -> float:
        """Length of the sound; of the video when there is no sound."""
        if self.samples is not None:
            return len(self.samples) / SAMPLING_RATE
        assert self.mouth is not None  # __post_init__
        return len(self.mouth) / VIDEO_FRAMES_PER_SECOND


@dataclass(frozen=True)
class Recording:
    """A clip and how it was recorded, for those who judge recordings.

    Args:
        clip: What was decoded.
        native_sampling_rate: Hz, 0 without audio.
        native_fps: Frames per second, 0 without video.
        audio_video_gap_s: How much longer one is than the other, 0 unless both are there.
        mouth_found_share: 1 for ready mouth video, 0 without video.
        mouth_confidence: As of `MouthTrack`, 0 without video.
        faces: As of `MouthTrack`, 0 without video.
        mouth_problem: As of `MouthTrack`.
        truncated: A file promises more than it holds.
    """

    clip: Clip
    native_sampling_rate: int
    native_fps: float
    audio_video_gap_s: float
    mouth_found_share: float
    mouth_confidence: float
    faces: int
    mouth_problem: str
    truncated: bool


def read_recording(
    audio: Path | bytes | None,
    video: Path | bytes | None,
    longest_s: float = MAX_DURATION_S,
    face_models: FaceModels = CASCADE,
) -> Recording:
    """Decode an utterance from an audio file, a video file, or both.

    A video file with sound gives both, unless an audio file goes with it; a file given as both that holds
    no picture gives sound. Sound and picture of one file keep the distance that their time stamps say: zero
    is where the first of them begins, the sound is silent and the picture stands still until they do.
    Two files begin together, for nothing says otherwise.

    Raises:
        MediaError: If nothing is given, or a given file cannot be decoded.
        TooLongError: If a file is longer than ``longest_s``.
    """
    if audio is None and video is not None and has_sound(video):
        audio = video
    is_one_file = audio is not None and audio == video
    if is_one_file and video is not None and not has_picture(video):
        video = None
    sound = read_audio(audio, longest_s) if audio is not None else None
    picture = read_video(video, longest_s) if video is not None else None
    samples = resample(sound.samples, sound.sampling_rate, SAMPLING_RATE) if sound else None
    late_s = together_s(sound.start_s, picture.start_s) if is_one_file and sound and picture else 0.0
    track = _mouth(video, picture, face_models, samples, late_s) if video is not None and picture else None
    mouth = track.frames if track else None
    gap_s = 0.0
    if sound and picture:
        gap_s = abs(late_s + len(sound.samples) / sound.sampling_rate - picture.duration_s)
        assert samples is not None
        assert mouth is not None
        samples, mouth = from_one_moment(samples, mouth, late_s)
    return Recording(
        clip=Clip(samples, mouth),
        native_sampling_rate=sound.sampling_rate if sound else 0,
        native_fps=picture.fps if picture else 0.0,
        audio_video_gap_s=gap_s,
        mouth_found_share=track.found_share if track else 0.0,
        mouth_confidence=track.confidence if track else 0.0,
        faces=track.faces if track else 0,
        mouth_problem=track.problem if track else "",
        truncated=bool((sound and sound.truncated) or (picture and picture.truncated)),
    )


def as_long_as_video(samples: npt.NDArray[np.float32], num_frames: int) -> npt.NDArray[np.float32]:
    """Return sound at 16 kHz cut, or followed by silence, to 640 samples for each mouth frame.

    A recorder rarely ends both at once. With one length, sound has two encoder frames for each of the
    lips, in training, evaluation and service alike. Further than half a second apart, something is missing
    of one of them, and no speech is cut off for that.

    Args:
        samples: Sound that goes with video.
        num_frames: Of the video, at 25 fps.

    Source: Llama-AVSR's data set (model facts 2).
    """
    length = length_beside_video(len(samples), num_frames)
    return np.pad(samples, (0, max(0, length - len(samples))))[:length]


def length_beside_video(num_samples: int, num_frames: int) -> int:
    """Return how many samples `as_long_as_video` leaves of ``num_samples``."""
    length = num_frames * _SAMPLES_PER_FRAME
    return num_samples if abs(length - num_samples) > _MOST_FITTED else length


def read_clip(
    audio: Path | bytes | None,
    video: Path | bytes | None,
    longest_s: float = MAX_DURATION_S,
    face_models: FaceModels = CASCADE,
) -> Clip:
    """Decode an utterance for transcription; sound is as long as the video that goes with it.

    A video in which no face is found counts as no video.

    Raises:
        MediaError: As `read_recording`, and if there is neither sound nor a face.
    """
    recording = read_recording(audio, video, longest_s, face_models)
    clip = recording.clip
    if clip.mouth is None:
        return clip
    if recording.mouth_found_share > 0:
        sound = None if clip.samples is None else as_long_as_video(clip.samples, len(clip.mouth))
        return Clip(sound, clip.mouth)
    if clip.samples is None:
        assert video is not None  # a clip without sound has video
        raise no_face(video)
    return Clip(clip.samples, None)


def read_file(
    file: Path | bytes,
    video: Path | bytes | None = None,
    longest_s: float = MAX_DURATION_S,
    face_models: FaceModels = CASCADE,
) -> Clip:
    """Decode ``file`` for transcription, together with ``video`` where that is a file of its own.

    A lone file may be sound, video, or video with sound.

    Raises:
        MediaError: As `read_clip`.
        TooLongError: If the clip is longer than ``longest_s``.
        NotFiniteError: If the sound holds NaN or infinity.
    """
    is_lone_video = video is None and has_picture(file)
    audio, face = (None, file) if is_lone_video else (file, video)
    clip = read_clip(audio, face, longest_s, face_models)
    if clip.duration_s > longest_s:
        raise TooLongError(f"the clip lasts {clip.duration_s:.3f} s, more than {longest_s:g} s")
    if clip.samples is not None:
        check_finite(clip.samples)
    return clip


def check_finite(samples: npt.NDArray[np.float32]) -> None:
    """Refuse sound with samples that are no numbers: a model reads all of it as silence, and says nothing.

    Raises:
        NotFiniteError: If one is NaN or infinite.
    """
    if not np.isfinite(samples).all():
        raise NotFiniteError("the sound holds NaN or infinity; expected finite samples")


def no_face(video: Path | bytes) -> MediaError:
    """Return what is said of a video in which nobody's lips can be read."""
    return MediaError(f"{name_of(video)}: no face found; expected a talking face, or 96 x 96 mouth video")


def together_s(sound_start_s: float, picture_start_s: float) -> float:
    """Return how much later the sound of a file begins than its picture; 0 where they share no clock."""
    late_s = sound_start_s - picture_start_s
    return late_s if abs(late_s) <= MAX_DURATION_S else 0.0


def has_sound(video: Path | bytes) -> bool:
    with open_container(video) as container:
        return bool(container.streams.audio)


def _mouth(
    video: Path | bytes,
    picture: VideoFrames,
    face_models: FaceModels,
    samples: npt.NDArray[np.float32] | None,
    late_s: float,
) -> MouthTrack:
    if samples is not None:  # as it is heard from the first frame on
        late = round(late_s * SAMPLING_RATE)
        samples = np.pad(samples, (late, 0)) if late > 0 else samples[-late:]
    with decoding(name_of(video)):  # OpenCV has errors of its own, for pictures that no camera makes
        return find_mouth(to_25_fps(picture), face_models, samples)


def from_one_moment(
    samples: npt.NDArray[np.float32], mouth: npt.NDArray[np.uint8], late_s: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return sound and lips from one moment on, where the sound begins ``late_s`` after the picture."""
    # Less than a frame before the picture is what encoders put in front, and no frame can stand for it.
    held = max(0, math.floor(-late_s * VIDEO_FRAMES_PER_SECOND + _WHOLE_FRAME))
    if held:
        mouth = np.concatenate([np.repeat(mouth[:1], held, axis=0), mouth])
    shift = round(late_s * SAMPLING_RATE) + held * _SAMPLES_PER_FRAME
    return (np.pad(samples, (shift, 0)) if shift > 0 else samples[-shift:]), mouth

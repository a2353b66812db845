"""Clips: which file gives what, and which modality comes out."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mome.errors import MediaError
from mome.scales import Scale
from mome.speech.audio import encode_flac
from mome.speech.media import Clip, read_clip, read_recording
from mome.speech.video import encode_mouth

GRID = Path("../shared/corpora/grid")
SOUND = (0.3 * np.sin(np.arange(16000) * 0.2)).astype(np.float32)
MOUTH = np.random.default_rng(0).integers(100, 140, (25, 96, 96), np.uint8)


def faceless_movie(with_sound: bool) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono") if with_sound else None
        for _ in range(25):
            image = av.VideoFrame.from_ndarray(np.full((120, 160), 90, np.uint8), format="gray")
            container.mux(video.encode(image))
        container.mux(video.encode())
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(SOUND[None], format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return buffer.getvalue()


def test_what_is_there_names_the_modality() -> None:
    assert Clip(SOUND, None).modality == "audio"
    assert Clip(None, MOUTH).modality == "video"
    assert Clip(SOUND, MOUTH).modality == "av"
    with pytest.raises(MediaError, match="neither"):
        Clip(None, None)


def test_a_clip_shorter_than_a_token_is_filled_to_one() -> None:
    filled = Clip(SOUND[:1000], MOUTH[:3]).filled(Scale(16, 5))
    assert filled.samples is not None and len(filled.samples) == 16 * 320
    assert filled.mouth is not None and len(filled.mouth) == 5
    np.testing.assert_array_equal(filled.mouth[2:], np.repeat(MOUTH[2:3], 3, axis=0))
    whole = Clip(SOUND, MOUTH).filled(Scale(16, 5))
    np.testing.assert_array_equal(whole.samples, SOUND)


def test_duration_is_that_of_the_sound() -> None:
    assert Clip(SOUND[:8000], MOUTH).duration_s == 0.5
    assert Clip(None, MOUTH).duration_s == 1.0


def test_two_files_make_one_clip_at_16_khz() -> None:
    clip = read_clip(encode_flac(SOUND[::2], 8000), encode_mouth(MOUTH))
    assert clip.modality == "av"
    assert clip.samples is not None and clip.samples.shape == (16000,)
    assert clip.mouth is not None and clip.mouth.shape == (25, 96, 96)


def test_sound_gets_two_encoder_frames_for_each_frame_of_the_lips() -> None:
    for extra in (960, -700, 0):  # 60 ms too long, 44 ms too short
        sound = np.resize(SOUND, 16000 + extra)
        clip = read_clip(encode_flac(sound, 16000), encode_mouth(MOUTH))
        assert clip.samples is not None and len(clip.samples) == 25 * 640
        np.testing.assert_allclose(clip.samples[: len(sound)], sound[:16000], atol=1e-4)
        assert not clip.samples[len(sound) :].any()


def test_no_speech_is_cut_off_to_fit_a_video_of_another_length() -> None:
    clip = read_clip(encode_flac(np.resize(SOUND, 40000), 16000), encode_mouth(MOUTH))
    assert clip.samples is not None and len(clip.samples) == 40000


def test_a_video_with_sound_gives_both() -> None:
    recording = read_recording(None, faceless_movie(with_sound=True))
    assert recording.clip.modality == "av"
    assert recording.native_sampling_rate == 16000
    assert recording.native_fps == 25.0
    assert recording.audio_video_gap_s < 0.1
    assert recording.mouth_found_share == 0.0


def clapper(sound_s: float, picture_s: float, container_format: str) -> bytes:
    """Return two seconds of lips and noise, of which the noise is recorded from ``sound_s`` on and the
    lips from ``picture_s`` on. At 1.2 s the picture becomes bright and the noise loud, both at once.
    """
    rate, clap_s, end_s = 16000, 1.2, 2.0
    noise = np.random.default_rng(0).normal(scale=0.01, size=int(end_s * rate)).astype(np.float32)
    noise[int(clap_s * rate) :] *= 20
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 96, "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout="mono")
        for number in range(round(picture_s * 25), round(end_s * 25)):
            value = 200 if number >= clap_s * 25 else 60
            image = av.VideoFrame.from_ndarray(np.full((96, 96), value, np.uint8), format="gray")
            image = image.reformat(format="yuv420p")
            image.pts, image.time_base = number, Fraction(1, 25)
            container.mux(video.encode(image))
        container.mux(video.encode())
        for start in range(round(sound_s * rate), len(noise), 1024):
            piece = noise[None, start : start + 1024]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return buffer.getvalue()


@pytest.mark.parametrize("container_format", ["mp4", "matroska"])
@pytest.mark.parametrize(
    ("sound_s", "picture_s"), [(0, 0), (0.4, 0), (0, 0.4), (0.92, 0), (0, 0.92), (0.52, 0.2)]
)
def test_sound_and_picture_that_begin_apart_stay_together(
    sound_s: float, picture_s: float, container_format: str
) -> None:
    recording = read_recording(None, clapper(sound_s, picture_s, container_format))
    samples, mouth = recording.clip.samples, recording.clip.mouth
    assert samples is not None
    assert mouth is not None
    bright = int(np.argmax(mouth.mean(axis=(1, 2)) > 130)) / 25
    loud = np.argmax(np.convolve(np.abs(samples), np.ones(160) / 160, "same") > 0.05) / 16000
    assert bright == pytest.approx(1.2 - min(sound_s, picture_s), abs=0.041)
    assert loud == pytest.approx(bright, abs=0.045)
    assert recording.audio_video_gap_s < 0.15


def test_a_file_that_is_named_for_a_video_and_holds_sound_alone_is_sound() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(SOUND[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    memo = buffer.getvalue()
    assert read_recording(memo, memo).clip.modality == "audio"


def test_a_picture_that_no_camera_makes_is_refused_in_one_sentence() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8000, 1, "gray"
        image = av.VideoFrame.from_ndarray(np.zeros((1, 8000), np.uint8), format="gray")
        container.mux(stream.encode(image))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="recording of"):
        read_clip(None, buffer.getvalue())


def test_a_longer_sound_shows_in_the_gap() -> None:
    recording = read_recording(encode_flac(np.tile(SOUND, 2)), encode_mouth(MOUTH))
    assert recording.audio_video_gap_s == pytest.approx(1.0)


def test_a_video_without_a_face_counts_as_none() -> None:
    assert read_clip(None, faceless_movie(with_sound=True)).modality == "audio"
    with pytest.raises(MediaError, match="no face found; expected a talking face"):
        read_clip(None, faceless_movie(with_sound=False))


def test_nothing_is_no_clip() -> None:
    with pytest.raises(MediaError, match="audio, video or both"):
        read_clip(None, None)


@pytest.mark.skipif(not GRID.is_dir(), reason="needs the GRID clips in ../shared/corpora")
def test_a_real_talking_face_gives_sound_and_mouth() -> None:
    recording = read_recording(None, GRID / "swiz3n.mpg")
    assert recording.clip.modality == "av"
    assert recording.clip.mouth is not None and recording.clip.mouth.shape == (75, 96, 96)
    assert (recording.native_sampling_rate, recording.native_fps) == (44100, 25.0)
    assert recording.clip.duration_s == pytest.approx(2.98, abs=0.01)
    assert not recording.truncated
    assert recording.audio_video_gap_s < 0.05

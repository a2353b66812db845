"""Video: frame rates, truncation, and the mouth video that goes into shards."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mome.errors import MediaError
from mome.speech.video import encode_mouth, read_video, to_25_fps


def moving_bar(count: int, height: int = 96, width: int = 96) -> np.ndarray:
    """Return a bright bar that moves one pixel per frame on a smooth ground."""
    ground = np.linspace(40, 120, height * width).reshape(height, width).astype(np.uint8)
    frames = np.repeat(ground[None], count, axis=0)
    for index, frame in enumerate(frames):
        frame[:, index % width : index % width + 6] = 220
    return frames


def movie(path: Path, frames: np.ndarray, fps: Fraction, turned: int = 0) -> bytes:
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        if turned:
            stream.set_display_rotation(turned)
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray")))
        container.mux(stream.encode())
    return path.read_bytes()


def test_mouth_video_comes_back_nearly_as_it_went_in() -> None:
    frames = moving_bar(50)
    video = read_video(encode_mouth(frames))
    assert (video.frames.shape, video.fps, video.truncated) == ((50, 96, 96), 25.0, False)
    assert np.abs(video.frames.astype(int) - frames).mean() < 2


def test_mouth_video_keeps_black_and_white() -> None:
    frames = np.zeros((5, 96, 96), np.uint8)
    frames[:, 48:] = 255
    decoded = read_video(encode_mouth(frames)).frames
    assert decoded[:, :40].max() <= 3
    assert decoded[:, 56:].min() >= 252


def test_the_same_frames_give_the_same_bytes_wherever_they_lie_in_memory() -> None:
    rng = np.random.default_rng(0)
    held, seen = [], set()
    for _ in range(25):
        held.append(rng.integers(0, 255, rng.integers(1000, 400_000), np.uint8))
        seen.add(encode_mouth(moving_bar(30)))
    assert len(seen) == 1


def test_three_seconds_of_mouth_are_small() -> None:
    assert len(encode_mouth(moving_bar(75))) < 60_000


@pytest.mark.parametrize("fps", [Fraction(30), Fraction(30000, 1001), Fraction(50)])
def test_the_recorded_frame_rate_is_found(fps: Fraction, tmp_path: Path) -> None:
    video = read_video(movie(tmp_path / "a.mp4", moving_bar(40, 64, 80), fps))
    assert video.frames.shape == (40, 64, 80)
    assert video.fps == pytest.approx(float(fps), abs=0.01)


def test_a_portrait_video_stands_upright(tmp_path: Path) -> None:
    upright = np.full((5, 80, 64), 60, np.uint8)
    upright[:, :20, :30] = 200  # bright corner at the top left
    lying = np.ascontiguousarray(np.rot90(upright, 1, axes=(1, 2)))
    # Stored a quarter turn counter-clockwise, to be shown a quarter turn clockwise.
    video = read_video(movie(tmp_path / "a.mp4", lying, Fraction(25), turned=-90))
    assert video.frames.shape == upright.shape
    assert np.abs(video.frames.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("fps", [12.5, 29.97, 30.0, 50.0, 60.0])
def test_25_fps_takes_the_frame_shown_at_each_moment(fps: float) -> None:
    frames = np.arange(120, dtype=np.uint8)[:, None, None]
    expected = []
    for index in range(round(120 / fps * 25)):
        moment = (index + 0.5) / 25
        shown = [number for number in range(120) if number / fps <= moment + 1e-9]
        expected.append(shown[-1])
    assert to_25_fps(frames, fps)[:, 0, 0].tolist() == expected


def test_25_fps_stay_as_they_are() -> None:
    frames = moving_bar(10)
    assert to_25_fps(frames, 25.0) is frames


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_video_cut_in_the_middle_is_truncated(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (75, 64, 64), np.uint8)
    content = movie(tmp_path / name, noise, Fraction(25))
    video = read_video(content[: len(content) // 2])
    assert video.truncated
    assert 0 < len(video.frames) < 75


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_what_is_no_video_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"broken\.mp4"):
        read_video(path)


def test_sound_alone_is_no_video() -> None:
    from mome.speech.audio import encode_flac

    with pytest.raises(MediaError, match="no video stream; expected"):
        read_video(encode_flac(np.zeros(1600, np.float32)))


def test_no_frames_are_no_mouth_video() -> None:
    with pytest.raises(MediaError, match="at least one frame"):
        encode_mouth(np.zeros((0, 96, 96), np.uint8))

"""Video: frame rates, truncation, and the mouth video that goes into shards."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from mome.errors import MediaError
from mome.speech.video import VideoFrames, encode_mouth, read_video, stream_video, to_25_fps


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


def at(frames: np.ndarray, times_s: np.ndarray, fps: float) -> VideoFrames:
    return VideoFrames(frames, times_s, fps, truncated=False)


def test_a_telephones_large_pictures_are_shrunk_as_a_whole(tmp_path: Path) -> None:
    left, right = np.full((1080, 960), 40, np.uint8), np.full((1080, 960), 200, np.uint8)
    picture = np.concatenate([left, right], axis=1)
    video = read_video(movie(tmp_path / "a.mp4", np.stack([picture] * 3), Fraction(25)))
    assert video.frames.shape == (3, 720, 1280)
    assert np.abs(video.frames[:, :, :600].astype(int) - 40).max() < 6
    assert np.abs(video.frames[:, :, 680:].astype(int) - 200).max() < 6


@pytest.mark.parametrize("fps", [12.5, 29.97, 30.0, 50.0, 60.0])
def test_25_fps_takes_the_frame_shown_at_each_moment(fps: float) -> None:
    frames = np.arange(120, dtype=np.uint8)[:, None, None]
    expected = []
    for index in range(round(120 / fps * 25)):
        moment = (index + 0.5) / 25
        shown = [number for number in range(120) if number / fps <= moment + 1e-9]
        expected.append(shown[-1])
    assert to_25_fps(at(frames, np.arange(120) / fps, fps))[:, 0, 0].tolist() == expected


def test_25_fps_stay_as_they_are_whatever_their_time_stamps_are_rounded_to() -> None:
    frames = moving_bar(10)
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 9)
    times_s = np.append(0.0, np.arange(1, 10) / 25 + jitter)
    assert to_25_fps(at(frames, times_s, 25.0)) is frames


def uneven_movie(stamps_ms: list[int], container_format: str, size: int = 96) -> bytes:
    """Return a video whose frames are 10 brighter for each tenth of a second at which they were taken."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"preset": "ultrafast", "crf": "8"}
        for stamp in stamps_ms:
            image = np.full((size, size), 20 + stamp * 60 // 1000, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def test_a_single_picture_is_shown_for_half_a_second_at_most_whatever_its_header_says() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(1, 500))
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        image = np.full((96, 96), 90, np.uint8)
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuv420p"))
        )
        container.mux(stream.encode())
    video = read_video(buffer.getvalue())
    assert video.fps < 0.01
    assert video.duration_s == 0.5
    assert len(to_25_fps(video)) in (12, 13)
    assert sum(len(part.frames) for part in stream_video(buffer.getvalue(), 60.0)) in (12, 13)


@pytest.mark.parametrize("container_format", ["mp4", "matroska"])
def test_frames_of_an_uneven_clock_are_seen_when_they_were_taken(container_format: str) -> None:
    bright_then_dark = [*range(0, 1500, 33), *range(1500, 3000, 100)]  # 30 a second, then 10
    freezes = [*range(0, 800, 40), *range(2000, 3000, 40)]  # nothing for 1.2 s
    for stamps in (bright_then_dark, freezes):
        seen = to_25_fps(read_video(uneven_movie(stamps, container_format)))
        moments = (np.arange(len(seen)) + 0.5) / 25
        shown = [max(stamp for stamp in stamps if stamp / 1000 <= moment + 1e-3) for moment in moments]
        planted = 20 + np.array(shown) * 60 / 1000
        assert len(seen) == pytest.approx(75, abs=1)
        assert np.abs(seen.mean(axis=(1, 2)) - planted).max() < 4  # 0.07 s; 2 are lost to the codec


@pytest.mark.parametrize("container_format", ["mp4", "matroska"])
@pytest.mark.parametrize(("fps", "said"), [(Fraction(30000, 1001), 29.97), (Fraction(30), 30.0)])
def test_a_rate_has_one_name_in_every_container(
    container_format: str, fps: Fraction, said: float, tmp_path: Path
) -> None:
    content = movie(tmp_path / ("a.mp4" if container_format == "mp4" else "a.mkv"), moving_bar(75), fps)
    assert read_video(content).fps == said


def test_a_rate_that_is_written_in_milliseconds_has_its_name() -> None:
    stamps = [round(index * 1001 / 30) for index in range(75)]
    assert read_video(uneven_movie(stamps, "matroska")).fps == 29.97


def test_a_video_whose_frame_size_changes_is_read_whole() -> None:
    stream = b""
    for value, size in ((50, (96, 64)), (150, (64, 96))):  # a telephone is turned
        encoder = av.CodecContext.create("mpeg2video", "w")
        encoder.height, encoder.width = size
        encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", 25, Fraction(1, 25)
        image = av.VideoFrame.from_ndarray(np.full(size, value, np.uint8), format="gray")
        frames = [image.reformat(format="yuv420p") for _ in range(10)]
        for index, frame in enumerate(frames):
            frame.pts = index
        stream += b"".join(bytes(packet) for frame in [*frames, None] for packet in encoder.encode(frame))
    video = read_video(stream)
    assert len(video.frames) in (19, 20)  # libav keeps one back where the size changes
    assert video.frames.shape[1:] == (96, 64)
    assert np.abs(video.frames[:9].astype(int) - 50).max() < 6
    middle = video.frames[10:, 48, 32].astype(int)
    assert np.abs(middle - 150).max() < 6


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
        image = av.VideoFrame.from_ndarray(np.zeros((64, 64), np.uint8), format="gray")
        container.mux(cover.encode(image.reformat(format="yuvj420p")))
        container.mux(cover.encode())
    with pytest.raises(MediaError, match="no video stream"):
        read_video(path)


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

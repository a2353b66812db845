"""Camera frames become the mouth beside the sound, matched by their moments."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mome.speech.media import read_clip
from mome.speech.mouth import find_mouth
from mome.speech.video import read_video
from serving.errors import ApiError
from serving.pictures import Pictures, look
from tests.serving.planted import Served, syllables
from tests.serving.realtime.test_connection import COMPLETED, Client, connected

GRID = Path("../shared/corpora/grid/bbaf2n.mpg")


def png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def frames(images: list[np.ndarray], start_ms: int = 0) -> list[dict[str, Any]]:
    return [
        {"at_ms": start_ms + 40 * number, "image": base64.b64encode(png(image)).decode()}
        for number, image in enumerate(images)
    ]


def numbered(count: int) -> list[np.ndarray]:
    """Mouths that can be told apart."""
    return [np.full((96, 96), 2 * number, np.uint8) for number in range(count)]


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with connected(served) as client:
        client.hear()
        client.set(input={"turn_detection": None}, mouth=True)
        yield client


def test_frames_are_read_beside_the_sound_of_their_moment(client: Client, served: Served) -> None:
    client.say(syllables(1.0))
    client.send("input_video_buffer.append", frames=frames(numbered(25)))
    client.until("input_video_buffer.mouth")
    client.send("input_audio_buffer.commit")
    done = client.until(COMPLETED)[-1]

    ((_, clip),) = served.recogniser.calls
    assert done["transcript"] == "av at a16v5"
    assert done["x_mome"]["modalities"] == ["audio", "video"]
    assert clip.mouth is not None
    assert clip.mouth[:, 0, 0].tolist() == [2 * number for number in range(25)]


def test_a_slow_camera_stands_still_between_its_frames(client: Client, served: Served) -> None:
    client.say(syllables(1.0))
    slow = [{**frame, "at_ms": 2 * frame["at_ms"]} for frame in frames(numbered(12))]
    client.send("input_video_buffer.append", frames=slow)
    client.until("input_video_buffer.mouth")
    client.send("input_audio_buffer.commit")
    client.until(COMPLETED)

    ((_, clip),) = served.recogniser.calls
    assert clip.mouth is not None
    assert clip.mouth[:, 0, 0].tolist() == [2 * min(number // 2, 11) for number in range(25)]


def test_without_frames_of_its_time_an_utterance_is_sound_alone(client: Client) -> None:
    client.say(syllables(1.0))
    client.send("input_video_buffer.append", frames=frames(numbered(10), start_ms=5_000))
    client.until("input_video_buffer.mouth")
    client.send("input_audio_buffer.commit")

    assert client.until(COMPLETED)[-1]["x_mome"]["modalities"] == ["audio"]


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({}, "frames"),
        ({"frames": []}, "frames"),
        ({"frames": [7]}, "frames.at_ms"),
        ({"frames": [{"at_ms": -5, "image": ""}]}, "frames.at_ms"),
        ({"frames": [{"at_ms": True, "image": ""}]}, "frames.at_ms"),
        ({"frames": [{"at_ms": 0, "image": "?"}]}, "frames.image"),
        ({"frames": [{"at_ms": 0, "image": "A" * 500_000}]}, "frames.image"),
        ({"frames": [{"at_ms": 0, "image": base64.b64encode(b"no picture").decode()}]}, "frames"),
    ],
)
def test_what_are_no_frames_is_refused(client: Client, sent: dict[str, Any], param: str) -> None:
    client.send("input_video_buffer.append", **sent)

    assert client.hear()["error"]["param"] == param


def test_a_model_without_lips_says_so(serve: Any) -> None:
    with connected(serve("audio")) as client:
        client.hear()
        client.send("input_video_buffer.append", frames=frames(numbered(1)))
        assert client.hear()["error"]["code"] == "unsupported_modality"


def test_pictures_of_two_sizes_are_refused() -> None:
    files = (png(np.zeros((96, 96), np.uint8)), png(np.zeros((90, 96), np.uint8)))
    with pytest.raises(ApiError, match="one size"):
        look(Pictures(files, 0))


def test_a_picture_without_a_face_has_no_mouth() -> None:
    assert look(Pictures((png(np.full((240, 320), 90, np.uint8)),), 0)).frames.shape == (0, 96, 96)


@pytest.mark.skipif(not GRID.is_file(), reason="needs the recordings of ../shared/corpora")
def test_a_real_face_has_the_mouth_that_its_video_has() -> None:
    images = read_video(GRID).frames[20:32]
    files = tuple(bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]) for image in images)

    found = look(Pictures(files, 6)).frames

    expected = find_mouth(images).frames[6:]
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3
    assert read_clip(None, GRID).mouth is not None

"""Clips to text with planted encoders: what the transcriber passes on to the model, and in which pieces."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mome.errors import MediaError
from mome.inference import Transcriber
from mome.model.avsr import Features
from mome.model.recogniser import Recogniser
from mome.scales import Scale
from mome.speech.media import Clip
from tests.small_recognisers import SCALES, small_recogniser


class PlantedEncoders:
    """The first samples as features: 50 frames a second of 6 numbers."""

    def encode(self, clips: Sequence[Clip]) -> list[Features]:
        frames = [clip.samples[: len(clip.samples) // 320 * 320].reshape(-1, 320)[:, :6] for clip in clips]
        return [Features(torch.from_numpy(each.copy()), None) for each in frames]


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    # A random model hardly ever ends by itself.
    return Transcriber(Recogniser(PlantedEncoders(), small_recogniser(0.1, end_factor=2)))


def sound(seconds: float) -> Clip:
    samples = np.random.default_rng(round(100 * seconds)).normal(size=round(16_000 * seconds))
    return Clip(samples.astype(np.float32), None)


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("seconds", [0.5, 1.3])
def test_a_streamed_text_is_the_transcribed_one(
    transcriber: Transcriber, scale: Scale, seconds: float
) -> None:
    pieces = list(transcriber.stream(sound(seconds), scale))
    assert ["".join(pieces)] == transcriber.transcribe([sound(seconds)], scale)
    assert len(pieces) > 1


def test_beams_are_a_choice(transcriber: Transcriber) -> None:
    clips = [sound(seconds) for seconds in (0.5, 0.8, 1.3)]
    greedy = transcriber.transcribe(clips, SCALES[0])
    assert transcriber.transcribe(clips, SCALES[0], num_beams=1) == greedy
    assert transcriber.transcribe(clips, SCALES[0], num_beams=3) != greedy


def test_a_clip_below_one_token_is_refused_in_place_of_the_first_piece(transcriber: Transcriber) -> None:
    with pytest.raises(MediaError, match="too short"):
        next(transcriber.stream(sound(0.2), SCALES[1]))

"""Clips to text with planted encoders: what the transcriber passes on to the model, and in which pieces."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mome.alignment import Aligner
from mome.alignment.head import Head
from mome.errors import MediaError
from mome.inference import Transcriber
from mome.model.avsr import Features
from mome.model.recogniser import Recogniser
from mome.reading import Reading
from mome.records import Decoding
from mome.speech.media import Clip
from tests.hearers import Hearer
from tests.small_recognisers import SCALES, small_recogniser

GREEDY = Decoding(num_beams=1, max_new_tokens="by_duration")


class PlantedEncoders:
    """The first samples as features: 50 frames a second of 6 numbers."""

    def encode(self, clips: Sequence[Clip]) -> list[Features]:
        frames = [clip.samples[: len(clip.samples) // 320 * 320].reshape(-1, 320)[:, :6] for clip in clips]
        return [Features(torch.from_numpy(each.copy()), None) for each in frames]


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    # A random model hardly ever ends by itself.
    return Transcriber(Recogniser(PlantedEncoders(), small_recogniser(0.1, end_factor=2)), GREEDY)


def sound(seconds: float) -> Clip:
    samples = np.random.default_rng(round(100 * seconds)).normal(size=round(16_000 * seconds))
    return Clip(samples.astype(np.float32), None)


@pytest.mark.parametrize("seconds", [0.5, 1.3])
def test_readings_of_mixed_scales_give_the_texts_of_each_alone(
    transcriber: Transcriber, seconds: float
) -> None:
    readings = [Reading(sound(length), scale) for length in (seconds, 0.8) for scale in SCALES]
    hearers = [Hearer() for _ in readings]

    transcriber.read(readings, hearers)

    for reading, hearer in zip(readings, hearers, strict=True):
        (text,) = hearer.texts
        assert [text.text] == transcriber.transcribe([reading.clip], reading.scale)
        assert len(set(hearer.heard)) > 1


def test_the_budget_of_a_text_follows_the_duration() -> None:
    # The fastest talkers say seven words a second.
    assert GREEDY.budget(30.0) >= 30 * 7 * 2
    assert GREEDY.budget(0.0) >= 10
    assert GREEDY.budget(3.0) < GREEDY.budget(6.0) < GREEDY.budget(30.0)
    assert Decoding(num_beams=15, max_new_tokens=32).budget(30.0) == 32


def test_a_text_is_as_long_in_company_as_alone(transcriber: Transcriber) -> None:
    # The untrained model never ends by itself: it is each clip's own budget that ends its text.
    clips = [sound(seconds) for seconds in (0.5, 0.8, 1.3)]
    alone = [transcriber.transcribe([clip], SCALES[0])[0] for clip in clips]
    assert transcriber.transcribe(clips, SCALES[0]) == alone
    assert len(set(map(len, alone))) > 1


def test_a_clip_below_one_token_is_refused_before_any_text(transcriber: Transcriber) -> None:
    hearers = [Hearer(), Hearer()]
    with pytest.raises(MediaError, match="too short"):
        transcriber.read([Reading(sound(1.0), SCALES[1]), Reading(sound(0.2), SCALES[1])], hearers)
    assert not any(hearer.heard or hearer.texts for hearer in hearers)


def test_only_who_asks_gets_words_and_only_of_what_was_taught(transcriber: Transcriber) -> None:
    head = Head(np.random.default_rng(0).normal(size=(27, 6)).astype(np.float32), np.zeros(27, np.float32))
    taught = Transcriber(
        Recogniser(PlantedEncoders(), small_recogniser(0.1, end_factor=2)),
        GREEDY,
        Aligner("abcdefghijklmnopqrstuvwxyz", head, None),
    )
    assert [taught.times(modality) for modality in ("audio", "video", "av")] == [True, False, True]
    assert not transcriber.times("audio")
    for each, timed in ((taught, True), (taught, False), (transcriber, True)):
        hearer = Hearer(live=False)
        each.read([Reading(sound(1.3), SCALES[0], timed)], [hearer])
        (text,) = hearer.texts
        words = [word.text for word in text.words]
        assert words == (text.text.split() if timed and each is taught else [])
        assert text.text.split()
        assert all(0 <= word.start_s < word.end_s <= 1.3 for word in text.words)

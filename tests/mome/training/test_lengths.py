"""The shortest clip is found before the first step, not in the one that reads it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mome.config import TrainParams
from mome.errors import MediaError, TrainingError
from mome.model.compression import average_pool
from mome.records import Utterance
from mome.speech.media import Clip, as_long_as_video
from mome.speech.shards import SplitReader, write_manifest
from mome.training.lengths import check_lengths, joined_lengths
from tests.planted import utterance

LONGEST = 12 * 16_000  # samples


@pytest.fixture
def params(train_params: TrainParams) -> TrainParams:
    """Scales up to (16, 5), and clips that are heard as they are."""
    return train_params.model_copy(update={"scales": ["a4v2", "a16v5"], "augmentation": "llama-avsr"})


@pytest.fixture
def split(tmp_path: Path) -> Callable[..., SplitReader]:
    def with_rows(*rows: Utterance) -> SplitReader:
        write_manifest(tmp_path, rows)
        return SplitReader(tmp_path, "train")

    return with_rows


def clip(name: str, num_samples: int, num_frames: int = 0) -> Utterance:
    mouth = np.zeros((num_frames, 96, 96), np.uint8) if num_frames else None
    return utterance(name, "train", Clip(np.ones(num_samples, np.float32), mouth))


@pytest.mark.parametrize("num_samples", [16 * 320 - 1, 16 * 320])
def test_what_is_refused_is_what_compression_would_refuse(
    num_samples: int, split: Callable[..., SplitReader], params: TrainParams
) -> None:
    def refused() -> bool:
        try:
            average_pool(torch.zeros(num_samples // 320, 4), 16)
        except MediaError:
            return True
        return False

    clips = split(clip("long", 32_000), clip("short", num_samples), clip("also-long", 32_000))
    if refused():
        with pytest.raises(TrainingError, match=r"utterance short \(train\) .* 15 audio frames, .* needs 16"):
            check_lengths(clips, "audio", params, LONGEST)
    else:
        check_lengths(clips, "audio", params, LONGEST)


def test_lips_are_measured_where_they_are_read(
    split: Callable[..., SplitReader], params: TrainParams
) -> None:
    clips = split(clip("short", 32_000, num_frames=4), clip("long", 32_000, num_frames=50))
    check_lengths(clips, "audio", params, LONGEST)
    for read in ("av", "video"):
        with pytest.raises(TrainingError, match=r"short .* 4 video frames, but video rate 5 .* 0\.20 s"):
            check_lengths(clips, read, params, LONGEST)
    check_lengths(clips, "av", params.model_copy(update={"scales": ["a4v2"]}), LONGEST)


def test_a_clip_that_is_played_faster_must_be_longer(
    split: Callable[..., SplitReader], params: TrainParams
) -> None:
    clips = split(clip("short", 16 * 320 + 100))
    check_lengths(clips, "audio", params, LONGEST)
    paced = params.model_copy(update={"augmentation": "cached-lips"})
    with pytest.raises(TrainingError, match="14 audio frames"):
        check_lengths(clips, "audio", paced, LONGEST)


def test_sound_that_is_cut_to_the_lips_is_measured_as_it_is_read(
    split: Callable[..., SplitReader], params: TrainParams
) -> None:
    clips = split(clip("short", 8_000, num_frames=7))
    assert clips.num_samples(0) == len(as_long_as_video(np.ones(8_000, np.float32), 7)) == 7 * 640
    with pytest.raises(TrainingError, match="14 audio frames"):
        check_lengths(clips, "audio", params, LONGEST)


@pytest.mark.parametrize(("num_samples", "fits"), [(LONGEST, True), (LONGEST + 1, False)])
def test_a_clip_that_the_encoder_does_not_take_is_named_before_the_first_step(
    num_samples: int, fits: bool, split: Callable[..., SplitReader], params: TrainParams
) -> None:
    clips = split(clip("short", 32_000), clip("long", num_samples))
    if fits:
        check_lengths(clips, "audio", params, LONGEST)
    else:
        with pytest.raises(TrainingError, match=r"utterance long \(train\) .* the audio encoder takes 12 s"):
            check_lengths(clips, "audio", params, LONGEST)


def test_a_clip_that_is_played_slower_must_be_shorter(
    split: Callable[..., SplitReader], params: TrainParams
) -> None:
    clips = split(clip("long", 11 * 16_000))
    check_lengths(clips, "audio", params, LONGEST)
    paced = params.model_copy(update={"augmentation": "cached-lips"})
    # Played at 0.88 of its pace: 11 s / 0.88 = 12.5 s, while 12 s x 0.88 = 10.56 s would fit.
    with pytest.raises(TrainingError, match=r"11\.00 s .* as 12\.50 s, .* longer than 10\.56 s"):
        check_lengths(clips, "audio", paced, LONGEST)


def test_lips_alone_may_last_longer_than_any_sound(
    split: Callable[..., SplitReader], params: TrainParams
) -> None:
    check_lengths(split(clip("long", 32_000, num_frames=25 * 60)), "video", params, LONGEST)


def test_what_is_joined_fits_the_scales_and_the_encoder_at_any_pace(params: TrainParams) -> None:
    fewest, most = joined_lengths(params, LONGEST, longest=10_000)
    # 16 frames of 20 ms played by an eighth faster, 12 s played by an eighth slower.
    assert (fewest - 1) * 640 / 1.14 < 16 * 320 <= fewest * 640 / 1.14
    assert most * 640 / 0.88 <= LONGEST < (most + 1) * 640 / 0.88
    assert joined_lengths(params, LONGEST, longest=100)[1] == 150

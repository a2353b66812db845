"""The video encoder learns the corpus's own lips: what they spell, and when, as far as the sound tells."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mome.config import TrainParams
from mome.errors import TrainingError
from mome.model.avhubert import AVHubertConfig, AVHubertModel
from mome.model.video_encoder import VideoEncoder
from mome.training.clips import TrainingClips
from mome.training.lips import teach_lips
from mome.training.spoken import Spoken
from tests.mome.training.lessons import CHARACTERS, check_repeatable, named, texts

_SIDE = 16
# How wide a mouth is open for what it says; silence first.
_OPEN = {" ": 0, "a": 5, "b": 2, "c": 3}


def say(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a mouth that stays four frames in each character and in silence around, and what it says."""
    characters = [*" ", *text, *" "]
    rng = np.random.default_rng([ord(character) for character in text])
    frames, classes = [], []
    for character in characters:
        picture = np.full((_SIDE + 4, _SIDE + 4), 60, np.uint8)
        middle, opened = (_SIDE + 4) // 2, _OPEN[character]
        picture[middle - opened : middle + opened, 4:-4] = 200
        noisy = picture + rng.normal(0, 60, (4, *picture.shape))
        frames += list(noisy.clip(0, 255).astype(np.uint8))
        classes += [CHARACTERS.index(character)] * 4
    return np.stack(frames), np.array(classes)


def planted_clips(texts: list[str]) -> TrainingClips:
    mouths = [say(text)[0] for text in texts]
    reader = SimpleNamespace(
        mouth=mouths.__getitem__,
        utterances=[SimpleNamespace(num_frames=len(mouth)) for mouth in mouths],
    )
    return TrainingClips([], [], texts, reader)


def planted_times(texts: list[str]) -> Spoken:
    """What is said in each frame of 20 ms, of which there are two to a picture."""
    return Spoken(range(len(texts)), "abc", [np.repeat(say(text)[1], 2) for text in texts], [])


def small_encoder() -> VideoEncoder:
    torch.manual_seed(0)
    config = AVHubertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        resnet_channels=(4, 4, 8, 8), conv_pos_kernel=4, conv_pos_groups=4, image_size=_SIDE,
    )  # fmt: skip
    return VideoEncoder(AVHubertModel(config)).eval().requires_grad_(False)


@pytest.mark.parametrize("with_sound", [True, False], ids=["with sound", "lips alone"])
def test_lips_that_were_taught_tell_the_characters_of_unseen_clips_apart(
    train_params: TrainParams, with_sound: bool
) -> None:
    params = train_params.model_copy(update={"video_steps": 40, "precision": "float32"})
    taught = texts(24, seed=1)
    encoder = small_encoder()
    before = named(encoder, say)
    list(teach_lips(encoder, planted_clips(taught), planted_times(taught) if with_sound else None, params))
    assert named(encoder, say) > before + (0.2 if with_sound else 0.1)
    assert not any(each.requires_grad for each in encoder.parameters())
    assert not encoder.training


def test_the_same_lips_are_learnt_to_the_same_weights_and_nothing_else_is_drawn_otherwise(
    train_params: TrainParams,
) -> None:
    params = train_params.model_copy(update={"video_steps": 2})
    clips, times = planted_clips(["abc", "cab"]), planted_times(["abc", "cab"])
    check_repeatable(small_encoder, lambda encoder: teach_lips(encoder, clips, times, params))


def test_a_loss_that_is_not_finite_stops_the_lessons(train_params: TrainParams) -> None:
    encoder = small_encoder()
    encoder.avhubert.layer_norm.weight.data[0] = float("nan")
    params = train_params.model_copy(update={"video_steps": 1})
    with pytest.raises(TrainingError, match=r"loss of the video encoder is nan"):
        list(teach_lips(encoder, planted_clips(["ab"]), None, params))

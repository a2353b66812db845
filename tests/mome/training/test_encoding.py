"""Clips to features: whole or changed, and gradients through them as if they had never been cut."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from mome.config import TrainParams
from mome.model.avsr import Features
from mome.model.recogniser import Recogniser
from mome.speech.shards import SplitReader
from mome.training import encoding
from mome.training.ahead import SOUND_ALONE, Prepared, prepare
from mome.training.checkpoint import new_recogniser
from mome.training.clips import TrainingClips, read_clips
from mome.training.encoding import cut, encode_augmented, encode_plain, join


@pytest.fixture(scope="module")
def params(train_params: TrainParams) -> TrainParams:
    changed = {"augmentation": "llama-avsr", "video_lora_rank": 4, "precision": "float32"}
    return train_params.model_copy(update=changed)


@pytest.fixture(scope="module")
def recogniser(foundation: Path, params: TrainParams) -> Recogniser:
    return new_recogniser(foundation, params)


@pytest.fixture(scope="module")
def clips(dataset: Path, recogniser: Recogniser) -> Iterator[TrainingClips]:
    with closing(SplitReader(dataset, "test")) as reader:
        yield read_clips(reader, recogniser.encoders, None, "read")


def ready(clips: TrainingClips, params: TrainParams, seeds: dict[int, int]) -> list[Prepared]:
    return [
        prepare(clips, index, 88, params, np.random.default_rng(seed), "llama-avsr")
        for index, seed in seeds.items()
    ]


@torch.no_grad()
def test_a_clip_is_seen_anew_in_every_step_and_alike_in_every_validation(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams
) -> None:
    first, second = (
        encode_augmented(recogniser, clips, [0, 1], ready(clips, params, {0: seeds[0], 1: seeds[1]}), params)
        for seeds in ((1, 2), (3, 4))
    )
    again = encode_augmented(recogniser, clips, [0], ready(clips, params, {0: 1}), params)
    for one, other in zip(first, second, strict=True):
        assert not torch.allclose(one.video_TC, other.video_TC, atol=1e-3)
        assert not torch.allclose(one.audio_TC, other.audio_TC, atol=1e-3)
    torch.testing.assert_close(again[0].video_TC, first[0].video_TC, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again[0].audio_TC, first[0].audio_TC, atol=1e-5, rtol=1e-5)
    plain = encode_plain(recogniser, clips, [1], params)[0]
    mouth = clips.mouths.mouth(1)
    (expected,) = recogniser.encoders.see([mouth[:, 4:92, 4:92]])
    torch.testing.assert_close(plain.video_TC, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encode_plain(recogniser, clips, [1], params)[0].audio_TC, plain.audio_TC)


@torch.no_grad()
def test_augmented_lips_are_the_encoders_features_of_changed_frames(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams
) -> None:
    silent = TrainingClips([], [], clips.transcripts, clips.mouths)
    (found,) = encode_augmented(recogniser, silent, [2], ready(silent, params, {2: 9}), params)
    frames = clips.watch(2, 88, np.random.default_rng(9), "llama-avsr")
    (expected,) = recogniser.encoders.see([frames])
    assert found.audio_TC is None
    torch.testing.assert_close(found.video_TC, expected, atol=1e-5, rtol=1e-5)


def test_gradients_reach_both_encoders_as_if_features_had_not_been_cut(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams
) -> None:
    parameters = {n: p for n, p in recogniser.trained_parameters().items() if "_encoder." in n}
    assert {name.split(".")[0] for name in parameters} == {"audio_encoder", "video_encoder"}

    def loss(features: list[Features]) -> torch.Tensor:
        return sum((each.audio_TC**3).mean() + (each.video_TC**3).mean() for each in features)

    def gradients() -> dict[str, torch.Tensor]:
        found = {name: parameter.grad for name, parameter in parameters.items()}
        for parameter in parameters.values():
            parameter.grad = None
        return found

    loss(encode_augmented(recogniser, clips, [0, 1], ready(clips, params, {0: 1, 1: 2}), params)).backward()
    whole = gradients()
    features = encode_augmented(recogniser, clips, [0, 1], ready(clips, params, {0: 1, 1: 2}), params)
    leaves = cut(features)
    loss(leaves).backward()
    assert all(parameter.grad is None for parameter in parameters.values())
    join(features, leaves)
    for name, expected in whole.items():
        torch.testing.assert_close(parameters[name].grad, expected, atol=1e-6, rtol=1e-4)
    # Down starts at zero, so that up has nothing to learn from yet.
    assert all(whole[name].any() == (".lora_A." in name) for name in whole if name.startswith("video"))
    gradients()


def test_features_that_no_task_read_send_nothing_back(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams
) -> None:
    features = encode_augmented(recogniser, clips, [0], ready(clips, params, {0: 1}), params)
    leaves = cut(features)
    leaves[0].audio_TC.sum().backward()
    join(features, leaves)
    trained = recogniser.trained_parameters()
    assert all(p.grad is None for n, p in trained.items() if n.startswith("video_encoder."))
    assert any(p.grad is not None for n, p in trained.items() if n.startswith("audio_encoder."))


@torch.no_grad()
def test_encoded_some_at_a_time_clips_have_the_same_features(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = encode_plain(recogniser, clips, range(4), params)
    sizes: dict[str, list[int]] = {"hear": [], "see": []}

    class Counted:
        video, device = recogniser.encoders.video, recogniser.encoders.device

        def hear(self, part: list[np.ndarray]) -> list[torch.Tensor]:
            sizes["hear"].append(len(part))
            return recogniser.encoders.hear(part)

        def see(self, part: list[np.ndarray]) -> list[torch.Tensor]:
            sizes["see"].append(len(part))
            return recogniser.encoders.see(part)

    frames = clips.num_frames
    monkeypatch.setattr(encoding, "_FRAMES_AT_ONCE", 2 * int(frames.max()))
    parts = encode_plain(recogniser._replace(encoders=Counted()), clips, range(4), params)
    assert sizes == {"hear": [2, 2], "see": [2, 2]}
    for one, other in zip(together, parts, strict=True):
        torch.testing.assert_close(other.audio_TC, one.audio_TC, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(other.video_TC, one.video_TC, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("is_encoded_before", [False, True])
@torch.no_grad()
def test_a_voice_beside_an_utterance_has_no_lips(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams, is_encoded_before: bool
) -> None:
    lips = [torch.zeros(1, 8).half()] * len(clips)
    seen = TrainingClips(clips.waveforms, lips, clips.transcripts) if is_encoded_before else clips
    own, other = ready(seen, params, {0: 1, 1: 2})
    voice = other._replace(frames_THW=None, read_as=SOUND_ALONE)

    first, second = encode_augmented(recogniser, seen, [0, 0], [own, voice], params)

    assert first.video_TC is not None
    assert second.video_TC is None
    (expected,) = recogniser.encoders.hear([voice.samples_N])
    torch.testing.assert_close(second.audio_TC, expected, atol=1e-5, rtol=1e-5)

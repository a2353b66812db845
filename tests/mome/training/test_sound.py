"""The audio encoder learns the corpus's own voices: what they spell, and when, in noise and at any pace."""

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from mome.config import TrainParams
from mome.errors import TrainingError
from mome.model.audio_encoder import AudioEncoder
from mome.training.clips import TrainingClips
from mome.training.sound import teach_sound
from mome.training.spoken import Spoken
from tests.mome.training.lessons import CHARACTERS, check_repeatable, named, texts

# How high a voice is in what it says, in Hz; silence first.
_HEIGHT = {" ": 0, "a": 300, "b": 400, "c": 520}
_FRAMES = 8  # of 20 ms in each character


def say(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a tone for each character, silence around and hiss on all, and the class of every frame."""
    characters = [*" ", *text, *" "]
    rng = np.random.default_rng([ord(character) for character in text])
    times = np.arange(_FRAMES * 320) / 16_000
    tones = [np.sin(2 * np.pi * _HEIGHT[character] * times) for character in characters]
    samples = 0.1 * np.concatenate(tones) + rng.normal(0, 0.2, len(tones) * len(times))
    classes = np.repeat([CHARACTERS.index(character) for character in characters], _FRAMES)
    return samples.astype(np.float32), classes


def planted_clips(texts: list[str]) -> TrainingClips:
    return TrainingClips([say(text)[0] for text in texts], [], texts)


def planted_times(texts: list[str]) -> Spoken:
    return Spoken(range(len(texts)), "abc", [say(text)[1] for text in texts], [])


def small_encoder() -> AudioEncoder:
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, max_source_positions=200,
        decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=4, vocab_size=4, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, suppress_tokens=None,
        begin_suppress_tokens=None,
    )  # fmt: skip
    config._attn_implementation = "eager"
    encoder = AudioEncoder(WhisperModel(config), WhisperFeatureExtractor(chunk_length=4))
    return encoder.eval().requires_grad_(False)


def test_voices_that_were_taught_tell_the_characters_of_unseen_clips_apart(
    train_params: TrainParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mome.training.spelling._FRAMES", 200)  # small steps, and many of them
    changed = {"audio_steps": 160, "noise_snrs_db": [None], "precision": "float32"}
    taught = texts(60, seed=1)
    encoder = small_encoder()
    mistaken = 1 - named(encoder, say)
    list(
        teach_sound(
            encoder, planted_clips(taught), planted_times(taught), train_params.model_copy(update=changed)
        )
    )
    assert 1 - named(encoder, say) < 0.6 * mistaken
    assert not any(each.requires_grad for each in encoder.parameters())
    assert not encoder.training


def test_the_same_voices_are_learnt_to_the_same_weights_and_nothing_else_is_drawn_otherwise(
    train_params: TrainParams,
) -> None:
    params = train_params.model_copy(update={"audio_steps": 2})
    clips, times = planted_clips(["abc", "cab"]), planted_times(["abc", "cab"])
    check_repeatable(small_encoder, lambda encoder: teach_sound(encoder, clips, times, params))


def test_a_loss_that_is_not_finite_stops_the_lessons(train_params: TrainParams) -> None:
    encoder = small_encoder()
    encoder.encoder.layer_norm.weight.data[0] = float("nan")
    params = train_params.model_copy(update={"audio_steps": 1})
    with pytest.raises(TrainingError, match=r"loss of the audio encoder is nan"):
        list(teach_sound(encoder, planted_clips(["ab"]), None, params))


def test_a_clip_as_long_as_the_encoder_takes_is_never_played_slower(train_params: TrainParams) -> None:
    text = "ab" * 12
    samples = np.resize(say(text)[0], 4 * 16_000)
    clips = TrainingClips([samples], [], [text])
    params = train_params.model_copy(update={"audio_steps": 8})
    assert list(teach_sound(small_encoder(), clips, None, params)) == [None] * 8

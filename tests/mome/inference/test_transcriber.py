"""Clips to text with planted encoders: what the transcriber passes on to the model, and in which pieces."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from mome.errors import MediaError
from mome.foundation.tokenizer import new_tokenizer
from mome.inference import Transcriber
from mome.model.avsr import AVSRModel, Features
from mome.model.recogniser import Recogniser
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.speech.media import Clip
from mome.tuners.mome import MomeConfig

SCALES = [Scale(4, 2), Scale(16, 5)]


class PlantedEncoders:
    """The first samples as features: 50 frames a second of 6 numbers."""

    def encode(self, clips: Sequence[Clip]) -> list[Features]:
        frames = [clip.samples[: len(clip.samples) // 320 * 320].reshape(-1, 320)[:, :6] for clip in clips]
        return [Features(torch.from_numpy(each.copy()), None) for each in frames]


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    torch.manual_seed(0)
    tokens = TextTokens(new_tokenizer(0))
    config = LlamaConfig(
        vocab_size=640, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=tokens.pad_id, initializer_range=0.1,
    )  # fmt: skip
    llm = LlamaForCausalLM(config)
    llm.lm_head.weight.data[tokens.eos_id] *= 2  # a random model hardly ever ends
    adapted = get_peft_model(llm, MomeConfig(init_std=0.3, bottleneck_dim=2))
    model = AVSRModel(adapted, tokens, SCALES, audio_width=6, video_width=5).eval()
    return Transcriber(Recogniser(PlantedEncoders(), model))


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

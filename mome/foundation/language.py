"""Teaches the small Llama to read a sentence off a smeared phoneme prefix, from text alone.

No sound is involved: words become phonemes with durations, phonemes become frames, some frames are
wrong, and frames are averaged at a random rate, as encoder features will be. A *frozen* LLM then
already knows how to attend to a prefix, and MoME has only to bring speech into that shape.
"""

# Shape letters: T frames, then pooled tokens; D width of the LLM; P phonemes.

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mome.config import Precision
from mome.foundation.optimiser import Optimiser
from mome.foundation.side_by_side import Teaching
from mome.foundation.words import VOCABULARY, draw_sentence
from mome.machine.processor import attention
from mome.model.packing import language_loss, pack
from mome.model.precision import mixed_precision
from mome.model.prefix import PrefixedText
from mome.model.tokens import TextTokens
from mome.progress import progress
from mome.synthesis.phonemes import PHONEMES, mouth_shapes, phoneme_class
from mome.synthesis.speech import Voice, speak

__all__ = ["new_language_model", "pronounce_words", "teach_language"]

_BATCH_SIZE, _PASSES = 24, 3
_AUDIO_RATES = (4, 4, 4, 8, 16, 16)
_VIDEO_RATES = (2, 2, 3, 5, 5)
_WORDS_PER_MINUTE = 300
_MATRIX_RATE, _RATE = 5e-3, 2.5e-3  # highest learning rates
Pronunciation = tuple[tuple[int, float], ...]  # phoneme index and seconds


def new_language_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return a small untrained Llama."""
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=8,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    llm.set_attn_implementation(attention("cpu"))
    return llm


def pronounce_words() -> dict[str, list[Pronunciation]]:
    """Return how each word of the vocabulary is said, in two accents."""
    index = {phoneme: number for number, phoneme in enumerate(PHONEMES)}
    # Spoken fast, because only the proportions count: `_frames` draws the pace.
    voices = [Voice("gmw/en-US", "m1", _WORDS_PER_MINUTE), Voice("gmw/en", "m1", _WORDS_PER_MINUTE)]
    said: dict[str, list[Pronunciation]] = {}
    for word in progress(VOCABULARY, "pronounce words"):
        said[word] = [
            tuple(
                (index[phoneme_class(phoneme.symbol)], phoneme.end_s - phoneme.start_s)
                for phoneme in speak(word, voice).phonemes
                if phoneme.symbol != "_"
            )
            for voice in voices
        ]
    return said


def teach_language(
    llm: LlamaForCausalLM,
    tokens: TextTokens,
    said: Mapping[str, list[Pronunciation]],
    *,
    steps: int,
    seed: int,
    precision: Precision,
) -> Teaching:
    """Train the LLM step by step; returns the loss per token over the last steps."""
    # Drawn now: other models may be drawn before the first step.
    phonemes = nn.Embedding(len(PHONEMES), llm.config.hidden_size)
    return _steps(llm, phonemes, tokens, said, steps, seed, precision)


def _steps(
    llm: LlamaForCausalLM,
    phonemes: nn.Embedding,
    tokens: TextTokens,
    said: Mapping[str, list[Pronunciation]],
    steps: int,
    seed: int,
    precision: Precision,
) -> Teaching:
    rng, words = np.random.default_rng(seed), random.Random(f"{seed}-language")
    confusion = _look_alikes()
    embedding = llm.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    optimiser = Optimiser(
        [llm, phonemes], steps=steps, matrix_rate=_MATRIX_RATE, rate=_RATE, betas=(0.9, 0.98)
    )
    llm.train()
    losses: list[float] = []
    for step in range(steps):
        # Reading along a prefix is learnt from short, clean ones first; noise would hide the way.
        skill = min(1.0, step / (0.4 * steps))
        sequences = []
        for _ in range(_BATCH_SIZE):
            sentence = draw_sentence(words)
            if rng.random() > skill:
                sentence = _part(sentence, rng)
            sequences.append(_read_aloud(sentence, said, phonemes, confusion, tokens, rng, mistakes=skill))
        # A row at rate 4 is four times as long as one at 16: sorted and read in parts, less of it is padding.
        sequences.sort(key=_length)
        total, loss = sum(len(each.learnt(tokens)) for each in sequences), torch.zeros(())
        for start in range(0, _BATCH_SIZE, _BATCH_SIZE // _PASSES):
            part = sequences[start : start + _BATCH_SIZE // _PASSES]
            packed = pack([[sequence] for sequence in part], tokens, embedding)
            with mixed_precision("cpu", precision):
                loss = loss + language_loss(llm, packed) * (len(packed.labels_N) / total)
        optimiser.step(loss)
        losses.append(float(loss.detach()))
        yield
    llm.eval().requires_grad_(False)
    return float(np.mean(losses[-50:]))


def _read_aloud(
    sentence: str,
    said: Mapping[str, list[Pronunciation]],
    phonemes: nn.Embedding,
    confusion_PP: NDArray[np.float64],
    tokens: TextTokens,
    rng: np.random.Generator,
    mistakes: float,
) -> PrefixedText:
    """Turn a sentence into a prefix of pooled, partly wrong phoneme frames, and its text.

    ``mistakes`` from 0 to 1 scales how many frames are wrong.
    """
    frames_T = _frames(sentence, said, rng)
    kind = rng.random()
    audio = video = None
    if kind < 0.8:
        wrong = np.where(rng.random(len(frames_T)) < mistakes * rng.choice([0, 0, 0.05, 0.15, 0.35]), 1, 0)
        heard_T = np.where(wrong, rng.integers(0, len(PHONEMES), len(frames_T)), frames_T)
        audio = _pool(heard_T, int(rng.choice(_AUDIO_RATES)), phonemes)
    if kind > 0.4:
        # Seen phonemes are confused with those of a similar mouth.
        seen_T = frames_T[::2]
        likely = confusion_PP[seen_T].cumsum(axis=1)
        alike_T = (rng.random((len(seen_T), 1)) > likely).sum(axis=1).clip(max=len(PHONEMES) - 1)
        seen_T = np.where(rng.random(len(seen_T)) < mistakes, alike_T, seen_T)
        video = _pool(seen_T, int(rng.choice(_VIDEO_RATES)), phonemes)
    return PrefixedText(audio, video, tokens.encode(sentence))


def _length(sequence: PrefixedText) -> int:
    return sum(len(each) for each in sequence if each is not None)


def _part(sentence: str, rng: np.random.Generator) -> str:
    """Return one to three neighbouring words."""
    words = sentence.split()
    start = int(rng.integers(len(words)))
    return " ".join(words[start : start + int(rng.integers(1, 4))])


def _frames(
    sentence: str, said: Mapping[str, list[Pronunciation]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return phoneme indices at 50 Hz, with random pace and pauses."""
    pace, accent = _WORDS_PER_MINUTE / rng.uniform(100, 230), int(rng.integers(0, 2))
    parts: list[NDArray[np.int64]] = [np.zeros(rng.integers(2, 16), np.int64)]
    for word in sentence.split():
        for phoneme, seconds in said[word][accent]:
            count = max(1, round(seconds * pace * rng.uniform(0.7, 1.3) * 50))
            parts.append(np.full(count, phoneme, np.int64))
        if rng.random() < 0.3:
            parts.append(np.zeros(rng.integers(1, 10), np.int64))
    parts.append(np.zeros(rng.integers(2, 16), np.int64))
    return np.concatenate(parts)


def _pool(frames_T: NDArray[np.int64], rate: int, phonemes: nn.Embedding) -> Tensor:
    """Average ``rate`` frames into one token ``(T // rate, D)``, at unit scale as projectors give it."""
    usable = torch.from_numpy(frames_T[: len(frames_T) // rate * rate])
    pooled_TD = phonemes(usable).unflatten(0, (-1, rate)).mean(dim=1)
    return nn.functional.layer_norm(pooled_TD, pooled_TD.shape[-1:])


def _look_alikes() -> NDArray[np.float64]:
    """Return ``(P, P)``: how probable each phoneme looks, given the one spoken."""
    shape_PS = np.array([tuple(vars(mouth_shapes(phoneme)[0]).values()) for phoneme in PHONEMES])
    distance_PP = np.linalg.norm(shape_PS[:, None] - shape_PS[None], axis=-1)
    alike_PP = np.exp(-((distance_PP / 0.15) ** 2))
    likely: NDArray[np.float64] = alike_PP / alike_PP.sum(axis=1, keepdims=True)
    return likely

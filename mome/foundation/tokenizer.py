"""The small tokenizer: byte-pair encoding over lower-case English, so that any word can be written."""

from __future__ import annotations

import random

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from mome.foundation.words import draw_sentence
from mome.model.tokens import PROMPTS, SPECIAL_TOKENS
from mome.speech.text import EMBEDDED_ALPHABET

__all__ = ["new_tokenizer"]

_VOCABULARY_SIZE = 640


def new_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on drawn sentences; frequent words become one token, others a few."""
    rng = random.Random(f"{seed}-tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY_SIZE,
        special_tokens=["<s>", "</s>", *SPECIAL_TOKENS],
        initial_alphabet=sorted({*EMBEDDED_ALPHABET.strip(), "."}),
        show_progress=False,
    )
    sentences = [draw_sentence(rng) for _ in range(5000)]
    tokenizer.train_from_iterator([*sentences, *list(PROMPTS.values()) * 50], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",  # noqa: S106  # a mark in text, no password
        eos_token="</s>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
    )

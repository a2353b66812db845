"""Makes the foundation: an audio encoder, a video encoder and a language model, then frozen for good."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mome.config import FoundationParams
from mome.foundation.encoders import new_audio_encoder, new_video_encoder, teach_audio, teach_video
from mome.foundation.language import new_language_model, pronounce_words, teach_language
from mome.foundation.lessons import make_lessons
from mome.foundation.tokenizer import new_tokenizer
from mome.model.tokens import TextTokens
from mome.storage import new_folder, write_text

__all__ = ["run"]


def run(params: FoundationParams, output: Path) -> None:
    """Teach the three models and save each as transformers does.

    It depends on no corpus: the lessons are synthetic, spoken by the training speakers only.

    Args:
        params: Section ``foundation``.
        output: Folder to write ``audio/``, ``video/``, ``llm/`` and ``foundation.json`` to.
    """
    torch.set_num_threads(params.threads)
    tokenizer = new_tokenizer(params.seed)
    lessons = make_lessons(params.utterances, params.seed)
    said = pronounce_words()

    torch.manual_seed(params.seed)
    audio, whisper, extractor = new_audio_encoder()
    video = new_video_encoder()
    llm = new_language_model(tokenizer)
    tokens, seed, precision = TextTokens(tokenizer), params.seed, params.precision
    taught = {
        "audio_frame_accuracy": teach_audio(
            audio, lessons, steps=params.audio_steps, seed=seed, precision=precision
        ),
        "video_frame_accuracy": teach_video(
            video, lessons, steps=params.video_steps, seed=seed, precision=precision
        ),
        "language_loss": teach_language(
            llm, tokens, said, steps=params.language_steps, seed=seed, precision=precision
        ),
    }
    with new_folder(output) as folder:
        whisper.save_pretrained(folder / "audio")
        extractor.save_pretrained(folder / "audio")
        video.avhubert.save_pretrained(folder / "video")
        llm.save_pretrained(folder / "llm")
        tokenizer.save_pretrained(folder / "llm")
        about = {"taught": taught, "params": params.model_dump(mode="json")}
        write_text(folder / "foundation.json", json.dumps(about, indent=2) + "\n")

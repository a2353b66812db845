"""Makes the foundation: an audio encoder, a video encoder and an LLM, taught here or taken from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mome.config import EMBEDDED, FoundationParams
from mome.foundation.encoders import new_audio_encoder, new_video_encoder, teach_audio, teach_video
from mome.foundation.language import new_language_model, pronounce_words, teach_language
from mome.foundation.lessons import make_lessons
from mome.foundation.pretrained import take_audio, take_llm, take_video
from mome.foundation.side_by_side import Teaching, teach_side_by_side
from mome.foundation.tokenizer import new_tokenizer
from mome.machine.memory import memory_watched
from mome.machine.processor import begin, number_of_threads
from mome.machine.stopping import stoppable
from mome.model.tokens import TextTokens
from mome.storage import new_folder, write_text

__all__ = ["run"]


def run(params: FoundationParams, output: Path) -> None:
    """Teach the models that are embedded, take the others, and save each as transformers does.

    It depends on no corpus: the lessons are synthetic, spoken by the training speakers only.

    Args:
        params: Section ``foundation``.
        output: Folder to write ``audio/``, ``video/``, ``llm/`` and ``foundation.json`` to.

    Raises:
        CheckpointError: If a model that is to be taken is not there or not in safetensors.
        ConfigError: If a hub name comes without a revision.
        Stopped: If a signal asks to stop.
    """
    params = begin(params, "build_foundation")
    with stoppable(), memory_watched("build_foundation", _smaller(params)), new_folder(output) as folder:
        # What is taken comes first: a wrong name is known in seconds, not after minutes of teaching.
        if params.audio != EMBEDDED:
            take_audio(params.audio, folder / "audio")
        if params.video != EMBEDDED:
            take_video(params.video, folder / "video")
        if params.llm != EMBEDDED:
            take_llm(params.llm, folder / "llm", params.seed)
        about = {"taught": _teach(params, folder), "params": params.model_dump(mode="json")}
        write_text(folder / "foundation.json", json.dumps(about, indent=2) + "\n")


def _smaller(params: FoundationParams) -> str:
    """Return what makes this need less memory, as a clause."""
    if EMBEDDED in (params.audio, params.video):
        return f"lower foundation.utterances (now {params.utterances})"
    return "take a smaller foundation.llm"


def _teach(params: FoundationParams, folder: Path) -> dict[str, float]:
    """Teach and save what is embedded; returns how well it was learnt."""
    seed, precision = params.seed, params.precision
    lessons = make_lessons(params.utterances, seed) if EMBEDDED in (params.audio, params.video) else []
    tokenizer = new_tokenizer(seed)
    # All are drawn before one is taught, so that none depends on how long another one took.
    torch.manual_seed(seed)
    audio, whisper, extractor = new_audio_encoder()
    video = new_video_encoder()
    llm = new_language_model(tokenizer)
    teachings: dict[str, Teaching] = {}
    steps = 0
    if params.audio == EMBEDDED:
        teachings["audio_frame_accuracy"] = teach_audio(
            audio, lessons, steps=params.audio_steps, seed=seed, precision=precision
        )
        steps += params.audio_steps
    if params.llm == EMBEDDED:
        teachings["language_loss"] = teach_language(
            llm,
            TextTokens(tokenizer),
            pronounce_words(),
            steps=params.language_steps,
            seed=seed,
            precision=precision,
        )
        steps += params.language_steps
    if params.video == EMBEDDED:
        teachings["video_frame_accuracy"] = teach_video(
            video, lessons, steps=params.video_steps, seed=seed, precision=precision
        )
        steps += params.video_steps
    taught = teach_side_by_side(teachings, steps=steps, threads=number_of_threads(params.threads))
    if params.audio == EMBEDDED:
        whisper.save_pretrained(folder / "audio")
        extractor.save_pretrained(folder / "audio")
    if params.video == EMBEDDED:
        video.avhubert.save_pretrained(folder / "video")
    if params.llm == EMBEDDED:
        llm.save_pretrained(folder / "llm")
        tokenizer.save_pretrained(folder / "llm")
    return taught

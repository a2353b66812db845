"""One Matryoshka training step over four pairs, from the published recipe to this project's in four moves."""

# Shape letters: B clips, T frames, C encoder width.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mome.benchmark.equality import check_equal
from mome.benchmark.loop import ExpertLoops
from mome.benchmark.models import embedded, llama_1b, published_encoders, random_clip, recogniser
from mome.benchmark.options import Options
from mome.benchmark.reference import hear_padded, read
from mome.benchmark.rows import Row, Target, not_measured
from mome.benchmark.timing import row, time_in_turn
from mome.config import TrainParams
from mome.model.avsr import Features, Task
from mome.model.recogniser import Recogniser
from mome.speech.media import Clip
from mome.training.step import backward_tasks

__all__ = ["Lesson", "Recipe", "Trainer", "measure_training", "random_lesson"]

_CLIP_FRAMES = 75  # 3 s at 25 fps, the length of every clip of GRID
_TEXT_TOKENS = 8
_BIG_CLIPS = 4
_TOLERANCE = 1e-5
_STEP_ON_CPU, _STEP_ON_GPU, _LANGUAGE = Target(low=4), Target(low=3), Target(low=2)


@dataclass(frozen=True)
class Recipe:
    """What a training step does as published; what is False is done this project's way.

    Args:
        loop_experts: A Python loop over experts, or two dense products.
        pass_per_scale: One pass of the LLM per scale, or scales together.
        encode_video: In every step, or once before the first.
        pad_audio: To all of Whisper's positions, or to the clips' own length.
    """

    loop_experts: bool = True
    pass_per_scale: bool = True
    encode_video: bool = True
    pad_audio: bool = True


_PUBLISHED = Recipe()
_OURS = Recipe(loop_experts=False, pass_per_scale=False, encode_video=False, pad_audio=False)
# From the published recipe to ours, one move after the other.
_MOVES = {
    "dense experts": {"loop_experts": False},
    "scales together, logits of texts only": {"pass_per_scale": False},
    "lips encoded once, before training": {"encode_video": False},
    "sound not padded": {"pad_audio": False},
}


@dataclass(frozen=True)
class Lesson:
    """Clips of one length with texts of one length, so that no recipe pads in the LLM.

    Args:
        clips: With sound and mouth.
        lips: Features ``(T, C)`` of the mouths, as training finds them in its cache.
        texts: Tokens, without the end.
    """

    clips: Sequence[Clip]
    lips: Sequence[Tensor]
    texts: Sequence[Sequence[int]]


class Trainer:
    """Runs one training step by any recipe, on the same weights.

    Noise and masks, alike on both sides, are left out; the encoders are frozen, as in the papers.

    Args:
        recogniser: With experts.
        params: Section ``train``.
    """

    def __init__(self, recogniser: Recogniser, params: TrainParams) -> None:
        self._recogniser = recogniser
        self._params = params.model_copy(update={"precision": "float32"})
        self._loops = ExpertLoops(recogniser.model.llm)

    def step(self, lesson: Lesson, recipe: Recipe) -> Tensor:
        """Encode, read at every scale, leave the gradients behind; returns the loss."""
        return self.read(self.encode(lesson, recipe), lesson.texts, recipe)

    @torch.no_grad()
    def encode(self, lesson: Lesson, recipe: Recipe) -> list[Features]:
        """Do the encoders' part of a step."""
        encoders = self._recogniser.encoders
        waveforms = [clip.samples for clip in lesson.clips if clip.samples is not None]
        mouths = [clip.mouth for clip in lesson.clips if clip.mouth is not None]
        sound = hear_padded(encoders.audio, waveforms) if recipe.pad_audio else encoders.hear(waveforms)
        lips = encoders.see(mouths) if recipe.encode_video else lesson.lips
        return [Features(heard, seen) for heard, seen in zip(sound, lips, strict=True)]

    def read(self, features: Sequence[Features], texts: Sequence[Sequence[int]], recipe: Recipe) -> Tensor:
        """Do the LLM's part of a step."""
        model = self._recogniser.model
        model.zero_grad(set_to_none=True)
        self._loops.zero_grad()
        with self._loops.installed() if recipe.loop_experts else nullcontext():
            if recipe.pass_per_scale:
                passes = [read(model, features, scale, texts) for scale in model.scales]
                language, balance = (torch.stack(each).mean() for each in zip(*passes, strict=True))
                (language + self._params.load_balancing_weight * balance).backward()
                return language.detach()
            tasks = [
                Task(each, scale, text)
                for each, text in zip(features, texts, strict=True)
                for scale in model.scales
            ]
            return backward_tasks(model, tasks, self._params).language

    def gradients(self, recipe: Recipe) -> dict[str, Tensor]:
        """Return the gradients that a step by this recipe has left, under the names of the model."""
        found = {
            name: parameter.grad
            for name, parameter in self._recogniser.model.trained_parameters().items()
            if parameter.grad is not None
        }
        if recipe.loop_experts:
            found |= {f"llm.{name}": gradient for name, gradient in self._loops.gradients().items()}
        return found


def random_lesson(recogniser: Recogniser, num_clips: int, num_frames: int, seed: int) -> Lesson:
    """Return clips of ``num_frames`` video frames, with random content and text."""
    rng = np.random.default_rng(seed)
    clips = [random_clip(num_frames, rng) for _ in range(num_clips)]
    with torch.no_grad():
        lips = recogniser.encoders.see([clip.mouth for clip in clips if clip.mouth is not None])
    vocabulary = recogniser.model.llm.config.vocab_size
    first = max(recogniser.model.tokens.delimiter_ids) + 1
    return Lesson(clips, lips, rng.integers(first, vocabulary, size=(num_clips, _TEXT_TOKENS)).tolist())


def measure_training(options: Options) -> Iterator[Row]:
    """Yield the lines of the training step, in float32."""
    big = "training step, Whisper-medium + AV-HuBERT Large + Llama-3.2-1B shapes"
    if options.on_gpu:
        model = recogniser(published_encoders(options), llama_1b(options, torch.float32), options)
        num_clips = 1 if options.quick else _BIG_CLIPS
        yield from _measure(big, model, num_clips, _STEP_ON_GPU, options)
        return
    clips = options.train.batch_size // len(options.train.scales)
    for num_clips in (1,) if options.quick else (1, clips):
        name = f"training step, embedded size, {num_clips} clip" + "s" * (num_clips > 1)
        yield from _measure(name, embedded(options), num_clips, _STEP_ON_CPU, options)
    yield not_measured(f"{big}, on a GPU", _STEP_ON_GPU, "needs a GPU")


def _measure(
    name: str, recogniser: Recogniser, num_clips: int, target: Target, options: Options
) -> Iterator[Row]:
    num_frames = _CLIP_FRAMES // 3 if options.quick else _CLIP_FRAMES
    lesson = random_lesson(recogniser, num_clips, num_frames, seed=2)
    trainer = Trainer(recogniser, options.train)
    recipes = {"published": _PUBLISHED}
    for move, changed in _MOVES.items():
        recipes[move] = replace(list(recipes.values())[-1], **changed)
    for recipe in recipes.values():
        _check(name, trainer, lesson, recipe)

    features = trainer.encode(lesson, _OURS)
    steps = {move: partial(trainer.step, lesson, recipe) for move, recipe in recipes.items()}
    reads = {
        "read, published": partial(trainer.read, features, lesson.texts, _PUBLISHED),
        "read, ours": partial(trainer.read, features, lesson.texts, _OURS),
    }
    times = time_in_turn({**steps, **reads}, name, repetitions=options.repetitions, device=options.device)
    published, *_, ours = steps
    yield row(name, times, published, ours, target, "the four factors below multiply to this one")
    for before, move in pairwise(steps):
        yield row(f"... {move}", times, before, move)
    yield row(f"{name}, LLM alone", times, "read, published", "read, ours", _LANGUAGE)


def _check(name: str, trainer: Trainer, lesson: Lesson, recipe: Recipe) -> None:
    expected = _results(trainer, lesson, _PUBLISHED)
    check_equal(name, _results(trainer, lesson, recipe), expected, _TOLERANCE)


def _results(trainer: Trainer, lesson: Lesson, recipe: Recipe) -> dict[str, Tensor]:
    loss = trainer.step(lesson, recipe)
    return {"loss": loss.cpu(), **trainer.gradients(recipe)}

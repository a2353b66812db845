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
from mome.model.precision import mixed_precision
from mome.model.recogniser import Recogniser
from mome.speech.media import Clip
from mome.training.step import backward_tasks

__all__ = ["Lesson", "Recipe", "Trainer", "measure_training", "random_lesson"]

_CLIP_FRAMES = 75  # 3 s at 25 fps, the length of every clip of GRID
_TEXT_TOKENS = 8
_BIG_CLIPS = 4
_TOLERANCE, _TOLERANCE_ON_GPU = 1e-5, 1e-4  # a GPU adds in an order that changes from run to run
_OF_A_LOSS = 0.02  # in bfloat16
_STEP, _LANGUAGE = Target(low=4), Target(low=2)


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
        params: Section ``train``, whose precision is that of both sides.
    """

    def __init__(self, recogniser: Recogniser, params: TrainParams) -> None:
        self._recogniser = recogniser
        self._params = params
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
        with mixed_precision(self._params.device, self._params.precision):
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
                with mixed_precision(self._params.device, self._params.precision):
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
    """Yield the lines of the training step, in float32, and on a GPU in bfloat16 too."""
    big = "training step, Whisper-medium + AV-HuBERT Large + Llama-3.2-1B shapes"
    if options.on_gpu:
        yield from _measure_on_gpu(big, options)
        return
    clips = options.train.batch_size // len(options.train.scales)
    for num_clips in (1,) if options.quick else (1, clips):
        name = f"training step, embedded size, {num_clips} clip" + "s" * (num_clips > 1)
        model = embedded(options)
        trainer = Trainer(model, options.train)
        lesson = _lesson(model, num_clips, options)
        _check_all(name, trainer, lesson, _TOLERANCE)
        yield from _measure(name, trainer, lesson, options)
    yield not_measured(f"{big}, on a GPU", _STEP, "needs a GPU")


def _measure_on_gpu(name: str, options: Options) -> Iterator[Row]:
    model = recogniser(published_encoders(options), llama_1b(options, torch.float32), options)
    lesson = _lesson(model, 1 if options.quick else _BIG_CLIPS, options)
    trainer = Trainer(model, options.train)
    # cuDNN would leave out digits of float32, and which ones depends on the lengths.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        _check_all(name, trainer, lesson, _TOLERANCE_ON_GPU)
        yield from _measure(f"{name}, float32", trainer, lesson, options)
    # As a GPU trains (`mome.training.checkpoint`): frozen weights with fewer digits, mixed precision.
    for parameter in model.model.llm.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    trainer = Trainer(model, options.train.model_copy(update={"precision": "bfloat16"}))
    expected = {"loss": trainer.step(lesson, _PUBLISHED)}
    for recipe in _recipes().values():
        check_equal(name, {"loss": trainer.step(lesson, recipe)}, expected, _OF_A_LOSS)
    yield from _measure(f"{name}, bfloat16", trainer, lesson, options, _memory(trainer, lesson, options))


def _memory(trainer: Trainer, lesson: Lesson, options: Options) -> str:
    if torch.device(options.device).type != "cuda":
        return ""
    peaks = []
    for recipe in (_PUBLISHED, _OURS):
        torch.cuda.reset_peak_memory_stats()
        trainer.step(lesson, recipe)
        peaks.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    return f"at most {peaks[0]} of memory as published, {peaks[1]} ours"


def _lesson(model: Recogniser, num_clips: int, options: Options) -> Lesson:
    return random_lesson(model, num_clips, _CLIP_FRAMES // 3 if options.quick else _CLIP_FRAMES, seed=2)


def _recipes() -> dict[str, Recipe]:
    """Return the recipes from the published one to ours, by what each of them changed."""
    recipes = {"published": _PUBLISHED}
    for move, changed in _MOVES.items():
        recipes[move] = replace(list(recipes.values())[-1], **changed)
    return recipes


def _measure(name: str, trainer: Trainer, lesson: Lesson, options: Options, note: str = "") -> Iterator[Row]:
    features = trainer.encode(lesson, _OURS)
    steps = {move: partial(trainer.step, lesson, recipe) for move, recipe in _recipes().items()}
    reads = {
        "read, published": partial(trainer.read, features, lesson.texts, _PUBLISHED),
        "read, ours": partial(trainer.read, features, lesson.texts, _OURS),
    }
    times = time_in_turn({**steps, **reads}, name, repetitions=options.repetitions, device=options.device)
    published, *_, ours = steps
    factors = "the four factors below multiply to this one"
    yield row(name, times, published, ours, _STEP, f"{factors}; {note}" if note else factors)
    for before, move in pairwise(steps):
        yield row(f"... {move}", times, before, move)
    yield row(f"{name}, LLM alone", times, "read, published", "read, ours", _LANGUAGE)


def _check_all(name: str, trainer: Trainer, lesson: Lesson, tolerance: float) -> None:
    for recipe in _recipes().values():
        expected = _results(trainer, lesson, _PUBLISHED)
        check_equal(name, _results(trainer, lesson, recipe), expected, tolerance)


def _results(trainer: Trainer, lesson: Lesson, recipe: Recipe) -> dict[str, Tensor]:
    loss = trainer.step(lesson, recipe)
    return {"loss": loss.cpu(), **trainer.gradients(recipe)}

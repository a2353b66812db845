"""The reference training step against ours, move by move."""

from dataclasses import replace

import pytest
import torch

from mome.benchmark.equality import ResultsDifferError, check_equal
from mome.benchmark.models import embedded
from mome.benchmark.options import Options
from mome.benchmark.training import Lesson, Recipe, Trainer, random_lesson
from mome.model.recogniser import Recogniser

PUBLISHED = Recipe()
OURS = Recipe(loop_experts=False, pass_per_scale=False, encode_video=False, pad_audio=False)


@pytest.fixture(scope="module")
def recogniser(options: Options) -> Recogniser:
    return embedded(options)


@pytest.fixture(scope="module")
def lesson(recogniser: Recogniser) -> Lesson:
    return random_lesson(recogniser, num_clips=2, num_frames=30, seed=0)


def test_loss_and_gradients_of_every_recipe_are_the_same(
    recogniser: Recogniser, lesson: Lesson, options: Options
) -> None:
    trainer = Trainer(recogniser, options.train)
    expected = trainer.step(lesson, PUBLISHED)
    gradients = trainer.gradients(PUBLISHED)
    trained = recogniser.model.trained_parameters()
    assert set(gradients) == set(trained)
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients.values())
    for recipe in (OURS, replace(PUBLISHED, loop_experts=False), replace(OURS, pad_audio=True)):
        found = trainer.step(lesson, recipe)
        torch.testing.assert_close(found, expected, atol=0, rtol=1e-5)
        check_equal("step", trainer.gradients(recipe), gradients, 1e-5)


def test_other_texts_give_other_gradients(recogniser: Recogniser, lesson: Lesson, options: Options) -> None:
    trainer = Trainer(recogniser, options.train)
    trainer.step(lesson, PUBLISHED)
    expected = trainer.gradients(PUBLISHED)
    trainer.step(replace(lesson, texts=lesson.texts[::-1]), OURS)
    with pytest.raises(ResultsDifferError, match=r"differs from the reference recipe by .* was expected"):
        check_equal("step", trainer.gradients(OURS), expected, 1e-5)


def test_the_published_step_does_not_read_the_cache(
    recogniser: Recogniser, lesson: Lesson, options: Options
) -> None:
    trainer = Trainer(recogniser, options.train)
    spoilt = replace(lesson, lips=[torch.zeros_like(each) for each in lesson.lips])
    published = trainer.step(spoilt, PUBLISHED)
    torch.testing.assert_close(published, trainer.step(lesson, PUBLISHED), atol=0, rtol=0)
    assert not torch.allclose(trainer.step(spoilt, OURS), published, rtol=1e-4)

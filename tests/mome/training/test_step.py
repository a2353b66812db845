"""What the LLM reads at once: as much as fits, and the same gradients whatever fits."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from mome.config import TrainParams
from mome.model.avsr import AVSRModel, Features, Task
from mome.training.checkpoint import new_recogniser
from mome.training.step import backward_tasks, passes_of, read_as, tasks_of


@pytest.fixture(scope="module")
def params(train_params: TrainParams) -> TrainParams:
    # Balance is the product of two means over a pass, so its part does depend on what is read together.
    return train_params.model_copy(update={"precision": "float32", "load_balancing_weight": 0.0})


@pytest.fixture(scope="module")
def model(foundation: Path, params: TrainParams) -> AVSRModel:
    return new_recogniser(foundation, params).model


@pytest.fixture(scope="module")
def tasks(model: AVSRModel, params: TrainParams) -> list[Task]:
    torch.manual_seed(0)
    audio, video = (
        each[str(rate)] for each, rate in ((model.audio_projectors, 4), (model.video_projectors, 2))
    )
    widths = [next(each.parameters()).shape[-1] for each in (audio, video)]
    clips = [
        Features(torch.randn(2 * frames, widths[0]), torch.randn(frames, widths[1]))
        for frames in (40, 62, 25)
    ]
    text = model.tokens.encode("bin blue")
    return [task for each in clips for task in tasks_of(each, model.scales, text, params.task_weights)]


def padded(model: AVSRModel, part: Sequence[Task]) -> int:
    """Return the positions that the LLM reads in one pass of all these."""
    seen: list[int] = []
    first = model.llm.get_base_model().model.layers[0]
    handle = first.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:2].numel()))
    with torch.no_grad():
        model(part)
    handle.remove()
    return sum(seen)


def test_a_step_that_fits_is_read_in_two_passes(
    model: AVSRModel, tasks: list[Task], params: TrainParams
) -> None:
    passes = passes_of(model, tasks, params.pass_tokens)
    assert len(passes) == 2
    assert Counter(map(id, (task for part in passes for task in part))) == Counter(map(id, tasks))


def test_no_pass_reads_more_than_it_may_unless_one_row_does(model: AVSRModel, tasks: list[Task]) -> None:
    limit, delimiters = 250, 5 * 3
    passes = passes_of(model, tasks, limit)
    assert len(passes) > 2
    assert Counter(map(id, (task for part in passes for task in part))) == Counter(map(id, tasks))
    for part in passes:
        (rows,) = model.rows(part)
        assert padded(model, part) <= limit + delimiters * len(rows)
    assert len(passes_of(model, tasks, 1)) == sum(map(len, model.rows(tasks))), "a row each"


def test_gradients_do_not_depend_on_what_is_read_at_once(
    model: AVSRModel, tasks: list[Task], params: TrainParams
) -> None:
    found = []
    for pass_tokens in (params.pass_tokens, 250, 1):
        losses = backward_tasks(model, tasks, params.model_copy(update={"pass_tokens": pass_tokens}))
        trained = model.trained_parameters()
        found.append((losses.language, {name: p.grad for name, p in trained.items() if p.grad is not None}))
        model.zero_grad(set_to_none=True)
    (loss, gradients), *others = found
    for other_loss, others_gradients in others:
        torch.testing.assert_close(other_loss, loss, atol=1e-6, rtol=1e-6)
        assert others_gradients.keys() == gradients.keys()
        for name, expected in gradients.items():
            atol = 1e-5 * expected.abs().max().item()
            torch.testing.assert_close(others_gradients[name], expected, atol=atol, rtol=1e-4)


def test_an_utterance_beside_a_voice_leaves_sound_alone_to_it(model: AVSRModel, params: TrainParams) -> None:
    whole, heard = Features(torch.randn(80, 4), torch.randn(40, 4)), Features(torch.randn(64, 4), None)
    texts = ["bin blue", "set red", "lay green"]

    read = read_as(
        model, texts, [whole, whole, heard], model.scales, params, [None, {"av", "video"}, {"audio"}]
    )

    said = {tuple(model.tokens.encode(text)): text for text in texts}
    counts = Counter((said[tuple(task.text or ())], task.features.modality) for task in read)
    # Two rates each of sound and of lips, and four scales of both.
    assert counts == {
        ("bin blue", "av"): 4,
        ("bin blue", "audio"): 2,
        ("bin blue", "video"): 2,
        ("set red", "av"): 4,
        ("set red", "video"): 2,
        ("lay green", "audio"): 2,
    }

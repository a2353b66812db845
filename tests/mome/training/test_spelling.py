"""What an encoder's features cost that have to spell a text and to name what is said in each frame."""

import itertools
import math

import pytest
import torch

from mome.config import TrainParams
from mome.training.spelling import Spelling
from mome.training.spoken import Spoken

_TRANSCRIPTS = ["ab", "a"]  # written with blank, a and b
_UNKNOWN = torch.empty(0, dtype=torch.long)


def spelling(params: TrainParams, spoken: Spoken | None = None) -> Spelling:
    return Spelling(5, _TRANSCRIPTS, spoken, params)


def written(path: tuple[int, ...]) -> list[int]:
    """Return what a path of CTC writes: repetitions once, blanks not at all."""
    return [each for each, _ in itertools.groupby(path) if each]


def plain_ctc(logits_TK: torch.Tensor, text: list[int]) -> float:
    """Return the loss by adding the probabilities of all paths that write a text."""
    probabilities = logits_TK.softmax(-1).tolist()
    total = sum(
        math.prod(row[each] for row, each in zip(probabilities, path, strict=True))
        for path in itertools.product(range(logits_TK.shape[1]), repeat=len(logits_TK))
        if written(path) == text
    )
    return -math.log(total)


def test_spelling_costs_what_all_paths_that_write_the_text_leave(train_params: TrainParams) -> None:
    lesson = spelling(train_params)
    features = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    found = lesson.loss(features, [4, 3], [0, 1], [_UNKNOWN, _UNKNOWN])
    logits = lesson.speller(features)
    # As torch averages: each by the length of its text.
    expected = (plain_ctc(logits[0], [1, 2]) / 2 + plain_ctc(logits[1, :3], [1]) / 1) / 2
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_a_clip_that_is_too_short_for_its_text_costs_nothing(train_params: TrainParams) -> None:
    features = torch.randn(1, 1, 5)
    assert spelling(train_params).loss(features, [1], [0], [_UNKNOWN]).item() == 0


def test_naming_costs_what_the_known_frames_cost(train_params: TrainParams) -> None:
    spoken = Spoken([0], "ab", [torch.tensor([0, 1, 2]).numpy()], [])
    lesson = spelling(train_params, spoken)
    features = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))
    lengths, indices = [4, 3], [0, 1]
    spelt = lesson.loss(features, lengths, indices, [_UNKNOWN, _UNKNOWN])
    found = lesson.loss(features, lengths, indices, [torch.tensor([0, 1, 2]), _UNKNOWN]) - spelt
    rows = lesson.namer(features)[0].log_softmax(-1).tolist()
    assert found.item() == pytest.approx(-(rows[0][0] + rows[1][1] + rows[2][2]) / 3, abs=1e-5)

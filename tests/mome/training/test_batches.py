"""What a step reads: every utterance once an epoch, dealt so that no process waits long for another."""

from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest

from mome.training.batches import batches, deal

LENGTHS = np.random.default_rng(0).integers(20, 400, 97).tolist()


@pytest.mark.parametrize("frames", [0, 1500])
def test_every_utterance_is_read_once_in_every_epoch(frames: int) -> None:
    read = [index for batch in islice(batches(LENGTHS, 10, frames, seed=3), 100) for index in batch]
    epochs = [read[start : start + 97] for start in range(0, len(read) - 97, 97)]
    assert len(epochs) >= 4
    assert all(sorted(epoch) == list(range(97)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs), "each in an order of its own"


def test_a_step_holds_so_many_utterances_or_so_many_frames() -> None:
    assert {len(batch) for batch in islice(batches(LENGTHS, 10, 0, seed=3), 50)} == {10}
    filled = list(islice(batches(LENGTHS, 10, 1500, seed=3), 200))
    for batch, following in pairwise(filled):
        frames = sum(LENGTHS[index] for index in batch)
        assert frames <= 1500 < frames + LENGTHS[following[0]], "the next one would still have fitted"


def test_a_step_that_fits_nothing_holds_one_utterance() -> None:
    assert [len(batch) for batch in islice(batches([30, 75], 7, 10, seed=0), 5)] == [1] * 5


def test_a_step_may_hold_more_utterances_than_there_are() -> None:
    counts = [Counter(batch) for batch in islice(batches([9, 9, 9], 7, 0, seed=0), 20)]
    assert all(set(count.values()) <= {1, 2, 3, 4} and count.total() == 7 for count in counts)


def test_batches_follow_from_the_seed() -> None:
    first, again, other = (list(islice(batches(LENGTHS, 10, 0, seed), 9)) for seed in (3, 3, 4))
    assert first == again != other


def test_processes_get_everything_once_and_about_equally_long() -> None:
    uneven, worst = [], []
    for batch in islice(batches(LENGTHS, 0, 12_000, seed=5), 20):
        lengths = [LENGTHS[index] for index in batch]
        dealt = deal(lengths, 8)
        assert sorted(place for places in dealt for place in places) == list(range(len(batch)))
        assert all(places == sorted(places) for places in dealt)
        sums = [sum(lengths[place] for place in places) for places in dealt]
        uneven.append(max(sums) / (sum(sums) / 8))
        worst.append(max(sum(lengths[rank::8]) for rank in range(8)) / (sum(lengths) / 8))
    assert max(uneven) < 1.05 < np.mean(worst)


def test_one_process_takes_everything_and_nobody_goes_empty() -> None:
    assert deal([5, 1, 9], 1) == [[0, 1, 2]]
    assert all(len(places) == 1 for places in deal([400, 1, 9], 3))
    assert [len(places) for places in deal([3], 2)] == [1, 0]

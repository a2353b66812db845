"""The papers' augmentation of recordings, against plain counts and a simulation of their rule."""

import random

import numpy as np
import pytest

from mome.training.recordings import cut_lips, mask_lips, mask_sound, vary_lips


def stretches(is_masked: np.ndarray) -> list[int]:
    """Return the lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_masked.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_lips_are_cut_from_one_place_that_is_anywhere() -> None:
    # A pixel's value is its row in one clip, and its column in the other.
    places = np.arange(96, dtype=np.uint8)
    rows = np.broadcast_to(places[:, None], (7, 96, 96))
    columns = np.broadcast_to(places, (7, 96, 96))
    drawn = []
    for seed in range(300):
        cut_rows = cut_lips(rows, 88, np.random.default_rng(seed))
        cut_columns = cut_lips(columns, 88, np.random.default_rng(seed))
        top, left = int(cut_rows[0, 0, 0]), int(cut_columns[0, 0, 0])
        np.testing.assert_array_equal(cut_rows, rows[:, top : top + 88, left : left + 88])
        np.testing.assert_array_equal(cut_columns, columns[:, top : top + 88, left : left + 88])
        drawn.append((top, left))
    assert {top for top, _ in drawn} == {left for _, left in drawn} == set(range(9))
    assert len(set(drawn)) > 70, "of 81 places"


def test_a_whole_frame_is_cut_out_of_itself() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 88, 88), dtype=np.uint8)
    np.testing.assert_array_equal(cut_lips(frames, 88, np.random.default_rng(0)), frames)


def test_masks_are_black_frames_one_for_every_begun_second() -> None:
    frames = np.full((60, 4, 4), 200, np.uint8)
    counts, sums, lone = [], [], []
    for seed in range(400):
        masked = mask_lips(frames, np.random.default_rng(seed))
        black = (masked == 0).all(axis=(1, 2))
        assert (masked[~black] == 200).all()
        found = stretches(black)
        counts.append(len(found))
        sums.append(black.sum())
        lone += found if len(found) == 3 else []  # none of them touch
    assert max(counts) == 3, "60 frames are three begun seconds"
    assert max(sums) <= 3 * 9
    assert max(lone) == 9
    assert (frames == 200).all(), "the original was changed"


@pytest.mark.parametrize("num_frames", [8, 30, 75])
def test_as_much_is_masked_as_the_published_rule_masks(num_frames: int) -> None:
    rng, dice = np.random.default_rng(0), random.Random(0)
    ones = np.ones((num_frames, 1, 1), np.uint8)
    found = np.mean([1 - mask_lips(ones, rng).mean() for _ in range(3000)])
    expected = []
    for _ in range(3000):
        visible = [1] * num_frames
        for _ in range(-(-num_frames // 25)):
            spare, length = dice.randrange(10), dice.randrange(10)
            if 0 < spare < num_frames:
                start = dice.randrange(num_frames - spare)
                visible[start : start + length] = [0] * len(visible[start : start + length])
        expected.append(1 - sum(visible) / num_frames)
    assert found == pytest.approx(np.mean(expected), rel=0.06)


def test_sound_is_masked_for_less_than_0_4_s_at_a_time() -> None:
    samples = np.ones(16_000, np.float32)
    lengths = [
        length
        for seed in range(300)
        for length in stretches(mask_sound(samples, np.random.default_rng(seed)) == 0)
    ]
    assert 6200 < max(lengths) <= 6399


def test_sound_that_a_mask_would_silence_altogether_stays() -> None:
    samples = np.ones(40, np.float32)
    for seed in range(200):
        assert mask_sound(samples, np.random.default_rng(seed)).any()


def test_varied_lips_are_the_same_lips_elsewhere_in_another_light_but_for_what_is_hidden() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(80, 160, (40, 20, 20)).astype(np.uint8)
    shown, hidden, levels = 0, 0, set()
    for _ in range(30):
        varied = vary_lips(frames, 16, rng)
        assert (varied.shape, varied.dtype) == ((40, 16, 16), np.uint8)
        levels.add(round(float(varied.mean())))
        # By a plain search: where in the original each frame was cut out, mirrored or not.
        for place in range(0, 40, 9):
            if not varied[place].std():
                hidden += 1
                continue
            cuts = [frames[place, top : top + 16, left : left + 16] for top in range(5) for left in range(5)]
            best = max(
                np.corrcoef(each.ravel(), varied[place].ravel())[0, 1]
                for cut in cuts
                for each in (cut, cut[:, ::-1])
            )
            assert best > 0.99
            shown += 1
    assert shown > 90
    assert 0 < hidden < 60
    assert len(levels) > 10

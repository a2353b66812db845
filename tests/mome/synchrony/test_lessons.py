"""A piece is of one clip each, its sound where `late_B` says."""

import numpy as np

from mome.speech.lip_flow import NUM_FLOWS
from mome.speech.synchrony_network import NUM_SOUNDS
from mome.synchrony.lessons import LONGEST, MOST_LATE, SHORTEST, Lesson, draw, lesson


def test_a_lesson_keeps_half_the_size_and_its_sound(flickering) -> None:
    made = flickering(1, 60)
    kept = lesson(made)
    assert kept.mouth.shape == (60, 48, 48)
    assert kept.mouth[7, 3, 5] == int(made.mouth[7, 6:8, 10:12].mean())
    assert kept.sound.shape == (60, NUM_SOUNDS)


def test_pieces_are_of_one_length_and_of_different_clips(flickering) -> None:
    lessons = [lesson(flickering(seed, 80)) for seed in range(3)]
    piece = draw(lessons, 3, np.random.default_rng(1))
    batch, length, flows = piece.flow_BTF.shape
    assert (batch, flows) == (3, NUM_FLOWS)
    assert SHORTEST <= length <= LONGEST
    assert piece.sound_BTM.shape == (3, length, NUM_SOUNDS)
    assert np.isfinite(piece.flow_BTF.numpy()).all()


def test_sound_is_as_late_as_is_said() -> None:
    frames = 50
    told = Lesson(
        np.random.default_rng(1).integers(0, 255, (frames, 48, 48)).astype(np.uint8),
        np.tile(10.0 * np.arange(frames, dtype=np.float32)[:, None], (1, NUM_SOUNDS)),
    )
    for seed in range(8):
        piece = draw([told], 1, np.random.default_rng(seed))
        late, heard = int(piece.late_B[0]), piece.sound_BTM[0].mean(dim=1).numpy() / 10
        assert abs(late) <= MOST_LATE
        middle = len(heard) // 2
        # At the frame that shows moment t one hears moment t - late; pieces begin at their 0 to 10th frame.
        assert -0.5 <= heard[middle] - middle + late <= frames - SHORTEST + 0.5

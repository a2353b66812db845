"""What a clip can be read as, against a table written by hand."""

import pytest

from mome.modalities import distinct_scales, nearest_scale, needed, readings
from mome.records import Modality
from mome.scales import Scale


@pytest.mark.parametrize(
    ("trained", "there", "expected"),
    [
        (["audio", "video", "av"], "av", ("av", "audio", "video")),
        (["video", "audio"], "av", ("audio", "video")),
        (["audio"], "av", ("audio",)),
        (["av", "audio"], "audio", ("audio",)),
        (["av", "audio"], "video", ()),
        (["av"], "audio", ()),
    ],
)
def test_a_clip_is_read_as_what_it_holds_and_what_was_trained(
    trained: list[Modality], there: Modality, expected: tuple[Modality, ...]
) -> None:
    assert readings(trained, there) == expected


def test_what_nothing_reads_is_not_needed() -> None:
    assert [needed(each) for each in (["audio"], ["video"], ["audio", "video"], ["av", "audio"])] == [
        "audio", "video", "av", "av",
    ]  # fmt: skip


def test_scales_that_a_clip_cannot_tell_apart_are_one() -> None:
    fine, long, coarse, short = Scale(4, 2), Scale(4, 5), Scale(16, 2), Scale(16, 5)
    assert distinct_scales([fine, long, coarse, short], "av") == [(fine,), (long,), (coarse,), (short,)]
    assert distinct_scales([fine, long, coarse, short], "audio") == [(fine, long), (coarse, short)]
    assert distinct_scales([short, long, coarse, fine], "video") == [(short, long), (coarse, fine)]


@pytest.mark.parametrize(
    ("scale", "modality", "expected"),
    [
        (Scale(8, 3), "av", Scale(4, 2)),
        (Scale(12, 4), "av", Scale(16, 5)),
        (Scale(4, 9), "audio", Scale(4, 2)),
        (Scale(1, 4), "video", Scale(16, 5)),
        (Scale(4, 5), "av", Scale(4, 2)),  # no pair of the two: what is heard goes before what is seen
        (Scale(16, 5), "audio", Scale(16, 5)),
    ],
)
def test_another_scale_is_read_as_the_nearest_trained_one_in_the_rates_that_count(
    scale: Scale, modality: Modality, expected: Scale
) -> None:
    assert nearest_scale(scale, [Scale(4, 2), Scale(16, 5), Scale(20, 5)], modality) == expected

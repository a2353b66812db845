"""Scales: their text form, their order, and what is refused."""

import pytest

from mome.errors import UnknownScaleError
from mome.scales import Scale, nearest_rate, neighbours


@pytest.mark.parametrize("text", ["a4v2", "a16v5", "a1v1"])
def test_a_scale_survives_its_text_form(text: str) -> None:
    assert str(Scale.parse(text)) == text


@pytest.mark.parametrize("text", ["", "4,2", "a4", "a4v", "av", "a4v2x", "a-1v2", "A4V2", "a0v2"])
def test_what_is_no_scale_is_refused_by_name(text: str) -> None:
    with pytest.raises(UnknownScaleError):
        Scale.parse(text)


def test_tokens_per_second_are_those_of_the_papers() -> None:
    expected = {(4, 2): 25.0, (4, 5): 17.5, (16, 2): 15.625, (16, 5): 8.125}
    assert {rates: Scale(*rates).tokens_per_second for rates in expected} == expected


def test_finer_means_more_tokens() -> None:
    assert Scale(4, 2).is_finer_than(Scale(16, 5))
    assert not Scale(16, 5).is_finer_than(Scale(4, 2))
    assert not Scale(4, 2).is_finer_than(Scale(4, 2))


@pytest.mark.parametrize(
    ("rate", "nearest"), [(1, 4), (4, 4), (5, 4), (7, 4), (8, 4), (9, 16), (12, 16), (16, 16), (99, 16)]
)
def test_the_nearest_rate_is_that_of_the_smaller_ratio_and_of_two_the_finer(rate: int, nearest: int) -> None:
    assert nearest_rate(rate, [16, 4]) == nearest


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (1, {4: 1}),
        (4, {4: 1}),
        (6, {4: 0.70752, 16: 0.29248}),  # log 1.5 of log 4
        (8, {4: 0.5, 16: 0.5}),
        (16, {16: 1}),
        (18, {16: 0.47216, 20: 0.52784}),
        (99, {20: 1}),
    ],
)
def test_a_rate_lies_between_its_neighbours_as_its_logarithm_does(
    rate: int, expected: dict[int, float]
) -> None:
    assert neighbours(rate, [20, 4, 16]) == pytest.approx(expected, abs=1e-5)

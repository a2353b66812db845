"""Items made one ahead: the same ones, in their order, while the one before is in use, and no further."""

import threading
from collections.abc import Iterator

import pytest

from mome.training.prefetch import one_ahead


def test_items_come_in_their_order_and_end() -> None:
    assert list(one_ahead(range(5))) == [0, 1, 2, 3, 4]
    assert list(one_ahead([])) == []
    assert list(one_ahead([None, None])) == [None, None]


def test_the_next_is_made_while_one_is_in_use_and_none_behind_it() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    coming = one_ahead(items())
    assert next(coming) == 0
    assert made[1].wait(30)
    assert not made[2].is_set()
    assert list(coming) == [1, 2]


def test_an_error_is_raised_in_the_turn_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OverflowError("the second")

    coming = one_ahead(items())
    assert next(coming) == 1
    with pytest.raises(OverflowError, match="the second"):
        next(coming)


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    coming = one_ahead(range(1000))
    assert next(coming) == 0
    assert threading.active_count() == before + 1
    coming.close()
    assert threading.active_count() == before

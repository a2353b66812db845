"""What is wanted next, made in a thread of its own while something is done with the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["one_ahead"]

T = TypeVar("T")


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items in their order; making one must not depend on what is done with the one before.

    Whatever goes wrong with an item is raised when its turn has come.

    Args:
        items: Each is made in the thread, one more of them than was asked for.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        coming = thread.submit(_next, iterator)
        while (item := coming.result()) is not None:
            coming = thread.submit(_next, iterator)
            yield item[0]


def _next(iterator: Iterator[T]) -> tuple[T] | None:
    # StopIteration would look like an error of the thread.
    for item in iterator:
        return (item,)
    return None

"""Processes of which there is one for each core compute in one thread, and this one as before."""

import multiprocessing
import os

import numpy as np
import pytest

from mome.machine.threads import ONE_THREAD, one_thread_each


def threads_of_products(_: int) -> list[int]:
    from threadpoolctl import threadpool_info

    np.ones((300, 300)) @ np.ones((300, 300))
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


def threads_of_pictures(_: int) -> int:
    import cv2

    return int(cv2.getNumThreads())


def test_a_process_that_is_started_meanwhile_computes_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with one_thread_each():
        pool = multiprocessing.get_context("spawn").Pool(1)
    with pool:
        (products,) = pool.map(threads_of_products, [0])
        assert products and set(products) == {1}
        assert pool.map(threads_of_pictures, [0]) == [1]


def test_nothing_is_left_of_it_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with pytest.raises(OSError, match="no more processes"), one_thread_each():
        assert {name: os.environ[name] for name in ONE_THREAD} == ONE_THREAD
        raise OSError("no more processes")
    assert dict(os.environ) == before

"""Work in torch's own threads: all of it is done, by no other threads, and its errors arrive."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mome.machine import team
from mome.machine.team import in_team


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["torch's threads", "threads of our own"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "threads of our own":
        monkeypatch.setattr(team, "_openmp", lambda: None)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_number_is_called_once(count: int) -> None:
    called: list[int] = []
    in_team(called.append, count)
    assert sorted(called) == list(range(count))


@pytest.mark.usefixtures("either")
def test_several_are_called_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=30)
    in_team(lambda _: meeting.wait(), 3)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_of_any_of_them_is_raised(failing: int) -> None:
    def fail(number: int) -> None:
        if number == failing:
            raise OverflowError(f"number {number}")

    with pytest.raises(OverflowError, match=f"number {failing}"):
        in_team(fail, 3)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed by Linux alone")
@pytest.mark.skipif(team._openmp() is None, reason="torch carries another OpenMP here")
def test_torch_computes_in_the_same_threads() -> None:
    torch.ones(2_000_000).exp_()  # shared out
    there = {int(each.name) for each in Path("/proc/self/task").iterdir()}
    used: set[int] = set()
    in_team(lambda _: used.add(threading.get_native_id()), 3)
    assert len(used) == 3
    assert used <= there


@pytest.mark.skipif(torch.version.cuda is not None, reason="a build for GPUs may carry another OpenMP")
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed by Linux alone")
def test_the_build_that_is_pinned_carries_it() -> None:
    assert team._openmp() is not None


def test_several_callers_do_not_wait_for_each_other() -> None:
    sums = [0] * 4

    def add(caller: int) -> None:
        lock = threading.Lock()

        def work(number: int) -> None:
            with lock:
                sums[caller] += number

        for _ in range(50):
            in_team(work, 5)

    callers = [threading.Thread(target=add, args=(caller,)) for caller in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(60)
    assert sums == [50 * 10] * 4

"""Before a container is killed for its memory its log says what to do, and no sooner."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mome.errors import ConfigError
from mome.machine.memory import available_bytes, check_memory, memory_watched

GIB = 2**30


class Planted:
    """The files of a control group, in either version of Linux's interface, with 8 GiB allowed."""

    def __init__(self, folder: Path, version: int) -> None:
        self.group = folder
        self.names = ("memory.current", "memory.max", "memory.stat", "file", "shmem")
        if version == 1:
            first = folder / "memory"
            first.mkdir()
            names = ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat")
            self.names = (*(f"memory/{name}" for name in names), "total_cache", "total_shmem")
        self.allow(str(8 * GIB))
        self.take(1.0)

    def allow(self, limit: str) -> None:
        (self.group / self.names[1]).write_text(f"{limit}\n")

    def take(self, gib: float, files: float = 0.0, shared: float = 0.0) -> None:
        """Take so much, of it copies of files, of those what lies in /dev/shm and is no copy."""
        _, _, stat, cache, shmem = self.names
        entries = {"anon": (gib - files) * GIB, cache: files * GIB, shmem: shared * GIB}
        (self.group / stat).write_text("".join(f"{name} {int(size)}\n" for name, size in entries.items()))
        (self.group / self.names[0]).write_text(f"{int(gib * GIB)}\n")
        time.sleep(0.25)  # two looks


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the next line; a machine that is busy may take a while."""
    deadline, text = time.monotonic() + 10, ""
    while "\n" not in text and time.monotonic() < deadline:
        text += capsys.readouterr().err
        time.sleep(0.02)
    return text


@pytest.fixture(params=[1, 2])
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Planted:
    return Planted(tmp_path, request.param)


def test_it_says_which_limit_to_raise_and_what_to_lower(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    with memory_watched("train", "lower train.batch_size (now 48)", planted.group):
        planted.take(7.5)
        assert capsys.readouterr().err == ""
        planted.take(7.61)
        assert said(capsys) == (
            "memory is nearly used up (7.6 of 8 GiB): raise memory.limit of step train, or lower "
            "train.batch_size (now 48)\n"
        )


def test_it_says_so_again_only_when_there_is_less_left(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    with memory_watched("rehearse", group=planted.group):
        for taken in (7.61, 7.63, 7.0, 7.61):
            planted.take(taken)
        assert said(capsys).count("\n") == 1
        planted.take(7.93)
        assert said(capsys).endswith("(7.9 of 8 GiB): raise memory.limit of step rehearse\n")


def test_copies_of_files_count_for_nothing_and_shared_memory_does(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    with memory_watched("train", group=planted.group):
        planted.take(8.0, files=4.0)
        assert capsys.readouterr().err == ""
        planted.take(8.0, files=4.0, shared=3.9)
        assert "7.9 of 8 GiB" in said(capsys)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_without_a_limit_there_is_nothing_to_say(
    limit: str, planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.allow(limit)
    for group in (planted.group, tmp_path / "nothing"):
        with memory_watched("train", group=group):
            planted.take(9.0)
    assert capsys.readouterr().err == ""


def test_it_ends_with_the_block(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    with memory_watched("train", group=planted.group):
        pass
    planted.take(8.0)
    assert capsys.readouterr().err == ""


def free(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=int(gib * GIB)))


def test_what_a_container_can_still_get_is_its_limit_without_what_is_taken(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 64)
    planted.take(5, files=2)  # copies of files are given back
    assert available_bytes(planted.group) == 5 * GIB
    free(monkeypatch, 3)  # a machine may have less than it promised
    assert available_bytes(planted.group) == 3 * GIB


def test_without_a_limit_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 1.5)
    assert available_bytes(tmp_path) == int(1.5 * GIB)


def test_work_that_does_not_fit_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1.5)
    check_memory(GIB, "the job", "lower foundation.utterances", tmp_path)
    with pytest.raises(
        ConfigError, match=r"the job needs about 2\.5 GiB .* 1\.5 GiB are free .* lower foundation"
    ):
        check_memory(int(2.5 * GIB), "the job", "lower foundation.utterances", tmp_path)

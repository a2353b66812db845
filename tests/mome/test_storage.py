"""Files and folders appear whole or not at all."""

import os
from pathlib import Path

import pytest

from mome.storage import new_file, new_folder, resumed_folder, write_text


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "table.json"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), new_file(target) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_a_folder_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    with new_folder(target) as folder:
        write_text(folder / "weights", "old")
    with pytest.raises(ZeroDivisionError), new_folder(target) as folder:
        write_text(folder / "weights", "new")
        raise ZeroDivisionError
    assert (target / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with new_folder(tmp_path / "out") as folder:
            write_text(folder / name, name)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]


def test_work_that_was_ended_goes_on_and_then_replaces_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    for key in ("other", "same"):
        with pytest.raises(ZeroDivisionError), resumed_folder(target, key) as folder:
            write_text(folder / "shards" / key, "done")
            (folder / "shards" / ".half").write_text("of a shard")
            raise ZeroDivisionError
    assert not target.exists()
    with resumed_folder(target, "same") as folder:
        assert (folder / "shards" / "same").read_text() == "done"
        assert not (folder / "shards" / "other").exists()
        write_text(folder / ".raw" / "deep", "fetched")
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]
    assert sorted(path.name for path in target.rglob("*")) == ["same", "shards"]


def test_work_that_failed_before_anything_was_done_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), resumed_folder(tmp_path / "dataset", "key"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_library_made_private_can_be_read_by_the_next_stage(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        with new_folder(tmp_path / "out") as folder:
            (folder / "deep").mkdir()
            for name in ("deep/weights", "tool"):
                (folder / name).touch()
                (folder / name).chmod(0o600)
            (folder / "tool").chmod(0o700)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*")}
    finally:
        os.umask(umask)
    assert modes == {"deep": 0o755, "weights": 0o644, "tool": 0o744}

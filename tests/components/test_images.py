"""What an image would hold decides what is computed again, and nothing else does."""

from pathlib import Path

import pytest

from components.images import FOLDERS, fingerprint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in {folder for folders in FOLDERS.values() for folder in folders}:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "code.py").write_text(folder)
    (tmp_path / "constraints.txt").write_text("torch==1\n")
    return tmp_path


def changed(root: Path, path: str, content: str) -> set[str]:
    before = {name: fingerprint(name, root) for name in FOLDERS}
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(content)
    return {name for name in FOLDERS if fingerprint(name, root) != before[name]}


@pytest.mark.parametrize(
    ("path", "images"),
    [
        ("serving/code.py", {"serving", "rehearsal"}),
        ("monitoring/code.py", {"monitoring", "rehearsal"}),
        ("data/new.html", {"data"}),
        ("components/rehearse/code.py", {"rehearsal"}),
        ("mome/code.py", set(FOLDERS)),
        ("constraints.txt", set(FOLDERS)),
        ("docs/code.py", set()),
        ("mome/README.md", set()),
        ("mome/__pycache__/code.pyc", set()),
    ],
)
def test_an_edit_changes_the_images_that_hold_it(root: Path, path: str, images: set[str]) -> None:
    assert changed(root, path, "edited") == images


def test_a_moved_border_between_two_files_is_a_change(root: Path) -> None:
    (root / "mome" / "a.py").write_text("xy")
    (root / "mome" / "b.py").write_text("z")
    before = fingerprint("train", root)
    (root / "mome" / "a.py").write_text("x")
    (root / "mome" / "b.py").write_text("yz")
    assert fingerprint("train", root) != before

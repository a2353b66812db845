"""What goes from the images is what the table names, and a line that names nothing ends the build."""

from pathlib import Path

import pytest

from components import unneeded
from components.bytecode import IMPORTED, compile_imports
from components.layers import LAYERS
from components.unneeded import UNNEEDED, Unneeded, prune
from mome.errors import ConfigError


def planted(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1234")


def table(monkeypatch: pytest.MonkeyPatch, *lines: Unneeded) -> None:
    monkeypatch.setattr(unneeded, "UNNEEDED", lines)


def test_files_and_folders_go_and_what_a_line_keeps_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ["cv2/data/face.xml", "evidently/tests/a.py", "numpy/testing/b.py"]
    gone = ["cv2/data/cat.xml", "numpy/tests/c.py", "numpy/io/tests/tests/d.py"]
    planted(tmp_path, *kept, *gone)
    table(
        monkeypatch,
        Unneeded("media", "cats", ("cv2/data/*.xml",), but=("face.xml",)),
        Unneeded("media", "tests", ("numpy/**/tests",)),
        Unneeded("serve", "not asked for", ("evidently/tests",)),
    )
    assert prune(tmp_path, "media") == 4 * len(gone)
    assert [name for name in kept + gone if (tmp_path / name).exists()] == kept


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(tmp_path, "torch/bin/torch_shm_manager")
    table(monkeypatch, Unneeded("model", "programs", ("torch/bin/protoc*",)))
    with pytest.raises(ConfigError, match=r"nothing matches 'torch/bin/protoc\*' \(model: programs\)"):
        prune(tmp_path, "model")
    table(monkeypatch, Unneeded("model", "programs", ("torch/bin/protoc*",), always=False))
    assert prune(tmp_path, "model") == 0


def test_what_lies_beside_the_packages_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    planted(tmp_path, "share/jupyter/a.js", "share/man/b.1")
    packages.mkdir(parents=True)
    table(monkeypatch, Unneeded("serve", "notebooks", ("../../../share/jupyter",)))
    prune(packages, "serve")
    assert [path.name for path in (tmp_path / "share").iterdir()] == ["man"]


def test_no_line_takes_a_licence_and_each_has_a_layer_and_a_reason() -> None:
    assert {line.layer for line in UNNEEDED} <= LAYERS.keys()
    assert all(line.reason for line in UNNEEDED)
    patterns = [pattern for line in UNNEEDED for pattern in line.patterns]
    assert not [pattern for pattern in patterns if "dist-info" in pattern or "licen" in pattern.lower()]
    assert not [pattern for pattern in patterns if pattern.endswith("/*") and "data" not in pattern]


def test_every_layer_says_what_steps_import_of_it() -> None:
    assert IMPORTED.keys() == LAYERS.keys()


def test_an_import_writes_bytecode_and_one_that_fails_ends_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(tmp_path, "whole.py", "other.py")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setitem(IMPORTED, "media", "whole")
    compile_imports("media")
    assert [path.name.partition(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["whole"]
    monkeypatch.setitem(IMPORTED, "media", "whole broken")
    with pytest.raises(Exception, match="returned non-zero exit status 1"):
        compile_imports("media")

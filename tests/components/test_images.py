"""What an image would hold decides what is computed again; a locked digest decides what a cluster runs."""

import ast
import json
import re
from pathlib import Path

import pytest

from components import catalogue, images
from components.images import FOLDERS, fingerprint, image, lock, tag
from mome import __version__
from mome.errors import ConfigError

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for held in {held for folders in FOLDERS.values() for held in folders}:
        path = tmp_path / held if held.endswith(".py") else tmp_path / held / "code.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(held)
    (tmp_path / "constraints.txt").write_text("torch==1\n")
    return tmp_path


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lock in place of the project's."""
    for variable in ("MOME_IMAGE_TAG", "MOME_IMAGE_REGISTRY"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "images.lock.json"
    monkeypatch.setattr(images, "LOCK", path)
    return path


def changed(root: Path, path: str, content: str) -> set[str]:
    before = {name: fingerprint(name, root) for name in FOLDERS}
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(content)
    return {name for name in FOLDERS if fingerprint(name, root) != before[name]}


@pytest.mark.parametrize(
    ("path", "held_by"),
    [
        ("serving/code.py", {"serve"}),
        ("monitoring/code.py", {"monitor", "serve"}),
        ("data/new.html", {"data"}),
        ("components/rehearse/code.py", {"serve"}),
        ("components/__init__.py", {"train", "serve", "monitor"}),
        ("mome/code.py", set(FOLDERS)),
        ("constraints.txt", set(FOLDERS)),
        ("docs/code.py", set()),
        ("mome/README.md", set()),
        ("mome/__pycache__/code.pyc", set()),
    ],
)
def test_an_edit_changes_the_images_that_hold_it(root: Path, path: str, held_by: set[str]) -> None:
    assert changed(root, path, "edited") == held_by


def test_a_moved_border_between_two_files_is_a_change(root: Path) -> None:
    (root / "mome" / "a.py").write_text("xy")
    (root / "mome" / "b.py").write_text("z")
    before = fingerprint("train", root)
    (root / "mome" / "a.py").write_text("x")
    (root / "mome" / "b.py").write_text("yz")
    assert fingerprint("train", root) != before


def test_an_image_is_called_by_its_tag_until_a_digest_is_locked(locked: Path) -> None:
    assert image("data") == f"mome-data:{__version__}"
    lock(dict.fromkeys(FOLDERS, DIGEST))
    assert image("data") == f"mome-data@{DIGEST}"
    assert tag("data") == f"mome-data:{__version__}"


def test_a_cluster_may_say_where_the_images_lie_and_ask_for_its_own_build(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(dict.fromkeys(FOLDERS, DIGEST))
    monkeypatch.setenv("MOME_IMAGE_REGISTRY", "registry.example/team/")
    assert image("train") == f"registry.example/team/mome-train@{DIGEST}"
    monkeypatch.setenv("MOME_IMAGE_TAG", "1.2.3")
    assert image("train") == tag("train") == "registry.example/team/mome-train:1.2.3"
    with pytest.raises(KeyError, match="no image 'dta': expected one of data,"):
        image("dta")


def test_a_digest_that_is_not_there_is_named_with_the_way_to_add_it(locked: Path) -> None:
    lock({"data": DIGEST, "train": DIGEST})
    with pytest.raises(ConfigError, match=r"no digest for 'serve', only for data, train; .* lock serve=sha"):
        image("serve")


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        ({"data": "sha256:12"}, "the digest of 'data' is 'sha256:12'; expected sha256: and 64"),
        ({"data": DIGEST.upper()}, "the digest of 'data'"),
        ({"dta": DIGEST}, "no image 'dta'; expected one of data, monitor, serve, train"),
    ],
)
def test_a_wrong_digest_is_refused_and_the_lock_stays(
    locked: Path, digests: dict[str, str], message: str
) -> None:
    lock({"serve": DIGEST})
    with pytest.raises(ConfigError, match=message):
        lock(digests)
    assert json.loads(locked.read_text()) == {"serve": DIGEST}


@pytest.mark.parametrize("content", ["{", "[]", '{"data": 3}', '{"dta": "x"}'])
def test_a_damaged_lock_is_named(locked: Path, content: str) -> None:
    locked.write_text(content)
    with pytest.raises(ConfigError, match=r"images\.lock\.json: "):
        image("data")


def test_the_command_adds_to_the_lock_and_lists(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [f"{name}={DIGEST}" for name in FOLDERS]
    for some in (pairs[:1], pairs[1:]):
        images._command(["lock", *some])
    assert capsys.readouterr().out == ""
    images._command(["addresses"])
    assert capsys.readouterr().out == "".join(f"{name} mome-{name}@{DIGEST}\n" for name in FOLDERS)
    images._command(["tags"])
    assert capsys.readouterr().out == "".join(f"{name} mome-{name}:{__version__}\n" for name in FOLDERS)
    with pytest.raises(SystemExit):
        images._command(["lock", "data"])
    assert "expected NAME=sha256" in capsys.readouterr().err


def test_the_containerfile_copies_what_the_images_are_said_to_hold() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    copied = {}
    for stage in stages:
        name = stage.splitlines()[0].rpartition(" ")[2]
        copied[name] = {
            source
            for sources in re.findall(r"^COPY (.+) \S+$", stage, flags=re.MULTILINE)
            for source in sources.split()
            if source not in {"pyproject.toml", "constraints.txt"}
        }
    assert {name: copied[name] for name in FOLDERS} == {name: set(held) for name, held in FOLDERS.items()}


@pytest.mark.parametrize("name", catalogue.__all__)
def test_a_step_imports_what_its_image_holds(name: str) -> None:
    path = ROOT / "components" / name / "component.py"
    tree = ast.parse(path.read_text())
    imported = {
        module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.col_offset  # inside the body
        for module in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    }
    ours = {module.replace(".", "/") for module in imported if (ROOT / module.partition(".")[0]).is_dir()}
    address = getattr(catalogue, name).component_spec.implementation.container.image
    (held_by,) = [each for each in FOLDERS if image(each) == address]
    held = [path.removesuffix("/__init__.py") if "/__" in path else path for path in FOLDERS[held_by]]
    code = [folder for folder in held if folder != "components"]
    foreign = {module for module in ours if not any(f"{module}/".startswith(f"{each}/") for each in code)}
    assert not foreign - {"components"}, f"{name} runs in mome-{held_by}"

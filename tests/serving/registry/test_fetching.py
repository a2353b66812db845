"""``mome.load`` of an address: a registered version, whole or not at all; only the model is planted."""

from __future__ import annotations

from pathlib import Path

import pytest

import mome
from mome import inference
from mome.errors import BundleError, MomeError, ServiceError
from mome.records import Decoding
from mome.registry.history import Lineage
from mome.scales import Scale
from serving.registry.address import open_registry
from tests.buckets import free_port, s3_environment
from tests.serving.registry.planted import bundle


class Planted:
    scales = (Scale(4, 2),)

    @classmethod
    def load(cls, foundation: Path, checkpoint: Path, decoding: Decoding, device: str) -> Planted:
        return cls()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inference, "Transcriber", Planted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mome"


def registered(address: str, folder: Path, *contents: str, corpus: str = "digits") -> list[str]:
    """Register versions, of which the first one becomes the champion; return their names."""
    registry = open_registry(address)
    paths = [bundle(folder / corpus / content, content, corpus=corpus) for content in contents]
    names = [registry.register(path, corpus, Lineage(), by="test").version for path in paths]
    registry.promote(corpus, names[0], by="test")
    return names


def test_an_address_is_its_champion_or_the_version_that_is_named(
    address: str, tmp_path: Path, cache: Path
) -> None:
    first, second = registered(address, tmp_path, "1", "2")

    model = mome.load(address)
    assert (model.bundle.version, model.scales) == (first, ("a4v2",))
    assert mome.load(address, corpus="digits", version=second).bundle.version == second
    assert sorted(path.name for path in (cache / "digits").iterdir() if path.is_dir()) == sorted(
        [first, second]
    )


def test_what_is_here_is_not_fetched_again_but_compared_again(tmp_path: Path, cache: Path) -> None:
    address = str(tmp_path / "registry")
    (name,) = registered(address, tmp_path, "1")
    version = open_registry(address).history("digits").versions[name]
    mome.load(address)
    kept = Path(address) / "models" / "digits" / "bundles" / version.place
    kept.rename(tmp_path / "away")
    assert mome.load(address).bundle.version == name

    (cache / "digits" / name / "checkpoint" / "model.safetensors").write_text("changed")
    with pytest.raises(ServiceError, match="no such folder"):
        mome.load(address)
    (tmp_path / "away").rename(kept)
    assert mome.load(address).bundle.version == name


def test_a_damaged_version_is_not_loaded(tmp_path: Path, cache: Path) -> None:
    address = str(tmp_path / "registry")
    registered(address, tmp_path, "1")
    registry = open_registry(address)
    version = registry.history("digits").in_use()
    damaged = bundle(tmp_path / "other", "2")
    registry._contents.remove(version)
    registry._contents.upload(damaged, version)
    with pytest.raises(BundleError, match=r"nothing was taken from it: .*bundle\.json: was changed"):
        mome.load(address)
    assert not [path for path in (cache / "digits").iterdir() if path.is_dir()]


def test_what_a_registry_has_not_is_said_with_what_it_has(tmp_path: Path) -> None:
    address = str(tmp_path / "registry")
    first, second = registered(address, tmp_path, "1", "2")
    with pytest.raises(
        BundleError, match=f"no version '5d0c4b7e91aa' is registered; there are: {first}, {second}"
    ):
        mome.load(address, version="5d0c4b7e91aa")
    with pytest.raises(BundleError, match="no model of 'words' is registered; there are: digits"):
        mome.load(address, corpus="words")
    registered(address, tmp_path, "1", corpus="words")
    with pytest.raises(BundleError, match=r"has models of digits, words; say which one: corpus="):
        mome.load(address)
    assert mome.load(address, corpus="words").bundle.evaluation.corpus == "words"


def test_a_candidate_is_loaded_by_its_name_alone(tmp_path: Path) -> None:
    address = str(tmp_path / "registry")
    path = bundle(tmp_path / "one", "1")
    name = open_registry(address).register(path, "digits", Lineage(), by="test").version
    with pytest.raises(BundleError, match=f"there is no champion yet; versions: {name}"):
        mome.load(address)
    assert mome.load(address, version=name).bundle.version == name


def test_a_registry_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment(free_port()).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MomeError, match=r"s3://user-models/of-us at http://.*: does not answer"):
        mome.load("s3://user-models/of-us")

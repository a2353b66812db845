"""Champions are promoted from real bundles, whose weights are a few bytes."""

from pathlib import Path

import pytest

from mome.bundle import read_bundle, write_bundle
from mome.errors import BundleError
from mome.evaluation import champion
from mome.records import GateDecision
from mome.scales import Scale
from tests.planted import evaluation, table


def bundle(root: Path, *, weights: bytes, corpus: str = "digits") -> Path:
    for part in ("foundation", "checkpoint"):
        (root / part).mkdir(parents=True)
        (root / part / "model.safetensors").write_bytes(weights)
    evaluation({"audio": table({"a4v2": {"clean": 1}})}, corpus=corpus).write(root / "evaluation.json")
    GateDecision(passed=True, reason="", checks=[], max_wer={"a4v2": 0.05}).write(root / "gate.json")
    (root / "baseline.parquet").write_bytes(b"PAR1")
    write_bundle(
        name="mome",
        default_scale=Scale(4, 2),
        foundation=root / "foundation",
        checkpoint=root / "checkpoint",
        evaluation=root,
        gate=root,
        output=root / "bundle",
    )
    return root / "bundle"


def test_the_promoted_bundle_is_found_again_per_corpus(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    assert champion.find(registry, "digits") is None
    promoted = champion.promote(registry, "digits", bundle(tmp_path / "one", weights=b"1"))
    assert champion.find(registry, "digits") == promoted
    assert read_bundle(promoted).evaluation.corpus == "digits"
    assert champion.find(registry, "grid") is None


def test_the_newest_champion_counts_and_the_one_before_is_kept(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    first, second, third = (
        champion.promote(registry, "digits", bundle(tmp_path / str(number), weights=bytes([number])))
        for number in range(3)
    )
    assert champion.find(registry, "digits") == third
    assert not first.exists()
    assert read_bundle(second).version == second.name


def test_promoting_the_champion_again_changes_nothing(tmp_path: Path) -> None:
    registry, source = tmp_path / "registry", bundle(tmp_path / "one", weights=b"1")
    champion.promote(registry, "digits", source)
    pointer = registry / "champions" / "digits" / "champion.json"
    before = pointer.read_text()
    assert champion.promote(registry, "digits", source) == champion.find(registry, "digits")
    assert pointer.read_text() == before


def test_a_damaged_bundle_leaves_the_champion_as_it_was(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    promoted = champion.promote(registry, "digits", bundle(tmp_path / "one", weights=b"1"))
    damaged = bundle(tmp_path / "two", weights=b"2")
    (damaged / "checkpoint" / "model.safetensors").write_bytes(b"3")
    with pytest.raises(BundleError, match="was changed"):
        champion.promote(registry, "digits", damaged)
    assert champion.find(registry, "digits") == promoted


def test_a_model_of_another_corpus_is_no_champion_of_this_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="evaluated on 'grid', not on 'digits'"):
        champion.promote(
            tmp_path / "registry", "digits", bundle(tmp_path / "one", weights=b"1", corpus="grid")
        )


@pytest.mark.parametrize("corpus", ["", "..", "../elsewhere", "a/b", "a b"])
def test_a_corpus_that_cannot_name_a_folder_is_refused(tmp_path: Path, corpus: str) -> None:
    with pytest.raises(BundleError, match="cannot name a folder"):
        champion.find(tmp_path, corpus)


def test_a_champion_whose_bundle_is_gone_is_named(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    promoted = champion.promote(registry, "digits", bundle(tmp_path / "one", weights=b"1"))
    promoted.rename(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="names it, but it holds no bundle"):
        champion.find(registry, "digits")

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mome.records import ScaleDecision
from mome.scales import Scale
from serving.scale_source import ScaleSource
from tests.serving.planted import publish

FINE, COARSE = Scale(4, 2), Scale(16, 5)


def follow(path: Path | None) -> ScaleSource:
    return ScaleSource(path, default=COARSE, available=(FINE, COARSE))


@pytest.mark.parametrize("path", [None, Path("/nowhere/scale.json")])
def test_without_a_file_the_default_is_served(path: Path | None) -> None:
    served = follow(path).current()

    assert (served.scale, served.source, served.at) == (COARSE, "bundle", None)


def test_every_new_version_of_the_file_is_followed(tmp_path: Path) -> None:
    source = follow(tmp_path / "scale.json")
    seen = []
    for scale in ("a4v2", "a16v5", "a4v2"):
        publish(tmp_path / "scale.json", scale)
        seen.append(str(source.current().scale))

    assert seen == ["a4v2", "a16v5", "a4v2"]
    assert source.current().reason == "planted"


def test_a_link_that_turns_to_another_file_is_followed(tmp_path: Path) -> None:
    # This is how a cluster updates a mounted ConfigMap.
    publish(tmp_path / "one.json", "a4v2")
    publish(tmp_path / "two.json", "a16v5")
    link = tmp_path / "scale.json"
    link.symlink_to("one.json")
    source = follow(link)
    assert source.current().scale == FINE

    (tmp_path / "new").symlink_to("two.json")
    (tmp_path / "new").replace(link)

    assert source.current().scale == COARSE


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "scale.json", "a4v2")
    source = follow(tmp_path / "scale.json")
    source.current()
    monkeypatch.setattr(ScaleDecision, "read", lambda path: pytest.fail("was read again"))

    assert source.current().scale == FINE


@pytest.mark.parametrize(
    "broken", ['{"scale": "a4', "", '{"scale": "a4v2"}', "[]"], ids=["cut", "empty", "lacking", "list"]
)
def test_a_broken_file_keeps_the_last_good_scale_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    publish(tmp_path / "scale.json", "a4v2")
    source = follow(tmp_path / "scale.json")
    source.current()
    (tmp_path / "scale.json").write_text(broken)

    with caplog.at_level(logging.ERROR):
        served = [source.current().scale for _ in range(3)]

    assert served == [FINE] * 3
    assert len(caplog.records) == 1
    assert "still serving scale a4v2" in caplog.text


def test_a_scale_that_the_model_lacks_is_not_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(tmp_path / "scale.json", "a2v1")

    assert follow(tmp_path / "scale.json").current().scale == COARSE
    assert "the model has no scale a2v1; it has a4v2, a16v5" in caplog.text


def test_a_mended_file_is_followed_again(tmp_path: Path) -> None:
    file = tmp_path / "scale.json"
    file.write_text("broken")
    source = follow(file)
    assert source.current().scale == COARSE

    publish(file, "a4v2")

    assert source.current().scale == FINE


def test_deleting_the_file_returns_to_the_default(tmp_path: Path) -> None:
    publish(tmp_path / "scale.json", "a4v2")
    source = follow(tmp_path / "scale.json")
    source.current()

    (tmp_path / "scale.json").unlink()

    assert source.current().scale == COARSE

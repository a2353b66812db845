"""What the local job decides before anything runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mome.errors import ConfigError
from mome.machine import memory, processor
from mome.machine.processor import Processor
from pipelines import local
from pipelines.submit.package import parse_package

ROOT = Path(__file__).parents[2]


class _Started(Exception):
    """Instead of running."""


def started(
    monkeypatch: pytest.MonkeyPatch, folder: Path, instructions: str, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the sections that the pipeline would run with on a processor."""
    found: dict[str, Any] = {}

    def execute(pipeline: str, arguments: dict[str, Any], **_: Any) -> None:
        assert arguments.keys() == {"corpus", "registry"}
        found.update(parse_package(pipeline, "compiled").defaults)
        raise _Started

    monkeypatch.setattr(local, "execute", execute)
    monkeypatch.setattr(processor, "processor", lambda: Processor("Some processor", instructions, 2))
    with pytest.raises(_Started):
        local.run("embedded", ROOT / "params.yaml", folder / "var", folder / "reports", None, changes)
    return found


def test_a_result_is_known_by_the_precision_that_this_machine_decides_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with_units = started(monkeypatch, tmp_path, "amx")
    assert (with_units["foundation"]["precision"], with_units["train"]["precision"]) == (
        "bfloat16",
        "bfloat16",
    )
    assert "Some processor (AMX), 2 cores: bfloat16" in capfd.readouterr().err
    without = started(monkeypatch, tmp_path, "avx2")
    assert (without["foundation"]["precision"], without["train"]["precision"]) == ("float32", "float32")


def test_single_values_are_set_from_the_command_line_and_checked_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed = started(monkeypatch, tmp_path, "avx2", ["foundation.audio=some/whisper", "train.steps=12"])
    plain = started(monkeypatch, tmp_path, "avx2", [])
    assert (changed["foundation"]["audio"], changed["train"]["steps"]) == ("some/whisper", 12)
    assert changed["train"] == plain["train"] | {"steps": 12}
    for wrong, message in (
        ("train.stepz=12", "train.stepz"),
        ("train.steps=many", "train.steps"),
        ("steps=12", "expected a section and a name in it"),
        ("train.steps", "expected name=value"),
    ):
        with pytest.raises(ConfigError, match=message):
            local.run("embedded", ROOT / "params.yaml", tmp_path / "var", tmp_path / "r", None, [wrong])


def test_a_job_that_does_not_fit_into_memory_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _group: 2**30)
    with pytest.raises(ConfigError, match=r"the job needs about \d\.\d GiB of memory, but 1\.0 GiB are free"):
        local.run("embedded", ROOT / "params.yaml", tmp_path / "var", tmp_path / "reports")
    assert not (tmp_path / "reports").exists()

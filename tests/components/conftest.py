"""Corpora and artifacts for tests of components."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from kfp import dsl, local

from data import version
from data.version import CorpusRevision
from mome.config import load_params
from pipelines.cures import cured

SAMPLING_RATE = 16_000
TRANSCRIPTS = ["bin blue", "set white", "lay red", "place green"]


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[..., Any]:
    """Return a maker of artifacts as a step receives them, with a place of their own."""

    def make(kind: type[dsl.Artifact], name: str, path: Path | None = None) -> Any:
        made = kind(name=name, uri=name)
        made.path = str(path or tmp_path / "artifacts" / name)
        Path(made.path).parent.mkdir(parents=True, exist_ok=True)
        return made

    return make


@pytest.fixture
def sections() -> dict[str, dict[str, Any]]:
    """Return params.yaml as a pipeline hands it to its steps, for a corpus of a handful of recordings."""
    sections = load_params().sections()
    sections["prepare"]["utterances_per_shard"] = 3
    sections["validate"]["min_utterances"] = {"train": 4, "validation": 1, "test": 1}
    return sections


def write_corpus(folder: Path, *, silent: bool = False) -> Path:
    """Write a corpus of six recordings; of the first nothing is heard if ``silent``."""
    (folder / "wavs").mkdir(parents=True)
    lines = ["path,transcript,speaker,split"]
    for number, split in enumerate(["train"] * 4 + ["validation", "test"]):
        rng = np.random.default_rng(number)
        t = np.arange(SAMPLING_RATE + 160 * number) / SAMPLING_RATE
        tone = sum(np.sin(2 * np.pi * (110 + 9 * number) * k * t) / k for k in range(1, 12))
        sound = 0.2 * tone * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1) + 1e-4 * rng.standard_normal(len(t))
        if silent and number == 0:
            sound = np.zeros(len(t))
        soundfile.write(folder / "wavs" / f"{number}.wav", sound.astype(np.float32), SAMPLING_RATE)
        lines.append(f"wavs/{number}.wav,{TRANSCRIPTS[number % 4]},{split},{split}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def good_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "calls")


@pytest.fixture(scope="session")
def bad_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "silence", silent=True)


@pytest.fixture(scope="session")
def revision(good_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> CorpusRevision:
    params = load_params().prepare.model_copy(update={"utterances_per_shard": 3})
    return version.run(str(good_corpus), params, tmp_path_factory.mktemp("registry") / "corpora")


@pytest.fixture
def local_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make kfp.local run steps as processes of this environment; returns where their outputs go."""
    root = tmp_path / "runs"
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=False)
    with cured():
        yield root
    local.config.LocalExecutionConfig.instance = None

"""A service whose model is planted, and a bundle whose table says that noise asks for the finer scale."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mome.bundle import write_bundle
from mome.scales import Scale
from tests.planted import condition, evaluation, table
from tests.serving.planted import GREEDY, write_parts

ROOT = Path(__file__).parents[3]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Return a repository with the service, whose model answers at once."""
    folder = tmp_path / "code"
    for name in ("mome", "serving"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(folder / "mome" / "inference")
    (folder / "mome" / "inference").mkdir()
    planted = ROOT / "tests" / "serving" / "planted_inference.py"
    shutil.copyfile(planted, folder / "mome" / "inference" / "__init__.py")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    rates = table({"a4v2": {"clean": 1, "babble_0": 4}, "a16v5": {"clean": 3, "babble_0": 40}})
    conditions = [condition(None, 35, 20, 45), condition(0, -3, -9, 3)]
    parts = write_parts(
        tmp_path / "parts",
        modality="audio",
        evaluated=evaluation({"audio": rates}, conditions=conditions, decoding=GREEDY),
    )
    pd.DataFrame({"snr_db": np.linspace(25, 45, 40), "condition": "clean"}).to_parquet(
        parts["evaluation"] / "baseline.parquet"
    )
    write_bundle(name="mome", default_scale=Scale(16, 5), output=tmp_path / "bundle", **parts)
    return tmp_path / "bundle"

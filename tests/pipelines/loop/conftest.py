"""A service of the repository's own code whose model is planted, and what it serves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mome.bundle import Bundle, write_bundle
from mome.config import load_params
from mome.scales import Scale
from serving.benchmark.server import REPOSITORY
from tests.planted import condition, evaluation, table
from tests.serving.planted import plant_inference, write_parts


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository, as far as a service needs it, with a model that answers as told."""
    folder = tmp_path_factory.mktemp("code")
    for package in ("mome", "serving"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(REPOSITORY / "pyproject.toml", folder / "pyproject.toml")
    plant_inference(folder)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Both scales keep the promise on clean speech, and in babble the finer one alone."""
    folder = tmp_path_factory.mktemp("bundle")
    rates = table({"a4v2": {"clean": 1, "babble_0": 5}, "a16v5": {"clean": 2, "babble_0": 60}})
    conditions = [condition(None, 30, 12, 60), condition(0, 0, -10, 8)]
    modalities = load_params(REPOSITORY / "params.yaml").monitor.max_wer
    judged = evaluation(dict.fromkeys(modalities, rates), conditions=conditions)
    parts = write_parts(folder / "parts", evaluated=judged)
    return write_bundle(name="planted", default_scale=Scale(4, 2), output=folder / "bundle", **parts)

"""A caller, a scraper and an operator can tell which version answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mome.bundle import read_bundle
from mome.registry.history import Lineage, lineage_file, registered_as
from serving.keys import Key
from serving.registry.address import open_registry
from tests.buckets import ROOT
from tests.serving.planted import Served, syllables, wav
from tests.serving.registry.planted import bundle

SPEECH = wav(syllables())


@pytest.mark.parametrize(
    "fields", [{}, {"response_format": "text"}, {"stream": "true"}, {"temperature": "2"}]
)
def test_every_reply_names_the_version(serve: Callable[..., Served], fields: dict[str, str]) -> None:
    served = serve()
    assert served.post(SPEECH, **fields).headers["X-MoME-Version"] == served.engine.bundle.version


def test_a_stranger_is_not_told_the_version(serve: Callable[..., Served]) -> None:
    assert "X-MoME-Version" not in serve(api_keys=(Key("sesame"),)).client.get("/models").headers


def test_the_metrics_name_the_version(serve: Callable[..., Served]) -> None:
    served = serve()
    labels = {"name": "mome", "version": served.engine.bundle.version, "corpus": "planted"}
    labels |= {"revision": "0" * 40, "code": "", "run": ""}
    assert served.registry.get_sample_value("mome_model_info", labels) == 1


def test_a_pulled_bundle_tells_where_it_comes_from(tmp_path: Path) -> None:
    registry, lineage = open_registry(str(tmp_path / "registry")), Lineage(code="c0ffee", run="7", image="i")
    version = registry.register(bundle(tmp_path / "one", "1"), "digits", lineage, by="test")
    registry.pull("digits", tmp_path / "pulled", version.version)

    pulled = read_bundle(tmp_path / "pulled")
    found = registered_as(pulled)
    assert found is not None
    assert found.lineage == lineage
    # Of another version, or damaged: as if it were not there.
    other = read_bundle(bundle(tmp_path / "two", "2"))
    lineage_file(other.path).write_bytes(lineage_file(pulled.path).read_bytes())
    assert registered_as(other) is None
    lineage_file(pulled.path).write_text("{")
    assert registered_as(pulled) is None


def test_a_service_starts_without_the_registrys_packages() -> None:
    packages = ("s3fs", "aiobotocore", "model_registry", "mr_openapi")
    script = "import sys, serving.service, serving.registry.address;"
    script += f"print([name for name in {packages} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr

"""Fixtures: an empty registry in a folder and in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.buckets import s3_environment, s3_server


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that keeps to S3's conditional writes."""
    with s3_server(tmp_path_factory.mktemp("s3")) as port:
        yield port


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty registry; every test has its own."""
    for name in ("MOME_REGISTRY", "MOME_MODEL_REGISTRY", "MOME_MODEL_REGISTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "folder":
        return str(tmp_path / "registry")
    port = request.getfixturevalue("bucket_server")
    for name, value in s3_environment(port).items():
        monkeypatch.setenv(name, value)
    import s3fs

    bucket = f"test-{tmp_path.name.replace('_', '-')}-{port}"[-60:].strip("-").lower()
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/models-of-us"

"""A bucket that is not there, not ours, or not good enough: one sentence that says what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mome.bundle import read_bundle
from mome.errors import ConfigError, MomeError, ServiceError
from mome.registry.history import Lineage
from serving.registry.address import open_registry
from tests.buckets import KEY, SECRET, free_port, running, s3_environment
from tests.serving.registry.planted import bundle


@pytest.fixture(scope="module")
def pys3local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that ignores If-None-Match, as some do."""
    folder, port = tmp_path_factory.mktemp("pys3local"), free_port()
    command = [str(Path(sys.executable).with_name("pys3local")), "serve", "--path", str(folder / "data")]
    command += ["--listen", f"127.0.0.1:{port}", "--access-key-id", KEY, "--secret-access-key", SECRET]
    with running([*command, "--allow-bucket-creation"], port, folder):
        with pytest.MonkeyPatch.context() as environment:
            for name, value in s3_environment(port).items():
                environment.setenv(name, value)
            import s3fs

            s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
        yield port


@pytest.fixture(autouse=True)
def environment(pys3local: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment(pys3local).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MOME_MODEL_REGISTRY", raising=False)


def refused(address: str = "s3://bucket/models") -> str:
    with pytest.raises(MomeError) as error:
        open_registry(address).champion("digits")
    return f"{type(error.value).__name__}: {error.value}"


def test_a_server_without_conditional_writes_is_refused_unless_one_alone_writes(tmp_path: Path) -> None:
    registry, path = open_registry("s3://bucket/many"), bundle(tmp_path / "one", "1")
    with pytest.raises(ConfigError, match=r"ignores If-None-Match.*s3://bucket/many\?writers=one"):
        registry.register(path, "digits", Lineage(), by="test")
    assert registry.champion("digits") is None

    alone = open_registry("s3://bucket/one?writers=one")
    versions = []
    for content in "ab":
        path = bundle(tmp_path / content, content)
        versions.append(alone.register(path, "digits", Lineage(), by="test").version)
        alone.promote("digits", versions[-1], by="test")
    alone.rollback("digits", by="test", reason="test")
    alone.pull("digits", tmp_path / "pulled")
    assert read_bundle(tmp_path / "pulled").version == versions[0]


def test_a_wrong_secret_is_named(pys3local: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    said = refused()
    assert said.startswith(
        f"ServiceError: s3://bucket/models at http://127.0.0.1:{pys3local}: access was refused"
    )
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said


def test_in_a_step_the_credentials_have_names_of_our_own(
    pys3local: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for ours, theirs in (
        ("ACCESS_KEY_ID", "ACCESS_KEY_ID"),
        ("SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY"),
        ("ENDPOINT_URL", "ENDPOINT_URL_S3"),
        ("REGION", "DEFAULT_REGION"),
    ):
        monkeypatch.setenv(f"MOME_REGISTRY_S3_{ours}", os.environ[f"AWS_{theirs}"])
        monkeypatch.setenv(f"AWS_{theirs}", "of the launcher")
    registry, path = open_registry("s3://bucket/step?writers=one"), bundle(tmp_path / "one", "1")
    version = registry.register(path, "digits", Lineage(), by="test")
    assert list(registry.history("digits").versions) == [version.version]


@pytest.mark.parametrize(
    "missing", [("AWS_SECRET_ACCESS_KEY",), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
)
def test_a_missing_secret_is_named(
    missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in missing:
        monkeypatch.delenv(name)
    said = refused()
    assert said.startswith("ConfigError: s3://bucket/models at")
    assert "no complete credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nobody)
    said = refused()
    assert said.startswith(f"ServiceError: s3://bucket/models at {nobody}: does not answer")
    assert "check AWS_ENDPOINT_URL_S3 and the network" in said


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path) -> None:
    registry = open_registry("s3://elsewhere/models?writers=one")
    with pytest.raises((ConfigError, ServiceError), match="s3://elsewhere: no such bucket; create it first"):
        registry.register(bundle(tmp_path / "one", "1"), "digits", Lineage(), by="test")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "no registry is given, and MOME_REGISTRY is not set"),
        ("s3:///models", "expected a folder or s3://bucket/prefix"),
        ("gs://bucket/models", "registry 'gs://bucket/models': expected a folder or s3://"),
        ("s3://bucket/models?writer=1", r"the only option is \?writers=one"),
        ("s3://bucket/models?writers=two", r"the only option is \?writers=one"),
    ],
)
def test_an_address_that_is_none_is_named(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOME_REGISTRY", raising=False)
    with pytest.raises(ConfigError, match=said):
        open_registry(address)


def test_the_registrys_packages_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match="the package s3fs is missing; install the extra 'registry'"):
        open_registry("s3://bucket/models")

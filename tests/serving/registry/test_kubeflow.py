"""Kubeflow's Model Registry shows what the log says, and its failures say what to do."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mome.errors import ConfigError, MomeError, ServiceError
from mome.registry.history import Lineage
from serving.registry.address import open_registry
from serving.registry.registry import Registry
from tests.buckets import free_port
from tests.serving.registry.model_registry_server import ModelRegistryServer, model_registry_server
from tests.serving.registry.planted import bundle

LINEAGE = Lineage(
    code="c0ffee", run="run-7", image="mome-train@sha256:abc", serve_image="mome-serve@sha256:def"
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY", "MODEL_REGISTRY", "MODEL_REGISTRY_TOKEN", "MODEL_REGISTRY_CA"):
        monkeypatch.delenv(f"MOME_{name}", raising=False)
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)


@pytest.fixture
def server() -> Iterator[ModelRegistryServer]:
    with model_registry_server() as running:
        yield running


@pytest.fixture
def registry(server: ModelRegistryServer, tmp_path: Path) -> Registry:
    return open_registry(str(tmp_path / "registry"), server.address)


def register(registry: Registry, folder: Path) -> str:
    return registry.register(bundle(folder, folder.name, errors=7), "digits", LINEAGE, by="someone").version


def values(properties: dict[str, dict[str, object]]) -> dict[str, object]:
    """Return the plain values of custom properties."""
    return {
        name: next(value for key, value in typed.items() if key != "metadataType")
        for name, typed in properties.items()
    }


def test_a_version_is_shown_with_its_lineage_and_its_files(
    registry: Registry, server: ModelRegistryServer, tmp_path: Path
) -> None:
    version = register(registry, tmp_path / "one")
    registry.promote("digits", version, by="someone")

    (model,) = server.models.values()
    assert (model["name"], values(model["customProperties"])) == (
        "mome-digits",
        {"corpus": "digits", "champion": version},
    )
    shown = server.version(version)
    assert (shown["author"], shown["state"], shown["description"]) == ("someone", "LIVE", "planted")
    assert values(shown["customProperties"]) == {
        "stage": "champion",
        "corpus": "digits",
        "data_revision": "0" * 40,
        "code_revision": "c0ffee",
        "run": "run-7",
        "image": "mome-train@sha256:abc",
        "serve_image": "mome-serve@sha256:def",
        "default_scale": "a4v2",
        "modality": "audio",
        "wer_a4v2_clean": 0.07,
    }
    (artifact,) = server.artifacts.values()
    assert (artifact["modelSourceKind"], artifact["modelSourceId"]) == ("kfp", "run-7")
    files = Path(artifact["uri"].removeprefix("file://"))
    assert (files / "checkpoint" / "model.safetensors").read_text() == "checkpoint one"
    # Over http no token is sent, whatever the pod has.
    assert server.tokens == {None}


def test_stages_follow_promotion_rollback_and_removal(
    registry: Registry, server: ModelRegistryServer, tmp_path: Path
) -> None:
    first, second, third = (register(registry, tmp_path / c) for c in "abc")
    for version in (first, second):
        registry.promote("digits", version, by="someone")
    assert server.stages() == {first: "archived", second: "champion", third: "candidate"}
    assert server.version(first)["state"] == "ARCHIVED"

    registry.rollback("digits", by="someone", reason="slow")
    assert server.stages() == {first: "champion", second: "archived", third: "candidate"}
    assert server.version(first)["state"] == "LIVE"
    assert server.models["1"]["customProperties"]["champion"]["string_value"] == first

    registry.prune("digits", keep=0, by="someone")
    assert server.stages() == {first: "champion", second: "removed", third: "removed"}
    assert {item["name"]: item["state"] for item in server.artifacts.values()} == {
        first: "LIVE",
        second: "DELETED",
        third: "DELETED",
    }


def test_what_it_shows_already_is_not_written_again(
    registry: Registry, server: ModelRegistryServer, tmp_path: Path
) -> None:
    register(registry, tmp_path / "one")
    before = list(server.writes)
    assert registry.publish("digits") == []
    assert server.writes == before


@pytest.mark.parametrize("succeed", [0, 1, 2])
def test_an_outage_in_the_middle_is_said_and_made_good_later(
    registry: Registry, server: ModelRegistryServer, tmp_path: Path, succeed: int
) -> None:
    server.fail_after = succeed
    with pytest.raises(
        ServiceError, match=r"failed \(500\).*registry itself is in order.*serving.registry sync digits"
    ):
        register(registry, tmp_path / "one")
    server.fail_after = None
    (version,) = registry.history("digits").versions
    assert registry.publish("digits") != []
    assert server.stages() == {version: "candidate"}
    assert len(server.artifacts) == 1


def test_the_way_back_is_open_while_it_is_down(
    registry: Registry, server: ModelRegistryServer, tmp_path: Path
) -> None:
    first, second = (register(registry, tmp_path / c) for c in "ab")
    for version in (first, second):
        registry.promote("digits", version, by="someone")
    server.fail_after = 0
    with pytest.raises(ServiceError, match="the registry itself is in order"):
        registry.rollback("digits", by="someone", reason="it hurts")
    champion = registry.champion("digits")
    assert champion is not None
    assert champion.version == first


def test_nothing_is_changed_if_it_cannot_be_reached(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    registry = open_registry(str(tmp_path / "registry"), address)
    with pytest.raises(
        ServiceError, match=f"Model Registry {address}: cannot be reached.*check MOME_MODEL_REG"
    ):
        register(registry, tmp_path / "one")
    assert registry.models() == []


def test_a_server_of_another_kind_is_named(
    registry: Registry, server: ModelRegistryServer, tmp_path: Path
) -> None:
    server.base = "/api/model_registry/v1alpha3"
    with pytest.raises(ServiceError, match=r"has no /api/model_registry/v1 \(404\)"):
        register(registry, tmp_path / "one")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "server.crt", tmp_path / "server.key"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return files


def test_over_https_the_token_is_sent_and_the_certificate_checked(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(tmp_path / "one", "1")
    with model_registry_server(certificate) as server:
        server.required_token = "sesame"

        def refused() -> str:
            with pytest.raises(MomeError) as error:
                registry = open_registry(str(tmp_path / "registry"), server.address)
                registry.register(tmp_path / "one" / "bundle", "digits", LINEAGE, by="someone")
            return str(error.value)

        assert "no token; set MOME_MODEL_REGISTRY_TOKEN" in refused()
        monkeypatch.setenv("MOME_MODEL_REGISTRY_TOKEN", "sesame")
        assert "for a certificate of your own MOME_MODEL_REGISTRY_CA" in refused()
        monkeypatch.setenv("MOME_MODEL_REGISTRY_CA", str(certificate[0]))
        monkeypatch.setenv("MOME_MODEL_REGISTRY_TOKEN", "wrong")
        assert "refused the token (401); check MOME_MODEL_REGISTRY_TOKEN" in refused()
        monkeypatch.delenv("MOME_MODEL_REGISTRY_TOKEN")
        # As Kubeflow mounts it.
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
        assert "mount the projected service account token there" in refused()
        (tmp_path / "token").write_text("sesame\n")
        registry = open_registry(str(tmp_path / "registry"), server.address)
        version = register(registry, tmp_path / "two")
        assert server.stages() == {version: "candidate"}


@pytest.mark.parametrize("address", ["model-registry:8080", "ftp://host", "http://"])
def test_an_address_that_is_none_is_named(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"expected http\(s\)://host"):
        open_registry(str(tmp_path), address).register(
            bundle(tmp_path / "one", "1"), "digits", LINEAGE, by="someone"
        )

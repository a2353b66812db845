"""The registry's versions and stages in Kubeflow's Model Registry, for its UI and for what deploys from it.

The Model Registry has no conditional update: of two writers the later one wins unseen. It is therefore
shown what the log says, and never asked. Every version is a ``ModelVersion`` of the registered model
``<name>-<corpus>`` with its lineage as custom properties and one artifact that says where its files are.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from mome.errors import ConfigError, ServiceError
from mome.registry.history import History, Version

if TYPE_CHECKING:
    from model_registry.core import ModelRegistryAPIClient

__all__ = ["ModelRegistryPublisher"]

_T = TypeVar("_T")
_TIMEOUT_S = 60.0
_TOKEN_FILES = ("KF_PIPELINES_SA_TOKEN_PATH", "/var/run/secrets/kubernetes.io/serviceaccount/token")


class ModelRegistryPublisher:
    """Kubeflow's Model Registry at an address.

    Args:
        address: ``https://host[:port]``, or ``http://`` for one inside the cluster.
        token: Bearer token; None to take the one that ``KF_PIPELINES_SA_TOKEN_PATH`` or the pod's
            service account gives. Sent over https only.
        ca: File of the authority that signed the server's certificate; None for the system's.

    Raises:
        ConfigError: If the address is not one, the package is missing, or there is no token for https.
    """

    def __init__(self, address: str, *, token: str | None = None, ca: str | None = None) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"Model Registry {address!r}: expected http(s)://host[:port]")
        try:
            from model_registry.core import ModelRegistryAPIClient
        except ImportError as error:
            raise ConfigError(
                f"Model Registry {address}: model-registry is missing; install the extra 'registry'"
            ) from error
        self._address = address
        port = parts.port or (443 if parts.scheme == "https" else 8080)
        host = f"{parts.scheme}://{parts.hostname}"
        if parts.scheme == "https":
            token = token or _token_of_the_pod()
            if not token:
                raise ConfigError(
                    f"Model Registry {address}: no token; set MOME_MODEL_REGISTRY_TOKEN from a Secret, or"
                    " KF_PIPELINES_SA_TOKEN_PATH to the file of a projected service account token"
                )
            if ca is not None and not Path(ca).is_file():
                raise ConfigError(f"MOME_MODEL_REGISTRY_CA: {ca}: no such file")
            self._api: ModelRegistryAPIClient = ModelRegistryAPIClient.secure_connection(
                host, port, user_token=token, custom_ca=ca
            )
        else:
            # A token is not sent in the clear.
            self._api = ModelRegistryAPIClient.insecure_connection(host, port)

    def check(self) -> None:
        """Ask for one model, so that a wrong address is found before anything is changed.

        Raises:
            ServiceError: If it does not answer, or refuses the token.
        """
        from model_registry.types import ListOptions

        self._run(lambda: self._api.get_registered_models(ListOptions(limit=1)))

    def publish(self, history: History, uri: Callable[[Version], str]) -> list[str]:
        """Make it show what the history says; returns what was changed.

        Raises:
            ServiceError: If it does not answer, or refuses the token.
        """
        return self._run(lambda: self._publish(history, uri))

    async def _publish(self, history: History, uri: Callable[[Version], str]) -> list[str]:
        from model_registry.types import RegisteredModel

        changed = []
        by_model: dict[str, list[Version]] = {}
        for version in history.versions.values():
            by_model.setdefault(f"{version.name}-{history.corpus}", []).append(version)
        for name, versions in by_model.items():
            model = await self._api.get_registered_model_by_params(name)
            champion = next((v.version for v in versions if history.stage(v.version) == "champion"), "")
            properties = {"corpus": history.corpus, "champion": champion}
            if model is None or dict(model.custom_properties or {}) != properties:
                wanted = RegisteredModel(
                    id=None if model is None else model.id,
                    name=name,
                    owner="mome",
                    description=f"Audio-visual speech recognition, trained on {history.corpus}",
                    custom_properties=properties,
                )
                model = await self._api.upsert_registered_model(wanted)
                changed.append(f"{name}: champion {champion or 'none'}")
            for version in versions:
                changed += await self._publish_version(str(model.id), version, history, uri(version))
        return changed

    async def _publish_version(self, model: str, version: Version, history: History, uri: str) -> list[str]:
        from model_registry.types import ModelArtifact, ModelVersion
        from mr_openapi import ArtifactState, ModelVersionState

        stage = history.stage(version.version)
        in_use = stage in ("candidate", "champion")
        properties = _properties(version, stage)
        state = ModelVersionState.LIVE if in_use else ModelVersionState.ARCHIVED
        changed = []
        shown = await self._api.get_model_version_by_params(model, version.version)
        if shown is None or shown.state != state or dict(shown.custom_properties or {}) != properties:
            wanted = ModelVersion(
                id=None if shown is None else shown.id,
                name=version.version,
                author=_author(history, version),
                state=state,
                description=version.gate,
                custom_properties=properties,
            )
            shown = await self._api.upsert_model_version(wanted, model)
            changed.append(f"{version.version}: {stage}")
        # A process may have ended between the version and its artifact.
        artifact = await self._api.get_model_artifact_by_params(version.version, str(shown.id))
        kept = ArtifactState.DELETED if stage == "removed" else ArtifactState.LIVE
        if artifact is None or artifact.uri != uri or artifact.state != kept:
            await self._api.upsert_model_version_artifact(
                ModelArtifact(
                    id=None if artifact is None else artifact.id,
                    name=version.version,
                    uri=uri,
                    state=kept,
                    model_format_name="safetensors",
                    model_format_version="1",
                    model_source_kind="kfp" if version.lineage.run else None,
                    model_source_id=version.lineage.run or None,
                    custom_properties={"manifest_sha256": version.manifest_sha256},
                ),
                str(shown.id),
            )
            changed.append(f"{version.version}: files at {uri}")
        return changed

    def _run(self, work: Callable[[], Awaitable[_T]]) -> _T:
        import aiohttp
        from mr_openapi.exceptions import ApiException

        async def limited() -> _T:
            async with asyncio.timeout(_TIMEOUT_S):
                return await work()

        where = f"Model Registry {self._address}"
        try:
            return asyncio.run(limited())
        except ApiException as error:
            status = int(error.status or 0)
            raise ServiceError(f"{where}: {_explain(status, error)}") from error
        except TimeoutError as error:
            raise ServiceError(f"{where}: no answer within {_TIMEOUT_S:g} s; try again") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceError(
                f"{where}: cannot be reached ({error}); check MOME_MODEL_REGISTRY, the network policy,"
                " and for a certificate of your own MOME_MODEL_REGISTRY_CA"
            ) from error
        except (AssertionError, ValueError) as error:
            raise ServiceError(f"{where}: answered what is not a Model Registry's: {error}") from error


def _explain(status: int, error: Any) -> str:
    if status in (401, 403):
        return f"refused the token ({status}); check MOME_MODEL_REGISTRY_TOKEN and the rights of its account"
    if status == 404:
        return "has no /api/model_registry/v1 (404); check the address, and that the server is not too old"
    body = " ".join(str(error.body or error.reason).split())[:300]
    return f"failed ({status}): {body}"


def _properties(version: Version, stage: str) -> dict[str, bool | int | float | str]:
    lineage = version.lineage
    said = {
        "stage": stage,
        "corpus": version.corpus,
        "data_revision": version.revision,
        "code_revision": lineage.code,
        "run": lineage.run,
        "image": lineage.image,
        "serve_image": lineage.serve_image,
        "monitor_image": lineage.monitor_image,
        "default_scale": version.default_scale,
        "modality": version.modality,
    }
    return {name: value for name, value in said.items() if value} | dict(version.figures)


def _author(history: History, version: Version) -> str:
    return next(e.by for e in history.entries if e.event == "registered" and e.version == version.version)


def _token_of_the_pod() -> str | None:
    named, usual = _TOKEN_FILES
    path = os.environ.get(named)
    if path is not None and not Path(path).is_file():
        raise ConfigError(f"{named}: {path}: no such file; mount the projected service account token there")
    file = Path(path or usual)
    return file.read_text().strip() if file.is_file() else None

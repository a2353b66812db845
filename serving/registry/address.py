"""From an address to a registry.

var/registry, /mnt/registry          a folder
s3://bucket/prefix                   a bucket; ?writers=one for a server without conditional writes

MOME_REGISTRY              address, where no other is given
MOME_MODEL_REGISTRY        Kubeflow's Model Registry, which then shows every version and stage
MOME_MODEL_REGISTRY_TOKEN  bearer token for it; default: that of the pod's service account
MOME_MODEL_REGISTRY_CA     file of the authority that signed its certificate
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from mome.errors import ConfigError
from serving.registry.kubeflow import ModelRegistryPublisher
from serving.registry.registry import Registry
from serving.registry.s3 import S3Store
from serving.registry.store import FolderStore, Store

__all__ = ["open_registry"]


def open_registry(address: str = "", model_registry: str = "") -> Registry:
    """Open a registry; nothing is written, and nobody is called, before the first use.

    Args:
        address: Folder or ``s3://`` address; empty for ``MOME_REGISTRY``.
        model_registry: Address of Kubeflow's Model Registry; empty for ``MOME_MODEL_REGISTRY``, or none.

    Raises:
        ConfigError: If the address is not one, or s3fs is missing.
    """
    address = address or os.environ.get("MOME_REGISTRY", "")
    model_registry = model_registry or os.environ.get("MOME_MODEL_REGISTRY", "")
    if not model_registry:
        return Registry(_store(address))
    connect = partial(
        ModelRegistryPublisher,
        model_registry,
        token=os.environ.get("MOME_MODEL_REGISTRY_TOKEN") or None,
        ca=os.environ.get("MOME_MODEL_REGISTRY_CA") or None,
    )
    return Registry(_store(address), connect)


def _store(address: str) -> Store:
    expected = "expected a folder or s3://bucket/prefix"
    if not address:
        raise ConfigError(f"no registry is given, and MOME_REGISTRY is not set: {expected}")
    parts = urlsplit(address)
    if "://" not in address:
        return FolderStore(Path(address))
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(f"registry {address!r}: {expected}")
    options = parse_qs(parts.query, keep_blank_values=True)
    writers = options.pop("writers", [""])
    if options or writers not in ([""], ["one"]):
        raise ConfigError(f"registry {address!r}: the only option is ?writers=one")
    return S3Store(parts.netloc, parts.path, one_writer=writers == ["one"])

"""From an address, as mome/registry/address.py reads it, to a registry.

MOME_REGISTRY              address, where no other is given
MOME_MODEL_REGISTRY        Kubeflow's Model Registry, which then shows every version and stage
MOME_MODEL_REGISTRY_TOKEN  bearer token for it; default: that of the pod's service account
MOME_MODEL_REGISTRY_CA     file of the authority that signed its certificate
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from mome.errors import ConfigError
from mome.registry.address import parse_address
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
    if not address:
        raise ConfigError(
            "no registry is given, and MOME_REGISTRY is not set: expected a folder or s3://bucket/prefix"
        )
    place = parse_address(address)
    if isinstance(place, Path):
        return FolderStore(place)
    return S3Store(place.name, place.prefix, one_writer=place.one_writer)

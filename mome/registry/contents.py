"""The files of registered versions, compared with what the log says of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mome.bundle import read_bundle
from mome.errors import BundleError, ServiceError
from mome.registry.history import Version
from mome.registry.store import Reader
from mome.storage import new_folder, write_bytes

__all__ = ["Contents", "folder_of"]

_MANIFEST = "bundle.json"


class Contents:
    """What lies under ``bundles/``: one folder per upload.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: Reader) -> None:
        self._store = store

    def uri(self, version: Version) -> str:
        """Return the address of a version's files."""
        return self._store.uri(folder_of(version))

    def read(self, version: Version, name: str) -> bytes:
        """Return a small file of a version.

        Raises:
            BundleError: If it is not what was registered.
        """
        folder = folder_of(version)
        manifest, content = self._store.read([f"{folder}/{_MANIFEST}", f"{folder}/{name}"])
        self._check(version, manifest)
        if hashlib.sha256(content).hexdigest() != json.loads(manifest)["files"][name]:
            raise BundleError(f"{self.uri(version)}/{name}: was changed after it was registered")
        return content

    def evaluation(self, version: Version, folder: Path) -> Path:
        """Write a version's ``evaluation.json`` into a folder, and return the folder."""
        write_bytes(folder / "evaluation.json", self.read(version, "evaluation.json"))
        return folder

    def check_complete(self, version: Version) -> None:
        """Refuse a version of which a file is missing; sums are compared by whoever pulls it.

        Raises:
            BundleError: If one is, or the list of files is not what was registered.
        """
        found = self._store.sizes(folder_of(version))
        if _MANIFEST not in found:
            raise BundleError(f"{self.uri(version)}: the files of {version.version} are gone")
        manifest = self._store.read([f"{folder_of(version)}/{_MANIFEST}"])[0]
        self._check(version, manifest)
        missing = sorted(json.loads(manifest)["files"].keys() - found.keys())
        if missing:
            raise BundleError(f"{self.uri(version)}: {', '.join(missing)} is missing")

    def download(self, version: Version, target: Path) -> None:
        """Copy a version's files here, whole and compared with their sums, or not at all.

        Raises:
            BundleError: If a file is not what was registered.
            ServiceError: If the target holds something else than a bundle, or cannot be replaced.
        """
        if target.exists() and not (target / _MANIFEST).is_file() and any(target.iterdir()):
            raise ServiceError(f"{target}: holds something else than a bundle; give another folder")
        try:
            with new_folder(target) as folder:
                self._store.download(folder_of(version), folder)
                manifest = folder / _MANIFEST
                self._check(version, manifest.read_bytes() if manifest.is_file() else b"")
                read_bundle(folder)
        except BundleError as error:
            raise BundleError(
                f"{self.uri(version)}: nothing was taken from it: {error}; roll back, or put the files there"
                " anew from a good copy: python -m serving.registry register --again"
            ) from error
        except OSError as error:
            raise ServiceError(
                f"{target}: cannot be written ({error.strerror}); of a mounted volume give a folder in it"
            ) from error

    def is_in(self, target: Path, version: Version) -> bool:
        """Tell whether a local folder holds a version, whole."""
        try:
            self._check(version, (target / _MANIFEST).read_bytes())
            return read_bundle(target).version == version.version
        except (OSError, BundleError):
            return False

    def _check(self, version: Version, manifest: bytes) -> None:
        found = hashlib.sha256(manifest).hexdigest()
        if found != version.manifest_sha256:
            raise BundleError(
                f"{self.uri(version)}/{_MANIFEST}: was changed after it was registered:"
                f" SHA-256 {found[:12]}…, the log has {version.manifest_sha256[:12]}…"
            )


def folder_of(version: Version) -> str:
    """Return where in a registry the files of a version are."""
    return f"models/{version.corpus}/bundles/{version.place}"

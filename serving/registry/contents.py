"""The files of registered versions, compared with what the log says of them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mome.bundle import read_bundle
from mome.errors import BundleError, ServiceError
from mome.storage import new_folder, write_bytes
from serving.registry.history import Version
from serving.registry.store import Store

__all__ = ["Contents"]

_MANIFEST = "bundle.json"
_ABANDONED = timedelta(days=1)  # an upload that no entry names and that is older was broken off


class Contents:
    """What lies under ``bundles/``: one folder per upload.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def uri(self, version: Version) -> str:
        """Return the address of a version's files."""
        return self._store.uri(_folder(version))

    def upload(self, bundle: Path, version: Version) -> None:
        """Copy a bundle into its version's folder.

        Raises:
            ServiceError: If the folder does not hold then what the bundle holds.
        """
        self._store.upload(bundle, _folder(version))
        files = [path for path in bundle.rglob("*") if path.is_file()]
        written = {path.relative_to(bundle).as_posix(): path.stat().st_size for path in files}
        if self._store.sizes(_folder(version)) != written:
            raise ServiceError(f"{self.uri(version)}: does not hold what was written; try again")

    def remove(self, version: Version) -> None:
        """Delete a version's files."""
        self._store.remove(_folder(version))

    def clear(self, corpus: str, *, named: set[str], live: set[str]) -> None:
        """Delete the uploads that no version has any more, and those that were broken off a day ago.

        Args:
            corpus: Whose model.
            named: Folders that the log names.
            live: Those of them that are kept.
        """
        top = f"models/{corpus}/bundles"
        for place in self._store.names(top):
            if place not in live and (place in named or _age(place) > _ABANDONED):
                self._store.remove(f"{top}/{place}")

    def read(self, version: Version, name: str) -> bytes:
        """Return a small file of a version.

        Raises:
            BundleError: If it is not what was registered.
        """
        folder = _folder(version)
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
        found = self._store.sizes(_folder(version))
        if _MANIFEST not in found:
            raise BundleError(f"{self.uri(version)}: the files of {version.version} are gone")
        manifest = self._store.read([f"{_folder(version)}/{_MANIFEST}"])[0]
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
                self._store.download(_folder(version), folder)
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


def _folder(version: Version) -> str:
    return f"models/{version.corpus}/bundles/{version.place}"


def _age(place: str) -> timedelta:
    try:
        begun = datetime.strptime(place.split(".")[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return timedelta(0)  # not ours: left alone
    return datetime.now(UTC) - begun

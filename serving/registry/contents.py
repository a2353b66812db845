"""The files of registered versions come and go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mome.errors import ServiceError
from mome.registry.contents import Contents, folder_of
from mome.registry.history import Version
from serving.registry.store import Store

__all__ = ["KeptContents"]

_ABANDONED = timedelta(days=1)  # an upload that no entry names and that is older was broken off


class KeptContents(Contents):
    """What lies under ``bundles/``: one folder per upload.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._kept = store

    def upload(self, bundle: Path, version: Version) -> None:
        """Copy a bundle into its version's folder.

        Raises:
            ServiceError: If the folder does not hold then what the bundle holds.
        """
        self._kept.upload(bundle, folder_of(version))
        files = [path for path in bundle.rglob("*") if path.is_file()]
        written = {path.relative_to(bundle).as_posix(): path.stat().st_size for path in files}
        if self._kept.sizes(folder_of(version)) != written:
            raise ServiceError(f"{self.uri(version)}: does not hold what was written; try again")

    def remove(self, version: Version) -> None:
        """Delete a version's files."""
        self._kept.remove(folder_of(version))

    def clear(self, corpus: str, *, named: set[str], live: set[str]) -> None:
        """Delete the uploads that no version has any more, and those that were broken off a day ago.

        Args:
            corpus: Whose model.
            named: Folders that the log names.
            live: Those of them that are kept.
        """
        top = f"models/{corpus}/bundles"
        for place in self._kept.names(top):
            if place not in live and (place in named or _age(place) > _ABANDONED):
                self._kept.remove(f"{top}/{place}")


def _age(place: str) -> timedelta:
    try:
        begun = datetime.strptime(place.split(".")[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return timedelta(0)  # not ours: left alone
    return datetime.now(UTC) - begun

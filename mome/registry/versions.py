"""The versions of every model, and which of them is the champion.

    <address>/models/<corpus>/
    ├── log/00000001.json ...           what happened, one entry per file
    └── bundles/<version>.<upload>/     the files of a registered version

A version whose upload was broken off is in no entry and therefore nothing.
"""

from __future__ import annotations

from pathlib import Path

from mome.registry.contents import Contents
from mome.registry.history import History, Version, lineage_file
from mome.registry.log import Log
from mome.registry.store import Reader

__all__ = ["Versions"]


class Versions:
    """What a registry has, for whoever changes nothing in it.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: Reader) -> None:
        self._log = Log(store)
        self._contents = Contents(store)

    def models(self) -> list[str]:
        """Return the corpora that have a log."""
        return self._log.corpora()

    def history(self, corpus: str) -> History:
        """Return what happened to the versions of a corpus' model.

        Raises:
            BundleError: If the corpus cannot name a folder, or the log is damaged.
            ServiceError: If the storage does not answer.
        """
        return self._log.read(corpus)

    def champion(self, corpus: str) -> Version | None:
        """Return the version in use, or None before the first promotion."""
        return self.history(corpus).champion

    def fetch_evaluation(self, corpus: str, folder: Path) -> Path | None:
        """Write the champion's ``evaluation.json`` into a folder and return it; None without a champion.

        Raises:
            BundleError: If the champion's files are damaged or gone.
        """
        champion = self.champion(corpus)
        return None if champion is None else self._contents.evaluation(champion, folder)

    def pull(self, corpus: str, target: Path, version: str | None = None) -> Version:
        """Copy a version's bundle here, every file compared with its sum; None for the champion.

        A target that holds the version already is left alone, also when the registry has removed its
        files meanwhile; another bundle is replaced as a whole. Beside it, `lineage_file` says where the
        version comes from.

        Raises:
            BundleError: If there is no such version, or a file differs from what was registered.
            ServiceError: If the target holds something else than a bundle.
        """
        history = self.history(corpus)
        version = version or history.in_use().version
        wanted = history.versions.get(version)
        # Only a download needs the registry's files: pods of a version whose copy is here start on
        # after `prune` has removed those.
        if wanted is None or not self._contents.is_in(target, wanted):
            wanted = history.get(version)
            self._contents.download(wanted, target)
        wanted.write(lineage_file(target))
        return wanted

    def uri(self, version: Version) -> str:
        """Return the address of a version's files."""
        return self._contents.uri(version)

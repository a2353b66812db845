"""The log of every model: entries that are added one after the other, and never changed."""

from __future__ import annotations

import re

from pydantic import ValidationError

from mome.errors import BundleError
from mome.records import faults
from mome.registry.history import Entry, History
from mome.registry.store import Reader

__all__ = ["Log", "entry_file"]


class Log:
    """What happened, as ``models/<corpus>/log/00000001.json`` and so on.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: Reader) -> None:
        self._store = store

    def corpora(self) -> list[str]:
        """Return the corpora that have a log."""
        return self._store.names("models")

    def read(self, corpus: str) -> History:
        """Return what happened to the versions of a corpus' model.

        Raises:
            BundleError: If the corpus cannot name a folder, or the log is damaged.
            ServiceError: If the storage does not answer.
        """
        folder = _folder(corpus)
        names = [name for name in self._store.names(folder) if name.endswith(".json")]
        if names != [_name(number) for number in range(1, len(names) + 1)]:
            raise BundleError(
                f"{self._store.uri(folder)}: entries are missing: there are {', '.join(names)};"
                " restore them, for nobody knows what they said"
            )
        contents = self._store.read([f"{folder}/{name}" for name in names])
        return History(corpus, map(self.entry, [f"{folder}/{name}" for name in names], contents))

    def entry(self, name: str, content: bytes) -> Entry:
        """Return what an entry's file says.

        Raises:
            BundleError: If it is not an entry.
        """
        try:
            return Entry.model_validate_json(content)
        except ValidationError as error:
            raise BundleError(
                f"{self._store.uri(name)}: not an entry: {faults(error).removeprefix(': ')}; entries are"
                " never changed: restore the file from a backup or from an earlier version of the object"
            ) from error


def entry_file(corpus: str, number: int) -> str:
    """Return the name of an entry's file.

    Raises:
        BundleError: If the corpus cannot name a folder.
    """
    return f"{_folder(corpus)}/{_name(number)}"


def _folder(corpus: str) -> str:
    # The name becomes a folder: it must not lead out of the registry.
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", corpus):
        raise BundleError(
            f"corpus {corpus!r} cannot name a folder: expected letters, digits, '.', '_' and '-'"
        )
    return f"models/{corpus}/log"


def _name(number: int) -> str:
    return f"{number:08d}.json"

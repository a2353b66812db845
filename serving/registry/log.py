"""The log of every model: entries that are added one after the other, and never changed.

An entry's number is one above the newest that its writer saw, and of several writers of one number
exactly one succeeds; the others look again at what is true now, and decide anew. So no change is lost,
and none rests on a state that had passed.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

from pydantic import ValidationError

from mome.errors import BundleError, ServiceError
from serving.registry.history import Entry, History
from serving.registry.store import Store

__all__ = ["Log"]

_ATTEMPTS = 200  # each lost one means that somebody else's change succeeded


class Log:
    """What happened, as ``models/<corpus>/log/00000001.json`` and so on.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: Store) -> None:
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
        return History(corpus, map(self._entry, [f"{folder}/{name}" for name in names], contents))

    def append(self, corpus: str, decide: Callable[[History], Entry | None]) -> Entry | None:
        """Append what is decided on the newest state, and return it; None if nothing is to be done.

        Args:
            corpus: Whose model.
            decide: Returns the entry, or None. Called again whenever somebody else was faster.

        Raises:
            ServiceError: If the storage does not answer, or others were faster all the time.
        """
        for attempt in range(_ATTEMPTS):
            history = self.read(corpus)
            entry = decide(history)
            if entry is None:
                return None
            name = f"{_folder(corpus)}/{_name(len(history.entries) + 1)}"
            if self._store.create(name, (entry.model_dump_json(indent=2) + "\n").encode()):
                return entry
            # A writer whose first attempt succeeded without an answer tries again, and finds itself.
            if self._entry(name, self._store.read([name])[0]).entry_id == entry.entry_id:
                return entry
            # A little later each time: a shared volume may show an old list of files for a moment.
            time.sleep(random.uniform(0, min(0.01 * attempt, 0.5)))
        raise ServiceError(f"{corpus}: {_ATTEMPTS} other changes were faster; try again")

    def _entry(self, name: str, content: bytes) -> Entry:
        try:
            return Entry.model_validate_json(content)
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise BundleError(
                f"{self._store.uri(name)}: not an entry: {'; '.join(wrong).removeprefix(': ')}; entries are"
                " never changed: restore the file from a backup or from an earlier version of the object"
            ) from error


def _folder(corpus: str) -> str:
    # The name becomes a folder: it must not lead out of the registry.
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", corpus):
        raise BundleError(
            f"corpus {corpus!r} cannot name a folder: expected letters, digits, '.', '_' and '-'"
        )
    return f"models/{corpus}/log"


def _name(number: int) -> str:
    return f"{number:08d}.json"

"""Adds to the log of a model.

An entry's number is one above the newest that its writer saw, and of several writers of one number
exactly one succeeds; the others look again at what is true now, and decide anew. So no change is lost,
and none rests on a state that had passed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from mome.errors import ServiceError
from mome.registry.history import Entry, History
from mome.registry.log import Log, entry_file
from serving.registry.store import Store

__all__ = ["GrowingLog"]

_ATTEMPTS = 200  # each lost one means that somebody else's change succeeded


class GrowingLog(Log):
    """What happened, and what happens now.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._kept = store

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
            name = entry_file(corpus, len(history.entries) + 1)
            if self._kept.create(name, (entry.model_dump_json(indent=2) + "\n").encode()):
                return entry
            # A writer whose first attempt succeeded without an answer tries again, and finds itself.
            if self.entry(name, self._kept.read([name])[0]).entry_id == entry.entry_id:
                return entry
            # A little later each time: a shared volume may show an old list of files for a moment.
            time.sleep(random.uniform(0, min(0.01 * attempt, 0.5)))
        raise ServiceError(f"{corpus}: {_ATTEMPTS} other changes were faster; try again")

"""Reads whatever service and monitor publish, all the time, and knows nothing of how they write it.

Nothing of theirs is used for it: a file is bytes, a line ends at its line break, and who holds a lock the
kernel says. So what is wrong with their code is not wrong here, too.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Seen", "Tail", "Witness"]

_POLL_S = 0.001
_ALERT_S = 0.0001  # while somebody waits for a switch
_SELDOM = 50  # polls between two looks at what is not the scale
_LOCKS = Path("/proc/locks")

_Identity = tuple[int, int, int]


@dataclass
class Seen:
    """What was seen of the published files.

    Args:
        versions: Of ``scale.json``, in order.
        journal: Whole lines of ``decisions.jsonl``, in order; None for one that is not JSON.
        requests: Whole lines of the request log; likewise.
        halves: Files whose last line has no end.
        reads: How often a file was read whole.
        torn: What was found in a file that was not whole, or had lost what was in it.
        looks: At who holds the lock of the monitor.
        several: How many held it in looks that found more than one.
        alone_s: Longest time without anybody who held it.
        leftovers: Temporary files that nobody took away.
    """

    versions: list[dict[str, Any]] = field(default_factory=list)
    journal: list[dict[str, Any] | None] = field(default_factory=list)
    requests: list[dict[str, Any] | None] = field(default_factory=list)
    halves: list[str] = field(default_factory=list)
    reads: int = 0
    torn: list[str] = field(default_factory=list)
    looks: int = 0
    several: list[int] = field(default_factory=list)
    alone_s: float = 0.0
    leftovers: int = 0


class Tail:
    """Follows a file that others append to.

    Args:
        path: Of the file; it may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rest = b""  # of a line whose end was not written yet
        self._read = 0

    def lines(self) -> list[bytes]:
        """Return the whole lines that are new.

        Raises:
            ValueError: If the file is shorter than before.
        """
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < self._read:
            raise ValueError(f"{self.path.name}: {size} bytes where {self._read} had been")
        if size == self._read:
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self.rest = (self.rest + new).split(b"\n")
        return lines


class Witness:
    """Watches from a thread of its own while it is entered.

    Args:
        state: Folder of the monitor.
        requests: Folder of the request log.
        monitors: Says which processes are monitors.
    """

    def __init__(self, state: Path, requests: Path, monitors: Callable[[], Sequence[int]]) -> None:
        self.seen = Seen()
        self._state, self._requests, self._monitors = state, requests, monitors
        self._journal = Tail(state / "decisions.jsonl")
        self._logs: dict[Path, Tail] = {}
        self._known: dict[Path, _Identity] = {}
        self._locks: set[int] = set()  # inodes: a lock file that is replaced would be a lock no more
        self._held_at: float | None = None
        self._at_switch: Callable[[], None] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness")
        self._trouble: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._trouble is not None and error is None:
            raise self._trouble

    def at_next_switch(self, act: Callable[[], None] | None) -> None:
        """Do something once, as soon as the next switch is on record; None for no more."""
        self._at_switch = act

    def holders(self) -> list[int]:
        """Return which monitors hold the lock, as the kernel says."""
        with_lock = []
        for line in _LOCKS.read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 123 fe:00:456 0 EOF
            _, kind, _, _, pid, place, *_ = line.split()  # "->" for the kind: somebody waits for it
            if kind == "FLOCK" and int(place.rpartition(":")[2]) in self._locks:
                with_lock.append(int(pid))
        ours = set(self._monitors())
        return [pid for pid in with_lock if pid in ours]

    def _run(self) -> None:
        try:
            polls = 0
            while not self._stop.is_set():
                self._look(polls % _SELDOM == 0)
                polls += 1
                time.sleep(_POLL_S if self._at_switch is None else _ALERT_S)
            self._look(True)
            self._end()
        except Exception as error:  # noqa: BLE001  # said when it is left
            self._trouble = error

    def _look(self, at_everything: bool) -> None:
        self._read_journal()
        version = self._whole(self._state / "scale.json")
        if version is not None:
            self.seen.versions.append(version)
        if not at_everything:
            return
        self._look_at_the_lock()
        for path in [*self._state.glob("*.json"), *(self._state / "drift").glob("*.json")]:
            if not path.name.startswith(".") and path.name != "scale.json":
                self._whole(path)
        for path in self._requests.glob("*.jsonl"):
            tail = self._logs.setdefault(path, Tail(path))
            self.seen.requests += [_parsed(line) for line in self._new(tail)]

    def _read_journal(self) -> None:
        for line in self._new(self._journal):
            decision = _parsed(line)
            if decision is not None and decision["switched"] and self._at_switch is not None:
                act, self._at_switch = self._at_switch, None
                act()
            self.seen.journal.append(decision)

    def _new(self, tail: Tail) -> list[bytes]:
        try:
            return tail.lines()
        except ValueError as error:
            self.seen.torn.append(str(error))
            return []

    def _whole(self, path: Path) -> dict[str, Any] | None:
        """Return the content of a file if it is another than before."""
        try:
            status = path.stat()
            identity = status.st_mtime_ns, status.st_ino, status.st_size
            if self._known.get(path) == identity:
                return None
            content = path.read_bytes()
        except FileNotFoundError:
            if path in self._known and path.parent == self._state:  # old snapshots are deleted
                self.seen.torn.append(f"{path.name}: gone")
                del self._known[path]
            return None
        self._known[path] = identity
        self.seen.reads += 1
        parsed = _parsed(content)
        if parsed is None:
            self.seen.torn.append(f"{path.name}: {len(content)} bytes that are no JSON")
        return parsed

    def _look_at_the_lock(self) -> None:
        lock = self._state / "monitor.lock"
        if not lock.exists():
            return
        self._locks.add(lock.stat().st_ino)
        holders = self.holders()
        self.seen.looks += 1
        if len(holders) > 1:
            self.seen.several.append(len(holders))
        now = time.monotonic()
        if self._held_at is not None:
            self.seen.alone_s = max(self.seen.alone_s, now - self._held_at)
        if holders:
            self._held_at = now

    def _end(self) -> None:
        for tail in (self._journal, *self._logs.values()):
            if tail.rest:
                self.seen.halves.append(tail.path.name)
        self.seen.leftovers = sum(path.is_file() for path in self._state.rglob(".*"))


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return a JSON object, None if it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

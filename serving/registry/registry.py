"""The versions of every model change: registered, promoted, gone back to, deleted.

A change is a new entry of the log, so that no change is lost (see `GrowingLog`). What there is to read,
and where it lies, says mome/registry/versions.py.
"""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from mome.bundle import Bundle, read_bundle
from mome.errors import BundleError, GateRejected, MomeError, ServiceError
from mome.records import GateDecision
from mome.registry.history import Entry, Event, History, Lineage, Version
from mome.registry.versions import Versions
from mome.storage import write_bytes
from serving.registry.contents import KeptContents
from serving.registry.judgement import ask_again, judge
from serving.registry.log import GrowingLog
from serving.registry.store import Store

__all__ = ["Publisher", "Registry"]

_MANIFEST = "bundle.json"


class Publisher(Protocol):
    """Where else the versions and their stages are to be seen."""

    def check(self) -> None:
        """Raise a `MomeError` if it cannot be reached."""

    def publish(self, history: History, uri: Callable[[Version], str]) -> list[str]:
        """Make it show what the history says; returns what was changed."""


class Registry(Versions):
    """Versions with their lineage, the champion among them, and the way back.

    Args:
        store: Where it lies.
        connect: Gives where else it is shown, called before the first change. The log in the store
            stays the one truth.
    """

    def __init__(self, store: Store, connect: Callable[[], Publisher] | None = None) -> None:
        super().__init__(store)
        self._log: GrowingLog = GrowingLog(store)
        self._contents: KeptContents = KeptContents(store)
        self._connect = connect

    def register(
        self, bundle: Path, corpus: str, lineage: Lineage, *, by: str, again: bool = False
    ) -> Version:
        """Keep a bundle as a candidate; one that is kept already stays as it is.

        Args:
            bundle: What `mome.bundle` wrote.
            corpus: Whose model.
            lineage: Where it comes from.
            by: Who does it.
            again: Put the files there anew, for a version whose files were damaged; its stage stays.

        Raises:
            BundleError: If the bundle is damaged, or is of another corpus.
            ServiceError: If the storage does not answer, or does not hold what was written.
        """
        read = read_bundle(bundle)
        if read.evaluation.corpus != corpus:
            raise BundleError(f"{bundle}: was evaluated on {read.evaluation.corpus!r}, not on {corpus!r}")
        if self._connect is not None:
            self._connect().check()
        version = _describe(read, lineage)

        def decide(history: History) -> Entry | None:
            known = version.version in history.versions and history.stage(version.version) != "removed"
            if known and not again:
                return None
            return _entry("registered", version, by, read.gate.reason, registered=version)

        if decide(self.history(corpus)) is not None:
            self._contents.upload(bundle, version)
            if self._log.append(corpus, decide) is None:
                self._contents.remove(version)  # another run was faster with the same content
        return self._published(corpus).get(version.version)

    def promote(
        self, corpus: str, version: str, *, by: str, reason: str = "", again: bool = False
    ) -> Version:
        """Make a version the champion, if its gate passed and it still holds against today's champion.

        The gate is asked again, with the version's own budget, because the champion may be another one
        than when it was asked first. Promoting the champion changes nothing.

        Args:
            corpus: Whose model.
            version: That is registered.
            by: Who does it.
            reason: Why; by default what the gate said.
            again: Although somebody went back from it: what its word errors do not show was wrong with it,
                and the next run that makes the same model would undo the way back.

        Raises:
            GateRejected: If the gate did not pass, the version is worse than today's champion, or somebody
                went back from it.
            BundleError: If there is no such version, or its files are damaged or removed.
        """

        def decide(history: History) -> Entry | None:
            candidate, champion = history.get(version), history.champion
            if champion is not None and champion.version == version:
                return None
            left = history.left(version)
            if left is not None and not again:
                raise GateRejected(
                    f"{version} cannot be promoted: {left.by} went back from it on {left.at:%Y-%m-%d %H:%M}:"
                    f" {left.reason}; if that is over: python -m serving.registry promote {corpus} {version}"
                    " --again --reason TEXT"
                )
            judge(self._contents, candidate, champion)
            return _entry("promoted", candidate, by, reason or candidate.gate, replaced=champion)

        if self._connect is not None:
            self._connect().check()
        self._log.append(corpus, decide)
        return self._published(corpus).versions[version]

    def review(self, corpus: str, version: str, page: Path, beside: str = "") -> GateDecision:
        """Ask the gate as `promote` would now, write its page, and change nothing.

        Args:
            corpus: Whose model.
            version: That is registered.
            page: HTML file to write.
            beside: HTML that the page shows as well, such as what a trial has shown.

        Raises:
            GateRejected: If the gate did not pass when the version was trained.
            BundleError: If there is no such version, or its files are damaged or removed.
        """
        history = self.history(corpus)
        with tempfile.TemporaryDirectory(prefix="mome-review-") as temporary:
            folder = Path(temporary)
            asked = ask_again(self._contents, history.get(version), history.champion, folder, beside)
            write_bytes(page, (folder / "decision" / "gate.html").read_bytes())
        return asked

    def rollback(self, corpus: str, *, to: str | None = None, by: str, reason: str) -> Version:
        """Make an earlier champion the champion again, without a gate: it passed one then.

        Args:
            corpus: Whose model.
            to: An earlier champion; None for the one before today's. Going back twice goes back by two.
            by: Who does it.
            reason: Why; it is kept.

        Raises:
            BundleError: If there is no earlier champion, ``to`` never was one, or its files are damaged.
        """

        def decide(history: History) -> Entry:
            way, champion = history.way_back, history.champion
            if champion is None or (to is None and not way):
                raise BundleError(f"{corpus}: there is no earlier champion to go back to")
            target = history.get(to or way[0])
            if target.version == champion.version:
                raise BundleError(f"{corpus}: {target.version} is the champion already")
            if target.version not in way:
                raise BundleError(
                    f"{corpus}: {target.version} is not on the way back ({', '.join(way) or 'none'});"
                    " promote it, which asks the gate"
                )
            self._contents.check_complete(target)
            return _entry("rolled back", target, by, reason, replaced=champion)

        # Kubeflow's registry is not asked first: the way back must be open while it is down.
        entry = self._log.append(corpus, decide)
        assert entry is not None
        return self._published(corpus).versions[entry.version]

    def prune(self, corpus: str, *, keep: int, by: str) -> list[str]:
        """Delete the files of versions that are neither the champion nor among the newest ones.

        Their entries stay. Uploads that were broken off more than a day ago go too.

        Args:
            corpus: Whose model.
            keep: How many earlier champions stay, and how many candidates.
            by: Who does it.

        Returns:
            The versions whose files were deleted.
        """

        def decide(history: History) -> Entry | None:
            version = _surplus(history, keep)
            if version is None:
                return None
            return _entry("removed", version, by, f"beyond the {keep} that are kept")

        # The entry first: from then on nobody can choose the version, and its files can go.
        removed = []
        while (entry := self._log.append(corpus, decide)) is not None:
            removed.append(entry.version)
        history = self._published(corpus)
        live = {v.place for v in history.versions.values() if history.stage(v.version) != "removed"}
        named = {entry.registered.place for entry in history.entries if entry.registered is not None}
        self._contents.clear(corpus, named=named, live=live)
        return removed

    def publish(self, corpus: str) -> list[str]:
        """Show the state again where else it is shown; returns what was changed there.

        Raises:
            ServiceError: If it does not answer.
        """
        if self._connect is None:
            return []
        publisher = self._connect()
        changed: list[str] = []
        history = self.history(corpus)
        while True:
            changed += publisher.publish(history, self.uri)
            newest = self.history(corpus)
            # Somebody went on meanwhile, and may have been shown before this older state was.
            if len(newest.entries) == len(history.entries):
                return changed
            history = newest

    def _published(self, corpus: str) -> History:
        try:
            self.publish(corpus)
        except MomeError as error:
            raise ServiceError(
                f"{error}; the registry itself is in order, and its champion counts. When that works again:"
                f" python -m serving.registry sync {corpus}"
            ) from error
        return self.history(corpus)


def _describe(bundle: Bundle, lineage: Lineage) -> Version:
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return Version(
        corpus=bundle.evaluation.corpus,
        version=bundle.version,
        name=bundle.name,
        default_scale=str(bundle.default_scale),
        modality=bundle.evaluation.modality,
        revision=bundle.evaluation.revision,
        gate=bundle.gate.reason,
        figures=bundle.evaluation.figures(),
        lineage=lineage,
        place=f"{bundle.version}.{at}.{uuid.uuid4().hex[:8]}",
        manifest_sha256=hashlib.sha256((bundle.path / _MANIFEST).read_bytes()).hexdigest(),
    )


def _entry(
    event: Event,
    version: Version,
    by: str,
    reason: str,
    *,
    replaced: Version | None = None,
    registered: Version | None = None,
) -> Entry:
    return Entry(
        entry_id=uuid.uuid4().hex,
        at=datetime.now(UTC),
        by=by,
        event=event,
        version=version.version,
        reason=reason,
        replaced=None if replaced is None else replaced.version,
        registered=registered,
    )


def _surplus(history: History, keep: int) -> Version | None:
    """Return a version whose files can go, or None."""
    candidates = [version for version in history.versions if history.stage(version) == "candidate"]
    kept = {*history.way_back[:keep], *candidates[max(len(candidates) - keep, 0) :]}
    for name, version in history.versions.items():
        if history.stage(name) in ("candidate", "archived") and name not in kept:
            return version
    return None

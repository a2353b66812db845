"""What a run's corpus is and where its recordings can be had again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from data.archive import ArchiveRow
from data.pictures import count_speakers
from data.registry import CONTENT
from data.version import Origin, Versioned, content
from mome.addresses import public
from mome.records import Split
from mome.reporting.report import Report
from mome.reporting.sizes import size

__all__ = ["describe"]

_WHY: dict[Origin, tuple[str, str]] = {
    "new": ("new", "the recordings were packed and stored; every later step names them by this commit"),
    "unchanged": ("unchanged", "the recordings are those of an earlier run, and keep its commit"),
    "published": (
        "as published",
        "taken from its repository: branches and tags may move on, this commit does not",
    ),
}


def describe(asked: str, found: Versioned, page: Path) -> None:
    """Write what a person wants to know before they trust a result: of which recordings it is.

    Args:
        asked: What the run was given as corpus.
        found: What it came to.
        page: HTML file to write.

    Raises:
        RevisionError: If the revision cannot be read.
    """
    name, repo, revision = found.revision
    held = content(repo, revision)
    speakers = count_speakers([(row.split, row.speaker) for row in held.rows], disjoint=held.speaker_disjoint)
    report = Report(f"Corpus {name}")
    report.verdict(True, *_WHY[found.origin])
    report.facts(
        [
            ("corpus", name),
            ("asked for", public(asked)),
            ("commit", revision),
            ("repository", public(repo)),
            ("recordings", len(held.rows)),
            ("size, as recorded", "–" if held.num_bytes is None else size(held.num_bytes)),
            ("speakers", speakers),
        ]
    )
    report.heading("Splits")
    report.table(["split", "recordings", "speakers", "without a file"], _splits(held.rows))
    report.heading("Have the recordings here")
    target = f"{name}-{revision[:12]}"
    report.command(shlex.join(["dvc", "get", public(repo), CONTENT, "--rev", revision, "--out", target]))
    report.write(page)


def _splits(rows: Sequence[ArchiveRow]) -> list[list[str]]:
    found = []
    for split in get_args(Split):
        members = [row for row in rows if row.split == split]
        speakers = len({row.speaker for row in members})
        missing = sum(bool(row.problem) for row in members)
        found.append([split, str(len(members)), str(speakers), str(missing)])
    return found

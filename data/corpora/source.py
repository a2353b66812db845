"""Choose the reader: the embedded corpus, or a folder with a manifest or in a known layout."""

from __future__ import annotations

from pathlib import Path

from data.corpora.auto_avsr import find_auto_avsr, read_auto_avsr
from data.corpora.embedded import EMBEDDED, read_embedded
from data.corpora.fsdd import find_fsdd, read_fsdd
from data.corpora.grid import find_grid, read_grid
from data.corpora.manifest import find_manifest, read_manifest_corpus
from data.corpora.raw import Corpus
from mome.config import PrepareParams
from mome.errors import CorpusError

__all__ = ["open_corpus"]


def open_corpus(corpus: str, params: PrepareParams) -> Corpus:
    """Open a corpus by name or folder; a manifest goes before known layouts.

    Args:
        corpus: ``embedded``, or the path of a folder.
        params: How many sentences a corpus that is made on the spot has.

    Raises:
        CorpusError: If there is no such folder, or nothing in it is known; the message lists what was
            looked for.
    """
    if corpus == EMBEDDED:
        return read_embedded(params)
    folder = Path(corpus)
    if not folder.is_dir():
        raise CorpusError(
            f"{corpus}: no such folder; a corpus is {EMBEDDED!r}, a folder or a DVC repository's address"
        )
    if manifest := find_manifest(folder):
        return read_manifest_corpus(manifest)
    # Before those that look at every file: LRS3 has some 300,000.
    if labels := find_auto_avsr(folder):
        return read_auto_avsr(folder, labels)
    if grid := find_grid(folder):
        return read_grid(folder, grid)
    if digits := find_fsdd(folder):
        return read_fsdd(folder, digits, params)
    raise CorpusError(
        f"{folder}: no corpus found; looked for manifest.csv or manifest.jsonl (columns path, transcript, "
        "speaker, split), for the label files of auto_avsr (labels/*.csv), for GRID recordings "
        "(s1/bbaf2n.mpg) and for single spoken digits (7_george_12.wav)"
    )

"""Choose the reader: the embedded corpus, or a folder with a manifest or in a known layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from data.corpora.auto_avsr import find_auto_avsr, read_auto_avsr
from data.corpora.embedded import EMBEDDED, read_embedded
from data.corpora.fsdd import find_fsdd, read_fsdd
from data.corpora.grid import find_grid, read_grid
from data.corpora.lhotse import find_lhotse, read_lhotse
from data.corpora.librispeech import find_librispeech, read_librispeech
from data.corpora.ljspeech import find_ljspeech, read_ljspeech
from data.corpora.lrs2 import find_lrs2, read_lrs2
from data.corpora.lrs3 import find_lrs3, read_lrs3
from data.corpora.manifest import find_manifest, read_manifest_corpus
from data.corpora.muavic import find_muavic, read_muavic
from data.corpora.raw import Corpus
from data.corpora.spoken import with_text
from data.corpora.voxceleb2 import find_voxceleb2, read_voxceleb2
from mome.config import PrepareParams
from mome.errors import CorpusError

__all__ = ["LAYOUTS", "Layout", "open_corpus"]


class Layout(NamedTuple):
    """A way in which a corpus lies in its folder.

    Args:
        looked_for: What tells it, for people.
        find: Returns of a folder what tells it, or something empty.
        read: Opens the folder, with what ``find`` has returned.
    """

    looked_for: str
    find: Callable[[Path], Any]
    read: Callable[[Path, Any, PrepareParams], Corpus]


def _plain(read: Callable[[Path, Any], Corpus]) -> Callable[[Path, Any, PrepareParams], Corpus]:
    """Return a reader to which parameters say nothing."""
    return lambda folder, found, _params: read(folder, found)


# The first one that is found is it. Those that look at every file come last: LRS3 has some 300,000.
LAYOUTS = (
    Layout(
        "manifest.csv or manifest.jsonl (columns path, transcript, speaker, split)",
        find_manifest,
        lambda _folder, manifest, _params: read_manifest_corpus(manifest),
    ),
    Layout(
        "the label files of auto_avsr (labels/*.csv)",
        find_auto_avsr,
        _plain(read_auto_avsr),
    ),
    Layout(
        "LRS2 (main/<programme>/00001.txt)",
        find_lrs2,
        _plain(read_lrs2),
    ),
    Layout(
        "LRS3 (pretrain, trainval or test/<talk>/00001.txt)",
        find_lrs3,
        _plain(read_lrs3),
    ),
    Layout(
        "VoxCeleb2 (dev or test/mp4/<speaker>/<video>/00001.mp4)",
        find_voxceleb2,
        _plain(read_voxceleb2),
    ),
    Layout(
        "MuAViC (train.tsv and train.es)",
        find_muavic,
        _plain(read_muavic),
    ),
    Layout(
        "LJ Speech (metadata.csv)",
        find_ljspeech,
        _plain(read_ljspeech),
    ),
    Layout(
        "manifests of lhotse (*supervisions*.jsonl.gz)",
        find_lhotse,
        _plain(read_lhotse),
    ),
    Layout(
        "LibriSpeech (train-clean-100/103/1240/103-1240.trans.txt)",
        find_librispeech,
        _plain(read_librispeech),
    ),
    Layout(
        "GRID recordings (s1/bbaf2n.mpg)",
        find_grid,
        _plain(read_grid),
    ),
    Layout("single spoken digits (7_george_12.wav)", find_fsdd, read_fsdd),
)


def open_corpus(corpus: str, params: PrepareParams) -> Corpus:
    """Open a corpus by name or folder, with its texts as ``params.text`` wants them.

    Args:
        corpus: ``embedded``, or the path of a folder.
        params: How many sentences a corpus that is made on the spot has, and how texts are written.

    Raises:
        CorpusError: If there is no such folder, or nothing in it is known; the message lists what was
            looked for.
    """
    return with_text(_open(corpus, params), params.text)


def _open(corpus: str, params: PrepareParams) -> Corpus:
    if corpus == EMBEDDED:
        return read_embedded(params)
    folder = Path(corpus)
    if not folder.is_dir():
        raise CorpusError(
            f"{corpus}: no such folder; a corpus is {EMBEDDED!r}, a folder or a DVC repository's address"
        )
    for layout in LAYOUTS:
        if found := layout.find(folder):
            return layout.read(folder, found, params)
    looked_for = "; ".join(layout.looked_for for layout in LAYOUTS)
    raise CorpusError(f"{folder}: no corpus found; looked for {looked_for}")

"""Version a corpus with DVC, and get a revision back byte for byte.

A corpus is ``embedded``, a folder, or the address of a DVC repository that this file once filled, with
an optional ``@revision``: ``var/registry@content-1f2e``, ``https://example.org/speech.git@v3``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, ParamSpec, TypeVar

import yaml

from data.archive import ARCHIVE_VERSION, ArchiveRow, file_sums, pack, read_rows
from data.corpora import open_corpus
from data.corpora.manifest import CorpusCard
from data.corpora.raw import fingerprint
from data.registry import CONTENT, SUMS, Registry, read_sums
from mome.addresses import public, split_revision
from mome.cli import main
from mome.config import PrepareParams, load_params
from mome.errors import RevisionError
from mome.machine.memory import memory_watched
from mome.machine.stopping import stoppable
from mome.object_store import use_registry_credentials
from mome.storage import new_folder, write_text

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

__all__ = [
    "Content",
    "CorpusRevision",
    "Origin",
    "Versioned",
    "content",
    "corpora",
    "pull",
    "run",
    "versioned",
]


P = ParamSpec("P")
T = TypeVar("T")
WAITS_S = (5.0, 20.0)  # before a second and a third attempt at what is fetched over a network
# What requests, urllib3, aiohttp and botocore call a connection that failed; some are no `ConnectionError`.
_CUT = re.compile("Connect|Timeout|Disconnected|ProtocolError|MaxRetryError|IncompleteRead|PayloadError")

# Packed now; packed before, so that the revision stays; or taken from a repository that others fill.
Origin = Literal["new", "unchanged", "published"]


class CorpusRevision(NamedTuple):
    """One fixed state of a corpus.

    Args:
        name: Of the corpus.
        repo: Path or address of the DVC repository.
        revision: Full git commit id.
    """

    name: str
    repo: str
    revision: str

    @classmethod
    def read(cls, path: Path) -> CorpusRevision:
        """Read what the command below wrote.

        Raises:
            RevisionError: If it is no such file.
        """
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise RevisionError(
                f"{path}: expected a corpus revision (name, repo, revision): {error}"
            ) from None


class Versioned(NamedTuple):
    """A revision, and how it came to be."""

    revision: CorpusRevision
    origin: Origin


class Content(NamedTuple):
    """What a revision holds, without its recordings."""

    rows: list[ArchiveRow]
    speaker_disjoint: bool
    num_bytes: int | None  # None if its DVC file does not say


def run(corpus: str, params: PrepareParams, registry: Path) -> CorpusRevision:
    """Give a corpus a revision, as `versioned` does, and return it alone."""
    return versioned(corpus, params, registry).revision


@stoppable()
@memory_watched("version_corpus")
def versioned(corpus: str, params: PrepareParams, registry: Path) -> Versioned:
    """Give a corpus a revision; an unchanged one keeps the revision it has.

    Args:
        corpus: ``embedded``, a folder, or the address of a DVC repository.
        params: For corpora that are made on the spot.
        registry: Folder of the data registry; not touched when ``corpus`` is an address.

    Raises:
        CorpusError: If the corpus cannot be read as one.
        RevisionError: If the address or its revision is unknown, or the registry cannot be used.
        Stopped: If a signal asks to stop.
    """
    if address := _parse_address(corpus):
        return Versioned(_resolve(*address), "published")
    if registry.parts and registry.parts[0].endswith(":"):
        raise RevisionError(
            f"{registry}: {corpus} needs a folder as registry, to be versioned in; expected a path on a "
            "shared volume, or the address of a DVC repository as corpus"
        )
    opened = open_corpus(corpus, params)
    store = Registry(registry)
    key = fingerprint([str(ARCHIVE_VERSION), str(params.utterances_per_shard), opened.key])
    revision, is_new = store.find(key), False
    if revision is None:
        with store.new_content() as folder:
            pack(opened, folder, params.utterances_per_shard)
        revision, is_new = store.commit(f"{opened.name}: {len(opened.utterances)} utterances", key)
    found = CorpusRevision(opened.name, str(store.folder), revision)
    return Versioned(found, "new" if is_new else "unchanged")


class _Unreachable(RevisionError):
    """The network failed, or what is behind it; it may be well a moment later."""


def _patient(fetch: Callable[P, T]) -> Callable[P, T]:
    """Try again what is fetched whole or not at all: not every Kubeflow starts a step again that failed."""

    @wraps(fetch)
    def tried_again(*arguments: P.args, **options: P.kwargs) -> T:
        for wait_s in WAITS_S:
            try:
                return fetch(*arguments, **options)
            except _Unreachable as error:
                print(f"{error}; trying again in {wait_s:g} s", flush=True)
                time.sleep(wait_s)
        return fetch(*arguments, **options)

    return tried_again


@_patient
def pull(repo: str, revision: str, output: Path, names: Sequence[str] | None = None) -> None:
    """Fetch a revision of a packed corpus, byte for byte, whole or not at all.

    Args:
        repo: Path or address of the DVC repository.
        revision: Git commit id in it.
        output: Folder to write, replaced.
        names: Files of the corpus to fetch, instead of all.

    Raises:
        RevisionError: If the repository or the revision is unknown, or if a file is missing or is not
            what it was when it was stored; the message names the file and both sums.
    """
    with new_folder(output) as folder:
        with _opened(repo, revision) as files:
            expected = read_sums(files.read_text(SUMS))
            if names is None:
                folder.rmdir()  # DVC would make another folder inside one that exists
                files.get(CONTENT, str(folder), recursive=True)
            else:
                expected = {name: sum_ for name, sum_ in expected.items() if name in names}
                for name in names:
                    (folder / name).parent.mkdir(exist_ok=True)
                    files.get(f"{CONTENT}/{name}", str(folder / name))
        found = file_sums(folder)
        for name in sorted(expected.keys() | found.keys()):
            stored, fetched = (sums.get(name, "(no such file)") for sums in (expected, found))
            if fetched != stored:
                raise RevisionError(
                    f"{public(repo)} at {revision[:12]}: {name} is damaged: sha256 {fetched}, expected "
                    f"{stored}; restore the DVC storage from a good copy, or delete the registry to have it "
                    "made again"
                )


@_patient
def content(repo: str, revision: str) -> Content:
    """Return what a revision holds; no recording is fetched.

    Args:
        repo: Path or address of the DVC repository.
        revision: Git commit id in it.

    Raises:
        RevisionError: If the repository or the revision is unknown, or a file is missing.
        CorpusError: If the content is no packed corpus.
    """
    with tempfile.TemporaryDirectory() as temporary, _opened(repo, revision) as files:
        folder = Path(temporary)
        for name in ("corpus.json", "manifest.csv"):
            files.get(f"{CONTENT}/{name}", str(folder / name))
        num_bytes = yaml.safe_load(files.read_text(f"{CONTENT}.dvc"))["outs"][0].get("size")
        card = CorpusCard.read(folder / "corpus.json")
        return Content(read_rows(folder), card.speaker_disjoint, num_bytes)


def corpora(registry: str) -> Path:
    """Return the folder of the corpora in a registry, as a pipeline names it.

    Raises:
        RevisionError: If no registry is named: the working folder would be taken for one.
    """
    if not registry.strip():
        raise RevisionError(
            "registry is empty: expected a folder on a shared volume, as in /models/registry, or an s3:// "
            "address if the corpus is a DVC repository"
        )
    return Path(registry) / "corpora"


def _parse_address(corpus: str) -> tuple[str, str | None] | None:
    """Return repository and revision if ``corpus`` is the address of a DVC repository."""
    for repo, revision in split_revision(corpus):
        # A clone would look for a local storage beside itself: a local repository is opened where it is.
        place = repo.removeprefix("file://")
        is_remote = "://" in place or place.startswith("git@") or place.endswith(".git")
        if is_remote or (Path(place) / ".dvc").is_dir():
            return place, revision
    return None


@_patient
def _resolve(repo: str, revision: str | None) -> CorpusRevision:
    """Turn a branch, a tag or nothing (the newest) into a commit: names move, commits do not."""
    with _opened(repo, revision) as files:
        if not files.exists(SUMS):
            raise RevisionError(
                f"{public(repo)}: no {SUMS}; expected a DVC repository filled by data.version"
            )
        commit = str(files.repo.get_rev())
        card = CorpusCard.model_validate_json(files.read_text(f"{CONTENT}/corpus.json"))
    return CorpusRevision(card.name, str(Path(repo).resolve()) if Path(repo).is_dir() else repo, commit)


@contextmanager
def _opened(repo: str, revision: str | None) -> Iterator[DVCFileSystem]:
    """Open a DVC repository at a revision; whatever goes wrong inside has one name afterwards."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    use_registry_credentials()  # a DVC storage may be a bucket, too
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.repo.open_repo import clean_repos
    from dvc.scm import RevError
    from dvc_data.index import DataIndexDirError
    from dvc_objects.errors import ObjectFormatError

    try:
        files = DVCFileSystem(url=repo, rev=revision)
        try:
            yield files
        finally:
            files.repo.close()
            clean_repos()  # clones of remote repositories, which DVC keeps in temporary folders
    # Without what they came from: a step's log shows the whole chain, and DVC repeats addresses in full.
    except RevError:
        raise RevisionError(
            f"{public(repo)}: unknown revision {revision!r}; expected a git commit, tag or branch: "
            "correct the part behind the @ of the corpus"
        ) from None
    except (DataIndexDirError, ObjectFormatError) as error:
        raise RevisionError(
            f"{public(repo)} at {revision}: the list of stored files is missing or damaged; expected a DVC "
            f"remote that holds this revision: {public(str(error.__cause__ or error))}"
        ) from None
    except FileNotFoundError as error:
        raise RevisionError(
            f"{public(repo)} at {revision}: {public(str(error.filename or error))} is missing from the DVC "
            "storage"
        ) from None
    except (DvcException, OSError) as error:
        raise (_Unreachable if _is_cut(error) else RevisionError)(
            f"{public(repo)} at {revision or 'its newest revision'}: {_innermost(error)}: check the "
            "address, that this machine may reach it, and the credentials of git and of the DVC storage"
        ) from None


def _is_cut(error: BaseException | None) -> bool:
    """Tell whether a connection failed, somewhere in the chain of an error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        network = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
        if network or _CUT.search(type(error).__name__):
            return True
        error = error.__cause__ or error.__context__
    return False


def _innermost(error: BaseException) -> str:
    """Return what the first error of a chain says: DVC's own is often no more than "SCM error"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return public(" ".join(str(error).split()) or type(error).__name__)


def _command() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus", default="embedded", help="embedded, a folder, or a DVC repository[@revision]"
    )
    parser.add_argument("--registry", type=Path, required=True, help="folder of the data registry")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--output", type=Path, required=True, help="JSON file: name, repo, revision")
    options = parser.parse_args()
    found = run(options.corpus, load_params(options.params).prepare, options.registry)
    write_text(options.output, json.dumps(found._asdict(), indent=2) + "\n")
    print(f"{found.name} {found.revision}")


if __name__ == "__main__":
    raise SystemExit(main(_command))

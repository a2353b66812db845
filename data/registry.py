"""The data registry: a git repository in which DVC keeps the content, with its storage beside it.

    corpus.dvc       what DVC knows the content by
    corpus.sha256    the sum of every file (``sha256sum -c`` reads it); in git, so that the content
                     cannot be damaged together with its sums
    corpus/          the content (in DVC, not in git), there only while it is packed
    storage/         the DVC remote (not in git)

A commit is a revision. Two kinds of tag lead to it: ``source-<key>`` says what it was made from, so that
an unchanged source is not packed again, and ``content-<md5>`` says what it holds, so that the same
content never gets a second revision.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from data.archive import file_sums
from mome.errors import RevisionError
from mome.storage import new_folder, write_text

__all__ = ["CONTENT", "SUMS", "Registry", "read_sums"]

CONTENT = "corpus"
SUMS = "corpus.sha256"
_STORAGE = "storage"
_IGNORED = f"/{CONTENT}\n/{_STORAGE}\n/.{CONTENT}.*\n"  # the last: what a killed run left of a corpus
_CONFIG = f"""[core]
    analytics = false
    check_update = false
    remote = storage
['remote "storage"']
    url = ../{_STORAGE}
"""


class Registry:
    """A registry on this machine, made on first use.

    Raises:
        RevisionError: If the folder holds something else, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        with _writing(self.folder):
            if (self.folder / ".git").exists() and (self.folder / ".dvc").exists():
                return
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise RevisionError(f"{folder}: holds other files; a data registry needs a folder of its own")
            with new_folder(self.folder) as empty:
                _initialise(empty)

    def find(self, key: str) -> str | None:
        """Return the revision that was made from a source and still has all its content, or None."""
        revision = self._tagged(f"source-{key}")
        return revision if revision and self._is_complete(revision) else None

    @contextmanager
    def new_content(self) -> Iterator[Path]:
        """Yield an empty folder; what is in it afterwards is the content that `commit` takes.

        Raises:
            RevisionError: If the registry cannot be written; one that is only read needs not be.
        """
        with _writing(self.folder), tempfile.TemporaryFile(dir=self.folder):
            pass
        with new_folder(self.folder / CONTENT) as folder:
            yield folder

    def commit(self, message: str, key: str) -> tuple[str, bool]:
        """Store the content in DVC; returns its revision (a git commit), and whether it is a new one."""
        sums = file_sums(self.folder / CONTENT)
        _dvc(self.folder, "add", "--quiet", CONTENT)
        _dvc(self.folder, "push", "--quiet", CONTENT)
        content_tag = f"content-{_dvc_md5((self.folder / f'{CONTENT}.dvc').read_text())}"
        revision = self._tagged(content_tag)
        is_new = revision is None
        if revision is None:
            write_text(
                self.folder / SUMS, "".join(f"{digest}  {CONTENT}/{name}\n" for name, digest in sums.items())
            )
            _git(self.folder, "add", f"{CONTENT}.dvc", SUMS)
            # Nothing is staged when an earlier run was killed between its commit and its tag.
            if _git(self.folder, "status", "--porcelain", "--untracked-files=no"):
                _git(self.folder, "commit", "--quiet", "--message", message)
            revision = _git(self.folder, "rev-parse", "HEAD")
            _git(self.folder, "tag", "--force", content_tag, revision)
        _git(self.folder, "tag", "--force", f"source-{key}", revision)
        # Kept in DVC twice already, in its cache and its storage; `dvc checkout` brings it back.
        shutil.rmtree(self.folder / CONTENT)
        return revision, is_new

    def _tagged(self, tag: str) -> str | None:
        listed = _git(self.folder, "for-each-ref", "--format=%(objectname)", f"refs/tags/{tag}")
        return listed or None

    def _is_complete(self, revision: str) -> bool:
        """Tell whether the storage has every file of a revision; the bytes are checked by whoever pulls."""
        md5 = _dvc_md5(_git(self.folder, "show", f"{revision}:{CONTENT}.dvc"))
        listing = self._stored(md5)
        if not listing.is_file():
            return False
        try:
            return all(self._stored(entry["md5"]).is_file() for entry in json.loads(listing.read_bytes()))
        except (ValueError, TypeError, KeyError):
            return False

    def _stored(self, md5: str) -> Path:
        return self.folder / _STORAGE / "files" / "md5" / md5[:2] / md5[2:]


def read_sums(text: str) -> dict[str, str]:
    """Return the sums of ``corpus.sha256`` by path relative to the content."""
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {name.removeprefix(f"{CONTENT}/"): digest for digest, name in pairs}


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RevisionError(
            f"{folder}: user {os.getuid()} of group {os.getgid()} cannot write here ({error.strerror}): name "
            "a folder on a mounted volume as registry, or give the volume to that group"
        ) from error


def _initialise(folder: Path) -> None:
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _dvc(folder, "init", "--quiet")
    write_text(folder / ".dvc" / "config", _CONFIG)
    write_text(folder / ".gitignore", _IGNORED)
    _git(folder, "add", ".gitignore", ".dvcignore", ".dvc")
    _git(folder, "commit", "--quiet", "--message", "Data registry")


def _dvc_md5(dvc_file: str) -> str:
    return str(yaml.safe_load(dvc_file)["outs"][0]["md5"])


def _git(folder: Path, *arguments: str) -> str:
    """Run git without the identity, signing key or hooks of this machine."""
    settings = (
        "user.name=mome",
        "user.email=mome@localhost",
        "commit.gpgsign=false",
        "core.hooksPath=/dev/null",
    )
    command = ["git", *(part for setting in settings for part in ("-c", setting)), *arguments]
    return _run(folder, f"git {arguments[0]}", command)


def _dvc(folder: Path, *arguments: str) -> None:
    _run(folder, f"dvc {arguments[0]}", [sys.executable, "-m", "dvc", *arguments])


def _run(folder: Path, name: str, command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        raise RevisionError(f"{command[0]} is not installed; versioning a corpus needs git")
    # A hook that runs us has GIT_DIR and its kin set, and they would lead to the outer repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment["DVC_NO_ANALYTICS"] = "1"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        reason = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise RevisionError(f"{folder}: {name} failed: {reason}")
    return done.stdout.strip()

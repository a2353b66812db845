"""The commit that a branch or a tag of a corpus' repository is now; names move, commits do not."""

from __future__ import annotations

import os
import re
import subprocess

from mome.addresses import public
from mome.errors import ConfigError

__all__ = ["pinned"]

COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
TIMEOUT_S = 60
# Nothing may ask for a password, or start a program that an address names.
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}


def pinned(corpus: str) -> str:
    """Return ``address@commit`` for ``address@revision``, as the repository says now.

    Raises:
        ConfigError: If the repository cannot be asked, or has no branch or tag of this name.
    """
    address, _, revision = corpus.rpartition("@")
    if COMMIT.fullmatch(revision):
        return corpus
    # In git's own order: a tag comes before a branch, and of a tag with a message the commit counts.
    names = [f"refs/tags/{revision}^{{}}", f"refs/tags/{revision}", f"refs/heads/{revision}"]
    found = _remote(address, revision, names)
    commit = next((found[name] for name in names if name in found), None)
    if commit is None:
        raise ConfigError(
            f"revision {revision}: the corpus' repository has no branch or tag of this name; name one, or "
            "the commit by all its digits"
        )
    return f"{address}@{commit}"


def _remote(address: str, revision: str, names: list[str]) -> dict[str, str]:
    try:
        done = subprocess.run(
            ["git", "ls-remote", "--", address, *names],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
            env=os.environ | QUIET,
        )
        # Its last words only, and no password that the address may hold.
        said = public((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    except subprocess.TimeoutExpired:
        done, said = None, f"no answer within {TIMEOUT_S} s"
    except OSError as error:
        done, said = None, f"git cannot be started: {error.strerror}"
    if done is None or done.returncode:
        raise ConfigError(
            f"revision {revision}: the corpus' repository cannot be asked for its commit: {said}; name the "
            "commit by all its digits"
        )
    lines = (line.partition("\t") for line in done.stdout.splitlines())
    return {name: commit for commit, _, name in lines}

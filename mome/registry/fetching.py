"""A registered version in a folder of this user: fetched once, and compared with its sums every time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mome.addresses import public
from mome.errors import BundleError, ServiceError
from mome.registry.address import open_versions
from mome.registry.versions import Versions

__all__ = ["fetch"]


def fetch(address: str, corpus: str | None = None, version: str | None = None) -> Path:
    """Return a folder that holds a version's bundle.

    It is ``mome/CORPUS/VERSION`` in the user's cache (``XDG_CACHE_HOME``, else ``~/.cache``): a version's
    name is that of its content, so it never grows old.

    Args:
        address: Of a registry, as `open_versions` takes it.
        corpus: Whose model; None where there is one model alone.
        version: None for the champion.

    Raises:
        BundleError: If there is no such model or version, or its files are not what was registered.
        ServiceError: If the registry does not answer, or the cache cannot be written to.
        ConfigError: If the address is not one, or s3fs is missing.
    """
    versions = open_versions(address)
    corpus = _chosen(versions, public(address), corpus)
    history = versions.history(corpus)
    wanted = history.in_use() if version is None else history.get(version)
    place = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mome" / corpus
    try:
        place.mkdir(parents=True, exist_ok=True)
        # Of two processes that fetch, the second finds what the first one has brought.
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            versions.pull(corpus, place / wanted.version, wanted.version)
    except OSError as error:
        raise ServiceError(
            f"{place}: cannot be written ({error.strerror}); XDG_CACHE_HOME names another place"
        ) from error
    return place / wanted.version


def _chosen(versions: Versions, address: str, corpus: str | None) -> str:
    known = versions.models()
    if corpus is None and len(known) == 1:
        return known[0]
    if corpus is None and known:
        raise BundleError(f"{address}: has models of {', '.join(known)}; say which one: corpus=...")
    if corpus not in known:
        wanted = "no model" if corpus is None else f"no model of {corpus!r}"
        raise BundleError(f"{address}: {wanted} is registered; there are: {', '.join(known) or 'none'}")
    return corpus

"""From what a setting says to the place of the request log."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mome.errors import ConfigError
from mome.request_log.files import FileStore
from mome.request_log.store import RequestStore

__all__ = ["ENVIRONMENT", "REQUESTS", "VARIABLE", "is_database", "open_store"]

VARIABLE = "MOME_REQUEST_LOG"
ENVIRONMENT = "environment"  # on a command line, which everybody on the machine can read: what VARIABLE says
REQUESTS = f"folder of the request log, URL of its database, or {ENVIRONMENT}: what {VARIABLE} says"
_SCHEMES = ("postgresql", "postgresql+psycopg", "sqlite")


def is_database(address: str) -> bool:
    """Tell a database's URL from a folder.

    Raises:
        ConfigError: If it is the URL of something else; it is not repeated, for it may have a password in it.
    """
    scheme, separator, _ = address.partition("://")
    if separator and scheme not in _SCHEMES:
        raise ConfigError(
            f"{VARIABLE}: no database of scheme {scheme!r} is known here; expected a folder, "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE"
        )
    return bool(separator)


def open_store(address: str | Path, environment: Mapping[str, str] | None = None) -> RequestStore:
    """Return the place of the request log; nothing is asked of it yet.

    Args:
        address: A folder, a database's URL, or `ENVIRONMENT`.
        environment: Variables; those of this process unless given.

    Raises:
        ConfigError: If it is none of these, or the variable is not set.
    """
    if address == ENVIRONMENT:
        address = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
        if not address:
            raise ConfigError(f"{VARIABLE} is not set: expected the folder or the URL of the request log")
    if isinstance(address, Path) or not is_database(address):
        return FileStore(Path(address))
    from mome.request_log.database import DatabaseStore  # who keeps files goes without its libraries

    return DatabaseStore(address)

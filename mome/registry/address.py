"""From an address to a registry.

var/registry, /mnt/registry          a folder
s3://bucket/prefix                   a bucket; ?writers=one for a server without conditional writes
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from mome.errors import ConfigError
from mome.registry.s3 import S3Reader
from mome.registry.store import FolderReader
from mome.registry.versions import Versions

__all__ = ["Bucket", "open_versions", "parse_address"]


class Bucket(NamedTuple):
    """A prefix of a bucket; ``one_writer`` promises that nobody else writes to it."""

    name: str
    prefix: str
    one_writer: bool


def parse_address(address: str) -> Path | Bucket:
    """Return where a registry lies.

    Raises:
        ConfigError: If the address is not one.
    """
    expected = "expected a folder or s3://bucket/prefix"
    if not address:
        raise ConfigError(f"no registry is given: {expected}")
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(f"registry {address!r}: {expected}")
    options = parse_qs(parts.query, keep_blank_values=True)
    writers = options.pop("writers", [""])
    if options or writers not in ([""], ["one"]):
        raise ConfigError(f"registry {address!r}: the only option is ?writers=one")
    return Bucket(parts.netloc, parts.path, one_writer=writers == ["one"])


def open_versions(address: str) -> Versions:
    """Open a registry to read it; nobody is called before the first use.

    Raises:
        ConfigError: If the address is not one, or s3fs is missing.
    """
    place = parse_address(address)
    return Versions(FolderReader(place) if isinstance(place, Path) else S3Reader(place.name, place.prefix))

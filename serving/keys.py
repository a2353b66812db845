"""Keys that callers have, and what each of them may ask for.

A file of keys has one a line, and behind it, in any order, its name and its limits:

    sesame
    3f1c9a0b name=call-centre requests_per_minute=600 seconds_per_minute=3600 in_flight=8
    77d2e4c1 name=trial seconds_per_day=7200
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from mome.errors import ConfigError

__all__ = ["Key", "digest", "named", "parse_key"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Key:
    """One key; a limit that is None is none.

    Args:
        secret: What a caller sends.
        name: What it is called in the metrics.
        requests_per_minute: Recordings and live sessions.
        seconds_per_minute: Of recordings.
        seconds_per_day: Likewise.
        in_flight: Requests and live sessions that are not answered yet.
    """

    secret: str = field(repr=False)  # it must not end up in a log
    name: str = ""
    requests_per_minute: int | None = None
    seconds_per_minute: float | None = None
    seconds_per_day: float | None = None
    in_flight: int | None = None


def digest(secret: str) -> str:
    """Return what may be written down of a key, to know it again; empty where none is asked for."""
    return hashlib.sha256(secret.encode()).hexdigest() if secret else ""


def parse_key(line: str, where: str) -> Key:
    """Read one line.

    Args:
        line: Of a file of keys, not empty.
        where: The line in words; what stands in it is a secret, and in no message.

    Raises:
        ConfigError: If what stands behind the key is unknown, given twice, or no value of its kind.
    """
    secret, *settings = line.split()
    given: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in _PARSERS:
            raise ConfigError(f"{where}: behind the key stand {', '.join(f'{each}=' for each in _PARSERS)}")
        if name in given:
            raise ConfigError(f"{where}: {name} is given twice")
        given[name] = value
    key = Key(secret)
    for name, value in given.items():
        try:
            key = replace(key, **{name: _PARSERS[name](value)})
        except ValueError as error:
            raise ConfigError(f"{where}: {name}: {error}, got {value!r}") from None
    return key


def named(keys: Iterable[Key]) -> tuple[Key, ...]:
    """Return the keys, each once and with a name of its own: ``key-2`` where the second of them has none.

    Raises:
        ConfigError: If a key is given twice with other limits, or two keys have one name.
    """
    by_secret: dict[str, Key] = {}
    for key in keys:
        if by_secret.setdefault(key.secret, key) != key:
            raise ConfigError(f"the key {key.name or 'without a name'} is given twice, with other limits")
    found: dict[str, Key] = {}
    for number, key in enumerate(by_secret.values(), 1):
        name = key.name or f"key-{number}"
        if name in found:
            raise ConfigError(f"two keys have the name {name!r}; expected one of its own for each")
        found[name] = replace(key, name=name)
    return tuple(found.values())


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("expected letters, digits, '.', '_' and '-'")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("expected a whole number above zero")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError("expected a number above zero")
    return seconds


_PARSERS: dict[str, Callable[[str], Any]] = {
    "name": _name,
    "requests_per_minute": _count,
    "seconds_per_minute": _seconds,
    "seconds_per_day": _seconds,
    "in_flight": _count,
}

"""One call to a Kubeflow server: tried again where that is safe, and an error that says what to do.

What only reads is tried again after 5xx, 429 and broken connections, with waits that double. What
creates is never sent again blindly: an answer that was lost may have been a yes. So the caller says
how to find what it creates (by a name that is its own), and each further attempt looks first.

All of it keeps to one moment at which the caller's time is over, for a server that does not answer at all
would otherwise hold a job for attempts times a minute.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import urllib3
from kfp_server_api.exceptions import ApiException  # type: ignore[import-untyped]

from mome.errors import MomeError

__all__ = [
    "AccessDenied",
    "NeverSent",
    "NotThere",
    "OutOfTime",
    "Patience",
    "ServerError",
    "create",
    "one_line",
    "read",
    "refused",
    "timeouts",
    "translate",
]

T = TypeVar("T")

TIMEOUT_S = (10.0, 60.0)  # to connect, to answer
LEAST_S = 1.0  # that a call is given however late it is
PASSING = {429, 500, 502, 503, 504}  # that may be gone a moment later
MISSING = "ResourceNotFoundError"  # in a 500: what a request names is not there, as the version of a run
LOOKS = 4  # for what a lost request may have created: with the usual patience more than 15 s
LONGEST = 400  # characters of a server's own words in a message


class ServerError(MomeError, RuntimeError):
    """The Kubeflow server cannot be reached, or refuses."""


class AccessDenied(ServerError):
    """The server does not know who asks, or does not let them."""


class NotThere(ServerError):
    """The server has no such thing, or no such path."""


class OutOfTime(ServerError):
    """The caller's time was over while the server still failed."""


class _Passing(ServerError):
    """What may be gone a moment later."""


class NeverSent(_Passing):
    """The same, and the server has not seen the request."""


@dataclass(frozen=True)
class Patience:
    """How often a call is tried, how long the waits between are, and when it all has to be over.

    Args:
        attempts: At least 1.
        first_wait_s, longest_wait_s: Waits double from the one to the other.
        until: Moment of `time.monotonic` after which no attempt begins.
    """

    attempts: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    until: float = math.inf

    @property
    def is_over(self) -> bool:
        """Whether no attempt may begin any more."""
        return time.monotonic() >= self.until

    def wait(self, attempt: int) -> None:
        """Sleep after a failed attempt, counted from 0; a share of it is drawn, so that clients part."""
        longest = min(self.first_wait_s * 2**attempt, self.longest_wait_s)
        time.sleep(max(0.0, min(longest * random.uniform(0.5, 1.0), self.until - time.monotonic())))


def timeouts(until: float) -> tuple[float, float]:
    """Return the seconds to connect and to answer in, of a call that has to be over at ``until``."""
    left = max(until - time.monotonic(), LEAST_S)
    return min(TIMEOUT_S[0], left), min(TIMEOUT_S[1], left)


def read(what: str, call: Callable[..., T], *arguments: Any, patience: Patience, **options: Any) -> T:
    """Return what a call that changes nothing returns, after as many attempts as patience has.

    Args:
        what: What is done, for messages: ``read run 1f2e``.
        call: Of kfp's generated interface.
        patience: How often, and how long.

    Raises:
        ServerError: If the server refuses, or is still away after the last attempt.
        OutOfTime: If it is still away when time is over.
    """
    for attempt in range(patience.attempts):
        try:
            return _once(what, call, patience, *arguments, **options)
        except _Passing as error:
            if attempt + 1 < patience.attempts:
                patience.wait(attempt)
            if patience.is_over:
                raise OutOfTime(f"{error} (no time is left)") from error
            last = error
    raise ServerError(f"{last} ({patience.attempts} attempts)") from last


def create(
    what: str,
    call: Callable[..., T],
    *arguments: Any,
    find: Callable[[], T | None],
    patience: Patience,
    **options: Any,
) -> T:
    """Return what is there under its name, or create it, at most once.

    Args:
        what: What is done, for messages.
        call: Creates it.
        find: Returns it if it is there, else None; reads only, with patience of its own.
        patience: How often a lost answer is followed up.

    Raises:
        ServerError: As `read`.
        OutOfTime: If time is over before it could be created.
    """
    last: ServerError = OutOfTime(what)
    for attempt in range(patience.attempts):
        # Before the first attempt too: a job that was started again finds what it did before.
        found = find()
        if found is not None:
            return found
        if patience.is_over:
            raise OutOfTime(f"{last} (no time is left)") from last
        try:
            return _once(what, call, patience, *arguments, **options)
        except _Taken as error:  # somebody else was faster, or it was our own lost attempt
            found = find()
            if found is None:
                raise ServerError(str(error)) from error
            return found
        except NeverSent as error:
            last = error
            patience.wait(attempt)
        except _Passing as error:
            last = error
            # A gateway gives up sooner than the server behind it: what was asked for may still come. That
            # it is there has to be known even where time is over.
            for look in range(LOOKS):
                replace(patience, until=math.inf).wait(look + 1)
                found = find()
                if found is not None:
                    return found
    raise ServerError(f"{last} ({patience.attempts} attempts)") from last


class _Taken(ServerError):
    """The name is in use."""


def _once(what: str, call: Callable[..., T], patience: Patience, *arguments: Any, **options: Any) -> T:
    try:
        return call(*arguments, **options, _request_timeout=timeouts(patience.until))
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise translate(what, error) from error


def translate(what: str, error: Exception) -> ServerError:
    """Return an error in the project's words: what was tried, what the server said, what to do."""
    if isinstance(error, ApiException):
        return refused(what, int(error.status or 0), error.body or error.reason)
    reason = getattr(error, "reason", None)
    if isinstance(error, urllib3.exceptions.SSLError) or isinstance(reason, urllib3.exceptions.SSLError):
        return ServerError(
            f"{what}: the server's certificate is not trusted: {_short(reason or error)}; give the "
            "certificate authority's file with --ca-cert"
        )
    if isinstance(error, urllib3.exceptions.LocationParseError):
        return ServerError(f"{what}: the address cannot be used: {_short(error)}")
    said = f"{what}: the server cannot be reached: {_short(reason or error)}"
    never_sent = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return NeverSent(said) if isinstance(reason or error, never_sent) else _Passing(said)


def refused(what: str, status: int, body: object) -> ServerError:
    """Return the error of an answer that is no success, by its HTTP status and what it says."""
    words = _words(body)
    said = f" ({words})" if words else ""
    if status == 401:
        return AccessDenied(
            f"{what}: the server does not accept who asks (401){said}: the token is missing, has ended or is "
            "for another audience; give a new one with --token-file or KF_PIPELINES_TOKEN"
        )
    if status == 403:
        return AccessDenied(
            f"{what}: the server does not allow it (403){said}: ask for the role kubeflow-edit in the "
            "namespace, or name your own with --namespace"
        )
    if status == 404 or (status == 500 and MISSING in str(body)):
        return NotThere(
            f"{what}: there is no such thing on the server ({status}){said}: check the address (behind a "
            "gateway it ends in /pipeline), the name and --namespace"
        )
    if status == 409:
        return _Taken(f"{what}: the name is in use (409){said}, but cannot be found by it")
    if 300 <= status < 400:
        return AccessDenied(
            f"{what}: the server sends us elsewhere ({status}), as to a login page: check the token and the "
            "address (behind a gateway it ends in /pipeline)"
        )
    if status in PASSING:
        return _Passing(f"{what}: the server failed ({status}){said}")
    return ServerError(f"{what}: the server refused ({status}){said}")


def _words(body: object) -> str:
    """Return what a server's answer says, in one line; a page of HTML says nothing."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if not isinstance(body, str) or "<html" in body.lower():
        return ""
    try:
        content = json.loads(body)
    except ValueError:
        return _short(body)
    if isinstance(content, dict):
        for key in ("message", "error_message", "error"):
            if isinstance(content.get(key), str) and content[key]:
                return _short(content[key])
    return _short(body)


def one_line(value: object) -> str:
    """Return words of others so that they steer no terminal and start no command of a CI's log."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return " ".join(words.split())


def _short(value: object) -> str:
    text = one_line(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."

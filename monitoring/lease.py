"""One monitor at a time: a lock on a folder, or a Lease of Kubernetes."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from mome.errors import MonitorError, Occupied
from monitoring.access import connect

if TYPE_CHECKING:
    from kubernetes.client import CoordinationV1Api

__all__ = ["ClusterLease", "FileLease", "Lease"]

_TIMEOUT_S = 5.0


class Lease(Protocol):
    """What only one process has at a time."""

    def hold(self) -> bool:
        """Take or renew it; False while somebody else has it."""

    def release(self) -> None:
        """Give it back, if it is held."""


class FileLease:
    """The lock of a file; the system lets go of it when the process ends, however it ends.

    As a context it is taken at once, or refused.

    Args:
        path: Of the file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def hold(self) -> bool:
        """Take it unless it is held already."""
        if self._file is not None:
            return True
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def __enter__(self) -> Self:
        if not self.hold():
            raise Occupied(f"{self._path}: another monitor is at work on this folder; expected to be alone")
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class ClusterLease:
    """A Lease object: whoever renewed it last has it, until that is too long ago.

    Two that want it at once are told apart by its resource version: the slower one is refused by the API.

    Args:
        name: Of the object; made if missing.
        duration_s: For how long it is held without being renewed.
        namespace: Where it is; default: the pod's own, outside a pod the one of the current context.
    """

    def __init__(self, name: str, duration_s: int = 15, namespace: str | None = None) -> None:
        self._name, self._duration_s, self._namespace = name, duration_s, namespace
        self._me = f"{socket.gethostname()}-{os.getpid()}"
        self._renewed: datetime | None = None

    def hold(self) -> bool:
        """Take or renew it; asked again within a third of its duration, the API is not called.

        Raises:
            MonitorError: If the API refuses or does not answer.
        """
        now = datetime.now(UTC)
        if self._renewed and timedelta() <= now - self._renewed < timedelta(seconds=self._duration_s / 3):
            return True
        self._renewed = now if self._call(self._take, now) else None
        return self._renewed is not None

    def release(self) -> None:
        """Let the next one have it at once."""
        if self._renewed is not None:
            self._renewed = None
            with suppress(MonitorError):  # it ends by itself
                self._call(self._give_back, datetime.now(UTC))

    def _take(self, api: CoordinationV1Api, namespace: str, now: datetime) -> bool:
        from kubernetes.client import ApiException, V1Lease, V1LeaseSpec, V1ObjectMeta

        mine = V1LeaseSpec(
            holder_identity=self._me,
            lease_duration_seconds=self._duration_s,
            acquire_time=now,
            renew_time=now,
        )
        try:
            found = api.read_namespaced_lease(self._name, namespace, _request_timeout=_TIMEOUT_S)
        except ApiException as error:
            if error.status != 404:
                raise
            body = V1Lease(metadata=V1ObjectMeta(name=self._name), spec=mine)
            api.create_namespaced_lease(namespace, body, _request_timeout=_TIMEOUT_S)
            return True
        spec = found.spec
        if spec and spec.holder_identity not in (None, "", self._me) and spec.renew_time is not None:
            held_s = spec.lease_duration_seconds or self._duration_s
            if now - spec.renew_time < timedelta(seconds=held_s):
                return False
        if spec and spec.holder_identity == self._me:
            mine.acquire_time = spec.acquire_time
        found.spec = mine
        api.replace_namespaced_lease(self._name, namespace, found, _request_timeout=_TIMEOUT_S)
        return True

    def _give_back(self, api: CoordinationV1Api, namespace: str, _now: datetime) -> bool:
        found = api.read_namespaced_lease(self._name, namespace, _request_timeout=_TIMEOUT_S)
        if found.spec and found.spec.holder_identity == self._me:
            found.spec.holder_identity = None
            found.spec.renew_time = None
            api.replace_namespaced_lease(self._name, namespace, found, _request_timeout=_TIMEOUT_S)
        return False

    def _call(self, what: Any, now: datetime) -> bool:
        # Only here: whoever locks a file needs no Kubernetes client.
        from kubernetes.client import ApiException, CoordinationV1Api
        from urllib3.exceptions import HTTPError

        client, namespace = connect()
        namespace = self._namespace or namespace
        try:
            return bool(what(CoordinationV1Api(client), namespace, now))
        except ApiException as error:
            if error.status == 409:  # somebody was faster
                return False
            raise MonitorError(
                f"lease {namespace}/{self._name}: the Kubernetes API answered {error.status} {error.reason}"
            ) from error
        except (HTTPError, OSError) as error:
            raise MonitorError(
                f"lease {namespace}/{self._name}: the Kubernetes API did not answer: {error}"
            ) from error

"""Hand the scale of the last look to a service elsewhere: through a ConfigMap, or a file on shared storage.

    python -m monitoring.publish STATE/scale.json configmap/mome-scale
    python -m monitoring.publish STATE/scale.json configmap/mome-scale --follow --lease mome-controller

``state/scale.json`` stays the truth; publishing makes the other place equal to it. After single looks it is
done once each, switched or not: what one could not publish, the next one does. Beside the controller it
follows the file, under a lease, for two that follow would write against each other. Publishing the same
again changes nothing.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from pathlib import Path
from typing import Protocol

from mome.cli import main
from mome.errors import MomeError, MonitorError
from mome.records import ScaleDecision
from monitoring.access import connect
from monitoring.lease import ClusterLease, Lease

__all__ = ["KEY", "ConfigMap", "File", "Here", "Target", "follow", "publish", "target"]

_log = logging.getLogger(__name__)

KEY = "scale.json"  # in the ConfigMap; the service mounts it as a file of that name
_SCHEME = "configmap/"
_TIMEOUT_S = 10.0
_POLL_S = 2.0
_AGAIN_S = 60.0  # somebody else may have changed the place
_WRITER = "mome-monitor"  # who wrote the key, as `kubectl get configmap --show-managed-fields` says


class Target(Protocol):
    """A place where a service reads its scale."""

    def publish(self, decision: ScaleDecision) -> None:
        """Make the place hold this decision.

        Raises:
            MonitorError: If it could not be written; the earlier decision is then still there.
        """


class File:
    """A file that a service reads directly, on storage that both can reach.

    Args:
        path: Of the file; its folder is made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, decision: ScaleDecision) -> None:
        """Rename the decision into place."""
        try:
            decision.write(self._path)
        except OSError as error:
            raise MonitorError(f"{self._path}: the scale cannot be published: {error}") from error


class ConfigMap:
    """One key of a ConfigMap, which the kubelet of every serving pod writes into a mounted folder.

    Only that key is patched: other keys and whoever owns them stay as they are.

    Args:
        name: Of the ConfigMap; it must exist.
        namespace: Where it is; default: the pod's own, outside a pod the one of the current context.
    """

    def __init__(self, name: str, namespace: str | None = None) -> None:
        self._name = name
        self._namespace = namespace

    def publish(self, decision: ScaleDecision) -> None:
        """Patch the key, in one request to the Kubernetes API."""
        # Only here: whoever publishes to a file needs no Kubernetes client.
        from kubernetes.client import ApiException, CoreV1Api
        from urllib3.exceptions import HTTPError

        client, namespace = connect()
        api = CoreV1Api(client)
        namespace = self._namespace or namespace
        where = f"configmap {namespace}/{self._name}"
        try:
            api.patch_namespaced_config_map(
                self._name,
                namespace,
                {"data": {KEY: decision.model_dump_json(indent=2) + "\n"}},
                field_manager=_WRITER,
                # A pair, to connect and to read: the client takes no notice of a single float.
                _request_timeout=(_TIMEOUT_S, _TIMEOUT_S),
            )
        except ApiException as error:
            raise MonitorError(f"{where}: {_explain(error.status, error.reason)}") from error
        except (HTTPError, OSError) as error:
            raise MonitorError(
                f"{where}: the Kubernetes API did not answer within {_TIMEOUT_S:g} s ({error});"
                " does a NetworkPolicy let the monitor reach it?"
            ) from error


class Here:
    """The monitor's own file, which the service reads: there is nothing left to do."""

    def publish(self, decision: ScaleDecision) -> None:
        """Do nothing."""


def target(address: str, namespace: str | None = None) -> Target:
    """Return the place behind ``configmap/NAME``, else the file of that path; `Here` for no address.

    Raises:
        MonitorError: If the ConfigMap has no name.
    """
    if not address:
        return Here()
    if not address.startswith(_SCHEME):
        return File(Path(address))
    name = address.removeprefix(_SCHEME)
    if not name:
        raise MonitorError(f"{address!r}: expected {_SCHEME}NAME or the path of a file")
    return ConfigMap(name, namespace)


def publish(scale_file: Path, place: Target) -> ScaleDecision:
    """Publish what the last look decided.

    Args:
        scale_file: ``scale.json`` in the monitor's state folder.
        place: Where the service reads.

    Raises:
        MonitorError: If the file cannot be read as a decision, or the place cannot be written.
    """
    try:
        decision = ScaleDecision.read(scale_file)
    except MomeError as error:
        raise MonitorError(f"nothing to publish: {error}") from error
    place.publish(decision)
    return decision


def follow(scale_file: Path, place: Target, lease: Lease, stop: threading.Event) -> None:
    """Publish every new decision, and the newest again each minute, until told to stop.

    What fails is said once and tried again; without the lease nothing is published.

    Args:
        scale_file: ``scale.json`` in the monitor's state folder; it may not be there yet.
        place: Where the service reads.
        lease: Of the place.
        stop: Ends it.
    """
    published, at, trouble = None, 0.0, ""
    try:
        while not stop.is_set():
            try:
                found = scale_file.stat() if scale_file.exists() else None
                identity = found and (found.st_mtime_ns, found.st_ino)
                due = identity != published or time.monotonic() - at >= _AGAIN_S
                if lease.hold() and identity and due:
                    decision = publish(scale_file, place)
                    if identity != published:
                        _log.info("published %s: %s", decision.scale, decision.reason)
                    published, at = identity, time.monotonic()
                trouble = ""
            except (MonitorError, OSError) as error:
                if str(error) != trouble:
                    _log.error("%s", error)
                trouble = str(error)
            stop.wait(_POLL_S)
    finally:
        lease.release()


def _explain(status: int, reason: str) -> str:
    known = {
        401: "the service account's token was refused (401)",
        403: "the service account may not patch it (403); expected the role of manifests/base/scale.yaml",
        404: "it does not exist (404); expected the one of manifests/base/scale.yaml",
    }
    return known.get(status, f"the Kubernetes API answered {status} {reason}") + "; the served scale stays"


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.publish", description="Hand the scale of the last look to the service."
    )
    parser.add_argument("scale_file", type=Path, help="scale.json in the monitor's state folder")
    parser.add_argument("target", help="configmap/NAME, or the file that the service reads")
    parser.add_argument("--namespace", help="of the ConfigMap; default: the pod's own")
    parser.add_argument(
        "--if-decided", action="store_true", help="publish nothing while there was no look and so no decision"
    )
    parser.add_argument("--follow", action="store_true", help="publish every decision to come, until stopped")
    parser.add_argument("--lease", help="name of the Lease without which nothing is published; with --follow")
    arguments = parser.parse_args()
    if arguments.follow:
        if not arguments.lease:
            raise MonitorError("--follow needs --lease: two that follow would publish against each other")
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        lease = ClusterLease(arguments.lease, namespace=arguments.namespace)
        follow(arguments.scale_file, target(arguments.target, arguments.namespace), lease, stop)
        return
    if arguments.if_decided and not arguments.scale_file.exists():
        print(f"nothing is decided yet: {arguments.scale_file} is not there")
        return
    decision = publish(arguments.scale_file, target(arguments.target, arguments.namespace))
    print(f"published {decision.scale} to {arguments.target}")


if __name__ == "__main__":
    raise SystemExit(main(_command))

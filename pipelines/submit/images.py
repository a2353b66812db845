"""Are the images of a package where a cluster will look for them? Each is asked for by its digest.

A digest that is not there shows on a cluster as a pod that waits for ever. A registry is asked without a
name, or with the one that `docker login` left in its file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from mome.errors import ConfigError
from pipelines.calls import PASSING, AccessDenied, Patience, ServerError, read, refused

__all__ = ["check_images"]

KINDS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
# Docker's rule of what is a host and not a folder: a dot, a port, or this machine.
ADDRESS = re.compile(
    r"(?P<host>localhost|[\w-]+(?:\.[\w-]+)+|[\w.-]+(?=:\d))(?P<port>:\d+)?/(?P<name>[^@]+)@(?P<digest>.+)"
)
NEAR = ("localhost", "127.0.0.1")


def check_images(images: Iterable[str], patience: Patience) -> None:
    """Ask the registry of each image whether it is there.

    Args:
        images: ``host/path@sha256:...``.
        patience: With a registry that fails.

    Raises:
        ConfigError: If an image is not there, or its name does not say where to look.
        ServerError: If a registry is away, or does not let us look.
    """
    missing = [image for image in sorted(images) if not _is_there(image, patience)]
    if missing:
        raise ConfigError(
            f"not in the registry: {', '.join(missing)}; no step could start: have the workflow `images` "
            "build them and merge its change of components/images.lock.json, or correct MOME_IMAGE_REGISTRY"
        )


def _is_there(image: str, patience: Patience) -> bool:
    found = ADDRESS.fullmatch(image)
    if found is None:
        raise ConfigError(
            f"{image}: it cannot be asked for: expected host/path@sha256:...; MOME_IMAGE_REGISTRY says host "
            "and path, components/images.lock.json the digest"
        )
    host = found["host"] + (found["port"] or "")
    scheme = "http" if found["host"] in NEAR else "https"
    address = f"{scheme}://{host}/v2/{found['name']}/manifests/{found['digest']}"
    what = f"ask the registry for {image}"
    status, challenge = read(what, _head, what, address, _stored(host), patience=patience)
    if status == 401 and challenge.lower().startswith("bearer "):
        token = read(what, _token, what, challenge, _stored(host), patience=patience)
        status, _ = read(what, _head, what, address, f"Bearer {token}", patience=patience)
    if status in (401, 403):
        raise AccessDenied(
            f"{what}: it does not let us look ({status}); log in with `docker login`, or leave out "
            "--check-images"
        )
    if status not in (200, 404):
        raise ServerError(f"{what}: it answered {status}")
    return status == 200


def _head(what: str, address: str, identity: str, _request_timeout: tuple[float, float]) -> tuple[int, str]:
    reply = _get("HEAD", what, address, identity, _request_timeout)
    return reply.status, reply.headers.get("WWW-Authenticate", "")


def _token(what: str, challenge: str, identity: str, _request_timeout: tuple[float, float]) -> str:
    """Return a pass for one look, from where the registry says that there are passes."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    parts = urlsplit(told.get("realm", ""))
    if parts.scheme != "https" and parts.hostname not in NEAR:
        raise ServerError(f"{what}: it sends us to an address without encryption")
    query = urlencode({key: told[key] for key in ("service", "scope") if key in told})
    joint = "&" if parts.query else "?"
    reply = _get("GET", what, f"{told['realm']}{joint}{query}", identity, _request_timeout)
    try:
        content: Any = reply.json() if reply.status == 200 else {}
        return str(content.get("token") or content["access_token"])
    except (ValueError, KeyError, AttributeError) as error:
        raise AccessDenied(
            f"{what}: it does not let us look; log in with `docker login`, or leave out --check-images"
        ) from error


def _get(
    method: str, what: str, address: str, identity: str, timeout: tuple[float, float]
) -> urllib3.BaseHTTPResponse:
    headers = {"Accept": KINDS} | ({"Authorization": identity} if identity else {})
    reply = urllib3.request(
        method, address, headers=headers, timeout=urllib3.Timeout(*timeout), retries=False, redirect=False
    )
    if reply.status in PASSING:
        raise refused(what, reply.status, None)
    return reply


def _stored(host: str) -> str:
    """Return the identity that ``docker login`` keeps for a registry, or an empty text."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        secret = json.loads((folder / "config.json").read_text())["auths"][host]["auth"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"Basic {secret}" if secret else ""

"""The one place that makes a Kubeflow Pipelines client: address, identity, trust, and the server's version.

KF_PIPELINES_ENDPOINT       address of the server; behind a gateway it ends in /pipeline
KF_PIPELINES_UI_ENDPOINT    address of the pages, where it differs
KF_PIPELINES_NAMESPACE      profile namespace, where several people share the server
KF_PIPELINES_CA_CERT        file of the certificate authority, where it is the cluster's own
KF_PIPELINES_TOKEN, KF_PIPELINES_TOKEN_FILE, KF_PIPELINES_OIDC_AUDIENCE, KF_PIPELINES_SA_TOKEN_PATH
                            who asks: pipelines/credentials.py
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import certifi
import kfp
import urllib3

from mome.errors import ConfigError
from pipelines.calls import Patience, ServerError, read, refused, timeouts
from pipelines.credentials import Credentials, find_credentials

__all__ = ["NEEDED", "Connection", "add_options", "connect"]

NEEDED = (2, 17)  # its server closes holes of the older ones, and its API is what is used here
IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
INSIDE = (".svc", ".svc.cluster.local")
LARGEST = 16 * 2**20  # bytes of an answer that is read as text
PIECE = 2**16  # of it at a time


@dataclass(frozen=True)
class Connection:
    """Where the server is, who asks, and whom to trust.

    Args:
        host: Address, ``https://...``.
        ui: Address of the pages.
        namespace: Profile namespace; None where one person has the server.
        ca_cert: File of the certificate authority; None for the public ones.
        credentials: None where the server asks for none, as through a forwarded port.
    """

    host: str
    ui: str
    namespace: str | None
    ca_cert: Path | None
    credentials: Credentials | None

    @classmethod
    def find(
        cls,
        host: str | None = None,
        namespace: str | None = None,
        token_file: Path | None = None,
        ca_cert: Path | None = None,
    ) -> Connection:
        """Take what is given, and the environment for the rest.

        Raises:
            ConfigError: If the address is missing or unsafe, or a file is not there.
        """
        credentials = find_credentials(token_file)
        found = host or os.environ.get("KF_PIPELINES_ENDPOINT")
        if not found and credentials is not None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            found = IN_CLUSTER
        if not found:
            raise ConfigError(
                "the address of the Kubeflow server is missing; give --host or KF_PIPELINES_ENDPOINT, "
                "as in https://kubeflow.example.org/pipeline"
            )
        found = _checked(found, credentials)
        authority = ca_cert or (
            Path(os.environ["KF_PIPELINES_CA_CERT"]) if os.environ.get("KF_PIPELINES_CA_CERT") else None
        )
        if authority is not None and not authority.is_file():
            raise ConfigError(f"{authority}: no such file; expected the certificate authority's, as PEM")
        return cls(
            host=found,
            ui=(os.environ.get("KF_PIPELINES_UI_ENDPOINT") or found).rstrip("/"),
            namespace=namespace or os.environ.get("KF_PIPELINES_NAMESPACE") or None,
            ca_cert=authority,
            credentials=credentials,
        )

    def run_url(self, run_id: str) -> str:
        """Return the page of a run."""
        return f"{self.ui}/#/runs/details/{quote(run_id)}"

    def get(
        self, path: str, query: dict[str, str] | None = None, *, until: float = math.inf
    ) -> tuple[str, bytes]:
        """Read a path that kfp's interface does not have; return the content's type and the content.

        Args:
            path: Behind the server's address.
            query: Of the address.
            until: Moment of `time.monotonic` at which time is over.

        Raises:
            urllib3.exceptions.HTTPError: If the server cannot be reached, or time is over.
            ServerError: If it answers with anything but 200; a redirection leads to a login page.
        """
        headers = {"Accept": "application/json, text/plain"}
        if self.credentials is not None:
            headers["Authorization"] = f"Bearer {self.credentials.token()}"
        trusted = certifi.where() if self.ca_cert is None else str(self.ca_cert)
        with urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=trusted, retries=False) as pool:
            reply = pool.request(
                "GET",
                f"{self.host}{path}" + (f"?{urlencode(query)}" if query else ""),
                headers=headers,
                redirect=False,
                timeout=urllib3.Timeout(*timeouts(until)),
                preload_content=False,
            )
            try:
                content = _content(reply, until)
            finally:
                reply.release_conn()
        if reply.status != 200:
            raise refused(f"read {path}", reply.status, content)
        return reply.headers.get("Content-Type", ""), content


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--host``, ``--namespace``, ``--token-file`` and ``--ca-cert``."""
    group = parser.add_argument_group("server")
    group.add_argument("--host", help="address; default: KF_PIPELINES_ENDPOINT, or the cluster's own")
    group.add_argument("--namespace", help="profile namespace; default: KF_PIPELINES_NAMESPACE")
    group.add_argument("--token-file", type=Path, help="bearer token; default: KF_PIPELINES_TOKEN[_FILE]")
    group.add_argument("--ca-cert", type=Path, help="certificate authority; default: KF_PIPELINES_CA_CERT")


def connect(connection: Connection, patience: Patience | None = None) -> kfp.Client:
    """Return a client of a server that was reached, is new enough, and lets this user in.

    Raises:
        ServerError: If it is none of these; the message says what to do.
    """
    patience = patience or Patience()
    health = read("ask the server how it is", _health, connection, patience.until, patience=patience)
    _check_version(health)
    if health.get("multi_user", health.get("apiServerMultiUser")) is True and not connection.namespace:
        raise ServerError(
            f"{connection.host} is shared by several people: name your profile's namespace with --namespace "
            "or KF_PIPELINES_NAMESPACE"
        )
    with warnings.catch_warnings():
        # Said by every client: that it does not work with servers before 2.0.
        warnings.filterwarnings("ignore", "This client only works with", FutureWarning)
        client = kfp.Client(
            host=connection.host,
            ui_host=connection.ui,
            namespace=connection.namespace or "kubeflow",
            credentials=connection.credentials,
            ssl_ca_cert=None if connection.ca_cert is None else str(connection.ca_cert),
        )
    # urllib3 would send whatever failed three times more, without a wait and behind the back of `calls`.
    client._run_api.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return client


def _checked(host: str, credentials: Credentials | None) -> str:
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--host {host}: expected an address that begins with https://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("--host: expected an address without a user, a query or a fragment")
    # Inside a cluster the mesh encrypts, and a forwarded port never leaves the machine.
    near = parts.hostname in ("localhost", "127.0.0.1", "::1") or parts.hostname.endswith(INSIDE)
    if parts.scheme == "http" and credentials is not None and not near:
        raise ConfigError(
            f"--host {host}: a token would travel unencrypted; use https:// (the token: {credentials.source})"
        )
    return host.rstrip("/")


def _content(reply: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """Return an answer up to `LARGEST`; one that trickles would outlive the limit of a single read."""
    content = bytearray()
    while len(content) < LARGEST and (part := reply.read1(PIECE, decode_content=True)):
        content += part
        if time.monotonic() >= until:
            raise urllib3.exceptions.HTTPError("the answer takes too long")
    return bytes(content)


def _health(connection: Connection, until: float, **_options: object) -> dict[str, Any]:
    """Return the raw answer: kfp's own model of it leaves the version out."""
    content = connection.get("/apis/v2beta1/healthz", until=until)[1]
    try:
        answer: Any = json.loads(content)
    except ValueError:
        answer = None
    # The pages' server renames what it hands on, and says when there is nothing to hand on.
    if isinstance(answer, dict) and answer.get("apiServerReady") is False:
        raise refused("ask the server how it is", 503, "its pages are there, its API is not")
    if not isinstance(answer, dict) or not {"multi_user", "apiServerMultiUser"} & set(answer):
        raise ServerError(
            f"{connection.host}: this is no Kubeflow Pipelines server, or a login page stands before it; "
            "check the address (behind a gateway it ends in /pipeline) and the token"
        )
    return answer


def _check_version(health: dict[str, Any]) -> None:
    name = str(health.get("tag_name") or health.get("apiServerTagName") or "unknown")
    found = re.match(r"v?(\d+)\.(\d+)", name)
    needed = ".".join(map(str, NEEDED))
    if found is None:
        print(f"warning: the server does not say its version ({name}); {needed} is needed", file=sys.stderr)
    elif (int(found[1]), int(found[2])) < NEEDED:
        raise ServerError(
            f"the server is Kubeflow Pipelines {name}, and {needed} or newer is needed: have it upgraded; "
            "pipelines compiled here use what older servers do not know"
        )

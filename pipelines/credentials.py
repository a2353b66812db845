"""The bearer token of a request to Kubeflow Pipelines: from the environment, a file, or GitHub's identity.

A token never stands on a command line, where every user of the machine could read it.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kfp.client.token_credentials_base import TokenCredentialsBase

from mome.errors import ConfigError
from pipelines.calls import PASSING, NeverSent, Patience, ServerError, read, refused

__all__ = ["Credentials", "find_credentials"]

TOKEN = "KF_PIPELINES_TOKEN"  # noqa: S105 - the name of a variable, not a token
TOKEN_FILE = "KF_PIPELINES_TOKEN_FILE"  # noqa: S105
AUDIENCE = "KF_PIPELINES_OIDC_AUDIENCE"
# Of kfp itself: where Kubernetes puts the token of the pod's service account.
PROJECTED = "KF_PIPELINES_SA_TOKEN_PATH"
PROJECTED_DEFAULT = Path("/var/run/secrets/kubeflow/pipelines/token")
# Of GitHub, in a job with the permission `id-token: write`.
GITHUB_URL, GITHUB_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
EARLY_S = 60.0  # a token is renewed so long before it ends
ASKING = "ask GitHub for an identity token"
PATIENCE = Patience(
    attempts=3, first_wait_s=0.5
)  # of one question; the call that needs the token has its own


class Credentials(TokenCredentialsBase):  # type: ignore[misc]  # kfp has no types
    """A token that is read again for every request: files rotate, and GitHub's tokens live minutes.

    Args:
        source: Where it comes from, for messages.
        read: Returns the token of now.
    """

    def __init__(self, source: str, read: Callable[[], str]) -> None:
        self.source = source
        self._read = read

    def token(self) -> str:
        """Return the token of now.

        Raises:
            ConfigError: If there is none, or if it is not one line of printable text.
            ServerError: If GitHub, who would give it, is away.
        """
        token = self._read().strip()
        if not token:
            raise ConfigError(f"{self.source}: the token is empty; expected a bearer token")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(f"{self.source}: expected a bearer token, one word of plain text")
        return token

    def refresh_api_key_hook(self, config: Any) -> None:
        """Give kfp's client the token of now, before each of its requests."""
        config.api_key["authorization"] = self.token()


def find_credentials(token_file: Path | None = None) -> Credentials | None:
    """Return the first that is there: the file, the environment's, GitHub's, the pod's; None for none.

    Args:
        token_file: Holds a token; without it ``KF_PIPELINES_TOKEN_FILE`` may name one.

    Raises:
        ConfigError: If GitHub's identity is asked for where there is none.
    """
    named = token_file or (Path(os.environ[TOKEN_FILE]) if os.environ.get(TOKEN_FILE) else None)
    if named is not None:
        return Credentials(str(named), lambda: _content(named))
    if os.environ.get(TOKEN):
        return Credentials(TOKEN, lambda: os.environ[TOKEN])
    if os.environ.get(AUDIENCE):
        return Credentials("GitHub's identity token", _GitHub(os.environ[AUDIENCE]))
    projected = Path(os.environ.get(PROJECTED) or PROJECTED_DEFAULT)
    if os.environ.get(PROJECTED) or projected.exists():
        return Credentials(str(projected), lambda: _content(projected))
    return None


def _content(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: no token can be read: {error}; give --token-file, {TOKEN} or, in a cluster, "
            "a projected service account token with the audience pipelines.kubeflow.org"
        ) from error


class _GitHub:
    """The identity of a workflow's job, as a token for one audience; there is no stored secret."""

    def __init__(self, audience: str) -> None:
        if not os.environ.get(GITHUB_URL) or not os.environ.get(GITHUB_TOKEN):
            raise ConfigError(
                f"{AUDIENCE} is set, but this is no job of GitHub Actions with the permission id-token: "
                f"write; unset it and give --token-file or {TOKEN}"
            )
        self._audience = audience
        self._token, self._ends = "", 0.0

    def __call__(self) -> str:
        if time.time() > self._ends - EARLY_S:
            self._token = self._ask()
            self._ends = _end(self._token)
        return self._token

    def _ask(self) -> str:
        """Ask GitHub, which is away for a moment now and then in the days of a run."""
        try:
            return read(ASKING, self._request, patience=PATIENCE)
        except ServerError as error:
            # The call that needed the token was not made, and may be tried again.
            raise NeverSent(str(error)) from error

    def _request(self, _request_timeout: tuple[float, float]) -> str:
        reply = urllib3.request(
            "GET",
            f"{os.environ[GITHUB_URL]}&{urlencode({'audience': self._audience})}",
            headers={"Authorization": f"Bearer {os.environ[GITHUB_TOKEN]}"},
            timeout=urllib3.Timeout(*_request_timeout),
            retries=False,
        )
        if reply.status in PASSING:
            raise refused(ASKING, reply.status, None)
        if reply.status != 200:
            raise ConfigError(f"GitHub gave no identity token: its answer was {reply.status}")
        try:
            return str(reply.json()["value"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"GitHub gave no identity token: {type(error).__name__}") from error


def _end(token: str) -> float:
    """Return when a JWT ends, in seconds of the epoch; 0 when it does not say, so that it is asked again."""
    try:
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return 0.0

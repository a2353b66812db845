"""Reading objects of the Kubernetes API by their path: what is there, what is not, what may not be seen."""

from __future__ import annotations

from typing import Any

import urllib3
from kubernetes.client import ApiClient, ApiException

from mome.errors import ServiceError
from pipelines.preflight.check import Hidden

__all__ = ["Api"]

TIMEOUT_S = (5.0, 15.0)  # to connect, to answer


class Api:
    """The Kubernetes API, read only.

    Args:
        client: Of `monitoring.access.connect`.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object as the API has it, or None if there is no such thing.

        Args:
            path: As in ``/api/v1/namespaces/team-a``.

        Raises:
            Hidden: If it may not be read.
            ServiceError: If the API does not let us in, or does not answer.
        """
        try:
            found: dict[str, Any] = self._client.call_api(
                path,
                "GET",
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                response_type="object",
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_S,
            )
        except ApiException as error:
            if error.status == 404:
                return None
            if error.status == 403:
                raise Hidden(f"GET {path} is not allowed to whoever asks (403)") from error
            raise ServiceError(
                f"the Kubernetes API answered {error.status} {error.reason}; who asks? kubectl auth whoami"
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ServiceError(f"the Kubernetes API does not answer: {error}; check KUBECONFIG") from error
        return found

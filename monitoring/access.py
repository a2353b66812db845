"""Which Kubernetes API this process talks to: that of the pod it is in, or the one that kubectl would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mome.errors import MonitorError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["connect"]

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect() -> tuple[ApiClient, str]:
    """Return a client, and the namespace of the pod or of kubectl's current context.

    Raises:
        MonitorError: If there is no access to any.
    """
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration

    settings = Configuration()
    try:
        if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=settings)
            namespace = _POD_NAMESPACE.read_text().strip()
        else:
            file = os.environ.get("KUBECONFIG")
            config.load_kube_config(file, client_configuration=settings)
            _, context = config.list_kube_config_contexts(file)
            namespace = context["context"].get("namespace", "default")
    except (config.ConfigException, OSError) as error:
        raise MonitorError(
            f"no access to a Kubernetes API: {error}; in a pod a service account token must be mounted,"
            " elsewhere KUBECONFIG must name a file"
        ) from error
    # A monitor that hangs holds up the next look; a refused one is repeated by the next.
    settings.retries = False
    return ApiClient(settings), namespace

"""Credentials of the registry's bucket, from names of our own to those that S3's clients read.

In a step of Kubeflow they come as ``MOME_REGISTRY_S3_...``: the launcher runs in the step's own container,
and takes whatever is called ``AWS_...`` for the store of its own artifacts. Elsewhere nobody sets these
names, and ``AWS_...`` counts as it is.
"""

from __future__ import annotations

import os

__all__ = ["REGISTRY_S3", "use_registry_credentials"]

REGISTRY_S3 = "MOME_REGISTRY_S3_"
CLIENTS = {
    "ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
    "ENDPOINT_URL": "AWS_ENDPOINT_URL_S3",
    "REGION": "AWS_DEFAULT_REGION",
}


def use_registry_credentials() -> None:
    """Set for this process, and for its own, what s3fs and DVC read; where both are set ours wins."""
    for name, theirs in CLIENTS.items():
        if value := os.environ.get(REGISTRY_S3 + name):
            os.environ[theirs] = value

"""A bucket for tests: a server that knows ranges, and what puts a dataset there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving.registry.planted import KEY, SECRET, free_port, running

SCRIPT = Path(__file__).with_name("ranged_s3.py")


@contextmanager
def ranged_server(folder: Path) -> Iterator[int]:
    """Run a server until the end of the block, and yield its port; ``server.log`` has the requests."""
    port = free_port()
    with running([sys.executable, str(SCRIPT), str(folder / "data"), str(port), KEY, SECRET], port, folder):
        yield port


def bucket_files() -> Any:
    """Return s3fs for the server that the environment names."""
    import s3fs

    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def uploaded(dataset: Path, bucket: str) -> str:
    """Return the address of a copy of a dataset in a bucket of its own."""
    fs = bucket_files()
    fs.mkdir(bucket)
    fs.put(f"{dataset}/", f"{bucket}/digits", recursive=True)
    return f"s3://{bucket}/digits"

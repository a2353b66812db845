"""A bucket for tests: a server that keeps to S3, how it is reached, and what puts a dataset there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEY, SECRET = "key-of-the-test", "secret-of-the-test"


@contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """Run a server until the end of the block, and yield its port; ``server.log`` has the requests."""
    port = free_port()
    script = Path(__file__).with_name("s3_server.py")
    with running([sys.executable, str(script), str(folder / "data"), str(port), KEY, SECRET], port, folder):
        yield port


def s3_environment(port: int, *, secret: str = SECRET) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",  # else botocore asks a machine that may not be there
    }


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


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a server until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"HOME": str(folder), "PYTHONPATH": str(ROOT)}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise AssertionError((folder / "server.log").read_text())
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)

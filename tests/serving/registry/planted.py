"""Bundles of a few bytes with planted word errors, and a bucket that keeps to S3's conditional writes."""

from __future__ import annotations

import hashlib
import json
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

from mome.bundle import write_bundle
from mome.records import GateDecision, WordErrors
from mome.scales import Scale
from tests.planted import evaluation

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KEY, SECRET = "key-of-the-test", "secret-of-the-test"


def bundle(folder: Path, content: str, *, errors: int = 2, corpus: str = "digits") -> Path:
    """Write a bundle; its word error rate is ``errors`` in 100, one more or less by chance."""
    folder.mkdir(parents=True)
    for part in ("foundation", "checkpoint"):
        (folder / part).mkdir()
        (folder / part / "model.safetensors").write_text(f"{part} {content}")
    rate = WordErrors(errors=errors, words=100, low=(errors - 1) / 100, high=(errors + 1) / 100)
    evaluation({"audio": {"a4v2": {"clean": rate}}}, corpus=corpus).write(folder / "evaluation.json")
    GateDecision(passed=True, reason="planted", checks=[], max_wer={"a4v2": 0.5}).write(folder / "gate.json")
    (folder / "baseline.parquet").write_bytes(b"PAR1")
    write_bundle(
        name="mome",
        default_scale=Scale(4, 2),
        foundation=folder / "foundation",
        checkpoint=folder / "checkpoint",
        evaluation=folder,
        gate=folder,
        output=folder / "bundle",
    )
    return folder / "bundle"


def rewrite(folder: Path, name: str, content: str) -> str:
    """Change a file of a bundle together with all sums, as one who knows the format would; the version."""
    (folder / name).write_text(content)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"][name] = hashlib.sha256(content.encode()).hexdigest()
    lines = [manifest["name"], manifest["default_scale"]]
    lines += [f"{path} {digest}" for path, digest in sorted(manifest["files"].items())]
    manifest["version"] = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return str(manifest["version"])


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


def s3_environment(port: int, *, secret: str = SECRET) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",  # else botocore asks a machine that may not be there
    }


def log_of(address: str, corpus: str = "digits") -> list[dict[str, Any]]:
    """Read the log as plain JSON, by the storage's own means."""
    if not address.startswith("s3://"):
        files = sorted((Path(address) / "models" / corpus / "log").glob("*.json"))
        return [json.loads(path.read_text()) for path in files]
    import s3fs

    fs = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    names = sorted(fs.glob(f"{address.removeprefix('s3://')}/models/{corpus}/log/*.json"))
    return [json.loads(fs.cat_file(name)) for name in names]


def python(*arguments: str) -> subprocess.Popen[str]:
    """Start Python in the repository."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

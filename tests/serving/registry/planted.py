"""Bundles of a few bytes with planted word errors, and a registry's log as it lies there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mome.bundle import write_bundle
from mome.records import GateDecision, WordErrors
from mome.scales import Scale
from tests.buckets import ROOT, bucket_files
from tests.planted import evaluation

HERE = Path(__file__).parent


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


def log_of(address: str, corpus: str = "digits") -> list[dict[str, Any]]:
    """Read the log as plain JSON, by the storage's own means."""
    if not address.startswith("s3://"):
        files = sorted((Path(address) / "models" / corpus / "log").glob("*.json"))
        return [json.loads(path.read_text()) for path in files]
    fs = bucket_files()
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

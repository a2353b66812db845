"""What the Containerfile's commands ask for, seen by a pip that only writes down how it is called."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = "https://torch.example.org/cpu"


def command(word: str) -> str:
    """Return the one RUN instruction that holds a word, as the shell gets it."""
    joined = re.sub(r"^\s*#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    joined = joined.replace("\\\n", " ")
    (found,) = (line for line in joined.splitlines() if line.startswith("RUN ") and word in line)
    return re.sub(r"--mount=\S+", "", found.removeprefix("RUN "))


def run(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(folder / "calls")}
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=30,
    )


def plant(tool: Path, script: str) -> None:
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


@pytest.mark.parametrize("index", ["", INDEX])
def test_torch_alone_comes_from_the_index_of_torch(tmp_path: Path, index: str) -> None:
    fetched = tmp_path / "wheels" / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
    plant(
        tmp_path / "pip" / "bin" / "pip",
        f'echo "$*" >>"$CALLS"; case "$*" in *--no-deps*) mkdir wheels && touch "{fetched}" ;; esac',
    )
    (tmp_path / "constraints.txt").write_text("numpy==2.0\ntorch==2.13.0+cpu\ntorchlike==1.0\n")
    (tmp_path / "all.txt").write_text("--requirement steps.txt\n")
    assert run(command("pip wheel"), tmp_path, TORCH_INDEX=index).returncode == 0

    torch, everything = (tmp_path / "calls").read_text().splitlines()
    assert torch.endswith(f"--no-deps {f'--index-url {INDEX} ' if index else ''}torch==2.13.0+cpu")
    assert ("index" in torch) == bool(index)
    assert "index" not in everything
    assert everything.endswith("--constraint constraints.txt --requirement all.txt")
    assert (tmp_path / "all.txt").read_text().splitlines() == ["--requirement steps.txt", str(fetched)]


@pytest.mark.parametrize("index", ["", INDEX])
def test_an_index_that_has_no_such_torch_ends_the_build_with_a_way_out(tmp_path: Path, index: str) -> None:
    plant(tmp_path / "pip" / "bin" / "pip", 'case "$*" in *--no-deps*) exit 1 ;; esac')
    (tmp_path / "constraints.txt").write_text("torch==2.13.0+cpu\n")
    done = run(command("pip wheel"), tmp_path, TORCH_INDEX=index)
    assert done.returncode == 1
    assert "error: torch==2.13.0+cpu is not there; TORCH_INDEX=<address>" in done.stderr
    assert "TORCH_BUILD=cuda" in done.stderr


@pytest.mark.parametrize(
    ("build", "locked"), [(None, "+cpu"), ("cpu", "+cpu"), ("cu130", "+cu130"), ("cuda", "")]
)
def test_torch_is_for_the_cpu_unless_told_otherwise(tmp_path: Path, build: str | None, locked: str) -> None:
    found = re.search(r"^ARG TORCH_BUILD=(.*)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    assert found is not None
    plant(tmp_path / "bin" / "python3", "exit 0")
    (tmp_path / "constraints.txt").write_text("numpy==2.0\ntorch==2.13.0\ntorchlike==1.0\n")
    assert run(command("layers write"), tmp_path, TORCH_BUILD=build or found[1]).returncode == 0
    assert (tmp_path / "constraints.txt").read_text().split()[1] == f"torch==2.13.0{locked}"


@pytest.mark.parametrize(("known", "made"), [("1000", ""), ("", "--uid 1000")])
def test_a_base_that_has_the_user_already_keeps_it(tmp_path: Path, known: str, made: str) -> None:
    plant(tmp_path / "bin" / "python3", "exit 0")
    plant(tmp_path / "bin" / "getent", f'[ "$2" = "{known}" ]')
    plant(tmp_path / "bin" / "useradd", 'echo "$*" >>"$CALLS"')
    assert run(command("useradd"), tmp_path).returncode == 0
    calls = (tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else ""
    assert calls.startswith(made)
    assert bool(calls) == bool(made)


@pytest.mark.parametrize(
    ("build", "has_headers", "installed"),
    [
        (None, True, None),
        ("cpu", False, None),
        ("cu130", True, "gcc libc6-dev"),
        ("cuda", False, "gcc libc6-dev python3-dev"),
    ],
)
def test_a_compiler_is_there_for_gpus_alone(
    tmp_path: Path, build: str | None, has_headers: bool, installed: str | None
) -> None:
    if has_headers:
        (tmp_path / "Python.h").touch()
    plant(tmp_path / "bin" / "python3", f'echo "{tmp_path}"')
    plant(tmp_path / "bin" / "apt-get", 'echo "$*" >>"$CALLS"')
    plant(tmp_path / "bin" / "rm", "exit 0")
    variables = {"TORCH_BUILD": build} if build else {}
    assert run(command("python3-dev"), tmp_path, **variables).returncode == 0
    calls = tmp_path / "calls"
    if installed is None:
        assert not calls.exists()
    else:
        _, install = calls.read_text().splitlines()
        assert install.endswith(f"--no-install-recommends {installed}")

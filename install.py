"""Install the pinned dependencies into .venv: says before what comes, and shows while that it moves.

python3 install.py [--torch-index ADDRESS]

Needs nothing but Python: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["Broken", "Build", "announce", "install", "main"]

ROOT = Path(__file__).parent
# GB to download and on disk, without CUDA and with it: measured on Linux, at the locked versions.
SIZES = {False: (0.9, 3.8), True: (3.2, 6.8)}
_GIVEN = ("pip", "setuptools")  # are in a new environment
# A terminal's line is written over; a log gets one now and then.
TERMINAL_S, LOG_S = 0.5, 30.0


class Broken(Exception):
    """The installation cannot go on: why, in pip's words, and what can be done."""


class Build(NamedTuple):
    """A build of torch."""

    version: str
    cuda: bool


def install(environment: Path, torch_index: str = "") -> None:
    """Make the environment and fill it.

    Args:
        environment: Its folder; what is there goes.
        torch_index: Address of the index that torch comes from, and nothing else; empty for pip's own.

    Raises:
        Broken: If pip ends with an error, or the folder is a link: what it leads to belongs to somebody else.
    """
    if environment.is_symlink():
        raise Broken(
            f"{environment} is a link to {environment.readlink()}, which is out of date for this checkout; "
            "run `make` where it lies, or remove the link"
        )
    began = time.monotonic()
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    (torch,) = (line for line in locked if line.startswith("torch=="))
    source = ["--index-url", torch_index] if torch_index else []
    print("Making .venv; asking pip which build of torch there is.", flush=True)
    venv.create(environment, clear=True, symlinks=True, with_pip=True)
    for line in announce(_offered(environment, torch, source), len(locked), bool(torch_index)):
        print(line, flush=True)
    if torch_index:
        _pip(environment, ["--no-deps", *source, torch], 1)
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    _pip(environment, [*constraints, "--editable", f"{ROOT}[all]"], len(locked))
    _compile(environment)
    print(f"Installed in {_clock(time.monotonic() - began)}.", flush=True)


def announce(build: Build, packages: int, chosen: bool = False) -> list[str]:
    """Return what is said before anything is downloaded.

    Args:
        build: The build of torch that pip would take.
        packages: How many are pinned.
        chosen: Whether its index was given.
    """
    download, disk = SIZES[build.cuda]
    lines = [
        f"Installing {packages} pinned packages into .venv, once: torch {build.version} "
        f"{'with CUDA' if build.cuda else 'for the CPU'}, about {download} GB to download, {disk} GB on disk."
    ]
    if build.cuda and not chosen:
        download, disk = SIZES[False]
        lines.append(
            f"pip found no build of torch for the CPU alone, which needs {download} and {disk} GB. If this "
            "machine has no GPU, stop here and name an index that has one, as PyTorch's own for CPU builds: "
            "make run TORCH_INDEX=<address>"
        )
    return lines


def _offered(environment: Path, torch: str, source: list[str]) -> Build:
    """Ask the index which builds of torch it has for this machine, and return the one that pip takes.

    Raises:
        Broken: If it has none.
    """
    locked = torch.partition("==")[2]
    python = str(environment / "bin" / "python")
    # `install --dry-run` would tell as well, but downloads the file first in pips before 25.1.
    asked = subprocess.run(
        [python, "-m", "pip", "index", "versions", "torch", "--disable-pip-version-check", *source],
        capture_output=True,
        text=True,
        errors="replace",
    )
    found = re.findall(r"[^\s,]+", asked.stdout.partition("Available versions:")[2].partition("\n")[0])
    builds = [version for version in found if version.partition("+")[0] == locked]
    if not builds:
        raise Broken(_reason([*asked.stderr.splitlines(), f"no {torch} for this machine and this Python"]))
    version = max(builds)  # with a local version, as +cpu, before one without
    # Of Linux' builds the one that is called by the version alone has CUDA.
    return Build(version, cuda=sys.platform == "linux" and not version.endswith("+cpu"))


def _pip(environment: Path, arguments: list[str], packages: int) -> None:
    """Run ``pip install`` and show that it moves.

    Raises:
        Broken: If pip ends with an error.
    """
    quiet = ["--progress-bar", "off", "--no-input", "--disable-pip-version-check"]
    # What pip downloads grows in a folder of our own, where it can be weighed.
    with tempfile.TemporaryDirectory(prefix="mome-install-") as downloads:
        status, said = _run(
            environment,
            ["pip", "install", "--no-compile", *quiet, *arguments],
            {"TMPDIR": downloads},
            lambda said: _progress(said, packages, Path(downloads), environment),
        )
    if status:
        raise Broken(_reason(said))


def _compile(environment: Path) -> None:
    """Compile all modules to bytecode, on all cores; pip would do it on one, for more than a minute."""
    # Its status says nothing: there are always some files that are templates, or for another Python.
    _run(
        environment,
        ["compileall", "-j", "0", *map(str, environment.glob("lib/python*/site-packages"))],
        {},
        lambda said: f"{sum(line.startswith('Compiling ') for line in said)} modules compiled",
    )


def _run(
    environment: Path, command: list[str], variables: dict[str, str], progress: Callable[[list[str]], str]
) -> tuple[int, list[str]]:
    """Run a module of the environment's Python and show how far it is; returns status and lines."""
    said: list[str] = []
    with subprocess.Popen(
        [str(environment / "bin" / "python"), "-m", *command],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, said))
        reader.start()
        try:
            _show(reader, lambda: progress(said))
        except BaseException:  # an interruption: nothing may go on behind the prompt, nor what it started
            os.killpg(process.pid, signal.SIGTERM)
            raise
        finally:
            reader.join()
    return process.returncode, said


def _read(lines: IO[str], said: list[str]) -> None:
    said.extend(line.rstrip() for line in lines)


def _show(reader: threading.Thread, progress: Callable[[], str]) -> None:
    began = time.monotonic()
    terminal = sys.stdout.isatty()
    while reader.is_alive():
        reader.join(TERMINAL_S if terminal else LOG_S)
        if not reader.is_alive():
            break
        line = f"  {_clock(time.monotonic() - began)}  {progress()}"
        print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", flush=True)
    if terminal:
        print("\r\033[K", end="", flush=True)


def _progress(said: list[str], packages: int, downloads: Path, environment: Path) -> str:
    if any(line.startswith("Installing collected") for line in said):
        installed = len(list(environment.glob("lib/python*/site-packages/*.dist-info"))) - len(_GIVEN)
        return f"{min(max(installed, 0), packages)} of {packages} packages installed"
    asked = len({line.split()[1] for line in said if line.startswith("Collecting ")})
    return f"{min(asked, packages)} of {packages} packages found, {_bytes(downloads) / 1e6:.0f} MB downloaded"


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # pip has moved it away meanwhile
            continue
    return total


def _reason(said: list[str]) -> str:
    """Return pip's own error; of an index that it could not reach it only warns, before it."""
    unreached = [line for line in said if "Retrying (" in line or "Could not fetch URL" in line][-1:]
    first = next((index for index, line in enumerate(said) if line.lstrip().lower().startswith("error")), -15)
    lines = [line for line in said[first:] if line.strip() and "is ignored: it is neither" not in line]
    reason = [re.sub("^(ERROR|WARNING): ", "", line) for line in [*lines[:30], *unreached]]
    return "\n".join(
        [*reason, "pip could not install; the next `make` starts again, with what pip has kept."]
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Install the pinned dependencies into .venv.")
    parser.add_argument(
        "--torch-index", default="", metavar="ADDRESS", help="index that torch comes from, and nothing else"
    )
    try:
        install(ROOT / ".venv", parser.parse_args().torch_index)
    except Broken as broken:
        print(f"error: {broken}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the next `make` starts again, with what pip has kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

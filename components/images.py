"""The container images of the steps: what each holds, how it is called, and what its content is now.

python -m components.images addresses                   every image and how the pipelines call it
python -m components.images tags                        every image and how it is called when it is built
python -m components.images lock NAME=sha256:... ...    from now on by digest (components/images.lock.json)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mome import __version__
from mome.errors import ConfigError

__all__ = ["FOLDERS", "LOCK", "fingerprint", "image", "lock", "tag"]

ROOT = Path(__file__).parent.parent
LOCK = Path(__file__).with_name("images.lock.json")
DIGEST = re.compile("sha256:[0-9a-f]{64}")

# An image holds the library, the code of its steps, and the locked dependencies; nothing else of this
# repository can change what a step computes. The step's own source travels in its command. The
# Containerfile copies exactly these: a test compares.
FOLDERS = {
    "data": ("mome", "data"),
    "train": ("mome", "components/__init__.py", "components/train_distributed"),
    "serve": ("mome", "serving", "monitoring", "components/__init__.py", "components/rehearse"),
    "monitor": (
        "mome",
        "monitoring",
        "components/__init__.py",
        "components/check_drift",
        "components/request_retraining",
    ),
}


def image(name: str) -> str:
    """Return the address of an image: by its digest if one is locked, else by its tag.

    A tag is for one machine. It stays the same when the image is built anew: nodes that have the old one
    keep it, and Kubeflow reuses what the old one computed. A cluster is given digests, and
    `pipelines.submit --require-digests` refuses anything else.

    ``MOME_IMAGE_REGISTRY`` (host and path) says where a cluster finds it. ``MOME_IMAGE_TAG`` asks for
    images of one's own build, whatever is locked; without either, the tag is the project's version.

    Raises:
        KeyError: If there is no image of that name in `FOLDERS`.
        ConfigError: If other images are locked and this one is not, or the lock cannot be read.
    """
    if os.environ.get("MOME_IMAGE_TAG"):
        return tag(name)
    repository = _repository(name)
    digests = _read_lock()
    if not digests:
        return tag(name)
    if name not in digests:
        raise ConfigError(
            f"{LOCK.name}: no digest for {name!r}, only for {', '.join(sorted(digests))}; add it with "
            f"`python -m components.images lock {name}=sha256:...`, or set MOME_IMAGE_TAG to use a tag"
        )
    return f"{repository}@{digests[name]}"


def tag(name: str) -> str:
    """Return what an image is called when it is built: a digest comes into being only then.

    Raises:
        KeyError: If there is no image of that name in `FOLDERS`.
    """
    return f"{_repository(name)}:{os.environ.get('MOME_IMAGE_TAG') or __version__}"


def lock(digests: dict[str, str]) -> None:
    """Write digests into the lock file, beside those that are there.

    Args:
        digests: Name of an image and its digest, ``sha256:`` and 64 hexadecimal digits.

    Raises:
        ConfigError: If a name is no image or a digest is none; nothing is written then.
    """
    merged = _read_lock() | digests
    _check(merged, "the new lock")
    LOCK.write_text(json.dumps(merged, indent=2, sort_keys=True) + "\n")


def fingerprint(name: str, root: Path = ROOT) -> str:
    """Return a digest of what the image would hold if it were built from ``root`` now.

    It is the image's identity where no image is built: the local cache of steps reuses a result
    only while this stays the same (docs/adr/0003-local-cache.md).
    """
    digest = hashlib.sha256()
    for path in [root / "constraints.txt", *_sources(name, root)]:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _repository(name: str) -> str:
    if name not in FOLDERS:
        raise KeyError(f"no image {name!r}: expected one of {', '.join(sorted(FOLDERS))}")
    registry = os.environ.get("MOME_IMAGE_REGISTRY", "").rstrip("/")
    return f"{registry}/mome-{name}" if registry else f"mome-{name}"


def _sources(name: str, root: Path) -> Iterator[Path]:
    for held in FOLDERS[name]:
        files = [root / held] if (root / held).is_file() else sorted((root / held).rglob("*"))
        yield from (path for path in files if path.is_file() and _is_source(path))


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts and not path.name.startswith(".") and path.suffix != ".md"


def _read_lock() -> dict[str, str]:
    """Return the locked digests; none if there is no lock yet."""
    try:
        digests = json.loads(LOCK.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigError(f"{LOCK}: expected JSON of image names and digests: {error}") from None
    if not isinstance(digests, dict):
        raise ConfigError(f"{LOCK}: expected image names with digests, found a {type(digests).__name__}")
    _check(digests, str(LOCK))
    return digests


def _check(digests: dict[str, str], where: str) -> None:
    for name, digest in digests.items():
        if name not in FOLDERS:
            raise ConfigError(f"{where}: no image {name!r}; expected one of {', '.join(sorted(FOLDERS))}")
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise ConfigError(
                f"{where}: the digest of {name!r} is {digest!r}; expected sha256: and 64 hexadecimal digits"
            )


def _command(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m components.images", description="The container images of the steps."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("addresses", help="every image and how the pipelines call it")
    commands.add_parser("tags", help="every image and how it is called when it is built")
    locking = commands.add_parser("lock", help=f"write digests to {LOCK.name}")
    locking.add_argument("digests", nargs="+", metavar="NAME=sha256:...", type=_pair)
    given = parser.parse_args(arguments)
    if given.command == "lock":
        lock(dict(given.digests))
        return
    for name in FOLDERS:
        print(name, tag(name) if given.command == "tags" else image(name))


def _pair(text: str) -> tuple[str, str]:
    name, separator, digest = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=sha256:...")
    return name, digest


if __name__ == "__main__":
    from mome.cli import main

    raise SystemExit(main(_command))

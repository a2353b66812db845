"""What this process can say about itself: the commit of its code, and who started it."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

__all__ = ["code_revision", "user"]

_ROOT = Path(__file__).resolve().parents[2]


def code_revision() -> str:
    """Return the git commit of this code, with ``-dirty`` if it was changed; empty if nobody knows.

    An image has no repository; its build sets ``MOME_CODE_REVISION``.
    """
    if baked := os.environ.get("MOME_CODE_REVISION", ""):
        return baked
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def user() -> str:
    """Return the login name, or the number of a user that has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"

"""The uvicorn server that runs this worker, where one does: under a test's client there is none."""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["running_server"]


def running_server() -> Any | None:
    """Return it; BentoML gives no way to it, but it handles the signals of its process."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if hasattr(server, "should_exit") else None

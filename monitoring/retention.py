"""Forget old requests.

    python -m monitoring.retention var/requests --days 30

The log holds no sound and no words, and still no more than it has to.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from datetime import UTC, datetime, timedelta

from mome.cli import main
from mome.errors import ConfigError
from mome.request_log.opening import REQUESTS, open_store

__all__: list[str] = []


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.retention", description="Forget old requests."
    )
    parser.add_argument("requests", help=REQUESTS)
    parser.add_argument("--days", type=float, default=30.0, help="older ones are deleted; default 30")
    given = parser.parse_args()
    if not given.days > 0:  # nor what is not a number
        raise ConfigError(f"--days: expected a number above zero, got {given.days:g}")
    with closing(open_store(given.requests)) as log:
        deleted = log.delete_before(datetime.now(UTC) - timedelta(days=given.days))
    print(f"deleted {deleted} requests that are older than {given.days:g} days")


if __name__ == "__main__":
    raise SystemExit(main(_command))

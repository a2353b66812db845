"""Let a candidate prove itself: ``python -m serving.rollout canary --champion URL --candidate URL``.

Stands where callers look for the service. GET /rollout and /rollout.html say what is known, /metrics says it
to Prometheus; the rest goes on to the champion, and a share of the transcriptions to the candidate as well.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from mome.cli import main
from mome.errors import ConfigError
from serving.rollout.comparison import Bounds
from serving.rollout.router import Limits, create_app
from serving.rollout.trial import Trial

__all__: list[str] = []

_SHUTDOWN_S = 45.0  # of the sixty that a pod has, ten of which pass before it hears of its end


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.rollout", description=__doc__)
    parser.add_argument("mode", choices=("shadow", "canary"), help="whose replies callers get")
    parser.add_argument("--champion", type=_address, required=True, help="address of the service")
    parser.add_argument("--candidate", type=_address, required=True, help="address of the new version")
    parser.add_argument("--share", type=float, default=0.1, help="of the transcriptions; default 0.1")
    parser.add_argument("--name", default="trial", help="of the trial, such as the two versions")
    parser.add_argument("--state", type=Path, help="file that a router which is started again goes on from")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    for field, known in Bounds.model_fields.items():
        kind = int if field == "proven_after" else float
        parser.add_argument(
            f"--{field.replace('_', '-')}", type=kind, default=known.default, help="default: %(default)s"
        )
    parser.add_argument("--timeout-s", type=float, default=Limits.timeout_s, help="default: %(default)s")
    parser.add_argument("--max-body-mb", type=float, default=Limits.max_body_bytes / 1e6)
    parser.add_argument("--max-buffered-mb", type=float, default=Limits.max_buffered_bytes / 1e6)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not 0 < given.share <= 1:
        raise ConfigError(f"--share: expected a number above 0 and at most 1, got {given.share}")
    for name in ("timeout_s", "max_body_mb", "max_buffered_mb"):
        if getattr(given, name) <= 0:
            raise ConfigError(f"--{name.replace('_', '-')}: expected a number above zero")
    try:
        bounds = Bounds(**{name: getattr(given, name) for name in Bounds.model_fields})
    except ValidationError as error:
        (first, *_) = error.errors()
        option = str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"--{option}: {first['msg']}, got {first['input']}") from None
    limits = Limits(
        timeout_s=given.timeout_s,
        max_body_bytes=int(1e6 * given.max_body_mb),
        max_buffered_bytes=int(1e6 * given.max_buffered_mb),
    )
    trial = Trial(given.name, given.mode, given.share, bounds, given.state)
    web.run_app(
        create_app(trial, given.champion, given.candidate, limits),
        host=given.host,
        port=given.port,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
        handler_cancellation=True,
        print=None,
    )


def _address(text: str) -> str:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError(f"expected an address as http://host:port, got {text!r}")
    return text


if __name__ == "__main__":
    raise SystemExit(main(_command))

"""Send the wish for a new training to where CI hears it: GitHub's `repository_dispatch`, as `snr-drift`.

    MOME_DISPATCH_TOKEN=... python -m monitoring.ask STATE https://api.github.com/repos/OWNER/NAME/dispatches

It may be called after every look: a wish is sent once. `state/retrain.sent.json` is the last one that was
taken; what could not be sent is sent by the next call. The monitor writes a new wish when the noise goes
further, or when nothing came of the last one for a week.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mome.cli import main
from mome.errors import MomeError, MonitorError
from mome.records import RetrainRequest

__all__ = ["TOKEN", "ask"]

TOKEN = "MOME_DISPATCH_TOKEN"  # noqa: S105 - the name of a variable, not a token
_EVENT = "snr-drift"
_TIMEOUT_S = 10.0
_NEAR = ("localhost", "127.0.0.1", "::1")
# What the other side takes (pipelines/submit/triggers.py): words without marks that steer pages, and levels
# that can be.
_MARKS = re.compile(r"[^\w .,:;()%/+'=-]")
_LONGEST = 300
_LEVELS_DB = (-30.0, 60.0)


def ask(state: Path, address: str, token: str) -> bool:
    """Send the wish in a state folder, unless it was sent before or there is none.

    Args:
        state: Folder of the monitor.
        address: Of the repository's dispatches.
        token: May dispatch.

    Returns:
        Whether it was sent.

    Raises:
        MonitorError: If it cannot be read or sent; the next call tries again.
    """
    if not (state / "retrain.json").exists():
        return False
    request = RetrainRequest.read(state / "retrain.json")
    sent = state / "retrain.sent.json"
    try:
        if RetrainRequest.read(sent) == request:
            return False
    except MomeError:  # none was sent yet, or nobody knows which
        pass
    _post(address, token, {"event_type": _EVENT, "client_payload": _payload(request)})
    request.write(sent)
    return True


def _payload(request: RetrainRequest) -> dict[str, Any]:
    low, high = _LEVELS_DB
    # Which files a training reads, nobody may say from outside.
    content = request.model_dump(mode="json", exclude={"recordings"})
    for name in ("snr_low_db", "snr_high_db"):
        content[name] = min(max(content[name], low), high)
    for name in ("noise", "reason"):
        content[name] = _MARKS.sub(" ", content[name])[:_LONGEST]
    return content


def _post(address: str, token: str, content: dict[str, Any]) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _NEAR):
        raise MonitorError(f"{address}: expected an address that begins with https://; a token goes there")
    if not token.strip():
        raise MonitorError(f"{TOKEN} is not set: expected a token that may dispatch to the repository")
    headers = {"Authorization": f"Bearer {token.strip()}", "Accept": "application/vnd.github+json"}
    body = json.dumps(content, allow_nan=False).encode()
    sending = urllib.request.Request(  # noqa: S310 - the scheme was checked
        address, body, headers | {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(sending, timeout=_TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        with error:
            raise MonitorError(f"the wish for a new training was not taken: {_explain(error.code)}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise MonitorError(
            f"the wish for a new training was not sent: {parts.hostname} cannot be reached ({reason}); the "
            "next call tries again; does a NetworkPolicy let the monitor reach it?"
        ) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that leads elsewhere is refused: the token would go to whoever is named there."""

    def redirect_request(self, *_: object) -> None:
        return None


def _explain(status: int) -> str:
    known = {
        401: f"the token of {TOKEN} is not known (401); it may have ended",
        403: f"the token of {TOKEN} may not dispatch (403); it needs to write the repository's contents",
        404: f"there is no such repository for the token of {TOKEN} (404); check the address and its rights",
        422: "its form was refused (422); monitor and workflow are of different versions",
    }
    return known.get(status, f"the answer was {status}; the next call tries again")


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.ask",
        description="Send the wish for a new training to CI, once.",
        epilog=f"The token comes from {TOKEN}.",
    )
    parser.add_argument("state", type=Path, help="folder of the monitor, with retrain.json")
    parser.add_argument("address", help="https://api.github.com/repos/OWNER/NAME/dispatches")
    given = parser.parse_args()
    sent = ask(given.state, given.address, os.environ.get(TOKEN, ""))
    print("asked for a new training" if sent else "nothing new to ask for")


if __name__ == "__main__":
    raise SystemExit(main(_command))

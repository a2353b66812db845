"""Tell people how a run went, through a chat's incoming webhook: JSON ``{"text": ...}``, as Slack takes it.

The address is a secret: whoever has it can write into the chat. It comes from the environment and is
never printed, not even in an error.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["NOTIFY_UI", "NOTIFY_URL", "send", "tell"]

NOTIFY_URL = "MOME_NOTIFY_URL"
NOTIFY_UI = "MOME_NOTIFY_UI"  # address of Kubeflow's pages, for a link to the run
_GOOD = frozenset({"SUCCEEDED", "COMPLETE", "COMPLETED", "CACHED"})  # servers differ in the word
_BAD = frozenset({"FAILED", "CANCELLED", "CANCELED", "ERROR"})
_TIMEOUT_S = 10.0
_WAITS_S = (1.0, 4.0)  # before the second and the third attempt
_LONGEST = 3000  # characters that a chat shows


def tell(
    pipeline: str,
    run: str,
    run_id: str,
    state: str,
    message: str | None,
    only_failures: bool,
    has_loop: bool = False,
    environment: Mapping[str, str] = os.environ,
    waits_s: tuple[float, ...] = _WAITS_S,
) -> bool:
    """Say how a run ended, if there is somebody to tell; it never fails, for the run is judged already.

    Args:
        pipeline: Name of the pipeline.
        run: Name of the run.
        run_id: Its id, for the link.
        state: Final state, in the server's word.
        message: Why it failed, where the server says so.
        only_failures: Whether to keep silent about a success.
        has_loop: Whether pieces of a loop may come from the cache, which leaves the state open.
        environment: With `NOTIFY_URL` and `NOTIFY_UI`.
        waits_s: Seconds before each further attempt.

    Returns:
        Whether a message was taken by the other side.
    """
    said, reason = _how(state, message or "", has_loop)
    lines = [f"{pipeline}: run {run or run_id} {said}", " ".join(reason.split())]
    if ui := environment.get(NOTIFY_UI, ""):
        lines.append(f"{ui.rstrip('/')}/#/runs/details/{run_id}")
    elif state not in _GOOD:
        lines.append("the red step's last log line says what to do")
    # Chats read <...> as a link or a call to everybody.
    text = re.sub(r"[<>]", " ", "\n".join(filter(None, lines)))
    print(text)
    if only_failures and state in _GOOD:
        print("notify: nothing is sent about a success here")
        return False
    url = environment.get(NOTIFY_URL, "").strip()
    if not url:
        print(f"notify: {NOTIFY_URL} is not set, so nobody was told; a Kubernetes secret sets it")
        return False
    problem = send(url, text, waits_s)
    if problem is None:
        print("notify: told")
        return True
    print(f"notify: nobody was told: {problem}; the run itself is not changed by this")
    return False


def send(url: str, text: str, waits_s: tuple[float, ...] = _WAITS_S) -> str | None:
    """Post a text; returns None, or what went wrong without a word of the address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"{NOTIFY_URL} is no http(s) address; correct the secret"
    body = json.dumps({"text": text[:_LONGEST]}).encode()
    opener = urllib.request.build_opener(_NoRedirect)
    problem = ""
    for wait_s in (*waits_s, None):
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - checked
        try:
            with opener.open(request, timeout=_TIMEOUT_S):
                return None
        except urllib.error.HTTPError as error:
            with error:
                problem = f"the webhook answered {error.code}"
            if error.code < 500 and error.code != 429:
                return f"{problem}; correct the address in the secret"
        except urllib.error.URLError as error:
            problem = f"the webhook cannot be reached ({_nameless(error.reason, url)})"
        except (OSError, ValueError, http.client.HTTPException) as error:
            problem = f"the webhook cannot be reached ({_nameless(error, url)})"
        if wait_s is not None:
            time.sleep(wait_s)
    return f"{problem}, {len(waits_s) + 1} times; look at the network policy and the secret"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that leads elsewhere is refused: the message would go to whoever is named there."""

    def redirect_request(self, *_: object) -> None:
        return None


def _how(state: str, message: str, has_loop: bool) -> tuple[str, str]:
    """Return how a run ended, and why if it did not end well.

    All steps have ended when this is asked. The server's state of them is any other than good or bad only
    where its book-keeping was left open: a step writes down its end itself, which one that is killed cannot,
    and neither does a piece of a loop that comes from the cache, for it is not run.
    """
    if state in _GOOD:
        return "succeeded", ""
    if state in _BAD:
        return "FAILED", message
    if has_loop:
        return (
            "has ended, well or not",
            "shards that come from the cache leave it open, and so does a killed step",
        )
    return "FAILED", "a step ended without a word: it was killed, evicted or past its deadline"


def _nameless(reason: object, url: str) -> str:
    text = str(reason)
    for secret in filter(None, (url, urlsplit(url).path.strip("/"), urlsplit(url).query)):
        text = text.replace(secret, "...")
    return text

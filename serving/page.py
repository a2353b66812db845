"""The page at ``/``: speak or choose a clip, and see text, scale, noise and latency."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

__all__ = ["create_page"]

_PAGE = Path(__file__).with_name("page.html")


def create_page() -> Starlette:
    """Make the application that serves the page, one file without any other asset."""
    html = _PAGE.read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": _policy(html), "X-Content-Type-Options": "nosniff"}

    async def page(_: Request) -> Response:
        return HTMLResponse(html, headers=headers)

    return Starlette(routes=[Route("/", page)])


def _policy(html: str) -> str:
    """Allow this page's own script and style by their hash, calls to this service, and nothing else."""

    def hashes(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "connect-src 'self'; media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

"""The page at ``/``: live captions, one clip at every scale, and what was served in the last hour."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["create_page"]

_FOLDER = Path(__file__).with_name("web")
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
# Scripts and style are files of this service; a page that something was put into runs none of it.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob:; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def create_page() -> Starlette:
    """Make the application that serves the page and its parts, and nothing else."""
    return Starlette(routes=[_route(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES])


def _route(path: Path) -> Route:
    content = path.read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=_TYPES[path.suffix], headers=_HEADERS)

    return Route("/" if path.name == "index.html" else f"/{path.name}", answer)

"""An application behind a real HTTP server, in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from serving.routes import create_app
from tests.serving.planted import Served


@contextmanager
def over_http(app: Starlette, **config: Any) -> Iterator[str]:
    """Give the address of the application, without a slash at its end."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", **config))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def openai_client(served: Served, **config: Any) -> Iterator[openai.OpenAI]:
    """Give OpenAI's client, connected to the routes."""
    app = Starlette(routes=[Mount("/v1", create_app(lambda: served.engine, lambda: None))])
    with (
        over_http(app, **config) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="sesame", max_retries=0) as connected,
    ):
        yield connected

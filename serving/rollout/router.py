"""The routes of the router: everything to the champion, and a share of the transcriptions to both."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from serving.errors import ApiError
from serving.rollout.backend import Backend, Reply, Sent, end_to_end
from serving.rollout.comparison import compare
from serving.rollout.metrics import Metrics
from serving.rollout.report import as_json, as_page
from serving.rollout.trial import Trial

__all__ = ["Limits", "create_app"]

_log = logging.getLogger(__name__)
_TRANSCRIPTIONS = "/v1/audio/transcriptions"
_KEEP_ALIVE_S = 3.0  # uvicorn closes what was idle for five, and a request may meet that
_LEAST_ROOM = 64_000  # bytes that any request takes: headers, buffers of sockets
_END_S = 5.0  # for comparisons that still run when the router ends


@dataclass(frozen=True)
class Limits:
    """What one router takes.

    Args:
        timeout_s: Until a backend's reply is whole, or the next piece of a stream is there.
        max_body_bytes: Largest request.
        max_buffered_bytes: Of all requests in memory; who finds no room is told to come again.
        max_compared: Requests that are compared at a time; beyond it they go to the champion alone.
    """

    timeout_s: float = 60.0
    max_body_bytes: int = 26_000_000
    max_buffered_bytes: int = 500_000_000
    max_compared: int = 32


def create_app(
    trial: Trial,
    champion: str,
    candidate: str,
    limits: Limits = Limits(),
    draw: random.Random | None = None,
) -> web.Application:
    """Make the application.

    Args:
        trial: Which is asked whether it goes on, and told what comes of it.
        champion: Address of the champion.
        candidate: Address of the candidate.
        limits: What it takes.
        draw: Chooses the requests of the share.
    """
    metrics = Metrics()

    async def rollout(_: web.Request) -> web.Response:
        return web.json_response(as_json(trial.state))

    async def page(_: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
        return web.Response(text=as_page(trial.state), content_type="text/html", headers=headers)

    async def shown(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(trial.state), content_type="text/plain")

    async def alive(_: web.Request) -> web.Response:
        return web.Response()

    async def connected(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
        ) as session:
            app[_ROUTER] = router = _Router(
                trial,
                Backend("champion", champion, session, limits.timeout_s),
                Backend("candidate", candidate, session, limits.timeout_s),
                session,
                limits,
                draw or random.Random(),
                metrics,
            )
            yield
            await router.end()

    async def forward(request: web.Request) -> web.StreamResponse:
        return await request.app[_ROUTER].forward(request)

    app = web.Application(client_max_size=limits.max_body_bytes)
    app.cleanup_ctx.append(connected)
    app.router.add_get("/rollout", rollout)
    app.router.add_get("/rollout.html", page)
    app.router.add_get("/metrics", shown)
    for probe in ("/livez", "/readyz"):
        app.router.add_get(probe, alive)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


@dataclass
class _Router:
    trial: Trial
    champion: Backend
    candidate: Backend
    session: aiohttp.ClientSession
    limits: Limits
    draw: random.Random
    metrics: Metrics
    buffered: int = 0
    behind: set[asyncio.Task[None]] = field(default_factory=set)  # what goes on when the caller has a reply

    async def forward(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        try:
            with self._room(request.content_length if request.body_exists else 0):
                try:
                    sent = Sent(
                        request.method,
                        request.rel_url.raw_path_qs,
                        # Backends know no other encoding, and a compressed text could not be compared.
                        end_to_end(request.headers, "host", "content-length", "accept-encoding"),
                        await request.read(),
                    )
                except web.HTTPRequestEntityTooLarge:
                    raise self._too_large() from None
                sent.headers["Accept-Encoding"] = "identity"
                reply = await self._ask(sent)
                return await self._give(request, reply)
        except ApiError as error:
            self.metrics.replied("router", error.status)
            return web.json_response(error.body(), status=error.status, headers=error.headers)

    async def end(self) -> None:
        """Let comparisons that still run come to their end, for a while."""
        if self.behind:
            _, late = await asyncio.wait(self.behind, timeout=_END_S)
            for task in late:
                task.cancel()
        self.trial.keep()

    async def _ask(self, sent: Sent) -> Reply:
        is_drawn = (
            self.trial.runs
            and sent.method == "POST"
            and sent.path.partition("?")[0] == _TRANSCRIPTIONS
            and len(self.behind) < self.limits.max_compared
            and self.draw.random() < self.trial.state.share
        )
        if not is_drawn:
            reply = await self._asked(self.champion, sent)
            self.metrics.replied("champion", reply.status)
            return reply
        room = _LEAST_ROOM + len(sent.body)
        self.trial.sent()
        first = asyncio.create_task(self._asked(self.champion, sent))
        second = asyncio.create_task(self._asked(self.candidate, sent))
        try:
            if self.trial.state.mode == "shadow":
                given = await first
            else:
                given = await self._chosen(first, second)
        except asyncio.CancelledError:  # the caller has left
            first.cancel()
            second.cancel()
            raise
        by = "champion" if first.done() and first.result() is given else "candidate"
        self.metrics.replied(by, given.status)
        self._later(self._compare(first, second, given, room))
        return given

    async def _asked(self, backend: Backend, sent: Sent) -> Reply:
        reply = await backend.ask(sent)
        self.metrics.heard(backend.role, reply.seconds)
        if version := reply.headers.get("X-MoME-Version"):
            self.trial.answered_by(backend.role, version)
        return reply

    async def _chosen(self, first: asyncio.Task[Reply], second: asyncio.Task[Reply]) -> Reply:
        """Return the candidate's reply if it is one and in time, and else the champion's."""
        await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        if first.done() and not second.done() and first.result().status < 500:
            took_s = first.result().seconds
            await asyncio.wait({second}, timeout=self.trial.state.bounds.patience_s(took_s) - took_s)
            if not second.done():
                second.cancel()
                self.metrics.rescued()
                return first.result()
        candidate = await second
        if candidate.status < 400:
            return candidate
        self.metrics.rescued()
        return await first

    async def _compare(
        self, first: asyncio.Task[Reply], second: asyncio.Task[Reply], given: Reply, room: int
    ) -> None:
        """Hear both replies to their end, the one that the caller is given as it goes, and compare them."""
        self._take(room)  # for as long as the body may be needed
        try:
            await asyncio.wait({first, second})
        finally:
            self._take(-room)
        champion, candidate = first.result(), None if second.cancelled() else second.result()
        for reply in filter(None, (champion, candidate)):
            await (reply.ended.wait() if reply is given else reply.listen())
        if given.is_left:
            return
        heard = None if candidate is None else candidate.heard()
        came_of_it = compare(champion.heard(), heard, self.trial.state.bounds)
        if came_of_it is not None:
            self.trial.add(came_of_it)

    async def _give(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.is_whole:
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        try:
            await response.prepare(request)
            async with aclosing(reply.pieces()) as pieces:
                async for piece in pieces:
                    await response.write(piece)
        finally:
            reply.leave()
        if reply.is_cut and request.transport is not None:
            request.transport.abort()  # the caller has to see that it is not whole
        else:
            await response.write_eof()
        return response

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        """Connect the caller and the champion until one of them ends it."""
        headers = end_to_end(
            request.headers,
            "host",
            "sec-websocket-key",
            "sec-websocket-version",
            "sec-websocket-extensions",
            "sec-websocket-protocol",
        )
        asked = request.headers.get("Sec-WebSocket-Protocol", "")
        protocols = [each.strip() for each in asked.split(",") if each.strip()]
        most = self.limits.max_body_bytes
        try:
            upstream = await self.session.ws_connect(
                self.champion.url + request.rel_url.raw_path_qs,
                headers=headers,
                protocols=protocols,
                max_msg_size=most,
            )
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status)
        except (aiohttp.ClientError, TimeoutError):
            return web.Response(status=502)
        async with upstream:
            chosen = [upstream.protocol] if upstream.protocol else []
            downstream = web.WebSocketResponse(protocols=chosen, max_msg_size=most)
            await downstream.prepare(request)
            ways = [
                asyncio.create_task(_pass_on(downstream, upstream)),
                asyncio.create_task(_pass_on(upstream, downstream)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            await downstream.close(code=upstream.close_code or 1000)
        return downstream

    @contextmanager
    def _room(self, declared: int | None) -> Iterator[None]:
        """Take room for a body, as large as can be if nobody says how large it is.

        Raises:
            ApiError: With status 413 if it is too large, 503 if there is no room now.
        """
        most = self.limits.max_body_bytes
        if declared is not None and declared > most:
            raise self._too_large()
        room = _LEAST_ROOM + (most if declared is None else declared)
        if self.buffered and self.buffered + room > self.limits.max_buffered_bytes:
            raise ApiError(
                "too many requests are on their way; try again in 1 s",
                status=503,
                code="router_full",
                headers={"Retry-After": "1"},
            )
        self._take(room)
        try:
            yield
        finally:
            self._take(-room)

    def _take(self, num_bytes: int) -> None:
        self.buffered += num_bytes
        self.metrics.buffered(self.buffered)

    def _too_large(self) -> ApiError:
        return ApiError(
            f"the request is larger than {self.limits.max_body_bytes / 1e6:g} MB, the most that is taken",
            status=413,
            param="file",
            code="file_too_large",
        )

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.behind.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.behind.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a comparison failed", exc_info=error)


_ROUTER = web.AppKey("router", _Router)

_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pass_on(source: _Socket, target: _Socket) -> None:
    """Pass messages on until the source ends."""
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
    await target.close(code=source.close_code or 1000)

"""A text sent while it is decoded, as the server-sent events of OpenAI's transcription route.

data: {"type": "transcript.text.delta", "delta": "place"}

data: {"type": "transcript.text.done", "text": "place white"}

A text that was cut, because it has more words than anybody says in that time, ends with
``"x_mome": {"cut": true}``.

Where the request includes ``logprobs``, that event has those of all tokens.

A failure after the first event is one more, with the body of any other error: ``data: {"error": {...}}``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mome.reading import Text
from serving.engine import StreamedTranscription
from serving.errors import ApiError
from serving.metrics import Metrics
from serving.replies import logprobs

__all__ = ["EventStream"]


class EventStream(StreamingResponse):
    """The reply to ``stream=true``; a caller who leaves ends the decoding.

    Args:
        streamed: What the engine decodes.
        metrics: Where a failure is counted.
        with_logprobs: The last event says how sure the model was of each token.
    """

    def __init__(
        self, streamed: StreamedTranscription, metrics: Metrics, *, with_logprobs: bool = False
    ) -> None:
        self._streamed = streamed
        self._metrics = metrics
        self._with_logprobs = with_logprobs
        self._encoded = self._events()
        super().__init__(
            self._encoded,
            media_type="text/event-stream",
            headers={
                "X-MoME-Scale": str(streamed.scale),
                "X-Request-ID": streamed.request_id,
                # Proxies must pass each event on at once.
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, and leave nothing running behind."""
        async with aclosing(self._streamed.pieces), aclosing(self._encoded):
            await super().__call__(scope, receive, send)

    async def _events(self) -> AsyncGenerator[str, None]:
        sent, news = "", self._streamed.first
        try:
            while True:
                text = news.text if isinstance(news, Text) else news
                if len(text) > len(sent):
                    yield _event({"type": "transcript.text.delta", "delta": text[len(sent) :]})
                    sent = text
                if isinstance(news, Text):
                    break
                news = await anext(self._streamed.pieces)
        except ApiError as error:
            self._metrics.refused(error.code or f"http_{error.status}")
            yield _event(error.body())
        else:
            sure = {"logprobs": logprobs(news.tokens)} if self._with_logprobs else {}
            cut = {"x_mome": {"cut": True}} if news.cut else {}
            yield _event({"type": "transcript.text.done", "text": sent, **sure, **cut})


def _event(content: Mapping[str, object]) -> str:
    return f"data: {json.dumps(content)}\n\n"

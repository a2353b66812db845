"""A text sent while it is decoded, as the server-sent events of OpenAI's transcription route.

data: {"type": "transcript.text.delta", "delta": "place"}

data: {"type": "transcript.text.done", "text": "place white"}

A long recording is read in pieces; their texts are one text, and its deltas come in order.

The last event has what OpenAI's has no field for: ``"x_mome": {"estimated_wer": 0.031}``, and
``"cut": true`` in it if the text has more words than anybody says in that time.

Where the request includes ``logprobs``, each delta has those of its tokens, and that event those of all.

A failure after the first event is one more, with the body of any other error: ``data: {"error": {...}}``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mome.reading import Standing
from serving.engine import Begun, News, Transcription
from serving.errors import ApiError
from serving.metrics import Metrics
from serving.replies import logprobs

__all__ = ["EventStream", "error_event"]


class EventStream(StreamingResponse):
    """The reply to ``stream=true``; a caller who leaves ends the decoding.

    Args:
        begun: What the answer said first.
        first: What it said next.
        answer: What it goes on to say.
        metrics: Where a failure is counted.
        with_logprobs: Events say how sure the model was of each token.
    """

    def __init__(
        self,
        begun: Begun,
        first: News,
        answer: AsyncGenerator[News, None],
        metrics: Metrics,
        *,
        with_logprobs: bool = False,
    ) -> None:
        self._first = first
        self._answer = answer
        self._metrics = metrics
        self._with_logprobs = with_logprobs
        self._encoded = self._events()
        super().__init__(
            self._encoded,
            media_type="text/event-stream",
            headers={
                "X-MoME-Scale": str(begun.scale),
                "X-Request-ID": begun.request_id,
                # Proxies must pass each event on at once.
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, and leave nothing running behind."""
        async with aclosing(self._answer), aclosing(self._encoded):
            await super().__call__(scope, receive, send)

    async def _events(self) -> AsyncGenerator[str, None]:
        sent, news = Standing(), self._first
        try:
            while not isinstance(news, Transcription):
                if isinstance(news, Standing) and len(news.text) > len(sent.text):
                    yield self._delta(sent, news)
                    sent = news
                news = await anext(self._answer)
        except ApiError as error:
            self._metrics.refused(error.code or f"http_{error.status}")
            yield error_event(error)
        else:
            if len(news.text) > len(sent.text):
                yield self._delta(sent, Standing(news.text, news.tokens))
            sure = {"logprobs": logprobs(news.tokens)} if self._with_logprobs else {}
            beyond: dict[str, object] = {"cut": True} if news.cut else {}
            if news.estimated_wer is not None:
                beyond["estimated_wer"] = news.estimated_wer
            ours = {"x_mome": beyond} if beyond else {}
            yield _event({"type": "transcript.text.done", "text": news.text, **sure, **ours})

    def _delta(self, sent: Standing, standing: Standing) -> str:
        new = standing.tokens[len(sent.tokens) :]
        sure = {"logprobs": logprobs(new)} if self._with_logprobs else {}
        return _event({"type": "transcript.text.delta", "delta": standing.text[len(sent.text) :], **sure})


def error_event(error: ApiError) -> str:
    """Return the event that ends a stream that failed."""
    return _event(error.body())


def _event(content: Mapping[str, object]) -> str:
    return f"data: {json.dumps(content)}\n\n"

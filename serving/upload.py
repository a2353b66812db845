"""Take in one multipart body, and no byte more than allowed.

The size is checked before anything is stored: against Content-Length when there is one, and against
what really arrives in any case. Starlette parses the form only through the counting ``receive``, so
a body that is too large is never spooled to disk whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from serving.errors import ApiError

__all__ = ["Upload", "receive_upload"]

_FILES = ("file", "video")
# A client that is still sending does not read the reply, and closing on it may lose the reply:
# what it sends is thrown away for a while.
_DISCARD_BYTES = 64_000_000
_DISCARD_S = 5.0


@dataclass(frozen=True)
class Upload:
    """Files (name -> bytes) and text fields (name -> value) of one request."""

    files: Mapping[str, bytes]
    fields: Mapping[str, str]


async def receive_upload(request: Request, *, max_bytes: int, known_fields: frozenset[str]) -> Upload:
    """Read and check the form.

    Args:
        request: With a body of ``multipart/form-data``.
        max_bytes: Largest body.
        known_fields: Text fields that the endpoint understands.

    Raises:
        ApiError: If the body is too large (413), is not a form (400, 415), lacks the file, has an
            empty one, has text where a file belongs, or has a field that is unknown or given twice.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise ApiError(
            f"expected multipart/form-data with a field 'file', got {content_type or 'no content type'!r}",
            status=415,
            code="unsupported_content_type",
        )
    too_large = ApiError(
        f"the request is larger than {max_bytes / 1e6:g} MB, the most that is taken",
        status=413,
        param="file",
        code="file_too_large",
    )
    body = _Body(request.receive, max_bytes, too_large)
    declared = request.headers.get("content-length", "")
    try:
        if declared.isdecimal() and int(declared) > max_bytes:
            raise too_large
        async with Request(request.scope, body.receive).form(max_files=len(_FILES), max_fields=32) as form:
            return await _checked(form, known_fields)
    except HTTPException as error:
        raise ApiError(f"the form cannot be read: {error.detail}", code="malformed_form") from error
    except ApiError as error:
        if error is too_large:
            await body.discard()
        raise


class _Body:
    """The request's body, counted as it arrives."""

    def __init__(self, receive: Receive, max_bytes: int, too_large: ApiError) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._too_large = too_large
        self._received = 0
        self._ended = False

    async def receive(self) -> Message:
        """Pass on the next piece.

        Raises:
            ApiError: If it is one too many.
        """
        message = await self._next()
        if self._received > self._max_bytes:
            raise self._too_large
        return message

    async def discard(self) -> None:
        """Throw the rest away, for a while."""
        most = self._received + _DISCARD_BYTES
        with anyio.move_on_after(_DISCARD_S):
            while not self._ended and self._received < most:
                await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


async def _checked(form: FormData, known_fields: frozenset[str]) -> Upload:
    files: dict[str, bytes] = {}
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if name in files or name in fields:
            raise ApiError(f"{name!r} was given twice; expected it once", param=name, code="duplicate_field")
        if isinstance(value, UploadFile):
            if name not in _FILES:
                raise ApiError(
                    f"unexpected file {name!r}; files are 'file' and, optionally, 'video'",
                    param=name,
                    code="unknown_field",
                )
            files[name] = await value.read()
            if not files[name]:
                raise ApiError(f"{name!r} is empty; expected a recording", param=name, code="empty_file")
        elif name in _FILES:
            # Nothing is ever fetched: an address in place of a recording would let a caller use
            # this service to reach hosts that only it can reach.
            raise ApiError(
                f"{name!r} must be an uploaded file, got text; addresses are not fetched",
                param=name,
                code="not_a_file",
            )
        elif name not in known_fields:
            raise ApiError(
                f"unknown field {name!r}; known are file, video, {', '.join(sorted(known_fields))}",
                param=name,
                code="unknown_field",
            )
        else:
            fields[name] = value
    if "file" not in files:
        raise ApiError(
            "the form has no 'file'; expected an uploaded recording", param="file", code="missing_file"
        )
    return Upload(files, fields)

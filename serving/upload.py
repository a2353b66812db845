"""Take in one multipart body, and no byte more than allowed.

The size is checked before anything is stored: against Content-Length when there is one, and against
what really arrives in any case. Starlette parses the form only through the counting ``receive``, so
a body that is too large is never spooled to disk whole.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message, Receive

from serving.errors import ApiError

__all__ = ["Upload", "receive_upload"]

_FILES = ("file", "video")
# A client that is still sending does not read the reply, and closing on it may lose the reply:
# what it sends is thrown away for a while.
_DISCARD_BYTES = 64_000_000
_DISCARD_S = 5.0
_MAX_FIELDS = 32
# Lists come as one part for each value, as in timestamp_granularities[]; objects as JSON, or as one part
# for each member, as in chunking_strategy[type]. OpenAI's clients send the second form of both.
_LISTS = ("include[]", "timestamp_granularities[]")
_OBJECTS = ("chunking_strategy",)


@dataclass(frozen=True)
class Upload:
    """Files and text fields (name -> value) of one request.

    A file is bytes, or where they are if they are many: then whoever has the upload discards it. The values
    of a list are joined by commas; an object is JSON.
    """

    files: Mapping[str, bytes | Path]
    fields: Mapping[str, str]

    def discard(self) -> None:
        """Remove what is on disk."""
        _remove(self.files)


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
        async with _form(Request(request.scope, body.receive)) as form:
            return await _checked(form, known_fields)
    except MultiPartException as error:
        raise ApiError(f"the form cannot be read: {error.message}", code="malformed_form") from error
    except ApiError as error:
        if error is too_large:
            await body.discard()
        raise


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    async with aclosing(request.stream()) as stream:
        parser = _Parser(request.headers, stream, max_files=len(_FILES), max_fields=_MAX_FIELDS)
        form = await parser.parse()
    try:
        yield form
    finally:
        await form.close()


class _Parser(MultiPartParser):
    """Knows a file by ``filename*`` (RFC 5987), too: some clients send a name with accents only so."""

    def on_headers_finished(self) -> None:
        """Give such a part the plain name that the parser looks for; what it is called does not matter."""
        disposition = self._current_part.content_disposition or b""
        if re.search(rb";\s*filename\*\s*=", disposition, re.IGNORECASE) and not re.search(
            rb";\s*filename\s*=", disposition, re.IGNORECASE
        ):
            self._current_part.content_disposition = disposition + b'; filename="upload"'
        super().on_headers_finished()


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
    files: dict[str, bytes | Path] = {}
    try:
        return await _filled(form, known_fields, files)
    except BaseException:
        _remove(files)
        raise


async def _filled(form: FormData, known_fields: frozenset[str], files: dict[str, bytes | Path]) -> Upload:
    fields: dict[str, str] = {}
    members: dict[str, dict[str, object]] = {}
    for given, value in form.multi_items():
        name, member = _parsed_name(given)
        if name in files or (name in fields and name not in _LISTS) or member in members.get(name, {}):
            raise ApiError(f"{name!r} was given twice; expected it once", param=name, code="duplicate_field")
        if isinstance(value, UploadFile):
            files[name] = await _content(name, value)
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
        elif member:
            members.setdefault(name, {})[member] = _number_or_text(value)
        else:
            fields[name] = f"{fields[name]},{value}" if name in fields else value
    if "file" not in files:
        raise ApiError(
            "the form has no 'file'; expected an uploaded recording", param="file", code="missing_file"
        )
    return Upload(files, fields | {name: json.dumps(values) for name, values in members.items()})


def _parsed_name(given: str) -> tuple[str, str]:
    """Return the field that a part belongs to, and the member if it is one of an object."""
    base, bracket, inside = given.partition("[")
    if bracket and base in _OBJECTS:
        return base, inside.removesuffix("]")
    # include, include[] and include[0] are three ways to write one list.
    is_list = f"{base}[]" in _LISTS and (not bracket or re.fullmatch(r"\d*\]", inside) is not None)
    return (f"{base}[]" if is_list else given), ""


def _remove(files: Mapping[str, bytes | Path]) -> None:
    for content in files.values():
        if isinstance(content, Path):
            content.unlink(missing_ok=True)


async def _content(name: str, file: UploadFile) -> bytes | Path:
    if name not in _FILES:
        raise ApiError(
            f"unexpected file {name!r}; files are 'file' and, optionally, 'video'",
            param=name,
            code="unknown_field",
        )
    if file.size and file.size > _Parser.spool_max_size:
        # An hour in memory would be there several times: here, in the decoder, and on the way.
        return await anyio.to_thread.run_sync(_on_disk, file.file)
    content = await file.read()
    if not content:
        raise ApiError(f"{name!r} is empty; expected a recording", param=name, code="empty_file")
    return content


def _on_disk(file: IO[bytes]) -> Path:
    with tempfile.NamedTemporaryFile(prefix="mome-upload-", delete=False) as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
    return Path(copy.name)


def _number_or_text(value: str) -> object:
    try:
        return float(value)
    except ValueError:
        return value

"""pys3local with what it lacks of S3.

- ``Range`` on GET is answered with that part, or 416 behind the end.
- ``If-None-Match: *`` on PUT is answered with 412 if the key exists.

python s3_server.py FOLDER PORT KEY SECRET

What each request asked for is printed: method, path, range.
"""

import asyncio
import re
import sys

import uvicorn
from pys3local.errors import S3Error
from pys3local.providers.local import LocalStorageProvider
from pys3local.server import create_s3_app

BEHIND = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InvalidRange</Code><Message>The requested range'
    b" is not satisfiable</Message></Error>"
)
FAILED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>PreconditionFailed</Code><Message>At least one of'
    b" the pre-conditions you specified did not hold</Message><Condition>If-None-Match</Condition></Error>"
)


def main() -> None:
    folder, port, key, secret = sys.argv[1:]
    provider = LocalStorageProvider(folder)
    app = create_s3_app(provider, access_key=key, secret_key=secret, allow_bucket_creation=True)
    turn = asyncio.Lock()

    async def answer(scope, receive, send):
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        asked = headers.get(b"range", b"").decode()
        print(scope["method"], scope["path"], asked or "-", flush=True)
        if scope["method"] == "GET" and (found := re.fullmatch(r"bytes=(\d+)-(\d+)", asked)):
            await part(int(found[1]), int(found[2]), scope, receive, send)
        elif scope["method"] == "PUT" and headers.get(b"if-none-match") == b"*":
            await put_new(scope, receive, send)
        else:
            await app(scope, receive, send)

    async def part(first, last, scope, receive, send):
        messages = []

        async def collect(message):
            messages.append(message)

        await app(scope, receive, collect)
        start, *body = messages
        content = b"".join(message.get("body", b"") for message in body)
        if start["status"] == 200:
            start["status"] = 206 if first < len(content) else 416
            content = content[first : last + 1] if first < len(content) else BEHIND
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await reply(send, start["status"], headers, content)

    async def put_new(scope, receive, send):
        bucket, _, name = scope["path"].strip("/").partition("/")
        async with turn:  # looking and writing are one step, as in S3
            try:
                provider.head_object(bucket, name)
            except S3Error:
                await app(scope, receive, send)
                return
        while (await receive()).get("more_body"):
            pass
        await reply(send, 412, [(b"content-type", b"application/xml")], FAILED)

    async def reply(send, status, headers, content):
        sized = [*headers, (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": sized})
        await send({"type": "http.response.body", "body": content})

    uvicorn.run(answer, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()

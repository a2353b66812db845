"""pys3local with what it lacks of S3: ``Range`` on GET is answered with that part, or 416 behind the end.

python ranged_s3.py FOLDER PORT KEY SECRET

What each request asked for is printed: method, path, range.
"""

import re
import sys

import uvicorn
from pys3local.providers.local import LocalStorageProvider
from pys3local.server import create_s3_app

BEHIND = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InvalidRange</Code><Message>The requested range'
    b" is not satisfiable</Message></Error>"
)


def main() -> None:
    folder, port, key, secret = sys.argv[1:]
    provider = LocalStorageProvider(folder)
    app = create_s3_app(provider, access_key=key, secret_key=secret, allow_bucket_creation=True)

    async def ranged(scope, receive, send):
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        asked = dict(scope["headers"]).get(b"range", b"").decode()
        print(scope["method"], scope["path"], asked or "-", flush=True)
        if scope["method"] != "GET" or not (found := re.fullmatch(r"bytes=(\d+)-(\d+)", asked)):
            await app(scope, receive, send)
            return
        parts = []

        async def collect(message):
            parts.append(message)

        await app(scope, receive, collect)
        start, *body = parts
        content = b"".join(part.get("body", b"") for part in body)
        if start["status"] == 200:
            first, last = int(found[1]), int(found[2])
            start["status"] = 206 if first < len(content) else 416
            content = content[first : last + 1] if first < len(content) else BEHIND
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        start["headers"] = [*headers, (b"content-length", str(len(content)).encode())]
        await send(start)
        await send({"type": "http.response.body", "body": content})

    uvicorn.run(ranged, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()

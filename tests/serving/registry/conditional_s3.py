"""pys3local with what it lacks of S3: ``If-None-Match: *`` on PUT is answered with 412 if the key exists.

python conditional_s3.py FOLDER PORT KEY SECRET
"""

import asyncio
import sys

import uvicorn
from pys3local.errors import S3Error
from pys3local.providers.local import LocalStorageProvider
from pys3local.server import create_s3_app

FAILED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>PreconditionFailed</Code><Message>At least one of'
    b" the pre-conditions you specified did not hold</Message><Condition>If-None-Match</Condition></Error>"
)


def main() -> None:
    folder, port, key, secret = sys.argv[1:]
    provider = LocalStorageProvider(folder)
    app = create_s3_app(provider, access_key=key, secret_key=secret, allow_bucket_creation=True)
    turn = asyncio.Lock()

    async def conditional(scope, receive, send):
        headers = dict(scope.get("headers", []))
        if scope["type"] != "http" or scope["method"] != "PUT" or headers.get(b"if-none-match") != b"*":
            await app(scope, receive, send)
            return
        bucket, _, name = scope["path"].strip("/").partition("/")
        async with turn:  # looking and writing are one step, as in S3
            try:
                provider.head_object(bucket, name)
            except S3Error:
                await app(scope, receive, send)
                return
        while (await receive()).get("more_body"):
            pass
        kind = [(b"content-type", b"application/xml"), (b"content-length", str(len(FAILED)).encode())]
        await send({"type": "http.response.start", "status": 412, "headers": kind})
        await send({"type": "http.response.body", "body": FAILED})

    uvicorn.run(conditional, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()

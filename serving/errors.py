"""Refusals in OpenAI's shape, so that its client libraries can show them.

{"error": {"message": "...", "type": "invalid_request_error", "param": "file", "code": "empty_file"}}
"""

from __future__ import annotations

from mome.errors import MomeError

__all__ = ["ApiError"]


class ApiError(MomeError):
    """A request that is answered with an error.

    Args:
        message: What is wrong and what was expected; it reaches the caller.
        status: HTTP status, 4xx or 5xx.
        kind: OpenAI's type of the error; None for that of the status.
        param: Form field at fault, if one is.
        code: Stable word for programs.
        headers: Further response headers.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str | None = None,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = kind or _type(status)
        self.param = param
        self.code = code
        self.headers = headers

    def body(self) -> dict[str, dict[str, str | None]]:
        """Return the JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def _type(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"

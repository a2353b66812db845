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
        param: Form field at fault, if one is.
        code: Stable word for programs.
        headers: Further response headers.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.headers = headers

    @property
    def type(self) -> str:
        """OpenAI's class of the error."""
        if self.status == 401:
            return "authentication_error"
        if self.status == 429:
            return "requests"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def body(self) -> dict[str, dict[str, str | None]]:
        """Return the JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

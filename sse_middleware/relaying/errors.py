"""`UpstreamError`: what is wrong with the stream that a relay reads."""

from starlette.exceptions import HTTPException

from sse_middleware.errors import SSEError

BAD_GATEWAY = 502


class UpstreamError(SSEError, HTTPException):
    """The upstream of a relay didn't answer with a stream, or its stream is broken.

    Before the stream begins, Starlette and FastAPI answer it as any ``HTTPException``. The client
    gets `status_code` and its usual phrase, and nothing of what the upstream has said. A handler
    for ``UpstreamError`` may answer otherwise. Once the stream has begun, `error_event` gets it.

    Attributes:
        reason: what happened, for logs.
        status_code: what the client is answered: 502 by default. 429 and 503 stay as they are, and
            a timeout becomes 504.
        headers: ``{"Retry-After": ...}`` if the upstream has sent one with a 429 or a 503.
        upstream_status: the status of the upstream's answer, ``None`` if that was no error.
        body: the beginning of that answer's body, up to 64 KiB.
        media_type: the ``Content-Type`` of that answer.
    """

    def __init__(
        self,
        reason: str,
        *,
        status_code: int = BAD_GATEWAY,
        headers: dict[str, str] | None = None,
        upstream_status: int | None = None,
        body: bytes = b"",
        media_type: str | None = None,
    ) -> None:
        super().__init__(status_code, headers=headers)
        self.reason = reason
        self.upstream_status = upstream_status
        self.body = body
        self.media_type = media_type

    def __str__(self) -> str:
        return self.reason

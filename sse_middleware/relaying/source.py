"""`UpstreamSource`: opens an upstream, checks its answer, and closes it.

Rules of this file:
- A response has the shape of httpx's. No HTTP library is imported.
- Only a 200 with ``text/event-stream`` is a stream. Any other answer is an error, with the
  beginning of its body.
- What reading raises is an `UpstreamError`, with the error as its cause. An ``HTTPException`` or an
  error of this package passes as it is: an iterable of the user's has raised it.
- All runs in the endpoint's task, as the contexts of an HTTP library need it.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from inspect import isasyncgen, isawaitable, iscoroutine
from typing import Any, Protocol, cast

from anyio import CancelScope, move_on_after
from starlette.exceptions import HTTPException

from sse_middleware.errors import SSEError
from sse_middleware.introspection.generators import Stage, stage_of
from sse_middleware.relaying.errors import BAD_GATEWAY, UpstreamError
from sse_middleware.wire.response_headers import content_type

ERROR_BODY_BOUND = 64 * 1024
"""Bytes of an error's body that are kept: more than any API sends."""

ERROR_BODY_TIMEOUT = 5.0
"""Seconds for an error's body. The error itself is known already."""

MOST_BUFFERED = 1000
"""Chunks that an HTTP library may give without waiting, when its body is broken off."""

_OK = 200
_GATEWAY_TIMEOUT = 504
_RETRY_LATER = (429, 503)

_RETRY_AFTER = re.compile(r"[0-9A-Za-z ,:+-]{1,40}")
"""Seconds or a date (RFC 9110, 10.2.3)."""


class UpstreamResponse(Protocol):
    """A response whose body is still to be read, as httpx has it."""

    @property
    def status_code(self) -> int:
        """The status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, found by their names in lower case."""

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, without its content coding."""

    async def aclose(self) -> None:
        """Close the response."""


Upstream = UpstreamResponse | AbstractAsyncContextManager[UpstreamResponse] | AsyncIterable[bytes]
"""What can be relayed."""


class UpstreamSource:
    """The bytes of one upstream.

    Args:
        upstream: a response, a context manager that gives one, or an iterable of bytes.

    Raises:
        TypeError: it is something else.
    """

    __slots__ = ("_chunks", "_entered", "_is_response", "_upstream")

    def __init__(self, upstream: Any) -> None:
        self._upstream = _checked(upstream)
        self._entered = self._is_response = False
        self._chunks: AsyncIterator[bytes] | None = None

    async def read(self) -> bytes | None:
        """Return the next bytes, ``None`` at the end.

        Raises:
            UpstreamError: the answer is no stream, or reading it fails.
        """
        try:
            if self._chunks is None:
                self._chunks = await self._open()
            return _as_bytes(await anext(self._chunks))
        except StopAsyncIteration:
            return None
        except (HTTPException, SSEError, TypeError):
            raise
        except Exception as error:
            raise _broken(error) from error

    async def close(self, within: float) -> None:
        """Close the upstream, also if it was never read, in this many seconds."""
        upstream, self._upstream = self._upstream, None
        chunks, self._chunks = self._chunks, None
        generator = next(filter(isasyncgen, (chunks, upstream)), None)
        try:
            if self._is_response and chunks is not None:
                await _end_reading(chunks)
            if generator is not None:  # suspended inside of scopes of its own, so in none of ours
                await generator.aclose()
        finally:  # on trio a cancelled request cancels each await above
            with move_on_after(within, shield=True):
                if self._entered:
                    self._entered = False
                    await upstream.__aexit__(None, None, None)
                elif upstream is not generator and hasattr(upstream, "aclose"):
                    await upstream.aclose()

    def stage(self) -> Stage:
        """Return what a generator of the user's does. Anything else may always go on."""
        if self._is_response or not isasyncgen(self._chunks):
            return Stage.PRODUCING
        return stage_of(self._chunks)

    async def _open(self) -> AsyncIterator[bytes]:
        response = self._upstream
        if _is_context(response):
            response = await response.__aenter__()
            self._entered = True
        if not hasattr(response, "aiter_bytes"):
            return aiter(cast("AsyncIterable[bytes]", response))
        await _check(response)
        self._is_response = True
        return cast("UpstreamResponse", response).aiter_bytes()


def _checked(upstream: Any) -> Any:
    """Return what can be relayed."""
    kinds = ("aiter_bytes", "__aenter__", "__aiter__")
    if any(hasattr(upstream, kind) for kind in kinds) and not isinstance(upstream, type):
        return upstream
    advice = ""
    if isawaitable(upstream):
        advice = ": it must be awaited first"
        if iscoroutine(upstream):
            upstream.close()  # nobody else has it
    raise TypeError(
        "relay takes a response as httpx streams it, client.stream(...), or an asynchronous "
        f"iterable of bytes, got {upstream!r}{advice}"
    )


def _is_context(upstream: Any) -> bool:
    return hasattr(upstream, "__aenter__") and not hasattr(upstream, "aiter_bytes")


def _as_bytes(chunk: Any) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise TypeError(f"an upstream yields bytes, got {chunk!r}: read it by aiter_bytes()")


async def _check(response: UpstreamResponse) -> None:
    """Refuse an answer that is no event stream."""
    status = response.status_code
    media_type = response.headers.get("content-type")
    found, _ = content_type((media_type or "").encode("latin-1", "replace"))
    if status == _OK and found == "text/event-stream":
        return
    reason = f"the upstream answered {status}"
    if status == _OK:
        reason = f"the upstream answered with the media type {found!r}, not with text/event-stream"
    passed = status in _RETRY_LATER
    raise UpstreamError(
        reason,
        status_code=status if passed else BAD_GATEWAY,
        headers=_retry_after(response) if passed else None,
        upstream_status=status,
        body=await _beginning_of_body(response),
        media_type=media_type,
    )


def _retry_after(response: UpstreamResponse) -> dict[str, str] | None:
    value = response.headers.get("retry-after") or ""
    return {"Retry-After": value} if _RETRY_AFTER.fullmatch(value) else None


async def _beginning_of_body(response: UpstreamResponse) -> bytes:
    """Read the body of an error, as far as it comes."""
    body = b""
    chunks = response.aiter_bytes()
    with move_on_after(ERROR_BODY_TIMEOUT):
        try:
            async for chunk in chunks:
                body += chunk
                if len(body) >= ERROR_BODY_BOUND:
                    await _end_reading(chunks)
                    break
        except Exception:
            return body  # the status says more than this error
    return body[:ERROR_BODY_BOUND]


async def _end_reading(chunks: AsyncIterator[bytes]) -> None:
    """Break the reading of a body off.

    Closing the outermost of httpx's generators would leave the others to the garbage collector. A
    cancellation ends all of them.
    """
    with CancelScope() as scope, suppress(Exception):  # nobody wants the rest of this body
        scope.cancel()
        for _ in range(MOST_BUFFERED):
            if await anext(chunks, None) is None:
                break


def _broken(error: Exception) -> UpstreamError:
    # A timeout of httpx is no TimeoutError, and httpx isn't imported here.
    names = {kind.__name__ for kind in type(error).__mro__}
    timed_out = not names.isdisjoint(("TimeoutException", "TimeoutError"))
    return UpstreamError(
        f"the upstream broke: {type(error).__name__}: {error}",
        status_code=_GATEWAY_TIMEOUT if timed_out else BAD_GATEWAY,
    )

"""What an answer says that can't be followed: its status, its type, its coding, its body."""

from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType

import anyio
import httpx

from sse_middleware.cli.tail.follow import OK
from sse_middleware.cli.tail.retry_after import seconds_of

SHOWN_BODY = 300
"""Bytes of a refusal's body that are shown."""

BODY_PATIENCE = 2.0
"""Seconds that those may take."""

_HINTS = MappingProxyType(
    {
        401: "Send a name and a password with -u, or a token with -H 'Authorization: Bearer ...'",
        403: "Is this request allowed to you? -u, -H and -b say who you are",
        404: "Is the path of the URL right?",
        405: "Another method may work: -X says which",
        422: "Send what the server expects with --data-json or -d",
    }
)

_CODECS = MappingProxyType({"br": "brotli", "zstd": "zstandard"})
"""Packages that httpx needs for a coding."""


def retry_after_of(response: httpx.Response) -> float:
    """Return the seconds that a response asks to wait, 0 if it asks for none."""
    date = response.headers.get("date", "")
    return seconds_of(response.headers.get("retry-after", ""), date, datetime.now(UTC))


async def refusal_of(response: httpx.Response) -> str:
    """Return what an answer says that is no stream, with the beginning of its body."""
    status = response.status_code
    text = f"the server answers {status} {response.reason_phrase}".rstrip()
    if status == OK:
        given = response.headers.get("content-type") or "no type"
        text = f"the answer is no event stream, but {given}"
    body = bytearray()
    with anyio.move_on_after(BODY_PATIENCE), suppress(httpx.HTTPError):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= SHOWN_BODY:
                break
    if begin := body[:SHOWN_BODY].decode("utf-8", "replace").strip():
        text += f": {begin}"
    hint = _HINTS.get(status, "")
    if allowed := response.headers.get("allow"):
        hint = f"It allows {allowed}: -X says which method is sent"
    return f"{text}. {hint}" if hint else text


def coding_problem(response: httpx.Response, known: str) -> str:
    """Return why a compressed stream can't be read, or the empty string if it can.

    Args:
        response: the response.
        known: the codings that httpx knows here, as in an ``Accept-Encoding``.
    """
    codings = response.headers.get("content-encoding", "").lower()
    for coding in filter(None, map(str.strip, codings.split(","))):
        if coding not in {"identity", *map(str.strip, known.split(","))}:
            package = f": pip install {_CODECS[coding]}" if coding in _CODECS else ""
            return f"the stream is compressed as {coding!r}, which can't be read{package}"
    return ""

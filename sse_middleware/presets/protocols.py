"""What the clients of well-known protocols expect of a stream, each as one `Preset`.

Rules of this file:
- A preset is data, and functions without state. What a protocol says of one request, a function
  takes and makes a preset of it.
- An error event never tells what the exception says: that is the server's business. Who wants to
  tell it sets `error_event`.
- A stream that is ended early is no success: clients that don't come back for the rest are told by
  an error event.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import uniform
from types import MappingProxyType
from typing import Any

from sse_middleware.events import ServerSentEvent
from sse_middleware.presets.datastar import html_of, patch_elements, patch_signals, to_patch
from sse_middleware.presets.preset import Preset
from sse_middleware.records import CloseReason

__all__ = [
    "AI_SDK",
    "ANTHROPIC",
    "DATASTAR",
    "HTMX",
    "MCP",
    "OPENAI",
    "Preset",
    "mcp",
    "named_by_type",
    "patch_elements",
    "patch_signals",
]


_FAILED = "The server failed to complete the response."


_STOPPING = "The server is stopping. Try again."


_OVERDUE = "The response took too long."


_INTERNAL_ERROR = -32603
"""JSON-RPC 2.0, section 5.1."""


def named_by_type(item: Any) -> ServerSentEvent:
    """Name an event by the ``type`` of its item, which stays in the data.

    Raises:
        TypeError: the item has no ``type`` that is a string.
    """
    name = item.get("type") if isinstance(item, Mapping) else getattr(item, "type", None)
    if not isinstance(name, str):
        raise TypeError(f"its type must be a string, which names the event, got {name!r}")
    return ServerSentEvent(event=name, data=item)


def _html_or_json(item: Any) -> ServerSentEvent:
    html = html_of(item)
    return ServerSentEvent(data=item) if html is None else ServerSentEvent(raw_data=html)


def _openai_error(message: str) -> ServerSentEvent:
    error = {"message": message, "type": "server_error", "param": None, "code": None}
    return ServerSentEvent(data={"error": error})


def _anthropic_error(type_: str, message: str) -> ServerSentEvent:
    return named_by_type({"type": "error", "error": {"type": type_, "message": message}})


def _ai_sdk_error(message: str) -> ServerSentEvent:
    return ServerSentEvent(data={"type": "error", "errorText": message})


def _ended(reason: CloseReason) -> str:
    return _STOPPING if reason is CloseReason.DRAINED else _OVERDUE


def _overloaded(reason: CloseReason) -> ServerSentEvent:
    type_ = "overloaded_error" if reason is CloseReason.DRAINED else "api_error"
    return _anthropic_error(type_, _ended(reason))


def _come_back(_reason: CloseReason) -> ServerSentEvent:
    return ServerSentEvent(retry=round(1000 * uniform(1, 2)))  # noqa: S311 - nothing to guess


OPENAI = Preset(
    last=ServerSentEvent(raw_data="[DONE]"),
    error_event=lambda _: _openai_error(_FAILED),
    farewell=lambda reason: _openai_error(_ended(reason)),
)
"""Chat completions as OpenAI streams them: yield the chunks. Don't send ids: its client then takes
each keep-alive for an event, and fails."""


ANTHROPIC = Preset(
    to_event=named_by_type,
    ping=ServerSentEvent(event="ping", raw_data='{"type": "ping"}'),
    error_event=lambda _: _anthropic_error("api_error", _FAILED),
    farewell=_overloaded,
)
"""Messages as Anthropic streams them: yield the events, each with its ``type``."""


AI_SDK = Preset(
    last=ServerSentEvent(raw_data="[DONE]"),
    error_event=lambda _: _ai_sdk_error(_FAILED),
    farewell=lambda reason: _ai_sdk_error(_ended(reason)),
    headers=MappingProxyType({"x-vercel-ai-ui-message-stream": "v1"}),
)
"""The UI message stream of the Vercel AI SDK, from version 5 on: yield the parts."""


MCP = Preset(farewell=_come_back)
"""The streams of MCP's Streamable HTTP: yield JSON-RPC messages. `mcp` says more of a request."""


HTMX = Preset(
    to_event=_html_or_json,
    last=ServerSentEvent(event="close", raw_data="close"),
)
"""Fragments for htmx: a string, or what has ``__html__``, is HTML and sent as it is. The page says
``sse-close="close"``, or its ``EventSource`` asks again and again for a stream that has ended."""


DATASTAR = Preset(to_event=to_patch)
"""Patches for Datastar: a string, or what has ``__html__``, is patched into the page's elements,
everything else into its signals. `patch_elements` and `patch_signals` say more."""


def mcp(request_id: str | int, *, cursor: str | None = None, retry: int | None = None) -> Preset:
    """Make the preset of the answer to one request of MCP.

    Args:
        request_id: the ``id`` of the JSON-RPC request: if the stream fails, it is answered by an
            internal error (-32603).
        cursor: the id of the event that primes the client to come back: ``Last-Event-ID`` of its
            next request if this stream breaks before it had another id. Only for who can resume.
        retry: milliseconds after which it comes back.
    """
    error = {"code": _INTERNAL_ERROR, "message": _FAILED}
    answer = {"jsonrpc": "2.0", "id": request_id, "error": error}
    first = None
    if cursor is not None:
        first = ServerSentEvent(id=cursor, raw_data="", retry=retry)
    return replace(MCP, first=first, error_event=lambda _: ServerSentEvent(data=answer))

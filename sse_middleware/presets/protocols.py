"""The presets for well-known protocols, each one a `Preset`.

Rules of this file:
- A preset is data and functions without state. Where a protocol needs something of the request, a
  function takes it and returns a preset.
- An error event never shows the message of the exception, which is for the server alone. Users who
  want to show it set `error_event`.
- A stream that is ended early is not a success. Clients that don't reconnect to get what is missing
  receive an error event.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import uniform
from types import MappingProxyType
from typing import Any

from sse_middleware.events import ServerSentEvent
from sse_middleware.presets.datastar import html_of, to_patch
from sse_middleware.presets.preset import Preset
from sse_middleware.records import CloseReason

_FAILED = "The server failed to complete the response."

_STOPPING = "The server is stopping. Try again."

_TIMED_OUT = "The response took too long."

_INTERNAL_ERROR = -32603
"""The error code of JSON-RPC 2.0, section 5.1."""


def named_by_type(item: Any) -> ServerSentEvent:
    """Return an event with the item's ``type`` as its name; the ``type`` stays in the data.

    Raises:
        TypeError: the item's ``type`` is not a string, or is missing.
    """
    name = item.get("type") if isinstance(item, Mapping) else getattr(item, "type", None)
    if not isinstance(name, str):
        raise TypeError(f"its type must be a string that names the event, got {name!r}")
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


def _early_end_message(reason: CloseReason) -> str:
    return _STOPPING if reason is CloseReason.DRAINED else _TIMED_OUT


def _anthropic_farewell(reason: CloseReason) -> ServerSentEvent:
    type_ = "overloaded_error" if reason is CloseReason.DRAINED else "api_error"
    return _anthropic_error(type_, _early_end_message(reason))


def _mcp_farewell(_reason: CloseReason) -> ServerSentEvent:
    return ServerSentEvent(retry=round(1000 * uniform(1, 2)))  # noqa: S311 - not a secret


OPENAI = Preset(
    last=ServerSentEvent(raw_data="[DONE]"),
    ping_blank_line=False,
    error_event=lambda _: _openai_error(_FAILED),
    farewell=lambda reason: _openai_error(_early_end_message(reason)),
)
"""Chat completions as OpenAI streams them: yield the chunks."""

ANTHROPIC = Preset(
    to_event=named_by_type,
    ping=ServerSentEvent(event="ping", raw_data='{"type": "ping"}'),
    error_event=lambda _: _anthropic_error("api_error", _FAILED),
    farewell=_anthropic_farewell,
)
"""Messages as Anthropic streams them: yield the events, each with its ``type``."""

AI_SDK = Preset(
    last=ServerSentEvent(raw_data="[DONE]"),
    error_event=lambda _: _ai_sdk_error(_FAILED),
    farewell=lambda reason: _ai_sdk_error(_early_end_message(reason)),
    headers=MappingProxyType({"x-vercel-ai-ui-message-stream": "v1"}),
)
"""The UI message stream of the Vercel AI SDK, from version 5 on: yield the parts."""

MCP = Preset(farewell=_mcp_farewell)
"""The streams of MCP's Streamable HTTP: yield JSON-RPC messages. `mcp` makes a preset for one
request."""

HTMX = Preset(
    to_event=_html_or_json,
    last=ServerSentEvent(event="close", raw_data="close"),
)
"""Fragments for htmx: a string, or an object with ``__html__``, is HTML and is sent unchanged. The
page needs ``sse-close="close"``. Without it the ``EventSource`` reconnects after the stream's end,
again and again."""

DATASTAR = Preset(to_event=to_patch)
"""Patches for Datastar: a string, or an object with ``__html__``, patches the page's elements,
everything else patches its signals. `patch_elements` and `patch_signals` take options."""


def mcp(request_id: str | int, *, cursor: str | None = None, retry: int | None = None) -> Preset:
    """Make the preset for the answer to one MCP request.

    Args:
        request_id: the ``id`` of the JSON-RPC request. If the stream fails, its answer is an
            internal error (-32603).
        cursor: the id of a first event without data. If the stream breaks before another id, the
            client reconnects with this ``Last-Event-ID``. Use it only if the endpoint can resume.
        retry: milliseconds after which the client reconnects.
    """
    error = {"code": _INTERNAL_ERROR, "message": _FAILED}
    answer = {"jsonrpc": "2.0", "id": request_id, "error": error}
    first = None
    if cursor is not None:
        first = ServerSentEvent(id=cursor, raw_data="", retry=retry)
    return replace(MCP, first=first, error_event=lambda _: ServerSentEvent(data=answer))

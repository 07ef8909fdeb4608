"""What the page can do: close a stream, stop a run, drain the application."""

import json
import os
import platform
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from sse_middleware.errors import HubError, TopicError
from sse_middleware.guarded import bounded
from sse_middleware.hub.hub import Hub
from sse_middleware.inspector.access import ACTIONS, Action
from sse_middleware.registry.registry import Registry

MAX_SIZE = 4096
"""Bytes of a request."""


async def read_action(request: Request) -> tuple[Action, str, str | None]:
    """Return what a request wants to do, with what, and in which process if it says so.

    Raises:
        HTTPException: the request is no action.
    """
    try:
        body = await Request(request.scope, bounded(request.receive, MAX_SIZE)).body()
        wanted: Any = json.loads(body)
        action, target = wanted["action"], wanted.get("target", "")
        process = wanted.get("process")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HTTPException(400, "the body must be an object of JSON with an action") from error
    except ClientDisconnect as error:  # nobody reads the answer, but middlewares expect one
        raise HTTPException(400, "the body was cut off") from error
    if action not in ACTIONS or not isinstance(target, str):
        raise HTTPException(400, f"the action must be one of {', '.join(ACTIONS)}")
    return action, target, process


def check_process(request: Request, process: str | None, registry: Registry) -> None:
    """Raise `HTTPException` if the page shows another process than the request has reached.

    Several workers share a port, so chance may decide which of them gets a connection. Without
    this, a page would drain another process than the one that it shows.
    """
    if process is None or process == name_of_process(registry):
        return
    reason = "this request has reached another process than the page shows: try again"
    # Another connection may reach the right one. HTTP/2 has no such header.
    another = request.scope.get("http_version", "1.1") in ("1.0", "1.1")
    raise HTTPException(409, reason, {"connection": "close"} if another else None)


def name_of_process(registry: Registry) -> str:
    """Return what tells a process, and the streams that it counts, from all others."""
    return f"{platform.node()} {os.getpid()} {registry.began}"


def close_stream(registry: Registry, id_: str) -> bool:
    """End a stream as a drain does. Returns whether it was open."""
    for slot in registry.slots():
        stream = slot.described()
        if slot.stream is not None and stream is not None and stream.id == id_:
            slot.drain(0)
            return True
    return False


async def stop_run(hub: Hub | None, key: str) -> bool:
    """Stop a run, wherever it is produced. Returns whether it ran."""
    try:
        return hub is not None and await hub.stop(key)
    except TopicError:  # no run has such a key
        return False
    except HubError as error:
        raise HTTPException(503, "the hub or its store is away: try again") from error

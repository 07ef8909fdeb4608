"""The ASGI scope of one call of a polled endpoint, and what requests must share to share a poll.

Rules of this file:
- The scope of a call is the request's scope as it reached `SSEMiddleware`. So it has what the
  middlewares outside have put there (``user``, ``auth``, ``session``, ``app``, a mount's
  ``path_params``), and nothing of an earlier call: no ``route``, no ``endpoint``, no
  ``request.state``.
- Dicts, lists and sets in it are copied for each call, at any depth. A subclass of dict is copied
  at its first level. Any other object is the same for all calls.
- ``state`` is copied at its first level, as a server does it for each request: what the lifespan
  has put there belongs to the whole application. A call gets the ``state`` with which the request
  reached `SSEMiddleware`: the lifespan's, and what the middlewares outside have added.
- What a call changes in such a copy stays in it. So a session whose middleware is outside is only
  read.
- The request has no conditions and no range. It accepts every media type, but no content coding.
  The extensions that change how a body is sent are left out.
"""

from collections.abc import Hashable
from copy import copy
from typing import Any

from starlette.types import Scope

from sse_middleware.request_context import SCOPE_KEY

Headers = list[tuple[bytes, bytes]]

# Request headers of the subscriber that would change what the endpoint answers to a poll.
_NOT_FORWARDED = (
    b"accept",
    b"accept-encoding",
    b"if-match",
    b"if-none-match",
    b"if-modified-since",
    b"if-unmodified-since",
    b"if-range",
    b"range",
    b"last-event-id",
)

_OF_THE_BODY = "http.response."
"""The prefix of extensions that change a response's messages."""


def scope_of_calls(scope: Scope) -> Scope:
    """Return what all calls of a subscriber have in common, from the scope of its request.

    To be called before anything inside of the middleware has seen the scope.
    """
    # Without the context, because its connection belongs to the stream and not to a call.
    common = {key: scope[key] for key in scope if key != SCOPE_KEY}
    common["headers"] = [*_forwarded(scope), (b"accept", b"*/*")]
    extensions = scope.get("extensions") or {}
    common["extensions"] = {
        name: extensions[name] for name in extensions if not name.startswith(_OF_THE_BODY)
    }
    return _copied_scope(common)


def scope_of_one_call(common: Scope, etag: str) -> Scope:
    """Return the scope of one call.

    Args:
        common: what `scope_of_calls` has returned. It stays unchanged.
        etag: the ``ETag`` of the answer that is known already, or an empty string.
    """
    scope = _copied_scope(common)
    if etag:
        scope["headers"].append((b"if-none-match", etag.encode("latin-1")))
    return scope


def request_identity(scope: Scope) -> Hashable:
    """Return what must be equal in the requests of subscribers that share a poll."""
    hosts = tuple(bytes(value) for name, value in scope.get("headers", ()) if name == b"host")
    return (
        scope.get("scheme"),
        hosts or repr(scope.get("server")),
        scope.get("root_path", ""),
        scope["path"],
        scope.get("raw_path"),
        scope.get("query_string", b""),
    )


def _forwarded(scope: Scope) -> Headers:
    headers = ((bytes(name), bytes(value)) for name, value in scope.get("headers", ()))
    return [header for header in headers if header[0] not in _NOT_FORWARDED]


def _copied_scope(scope: Scope) -> Scope:
    state = scope.get("state")
    copied: Scope = _copied({key: scope[key] for key in scope if key != "state"}, {})
    if state is not None:
        copied["state"] = copy(state)
    return copied


def _copied(value: Any, copies: dict[int, Any]) -> Any:
    """Return a copy of a plain container and of those in it, or any other object itself.

    Args:
        value: what is copied.
        copies: the copies by the ids of their originals, since a container may hold itself.
    """
    if id(value) in copies:
        return copies[id(value)]
    kind = type(value)
    if kind is dict:
        made: dict[Any, Any] = {}
        copies[id(value)] = made
        made.update((key, _copied(value[key], copies)) for key in value)
        return made
    if kind is list:
        items: list[Any] = []
        copies[id(value)] = items
        items.extend(_copied(item, copies) for item in value)
        return items
    return copy(value) if kind is set or isinstance(value, dict) else value

"""What the applications have in common that are mounted in another one, and guarded by it.

Rules of this file:
- The application decides about each request. A yes is only ``True``.
- A refusal is an answer. It says what is wrong, and shows nothing of the request.
- A body has a bound. What is too large isn't read to its end.
"""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope

from sse_middleware.errors import ConfigurationError, printable

Authorize = Callable[[Request], bool | Awaitable[bool]]
"""Returns whether a request is allowed, or raises Starlette's ``HTTPException``."""


async def is_allowed(name: str, decide: Callable[..., Any], *arguments: object) -> bool:
    """Ask the application, whose function may be async.

    Args:
        name: of the function, for the error.
        decide: the function.
        arguments: what it gets.

    Raises:
        ConfigurationError: it returned neither ``True`` nor ``False``.
        Exception: what it raised.
    """
    answer = decide(*arguments)
    allowed: object = await answer if isawaitable(answer) else answer
    if not isinstance(allowed, bool):
        raise ConfigurationError(
            f"{name} must return True or False, and anything else allows nothing: "
            f"it returned {printable(repr(allowed))}"
        )
    return allowed


def path_below_mount(scope: Scope) -> str:
    """Return the path below the mounted application, without its first slash.

    Behind a proxy that cuts a prefix off, the path doesn't begin with all of the root path.
    """
    path, root = scope["path"], scope.get("root_path", "")
    below_proxy = root.removeprefix(scope.get("app_root_path", ""))
    roots = (root, below_proxy, "")
    found = (path[len(one) + 1 :] for one in roots if f"{path}/".startswith(f"{one}/"))
    return next(found, "")


def bounded(receive: Receive, max_size: int) -> Receive:
    """Return a `receive` that raises `HTTPException` once a body is too large."""
    size = 0

    async def receive_bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > max_size:
            raise too_large(max_size)
        return message

    return receive_bounded


def too_large(max_size: int) -> HTTPException:
    """Return the refusal of a body."""
    return HTTPException(413, f"the body is larger than {max_size} bytes")


def answer_of(refused: HTTPException) -> Response:
    """Return the answer that an exception stands for. FastAPI's may have any JSON as its detail."""
    detail: object = refused.detail
    if isinstance(detail, str):
        return PlainTextResponse(detail, refused.status_code, refused.headers)
    return JSONResponse({"detail": detail}, refused.status_code, refused.headers)

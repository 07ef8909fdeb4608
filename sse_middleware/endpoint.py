"""`event_stream`: tags a function that yields as an endpoint that streams events."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from types import FunctionType
from typing import Any, Unpack, overload

from anyio.to_thread import run_sync
from starlette.responses import Response

from sse_middleware.item_type import ItemType, underlying
from sse_middleware.response import EventSourceResponse
from sse_middleware.settings import DEFAULT, StreamOptions, StreamSettings

Endpoint = Callable[..., Awaitable[Response]]

ITEM_TYPE = "__sse_item_type__"
"""The attribute of such an endpoint that returns its `ItemType`, or ``None``, when called."""


@overload
def event_stream(function: Callable[..., Any], /) -> Endpoint: ...
@overload
def event_stream(
    *, item_type: Any = ..., **settings: Unpack[StreamOptions]
) -> Callable[[Callable[..., Any]], Endpoint]: ...
def event_stream(
    function: Callable[..., Any] | None = None,
    /,
    *,
    item_type: Any = DEFAULT,
    **settings: Unpack[StreamOptions],
) -> Endpoint | Callable[[Callable[..., Any]], Endpoint]:
    """Make an endpoint that answers with the events that `function` yields.

    ``@event_stream``, ``@event_stream(ping_interval=5)`` or ``Route("/", event_stream(function))``.
    The endpoint has the signature of the function: FastAPI finds its parameters and dependencies,
    Starlette passes it the request, and it may be a method. The function is an asynchronous or a
    plain generator function, or returns an iterable, awaited or not; a `Response` that it returns
    is sent as it is. FastAPI treats the endpoint as one that returns a response: a status and
    headers that are declared on the route or set on an injected ``Response`` are not applied to it
    (they are with ``response_class=EventSourceResponse``).

    Args:
        function: what yields the items.
        item_type: validate and filter data as this type. By default what the function's return
            annotation names (``AsyncIterator[Item]``); ``Any`` for neither.
        settings: the fields of `StreamSettings`, over those of the middleware.

    Raises:
        ConfigurationError: an unknown setting, or a value that can't work.
        TypeError: `function` can't be called.
    """
    if function is None:
        return lambda function: _endpoint(function, item_type, settings)
    return _endpoint(function, item_type, settings)


def _endpoint(function: Callable[..., Any], item_type: Any, settings: StreamOptions) -> Endpoint:
    if not callable(function):
        raise TypeError(f"event_stream takes a function that yields, got {function!r}")
    StreamSettings.of(settings)
    call = _caller(function)
    resolved = item_type if item_type is DEFAULT else ItemType.declared(item_type)

    def resolve() -> ItemType | None:
        nonlocal resolved
        if resolved is DEFAULT:  # not before: the annotation may name what is defined later
            resolved = ItemType.of_endpoint(function)
        return resolved

    async def respond(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Response:
        content = await call(*args, **kwargs)
        if isinstance(content, Response):
            return content
        return EventSourceResponse(content, item_type=resolve(), **settings)

    # Its code will run with the globals of the user's module: it may name nothing but its closure.
    async def endpoint(*args: Any, **kwargs: Any) -> Response:
        return await respond(args, kwargs)

    dressed = _dressed(endpoint, function)
    setattr(dressed, ITEM_TYPE, resolve)
    return dressed


def _caller(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return how to get at what `function` yields or returns, without blocking the loop."""
    code = function if inspect.isroutine(function) else underlying(function)

    async def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    async def call_in_thread(*args: Any, **kwargs: Any) -> Any:
        content = await run_sync(partial(function, *args, **kwargs))
        return await content if inspect.isawaitable(content) else content

    if inspect.isasyncgenfunction(code) or inspect.isgeneratorfunction(code):
        return call
    return function if inspect.iscoroutinefunction(code) else call_in_thread


def _dressed(endpoint: Callable[..., Any], function: Callable[..., Any]) -> Endpoint:
    """Let `endpoint` look like `function` to a framework, but for the generator.

    No ``__wrapped__``: FastAPI would follow it and see a function that yields. The globals are the
    function's, since FastAPI evaluates annotations that are strings there.
    """
    code = underlying(function)
    dressed = FunctionType(
        endpoint.__code__,
        getattr(code, "__globals__", {}),
        code.__name__,
        None,
        endpoint.__closure__,
    )
    dressed.__qualname__ = code.__qualname__
    dressed.__module__ = code.__module__
    dressed.__doc__ = function.__doc__
    signature = inspect.signature(function).replace(return_annotation=EventSourceResponse)
    dressed.__signature__ = signature  # type: ignore[attr-defined] # what inspect looks for
    return dressed

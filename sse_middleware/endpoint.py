"""`event_stream`: tags a function that yields as an endpoint that streams events.

To FastAPI the endpoint returns a response. So FastAPI applies neither the route's status nor what
dependencies set on their shared response. Both are done here: the endpoint has one more parameter
than its function, through which FastAPI passes that response. Litestar would read that parameter
from the request, so an endpoint for Litestar doesn't have it.
"""

import inspect
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
)
from functools import partial
from types import FunctionType
from typing import Annotated, Any, Unpack, get_args, get_origin, overload
from weakref import ref

from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_middleware.content import WHOLE, advice_about, short
from sse_middleware.introspection.litestar import is_for_litestar
from sse_middleware.items.annotations import evaluated
from sse_middleware.items.item_type import ItemType, underlying
from sse_middleware.response import EventSourceResponse, StreamTag, give_defaults
from sse_middleware.running_request import lay_over_request
from sse_middleware.settings import Overrides, StreamOptions
from sse_middleware.validation import UNSET, check

Endpoint = Callable[..., Awaitable[Response]]

ITEM_TYPE = "__sse_item_type__"
"""The attribute of an endpoint with a function that returns its `ItemType`, or ``None``."""

SETTINGS = "__sse_settings__"
"""The attribute of an endpoint with the `Overrides` that its tag was given."""

FUNCTION = "__sse_function__"
"""The attribute of an endpoint with the function that was tagged."""

TAGGED = "__sse_tagged__"
"""The attribute of a tagged function with a weak reference to the function itself.

It lets `misplaced_tags` find a route whose endpoint is the function instead of its tagged endpoint.
"""

_SHARED = "_shared_response"
"""The parameter for the response that FastAPI's dependencies share, if the function has none."""

_OF_THE_BODY = (b"content-length", b"content-type")


@overload
def event_stream(function: Callable[..., Any], /) -> Endpoint: ...
@overload
def event_stream(
    *,
    item_type: Any = ...,
    headers: Mapping[str, str] | None = ...,
    status_code: int | None = ...,
    **settings: Unpack[StreamOptions],
) -> Callable[[Callable[..., Any]], Endpoint]: ...
def event_stream(
    function: Callable[..., Any] | None = None,
    /,
    *,
    item_type: Any = UNSET,
    headers: Mapping[str, str] | None = None,
    status_code: int | None = None,
    **settings: Unpack[StreamOptions],
) -> Endpoint | Callable[[Callable[..., Any]], Endpoint]:
    """Make an endpoint that answers with the events that `function` yields.

    ``@event_stream``, ``@event_stream(ping_interval=5)`` or ``Route("/", event_stream(function))``.
    The endpoint has the parameters of the function: FastAPI finds them and the dependencies,
    Starlette passes it the request, and it may be a method. The function is an asynchronous or a
    plain generator function, or returns an iterable, awaited or not. A `Response` that it returns
    is sent as it is. If that is an `EventSourceResponse`, it has the settings and the headers of
    the tag where it has none of its own.

    In FastAPI the stream takes the status and the headers that were set on an injected ``Response``
    before the call of the function returns. Unless `status_code` is given, the route's status
    applies, too.

    Args:
        function: what yields the items.
        item_type: data is validated and filtered as this type. By default it is the type that the
            function's return annotation names (``AsyncIterator[Item]``). ``Any`` turns both off.
        headers: as `EventSourceResponse` takes them.
        status_code: of the response. 200 by default.
        settings: the settings of `StreamOptions`. They override those of the middleware.

    Raises:
        ConfigurationError: a setting is unknown, or its value can't work.
        TypeError: `function` is not a function that can be tagged. The endpoint raises it, too, if
            the function returns something that can't be streamed.
    """
    tag = _Tag(item_type, headers, status_code, settings)
    return tag.endpoint if function is None else tag.endpoint(function)


class _Tag:
    """The arguments of `event_stream` besides the function. They are checked once."""

    def __init__(
        self, item_type: Any, headers: Any, status_code: Any, settings: StreamOptions
    ) -> None:
        named = isinstance(headers, Mapping) and all(
            isinstance(part, str) for header in headers.items() for part in header
        )
        allowed = "a mapping from names to values, or None"
        check("headers", headers, headers is None or named, allowed)
        known = type(status_code) is int and status_code in range(200, 600)
        allowed = "the status code of a response, or None"
        check("status_code", status_code, status_code is None or known, allowed)
        self.headers = None if headers is None else dict(headers)
        self.status_code = status_code
        self.overrides = Overrides(settings)
        self.item_type = item_type if item_type is UNSET else ItemType.declared(item_type)
        self.reported: set[str] = set()

    def endpoint(self, function: Callable[..., Any]) -> Endpoint:
        """Make the endpoint of a function."""
        _check_function(function)
        signature = inspect.signature(function)
        tagged = _TaggedFunction(self, function, _own_response(function, signature))
        endpoint = tagged.endpoint()
        if tagged.own_response is None and not is_for_litestar(tagged.code):
            signature = _with_shared(signature)
        dressed = _dressed(endpoint, function, signature)
        setattr(dressed, ITEM_TYPE, tagged.resolved_item_type)
        setattr(dressed, FUNCTION, function)
        setattr(dressed, SETTINGS, self.overrides)
        if isinstance(function, FunctionType):
            setattr(function, TAGGED, ref(function))
        return dressed


class _TaggedFunction:
    """A function and its tag. Makes the endpoint and its responses.

    Args:
        own_response: the function's own parameter for FastAPI's shared response, if it has one.
    """

    def __init__(self, tag: _Tag, function: Callable[..., Any], own_response: str | None) -> None:
        self.code: Any = function if inspect.isroutine(function) else underlying(function)
        """The function itself, or what runs if it is a callable object or a partial."""
        self.own_response = own_response
        code = self.code
        self._yields = inspect.isasyncgenfunction(code) or inspect.isgeneratorfunction(code)
        self._call = function if inspect.iscoroutinefunction(code) else _in_thread(function)
        self._function = function
        self._status_code = tag.status_code
        named = underlying(function)
        name = f"{named.__module__}.{named.__qualname__}"
        self._tag = StreamTag(name, tag.overrides, tag.headers, tag.reported)
        self._item_type = tag.item_type

    def resolved_item_type(self) -> ItemType | None:
        """Return the item type. It is read late, since it may be defined below the function."""
        if self._item_type is UNSET:
            self._item_type = ItemType.of_endpoint(self._function)
        return self._item_type

    def endpoint(self) -> Callable[..., Any]:
        """Return a function that calls the function, and makes a response from what it returns."""
        # Both run with the globals of the user's module, so they may only use names of closures.
        stream, respond = self._stream, self._respond
        if self._yields:

            async def endpoint(*args: Any, **kwargs: Any) -> Response:
                return stream(args, kwargs)
        else:

            async def endpoint(*args: Any, **kwargs: Any) -> Response:
                return await respond(args, kwargs)

        return endpoint

    def _stream(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Response:
        """Return the response of a function that yields."""
        shared = self._take_shared(kwargs)
        return self._response(self._function(*args, **kwargs), shared)

    async def _respond(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Response:
        """Call any other function, and make a response from what it returns."""
        shared = self._take_shared(kwargs)
        lay_over_request(self._tag.overrides)
        content = await self._call(*args, **kwargs)
        if isinstance(content, EventSourceResponse):
            give_defaults(content, self._tag)
        if isinstance(content, Response):
            return content
        _check_returned(content, self._tag.name)
        return self._response(content, shared)

    def _take_shared(self, kwargs: dict[str, Any]) -> Any:
        own = self.own_response  # which the function gets too
        return kwargs.pop(_SHARED, None) if own is None else kwargs.get(own)

    def _response(self, content: Any, shared: Any) -> EventSourceResponse:
        """Return the response for what the function has returned."""
        status, headers, item_type = self._status_code, self._tag.headers, self._item_type
        if item_type is UNSET:
            item_type = self.resolved_item_type()
        if shared is None:
            response = EventSourceResponse(content, status or 200, headers, item_type=item_type)
        else:
            response = _FastAPIResponse(shared, content, status, headers, item_type=item_type)
        response.tag = self._tag
        return response


class _FastAPIResponse(EventSourceResponse):
    """The response of an endpoint, with what FastAPI would apply to its own.

    Args:
        shared: the response on which dependencies have set a status or headers.
        status_code: as given to the tag.
    """

    def __init__(
        self,
        shared: Response,
        content: Any,
        status_code: int | None,
        headers: Mapping[str, str] | None,
        *,
        item_type: ItemType | None,
    ) -> None:
        super().__init__(content, status_code or 200, headers, item_type=item_type)
        self._status: int | None = shared.status_code or status_code
        set_headers = shared.raw_headers
        self.raw_headers += [header for header in set_headers if header[0] not in _OF_THE_BODY]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        declared = getattr(scope.get("route"), "status_code", None)
        self.status_code = self._status or declared or self.status_code
        return super().__call__(scope, receive, send)


def _check_function(function: Any) -> None:
    """Refuse what can't be tagged, and say what can."""
    advice = None
    if isinstance(function, Coroutine | Generator | AsyncGenerator):
        name = getattr(function, "__name__", "the function")
        advice = f"write event_stream({name}), without calling it"
    elif not callable(function):
        advice = "EventSourceResponse(items) streams what can be iterated already"
    elif isinstance(function, type):
        iterable = hasattr(function, "__aiter__") or hasattr(function, "__iter__")
        if not iterable or issubclass(function, WHOLE):
            advice = "tag the methods that yield, and not the class"
    elif type(function).__module__.partition(".")[0] in _FRAMEWORKS:
        advice = "write @event_stream below the route's decorator, right above the function"
    elif hasattr(underlying(function), ITEM_TYPE):
        advice = "it is tagged already, and a second tag would hide the first one's settings"
    if advice is not None:
        raise TypeError(f"event_stream takes a function that yields, got {function!r}: {advice}")


_FRAMEWORKS = ("fastapi", "flask", "litestar", "quart", "starlette")
"""Packages whose routes and handlers can be called, but not tagged."""


def _check_returned(content: Any, name: str) -> None:
    """Refuse what a function has returned if it doesn't yield items."""
    if (advice := advice_about(content)) is None:
        return
    if inspect.iscoroutine(content):
        content.close()  # nobody else has it
    raise TypeError(
        f"{name} must yield its items, or return what yields them. It returned {short(content)}: "
        f"{advice}"
    )


def _own_response(function: Callable[..., Any], signature: inspect.Signature) -> str | None:
    """Return the function's parameter, if it has one, that FastAPI fills with a response."""
    code = underlying(function)
    for name, parameter in signature.parameters.items():
        kind = _known(parameter.annotation, code)
        if isinstance(kind, type) and issubclass(kind, Response):
            return name
    return None


def _known(annotation: Any, code: Any) -> Any:
    """Return how FastAPI reads a parameter's annotation, ``None`` if it can't be evaluated."""
    try:
        kind = evaluated(annotation, code)
    except Exception:
        return None
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _with_shared(signature: inspect.Signature) -> inspect.Signature:
    """Add a parameter that only FastAPI fills, because of its annotation."""
    shared = inspect.Parameter(
        _SHARED, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Response
    )
    parameters = sorted([*signature.parameters.values(), shared], key=lambda one: one.kind)
    return signature.replace(parameters=parameters)


def _in_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return a function that calls one which may block, and awaits its result if it must."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        content = await run_sync(partial(function, *args, **kwargs))
        return await content if inspect.isawaitable(content) else content

    return call


def _dressed(
    endpoint: Callable[..., Any], function: Callable[..., Any], signature: inspect.Signature
) -> Endpoint:
    """Make `endpoint` look like `function` to a framework, except that it doesn't yield.

    It has no ``__wrapped__``: FastAPI would follow it and see a function that yields. Its globals
    are the function's, because FastAPI evaluates annotations that are strings there.
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
    signature = signature.replace(return_annotation=EventSourceResponse)
    declared = {one.name: one.annotation for one in signature.parameters.values()}
    dressed.__annotations__ = {
        name: annotation
        for name, annotation in {**declared, "return": EventSourceResponse}.items()
        if annotation is not inspect.Parameter.empty
    }
    dressed.__signature__ = signature  # type: ignore[attr-defined] # what inspect looks for
    return dressed

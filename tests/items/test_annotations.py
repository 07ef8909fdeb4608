"""The item type that an endpoint's return annotation names, in any spelling."""

import collections.abc
import contextlib
import functools
import sys
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Annotated, Any, Optional, TypeVar, Union

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field
from starlette.responses import Response
from typing_extensions import TypeAliasType

from sse_middleware import SSEMiddleware, event_stream
from sse_middleware.errors import ConfigurationError, EncodingError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.items.item_type import ItemType
from sse_middleware.testing import EventClient
from tests.items.encoding import (
    FILTERED,
    SECRETIVE,
    WHOLE,
    Item,
    Measured,
    Named,
    Unknown,
    data,
    encoder_with,
)


def endpoint_returning(annotation: Any) -> Callable[..., Any]:
    def endpoint() -> Any: ...

    endpoint.__annotations__["return"] = annotation
    return endpoint


def sent_by(endpoint: Any, item: Any) -> bytes:
    return encoder_with(ItemType.of_endpoint(endpoint)).encode(item)


def _generics(module: Any) -> list[Any]:
    """The six types of streams, as `collections.abc` and `typing` spell them."""
    names = ("AsyncIterable", "AsyncIterator", "Iterable", "Iterator")
    return [
        *(getattr(module, name)[Item] for name in names),
        module.AsyncGenerator[Item, None],
        module.Generator[Item, None, None],
    ]


AnItem = TypeVar("AnItem")
Items = TypeAliasType("Items", AsyncIterator[Item])
ItemsOf = TypeAliasType("ItemsOf", AsyncIterator[AnItem], type_params=(AnItem,))

FILTERING = [
    *_generics(collections.abc),
    *_generics(typing),
    AsyncIterator[Item | None],
    AsyncIterator[Optional[Item]],  # noqa: UP045 - another object than the line above
    AsyncIterator[Union[Item, ServerSentEvent, None]],  # noqa: UP007 - as above
    AsyncIterator[Item | ServerSentEvent],
    AsyncIterator[Named | Item],
    AsyncIterator[Annotated[ServerSentEvent, "a note"] | Item],
    AsyncIterator[Annotated[Item, "a note"]],
    AsyncIterator[Annotated[Item, "a note"] | ServerSentEvent],
    AsyncIterator[Item | Measured],
    "AsyncIterator[Item]",
    "collections.abc.Generator[Item | None, None, None]",
    "typing.AsyncIterable[Item]",
    # Quotes around the item alone
    AsyncIterator["Item"],
    typing.AsyncIterator["Item"],  # typing makes a ForwardRef of it
    AsyncIterator["Item | None"],
    'AsyncIterator["Item"]',
    # A stream that is not the whole annotation
    Annotated[AsyncIterator[Item], "a note"],
    AsyncIterator[Item] | Response,
    AsyncIterator[Item] | None,
    AsyncIterator[Item] | Iterator[Item],
    Annotated[AsyncIterator[Item], "a note"] | Response,
    Annotated[AsyncIterator[Item] | Response, "a note"],
    # An alias
    Items,
    ItemsOf[Item],
    # Items that are returned, not yielded
    list[Item],
    set[Item],
    Sequence[Item],
    Awaitable[AsyncIterator[Item]],
    Coroutine[Any, Any, Iterator[Item]],
]

OPEN = [
    None,
    Any,
    Response,
    AsyncIterator,
    typing.AsyncIterator,
    AsyncIterator[Any],
    AsyncIterator[Any | None],
    AsyncIterator[None],
    AsyncIterator[ServerSentEvent],
    AsyncIterator[ServerSentEvent | None],
    AsyncIterator[Named],
    AsyncIterator[Annotated[ServerSentEvent, "a note"]],
    AsyncIterator[Item | Any],
    "AsyncIterator[Any]",
    "None",
]

UNRESOLVABLE = [
    "AsyncIterator[Missing]",
    "missing.AsyncIterator[Item]",
    "AsyncIterator[",
    AsyncIterator["Missing"],  # type: ignore[name-defined]  # noqa: F821 - what is tested
    AsyncIterator[list["Missing"]],  # type: ignore[name-defined]  # noqa: F821 - as above
    AsyncIterator[Unknown],
]


@pytest.mark.parametrize("annotation", FILTERING, ids=str)
def test_a_return_annotation_names_the_item_type(annotation: Any) -> None:
    endpoint = endpoint_returning(annotation)
    assert sent_by(endpoint, SECRETIVE) == FILTERED
    assert sent_by(endpoint, None) == KEEPALIVE_COMMENT
    assert sent_by(endpoint, ServerSentEvent(data=SECRETIVE)) == WHOLE


def test_several_streams_make_a_union() -> None:
    endpoint = endpoint_returning(AsyncIterator[Item] | Iterator[Measured] | Response)
    assert sent_by(endpoint, SECRETIVE) == FILTERED
    assert sent_by(endpoint, Measured(value=1)) == data(b'{"value":1.0}')


@pytest.mark.parametrize(
    "annotation",
    [AsyncIterator[Annotated[int, Field(gt=3)]], "AsyncIterator[Annotated[int, Field(gt=3)]]"],
    ids=str,
)
def test_constraints_of_the_item_type_hold(annotation: Any) -> None:
    endpoint = endpoint_returning(annotation)
    assert sent_by(endpoint, 4) == data(b"4")
    with pytest.raises(EncodingError, match="greater than 3"):
        sent_by(endpoint, 3)


@pytest.mark.parametrize("annotation", OPEN, ids=str)
def test_an_annotation_without_an_item_type_lets_everything_through(annotation: Any) -> None:
    endpoint = endpoint_returning(annotation)
    assert ItemType.of_endpoint(endpoint) is None
    assert sent_by(endpoint, SECRETIVE) == WHOLE


@pytest.mark.parametrize("annotation", UNRESOLVABLE, ids=str)
def test_an_annotation_that_can_not_be_used_is_refused(annotation: Any) -> None:
    # Without its type, what the type filters out would be sent.
    with pytest.raises(ConfigurationError, match=r"(?s)endpoint_returning.*item_type="):
        ItemType.of_endpoint(endpoint_returning(annotation))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brings the type statement")
@pytest.mark.parametrize(
    "source",
    [
        "type Items = AsyncIterator[Item]",
        "type Items = AsyncIterator[Item] | None",
        "type One = Item\ntype Items = AsyncIterator[One]",
        "type Of[T] = AsyncIterator[T]\nItems = Of[Item]",
    ],
)
def test_a_type_alias_stands_for_what_it_names(source: str) -> None:
    namespace = {"AsyncIterator": AsyncIterator, "Item": Item}
    exec(source, namespace)
    assert sent_by(endpoint_returning(namespace["Items"]), SECRETIVE) == FILTERED


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="annotations are evaluated when a function is made"
)
def test_an_annotation_that_fails_only_when_it_is_read_is_refused() -> None:
    namespace: dict[str, Any] = {}
    exec("def endpoint_returning() -> Missing: ...", namespace)
    with pytest.raises(ConfigurationError, match=r"(?s)endpoint_returning.*item_type="):
        ItemType.of_endpoint(namespace["endpoint_returning"])


async def plain() -> AsyncIterator[Item]:
    yield SECRETIVE


def quoted() -> "Iterator[Item]":
    yield SECRETIVE


class Endpoints:
    async def method(self) -> AsyncIterator[Item]:
        yield SECRETIVE

    @staticmethod
    async def static() -> AsyncIterator[Item]:
        yield SECRETIVE

    @classmethod
    async def of_class(cls) -> AsyncIterator[Item]:
        yield SECRETIVE

    async def __call__(self) -> AsyncIterator[Item]:
        yield SECRETIVE


@functools.wraps(plain)
def decorated(*args: Any) -> Any:
    return plain(*args)


@functools.wraps(plain)
def decorated_without_annotations(*args: Any) -> Any:
    return plain(*args)


decorated_without_annotations.__annotations__ = {}


@functools.wraps(functools.partial(plain))
def decorated_partial(*args: Any) -> Any:
    return plain(*args)


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(plain, id="a function"),
        pytest.param(quoted, id="a function with a quoted annotation"),
        pytest.param(Endpoints.method, id="an unbound method"),
        pytest.param(Endpoints().method, id="a bound method"),
        pytest.param(Endpoints.static, id="a static method"),
        pytest.param(Endpoints.of_class, id="a class method"),
        pytest.param(Endpoints(), id="a callable object"),
        pytest.param(functools.partial(plain), id="a partial"),
        pytest.param(functools.partial(functools.partial(quoted), 1), id="a partial's partial"),
        pytest.param(functools.partial(Endpoints().method), id="a method's partial"),
        pytest.param(functools.partial(Endpoints()), id="a callable object's partial"),
        pytest.param(decorated, id="decorated"),
        pytest.param(
            decorated_without_annotations, id="decorated, with __wrapped__ and no annotations"
        ),
        pytest.param(functools.partial(decorated_without_annotations), id="its partial"),
        pytest.param(functools.partial(decorated_partial), id="a decorated partial's partial"),
        pytest.param(functools.cache(quoted), id="wrapped in an object"),
        pytest.param(
            contextlib.contextmanager(quoted), id="decorated in a module without those names"
        ),
    ],
)
def test_the_annotation_is_found_through(endpoint: Any) -> None:
    assert sent_by(endpoint, SECRETIVE) == FILTERED


@pytest.mark.parametrize("endpoint", [None, len, Endpoints, lambda: None, functools.partial(len)])
def test_without_an_annotation_there_is_no_item_type(endpoint: Any) -> None:
    assert ItemType.of_endpoint(endpoint) is None


# All annotations of an endpoint quoted, as with ``from __future__ import annotations``


class Sent(BaseModel):
    name: str


async def user() -> str:
    return "me"


@event_stream
async def quoted_endpoint(
    number: "int",
    sent: "Sent",
    name: "Annotated[str, Depends(user)]",
) -> "AsyncIterator[Sent]":
    yield {"name": f"{name} {number} {sent.name}", "secret": 1}  # type: ignore[misc]


@pytest.mark.anyio
async def test_quoted_annotations_are_evaluated_where_the_endpoint_was_written() -> None:
    app = FastAPI()
    app.add_middleware(SSEMiddleware)
    app.post("/{number}")(quoted_endpoint)
    async with EventClient(app) as client:
        response = await client.http.post("/7", json={"name": "a"})
    assert response.content == data(b'{"name":"me 7 a"}')

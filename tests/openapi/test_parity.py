"""The document of an application is the one that FastAPI makes for its own event streams."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field, computed_field, create_model
from typing_extensions import TypedDict

import sse_middleware
from sse_middleware import EventSourceResponse, event_stream, sse_openapi

fastapi_sse = pytest.importorskip("fastapi.sse", reason="FastAPI has it from 0.135 on")

Tag = Callable[[Callable[..., Any]], Any]


@dataclass(frozen=True)
class Tags:
    """How endpoints are tagged, and with whose names."""

    response_class: Any
    ServerSentEvent: Any
    decorated: bool = False

    def get(self, router: APIRouter | FastAPI, path: str = "/", **options: Any) -> Tag:
        return self.route(router, path, methods=["GET"], **options)

    def post(self, router: APIRouter | FastAPI, path: str = "/", **options: Any) -> Tag:
        return self.route(router, path, methods=["POST"], **options)

    def route(self, router: APIRouter | FastAPI, path: str, **options: Any) -> Tag:
        add = router.router.add_api_route if isinstance(router, FastAPI) else router.add_api_route
        if self.decorated:
            return lambda function: add(path, event_stream(function), **options)
        return lambda function: add(path, function, response_class=self.response_class, **options)


THEIRS = Tags(fastapi_sse.EventSourceResponse, fastapi_sse.ServerSentEvent)
OURS = Tags(EventSourceResponse, sse_middleware.ServerSentEvent)
DECORATED = Tags(None, sse_middleware.ServerSentEvent, decorated=True)

# --- items ------------------------------------------------------------------------------------

T = TypeVar("T")


class Inner(BaseModel):
    at: datetime
    payload: bytes = b""


class Item(BaseModel):
    """An item.\f Not for the document."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "a"}]})

    name: str
    inner: Inner | None = None
    tags: list[str] = []


class Other(BaseModel):
    kind: Literal["other"] = "other"
    value: float = Field(gt=0, description="Not nothing.")


class Another(BaseModel):
    kind: Literal["another"] = "another"


class Aliased(BaseModel):
    first: int = Field(alias="firstValue")
    second: int = Field(validation_alias="in", serialization_alias="out")


class Computed(BaseModel):
    number: int = 1

    @computed_field
    def double(self) -> int:
        return 2 * self.number


class Page(BaseModel, Generic[T]):
    content: list[T]
    next: str | None = None


class Tree(BaseModel):
    children: list["Tree"] = []


@dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)


class Typed(TypedDict, total=False):
    name: str


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


ITEMS = {
    "model": Item,
    "dict": dict[str, int],
    "list of models": list[Item],
    "integer": int,
    "string": str,
    "union": Item | Other,
    "discriminated union": Annotated[Other | Another, Field(discriminator="kind")],
    "constrained": Annotated[int, Field(ge=1, title="A number", description="From 1 on.")],
    "aliases": Aliased,
    "computed field": Computed,
    "generic": Page[Item],
    "generic of a generic": Page[Page[int]],
    "recursive": Tree,
    "dataclass": Point,
    "typed dict": Typed,
    "enum": Colour,
    "literal": Literal["a", "b"],
    "tuple": tuple[int, Item],
    "datetime": datetime,
    "bytes": bytes,
}

shapes: dict[str, Callable[[FastAPI, Tags], None]] = {}
by_class_only: list[str] = []


def shape(function: Callable[[FastAPI, Tags], None]) -> Callable[[FastAPI, Tags], None]:
    shapes[function.__name__] = function
    return function


def by_class(function: Callable[[FastAPI, Tags], None]) -> Callable[[FastAPI, Tags], None]:
    """Note an application that only a response class can tag."""
    by_class_only.append(function.__name__)
    return shape(function)


for name, item_type in ITEMS.items():

    def of_item(app: FastAPI, tags: Tags, item_type: Any = item_type) -> None:
        @tags.get(app)
        async def stream() -> AsyncIterable[item_type]:
            yield

    shapes[name] = of_item

# --- endpoints --------------------------------------------------------------------------------


@shape
def nothing_declared(app: FastAPI, tags: Tags) -> None:
    @tags.get(app)
    async def stream():  # type: ignore[no-untyped-def]
        yield 1


@shape
def events(app: FastAPI, tags: Tags) -> None:
    @tags.get(app)
    async def stream() -> AsyncIterable[tags.ServerSentEvent]:  # type: ignore[name-defined]
        yield


@shape
def every_stream_type(app: FastAPI, tags: Tags) -> None:
    @tags.get(app, "/1")
    async def one() -> AsyncIterator[Item]:
        yield Item(name="")

    @tags.get(app, "/2")
    async def two() -> AsyncGenerator[Item, None]:
        yield Item(name="")

    @tags.get(app, "/3")
    def three() -> Iterable[Item]:
        yield Item(name="")

    @tags.get(app, "/4")
    def four() -> Iterator[Other]:
        yield Other(value=1)

    @tags.get(app, "/5")
    def five() -> Generator[list[int], None, None]:
        yield [1]


@shape
def any_method_with_parameters(app: FastAPI, tags: Tags) -> None:
    async def user(token: str) -> str:
        return token

    @tags.post(app, "/{number:int}/all", tags=["a"], summary="All", deprecated=True)
    async def post(
        number: int,
        item: Item,
        limit: Annotated[int, Query(le=10)] = 1,
        name: str = Depends(user),
    ) -> AsyncIterable[Item]:
        """Stream."""
        yield item

    @tags.route(app, "/more", methods=["PUT"], operation_id="more")
    async def more() -> AsyncIterable[Other]:
        yield Other(value=1)


@shape
def model_in_and_out(app: FastAPI, tags: Tags) -> None:
    @tags.post(app)
    async def stream(item: Item) -> AsyncIterable[Item]:
        yield item

    @app.put("/")
    async def computed(item: Computed) -> Item:
        return Item(name="")

    @tags.get(app)
    async def out() -> AsyncIterable[Computed]:
        yield Computed()


@shape
def model_in_and_out_in_one(app: FastAPI, tags: Tags) -> None:
    app.separate_input_output_schemas = False
    model_in_and_out(app, tags)


def same_name(module: str, **fields: Any) -> Any:
    return create_model("Item", __module__=module, **fields)


@shape
def same_name_of_items(app: FastAPI, tags: Tags) -> None:
    first, second = same_name("one", a=(int, ...)), same_name("two", b=(int, 1))

    @tags.get(app, "/1")
    async def one() -> AsyncIterable[first]:  # type: ignore[valid-type]
        yield first(a=1)

    @tags.post(app, "/2")
    async def two(body: second) -> AsyncIterable[Page[second]]:  # type: ignore[valid-type]
        yield Page(content=[body])


@shape
def same_name_elsewhere(app: FastAPI, tags: Tags) -> None:
    first, second = same_name("one", a=(int, 1)), same_name("two", b=(int, ...))

    @app.post("/json")
    async def json(item: first) -> Item:  # type: ignore[valid-type]
        return Item(name="")

    @tags.get(app)
    async def stream() -> AsyncIterable[list[second]]:  # type: ignore[valid-type]
        yield []


@shape
def routers(app: FastAPI, tags: Tags) -> None:
    inner, outer = APIRouter(prefix="/inner", tags=["in"]), APIRouter()

    @tags.get(inner, "/{number}")
    async def stream(number: int) -> AsyncIterable[Item]:
        yield Item(name="")

    @tags.get(outer, "/outer")
    async def other() -> AsyncIterable[Other]:
        yield Other(value=1)

    @outer.get("/json")
    async def json() -> Item:
        return Item(name="")

    outer.include_router(inner, prefix="/nested", deprecated=True)
    app.include_router(outer, prefix="/a", responses={404: {"description": "No"}})
    app.include_router(inner, prefix="/b", include_in_schema=False)
    app.include_router(inner, prefix="/c", generate_unique_id_function=lambda route: "c")


@by_class
def class_of_the_router(app: FastAPI, tags: Tags) -> None:
    router = APIRouter(default_response_class=tags.response_class)

    @router.get("/stream")
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")

    app.include_router(router)


@by_class
def class_of_the_inclusion(app: FastAPI, tags: Tags) -> None:
    router = APIRouter()

    @router.get("/stream")
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")

    app.include_router(router, default_response_class=tags.response_class)


@by_class
def class_of_the_application(app: FastAPI, tags: Tags) -> None:
    app.router.default_response_class = tags.response_class

    @app.get("/stream")
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")


@by_class
def models_of_other_responses(app: FastAPI, tags: Tags) -> None:
    @tags.get(app, responses={404: {"model": Other}, "5XX": {"model": list[Item]}})
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")


@by_class
def model_of_the_same_response(app: FastAPI, tags: Tags) -> None:
    @tags.get(app, responses={200: {"model": Other}})
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")

    @tags.post(app, responses={200: {"model": str}})
    async def text() -> AsyncIterable[Item]:
        yield Item(name="")


@by_class
def schema_of_the_same_response(app: FastAPI, tags: Tags) -> None:
    schema = {"type": "string", "example": "data: 1"}

    @tags.get(app, responses={200: {"content": {"text/event-stream": {"schema": schema}}}})
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")


@shape
def declared_responses(app: FastAPI, tags: Tags) -> None:
    example = {"text/event-stream": {"example": "data: 1"}, "text/plain": {"example": "1"}}

    @tags.get(
        app,
        status_code=202,
        response_description="Streams",
        responses={
            202: {"description": "All", "headers": {"X-A": {"schema": {"type": "string"}}}},
            "2XX": {"description": "Other"},
            "default": {"description": "Not this"},
        },
    )
    async def one(number: int) -> AsyncIterable[Item]:
        yield Item(name="")

    @tags.post(app, responses={"200": {"content": example}})
    async def two() -> AsyncIterable[Item]:
        yield Item(name="")


@shape
def extra(app: FastAPI, tags: Tags) -> None:
    more = {"itemSchema": {"title": "Events", "properties": {"id": {"pattern": "^[0-9]+$"}}}}

    @tags.get(
        app,
        openapi_extra={
            "x-a": 1,
            "responses": {"200": {"content": {"text/event-stream": more}}},
            "servers": [{"url": "https://events.example"}],
        },
    )
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")


@shape
def without_a_body(app: FastAPI, tags: Tags) -> None:
    @tags.get(app, status_code=204)
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")


@shape
def not_in_the_document(app: FastAPI, tags: Tags) -> None:
    @tags.get(app, include_in_schema=False)
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")


@shape
def one_place_twice(app: FastAPI, tags: Tags) -> None:
    @tags.get(app, "/a")
    async def hidden() -> AsyncIterable[Other]:
        yield Other(value=1)

    @app.get("/a")
    async def json() -> Item:
        return Item(name="")

    @app.get("/b")
    async def hidden_json() -> Item:
        return Item(name="")

    @tags.get(app, "/b")
    async def stream() -> AsyncIterable[Item]:
        yield Item(name="")


@shape
def callbacks_and_webhooks(app: FastAPI, tags: Tags) -> None:
    back = APIRouter()

    @tags.post(back, "{$request.query.url}/{number:int}")
    async def called(item: Item) -> AsyncIterable[Other]:
        yield Other(value=1)

    @back.put("{$request.query.url}")
    async def called_once() -> Item:
        return Item(name="")

    @tags.get(app, "/events", callbacks=back.routes)
    async def stream(url: str) -> AsyncIterable[Item]:
        yield Item(name="")

    @tags.post(app.webhooks, "hook")
    async def hook() -> AsyncIterable[Page[Item]]:
        yield Page(content=[])


def document(declare: Callable[[FastAPI, Tags], None], tags: Tags) -> dict[str, Any]:
    app = FastAPI()
    declare(app, tags)
    return of_application(app, tags)


def of_application(app: FastAPI, tags: Tags) -> dict[str, Any]:
    """Return the document, with the version that FastAPI writes."""
    return app.openapi() if tags is THEIRS else sse_openapi(app, version="3.1.0")


@pytest.mark.parametrize("name", shapes)
def test_by_the_response_class(name: str) -> None:
    assert document(shapes[name], OURS) == document(shapes[name], THEIRS)


@pytest.mark.parametrize("name", [name for name in shapes if name not in by_class_only])
def test_by_the_decorator(name: str) -> None:
    assert document(shapes[name], DECORATED) == document(shapes[name], THEIRS)


@pytest.mark.parametrize("data_schema", [False, True])
@pytest.mark.parametrize("name", shapes)
def test_the_document_is_valid(name: str, data_schema: bool) -> None:
    validators = pytest.importorskip("openapi_spec_validator")
    app = FastAPI()
    shapes[name](app, OURS)
    validators.validate(sse_openapi(app, data_schema=data_schema))


def test_in_one_application() -> None:
    """The models of many endpoints meet in one document."""
    whole = []
    for tags in (OURS, THEIRS):
        app = FastAPI()
        for number, declare in enumerate(shapes.values()):
            router: Any = APIRouter(prefix=f"/{number}")
            router.webhooks, router.router = app.webhooks, router
            declare(router, tags)
            app.include_router(router)
        whole.append(of_application(app, tags))
    assert whole[0] == whole[1]


# The differences that docs/openapi.md lists


def event(declare: Callable[[FastAPI, Tags], None], tags: Tags) -> dict[str, Any]:
    responses = document(declare, tags)["paths"]["/"]["get"]["responses"]
    described: dict[str, Any] = responses["200"]["content"]["text/event-stream"]["itemSchema"]
    return described


def test_the_version_is_ours() -> None:
    app = FastAPI()
    shapes["model"](app, OURS)
    theirs = document(shapes["model"], THEIRS)
    assert theirs["openapi"] == "3.1.0"
    assert sse_openapi(app) == {**theirs, "openapi": "3.2.0"}


def test_none_is_not_in_our_schema() -> None:
    def mixed(app: FastAPI, tags: Tags) -> None:
        @tags.get(app)
        async def stream() -> AsyncIterable[Item | None]:
            yield None

    theirs, ours = (event(mixed, tags)["properties"]["data"] for tags in (THEIRS, OURS))
    assert theirs["contentSchema"]["anyOf"] == [ours["contentSchema"], {"type": "null"}]


def test_any_has_no_schema_in_ours() -> None:
    def anything(app: FastAPI, tags: Tags) -> None:
        @tags.get(app)
        async def stream() -> AsyncIterable[Any]:
            yield None

    assert "required" in event(anything, THEIRS)
    assert event(anything, OURS) == fastapi_sse._SSE_EVENT_SCHEMA


def test_a_response_model_is_in_ours() -> None:
    def modelled(app: FastAPI, tags: Tags) -> None:
        @tags.get(app, response_model=Item)
        async def stream():  # type: ignore[no-untyped-def]
            yield {"name": ""}

    theirs, ours = (document(modelled, tags) for tags in (THEIRS, OURS))
    assert theirs["components"] == ours["components"]
    assert event(modelled, THEIRS) == fastapi_sse._SSE_EVENT_SCHEMA
    assert event(modelled, OURS) == event(shapes["model"], OURS)


def test_a_list_that_is_declared_too_is_merged_in_ours() -> None:
    def required(app: FastAPI, tags: Tags) -> None:
        said = {"text/event-stream": {"itemSchema": {"required": ["data", "id"]}}}

        @tags.get(app, responses={200: {"content": said}})
        async def stream() -> AsyncIterable[Item]:
            yield Item(name="")

    assert event(required, THEIRS)["required"] == ["data", "data", "id"]
    assert event(required, OURS)["required"] == ["data", "id"]

"""The version that a document names, and the schema of the data next to `itemSchema`."""

from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from sse_middleware import (
    ConfigurationError,
    EventDiscriminator,
    ServerSentEvent,
    SSEMiddleware,
    SSEModel,
    event_stream,
    sse_openapi,
)
from tests.openapi.test_document import (
    ITEM,
    Document,
    Item,
    content,
    items_as_json,
    made,
    served,
    with_items,
)

pytestmark = pytest.mark.anyio

ITEM_DATA = {"$ref": "#/components/schemas/Item"}


class Started(SSEModel, event="started"):
    at: int


class Progress(BaseModel):
    type: Literal["progress"]


class Ended(BaseModel):
    type: Literal["done", "failed"]


def schema_of(item_type: Any, **options: Any) -> Any:
    """Return the `schema` of a stream of these items, ``None`` if there is none."""

    @event_stream(item_type=item_type)
    async def stream() -> AsyncIterator[Any]:
        yield

    app = FastAPI()
    app.get("/items", **options)(stream)
    described = content(sse_openapi(app, data_schema=True))["text/event-stream"]
    assert "itemSchema" in described
    return described.get("schema")


# The version


def test_a_document_with_streams_names_the_version_that_has_item_schema() -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    document = sse_openapi(with_items(FastAPI()))
    assert document["openapi"] == "3.2.0"
    validator.validate(document)
    with pytest.raises(Exception, match="itemSchema") as refused:
        validator.validate({**document, "openapi": "3.1.0"})
    assert type(refused.value).__name__ == "OpenAPIValidationError"


@pytest.mark.parametrize("version", ["3.0.3", "3.1.1", "3.2.1"])
def test_the_version_of_the_application_stays(version: str) -> None:
    app = with_items(FastAPI())
    app.openapi_version = version
    assert sse_openapi(app)["openapi"] == version


def test_the_version_of_a_custom_openapi_stays() -> None:
    app = with_items(FastAPI())
    app.openapi = lambda: {**made(app), "openapi": "3.0.3"}  # type: ignore[method-assign]
    assert sse_openapi(app)["openapi"] == "3.0.3"


def test_the_version_that_fastapi_gives_a_custom_openapi_does_not_stay() -> None:
    app = with_items(FastAPI())
    app.openapi = lambda: get_openapi(title="", version="1", routes=app.routes)  # type: ignore[method-assign]
    assert sse_openapi(app)["openapi"] == "3.2.0"


@pytest.mark.parametrize("custom", [False, True])
def test_a_document_without_item_schema_keeps_its_version(custom: bool) -> None:
    app = FastAPI()
    app.get("/json")(items_as_json)
    app.get("/hidden", include_in_schema=False)(event_stream(items_as_json))
    app.get("/empty", status_code=204, response_model=None)(event_stream(items_as_json))
    if custom:
        app.openapi = lambda: made(app)  # type: ignore[method-assign]
    assert sse_openapi(app)["openapi"] == "3.1.0"


def test_a_given_version_is_taken_in_any_case() -> None:
    app = FastAPI()
    app.openapi_version = "3.0.3"
    app.get("/json")(items_as_json)
    assert sse_openapi(app, version="3.1.0")["openapi"] == "3.1.0"
    assert sse_openapi(with_items(app), version="3.1.2")["openapi"] == "3.1.2"


@pytest.mark.parametrize("version", ["3.2", "2.0.0", "v3.2.0", "3.2.0\n", "3.२.0", 3.2, True])
def test_what_is_no_version_of_openapi_3_is_refused(version: Any) -> None:
    app = with_items(FastAPI())
    with pytest.raises(ConfigurationError, match=r'version must be .* such as "3\.2\.0", got'):
        sse_openapi(app, version=version)
    assert app.openapi()["openapi"] == "3.1.0"  # nothing has changed


async def test_the_middleware_serves_the_document_as_it_was_chosen() -> None:
    app = with_items(FastAPI())
    app.add_middleware(SSEMiddleware)
    assert (await served(app))["openapi"] == "3.2.0"
    sse_openapi(app, version="3.1.0", data_schema=True)
    document = await served(app)
    assert document["openapi"] == "3.1.0"
    assert content(document)["text/event-stream"] == {"itemSchema": ITEM, "schema": ITEM_DATA}


def test_mounted_applications_have_the_same_options() -> None:
    app, mounted = FastAPI(), with_items(FastAPI())
    app.mount("/mounted", mounted)
    sse_openapi(app, version="3.1.0", data_schema=True)
    assert mounted.openapi()["openapi"] == "3.1.0"
    assert content(mounted.openapi())["text/event-stream"]["schema"] == ITEM_DATA


# The schema of the data


def test_there_is_none_by_default() -> None:
    assert "schema" not in content(sse_openapi(with_items(FastAPI())))["text/event-stream"]


@pytest.mark.parametrize("value", [1, "yes", "itemSchema"])
def test_it_is_on_or_off(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="data_schema must be True or False, got"):
        sse_openapi(with_items(FastAPI()), data_schema=value)


def test_it_is_the_type_of_the_items() -> None:
    title = "Streamitem Stream Items Get"
    assert schema_of(Item) == ITEM_DATA
    assert schema_of(ServerSentEvent[Item] | None) == ITEM_DATA
    assert schema_of(int) == {"type": "integer", "title": title}
    assert schema_of(Item | int) == {"anyOf": [ITEM_DATA, {"type": "integer"}], "title": title}


@pytest.mark.parametrize("item_type", [None, Any, ServerSentEvent])
def test_it_is_left_out_where_no_type_is_declared(item_type: Any) -> None:
    assert schema_of(item_type) is None


def test_of_named_events_it_is_their_union() -> None:
    """Not `oneOf`: without their names, two events can have the same data. Each is there once."""
    names = ("Started", "Progress", "Ended")
    started, progress, ended = ({"$ref": f"#/components/schemas/{name}"} for name in names)
    assert schema_of(Started) == started
    assert schema_of(Started | Item) == {"anyOf": [started, ITEM_DATA]}
    assert schema_of(Annotated[Ended, EventDiscriminator("type")]) == ended
    union = Annotated[Progress | Ended, EventDiscriminator("type")]
    assert schema_of(union) == {"anyOf": [progress, ended]}


def test_a_schema_that_the_user_declares_stays() -> None:
    mine = {"type": "string", "description": "the whole stream"}
    responses = {200: {"content": {"text/event-stream": {"schema": mine}}}}
    assert schema_of(Item, responses=responses) == mine


def test_the_two_schemas_share_nothing() -> None:
    body = content(sse_openapi(with_items(FastAPI()), data_schema=True))["text/event-stream"]
    body["schema"]["description"] = "mine"
    assert body["itemSchema"] == ITEM


# What is made when


def test_an_argument_that_is_not_given_keeps_its_value() -> None:
    app = with_items(FastAPI())
    chosen = sse_openapi(app, version="3.1.0", data_schema=True)
    assert sse_openapi(app) is chosen is app.openapi()
    again = sse_openapi(app, data_schema=False)
    assert again["openapi"] == "3.1.0"
    assert "schema" not in content(again)["text/event-stream"]
    assert sse_openapi(app, version="3.1.0", data_schema=False) is again is app.openapi_schema


def test_a_new_choice_gives_the_same_as_if_it_were_the_first() -> None:
    app, other = with_items(FastAPI()), with_items(FastAPI())
    plain = sse_openapi(app)
    before = deepcopy(plain)
    assert sse_openapi(app, data_schema=True) == sse_openapi(other, data_schema=True)
    assert plain == before  # a document that was returned doesn't change
    assert sse_openapi(app, data_schema=False) == before


def test_a_new_choice_keeps_a_document_that_the_user_has_written() -> None:
    app = with_items(FastAPI())
    written = app.openapi()  # since a recent FastAPI checks whether it made one for these routes
    written["x-own"] = True
    before = deepcopy(written)
    for data_schema in (False, True):
        document = sse_openapi(app, data_schema=data_schema)
        assert document["x-own"]
        assert ("schema" in content(document)["text/event-stream"]) is data_schema
        assert document is app.openapi_schema
    assert written == before


def test_a_new_choice_reaches_a_custom_openapi_that_keeps_its_document() -> None:
    app, calls = with_items(FastAPI()), list[None]()

    def custom() -> Document:
        if not app.openapi_schema:
            calls.append(None)
            app.openapi_schema = made(app)
        return app.openapi_schema

    app.openapi = custom  # type: ignore[method-assign]
    for version in ("3.2.0", "3.1.0"):
        document = sse_openapi(app, version=version)
        assert document["openapi"] == version
        assert app.openapi() is document
    assert len(calls) == 1


def test_a_cache_that_the_user_filled_in_the_meantime_stays() -> None:
    app = with_items(FastAPI())
    sse_openapi(app)
    app.openapi_schema = {**made(app), "x-own": True}
    document = sse_openapi(app, version="3.1.0")
    assert document["x-own"]
    assert document["openapi"] == "3.1.0"

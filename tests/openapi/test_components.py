"""Components for a document that FastAPI doesn't make."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, create_model
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Route
from starlette.schemas import SchemaGenerator

from sse_middleware import ConfigurationError, ServerSentEvent, event_stream, sse_components
from tests.openapi.test_document import EVENT, Document, event_of


class Price(BaseModel):
    value: float


@event_stream
async def prices(request: Any) -> AsyncIterator[Price]:
    """Stream prices.
    ---
    responses:
      200:
        $ref: "#/components/responses/Prices"
    """
    yield Price(value=1)


def numbers() -> Iterator[int]:
    yield 1


class Endpoint(HTTPEndpoint):
    @event_stream(item_type=list[Price])
    async def get(self, request: Any) -> AsyncIterator[Any]:
        yield []


def described(schema: Document) -> Document:
    content = {"text/event-stream": {"itemSchema": schema}}
    return {"description": "A stream of events", "content": content}


PRICE = {"$ref": "#/components/schemas/Price"}


@pytest.mark.parametrize(
    ("stream", "schema"),
    [
        (prices, event_of(PRICE)),
        (partial(prices, None), event_of(PRICE)),
        (numbers, event_of({"type": "integer"})),
        (Endpoint.get, event_of({"type": "array", "items": PRICE})),
        (Price, event_of(PRICE)),
        (Price | ServerSentEvent | None, event_of(PRICE)),
        (dict[str, int] | str, None),
        (None, EVENT),
        (ServerSentEvent, EVENT),
        (Any, EVENT),
    ],
)
def test_a_stream_is_a_response_with_its_schema(stream: Any, schema: Document | None) -> None:
    components = sse_components(A=stream)
    if schema is None:
        union = [
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"type": "string"},
        ]
        schema = event_of({"anyOf": union})
    assert components["responses"] == {"A": described(schema)}
    assert list(components["schemas"]) == (["Price"] if "Price" in str(schema) else [])


def test_models_of_the_same_name_have_different_references() -> None:
    other = create_model("Price", __module__="elsewhere", other=(int, 1))
    components = sse_components(A=prices, B=other, C=None)
    references = [
        components["responses"][name]["content"]["text/event-stream"]["itemSchema"]["properties"][
            "data"
        ]["contentSchema"]["$ref"].rpartition("/")[2]
        for name in "AB"
    ]
    assert sorted(components["schemas"]) == sorted(references)
    assert "value" in components["schemas"][references[0]]["properties"]
    assert "other" in components["schemas"][references[1]]["properties"]


def test_a_type_that_pydantic_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="items can't be validated as"):
        sse_components(A=Iterator)


def test_the_schema_generator_of_starlette_takes_them() -> None:
    pytest.importorskip("yaml")
    validators = pytest.importorskip("openapi_spec_validator")
    app = Starlette(routes=[Route("/prices", prices)])
    schemas = SchemaGenerator(
        {
            "openapi": "3.2.0",
            "info": {"title": "Prices", "version": "1"},
            "components": sse_components(Prices=prices),
        }
    )
    document = schemas.get_schema(routes=app.routes)
    reference = {"$ref": "#/components/responses/Prices"}
    assert document["paths"] == {"/prices": {"get": {"responses": {200: reference}}}}
    document["paths"]["/prices"]["get"]["responses"] = {"200": reference}  # as it is in JSON
    validators.OpenAPIV32SpecValidator(document).validate()

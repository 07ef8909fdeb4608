"""Events that their types name, from the annotation to the bytes."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Generic, Literal, TypeVar

import fastapi
import pydantic
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.routing import Route
from typing_extensions import TypeAliasType

from sse_middleware import (
    ConfigurationError,
    EncodingError,
    EventDiscriminator,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    SSEModel,
    event_stream,
)
from sse_middleware.items.item_type import ItemType
from tests.items.encoding import control_frames, encode, encoder_of
from tests.items.models import (
    ENDED,
    ITEM,
    PRICE,
    RESTARTED,
    SOLD,
    STARTED,
    Counted,
    Either,
    Ended,
    Item,
    Job,
    JobAlias,
    Priced,
    Secretive,
    Sold,
    Special,
    Started,
    StartedAgain,
    Tagged,
    Unnamed,
)
from tests.served import body_of

pytestmark = pytest.mark.anyio

PYDANTIC = tuple(map(int, pydantic.VERSION.split(".")[:2]))
mixed = pytest.mark.skipif(
    PYDANTIC < (2, 10), reason="this Pydantic warns of a tagged union within another"
)
FASTAPI = tuple(map(int, fastapi.__version__.split(".")[:2]))


class TestServerSentEventOfAType:
    def test_its_data_is_validated_when_it_is_made(self) -> None:
        event = ServerSentEvent[Item].model_validate({"data": {"name": "n"}, "id": "1"})
        assert event.data == Item(name="n")
        with pytest.raises(ValidationError, match=r"data\.name\n  Field required"):
            ServerSentEvent[Item](data={})  # type: ignore[arg-type]

    def test_it_is_a_server_sent_event(self) -> None:
        event = ServerSentEvent[Item](data=Item(name="n"), event="m", id="1")
        assert isinstance(event, ServerSentEvent)
        assert event == ServerSentEvent(data=Item(name="n"), event="m", id="1")
        assert encode(event) == b'event: m\ndata: {"name":"n"}\nid: 1\n\n'

    def test_it_may_have_no_data(self) -> None:
        assert ServerSentEvent[Item](event="m").data is None

    @pytest.mark.parametrize(
        "item_type",
        [
            ServerSentEvent[Item],
            ServerSentEvent[Item] | None,
            Item | ServerSentEvent[Item],
            Annotated[ServerSentEvent[Item] | None, "a note"],
            TypeAliasType("Alias", ServerSentEvent[Item]),
        ],
        ids=str,
    )
    def test_as_an_item_type_it_validates_and_filters(self, item_type: Any) -> None:
        event = ServerSentEvent(data=Secretive(name="n"), event="m", id="1")
        assert encode(event, item_type) == b'event: m\ndata: {"name":"n"}\nid: 1\n\n'
        assert event.data == Secretive(name="n")
        assert encode(Secretive(name="n"), item_type) == ITEM
        assert encode(ServerSentEvent(raw_data="[DONE]"), item_type) == b"data: [DONE]\n\n"
        assert encode(ServerSentEvent(event="m"), item_type) == b"event: m\n\n"
        for bad in (ServerSentEvent(data={"nome": "n"}), {"nome": "n"}):
            with pytest.raises(EncodingError, match=r"app\.endpoint .*(\n.*)*name\n  Field requ"):
                encode(bad, item_type)

    @pytest.mark.parametrize(
        "item_type",
        [ServerSentEvent, ServerSentEvent[Any], Item | ServerSentEvent, Item],
        ids=str,
    )
    def test_without_a_type_its_data_may_be_anything(self, item_type: Any) -> None:
        assert encode(ServerSentEvent(data={"x": 1}), item_type) == b'data: {"x":1}\n\n'

    def test_in_a_union_with_an_untyped_one_its_data_may_be_anything(self) -> None:
        item_type = ServerSentEvent[Item] | ServerSentEvent
        assert encode(ServerSentEvent(data={"x": 1}), item_type) == b'data: {"x":1}\n\n'

    def test_a_subclass_has_its_type_too(self) -> None:
        class Named(ServerSentEvent[Item]):
            event: str | None = "named"

        event = Named(data=Secretive(name="n"))
        assert encode(event, Named) == b'event: named\ndata: {"name":"n"}\n\n'

    def test_a_serializer_gets_the_filtered_data(self) -> None:
        event = ServerSentEvent(data=Secretive(name="n"))
        assert (
            encode(event, ServerSentEvent[Item], serializer=json.dumps)
            == b'data: {"name": "n"}\n\n'
        )


class TestNames:
    @pytest.mark.parametrize(
        ("item", "item_type", "frame"),
        [
            (Priced(symbol="A"), Any, PRICE),
            (Priced(symbol="A"), Priced, PRICE),
            (Priced(symbol="A"), Priced | Sold, PRICE),
            (Sold(symbol="A"), Priced | Sold | None, SOLD),
            (Sold(symbol="A"), Priced | Sold | ServerSentEvent, SOLD),
            (Sold(symbol="A"), ServerSentEvent[Priced | Sold], SOLD),
            (Sold(symbol="A"), Either, SOLD),
            (Sold(symbol="A"), Item | Annotated[Sold, "a note"], SOLD),
            (Counted(name="n"), Item, b"event: counted\n" + ITEM),
            (Item(name="n"), Item | Sold, ITEM),
            (Started(), ServerSentEvent[Tagged], STARTED[15:]),
            ({"symbol": "A"}, Sold, SOLD),
            (Special(symbol="A"), Priced | Sold, PRICE),
            (
                Special(symbol="A"),
                Special | Priced,
                PRICE[:-2].replace(b"price\n", b"special\n", 1)[:-1] + b',"secret":"s"}\n\n',
            ),
            (Started(), Job, STARTED),
            (Started(type="restarted"), Job, RESTARTED),
            ({"type": "restarted"}, Job, RESTARTED),
            (Ended(), Job, ENDED),
            (Ended(), JobAlias, ENDED),
            (Ended(), Job | Sold | None, ENDED),
            (Ended(), Annotated[Ended, EventDiscriminator("type")], ENDED),
            (StartedAgain(), Job, STARTED),
            pytest.param(Sold(symbol="A"), Job | Sold | None, SOLD, marks=mixed),
            (Started(), Tagged, STARTED[15:]),
        ],
    )
    def test_the_type_names_the_event(self, item: Any, item_type: Any, frame: bytes) -> None:
        encoder = encoder_of(item_type)
        assert encoder.encode(item) == frame == encoder.encode(item)

    @pytest.mark.parametrize("item_type", [Any, Item, Priced, ServerSentEvent[Priced], Job | Item])
    def test_an_event_around_it_keeps_its_own_fields(self, item_type: Any) -> None:
        data = Priced(symbol="A") if item_type is not (Job | Item) else Ended()
        frame = PRICE if item_type is not (Job | Item) else ENDED
        whole = ServerSentEvent(data=data, event="m", id="1", retry=5, comment="c")
        assert encode(whole, item_type).startswith(b": c\nevent: m\ndata: {")
        assert encode(whole, item_type).endswith(b"}\nid: 1\nretry: 5\n\n")
        assert encode(ServerSentEvent(data=data, id="1"), item_type) == frame[:-1] + b"id: 1\n\n"

    def test_data_in_an_event_of_a_type_is_validated_as_its_model(self) -> None:
        event = ServerSentEvent(data={"type": "ended"}, id="1")
        assert encode(event, ServerSentEvent[Job]) == ENDED[:-1] + b"id: 1\n\n"

    def test_a_keep_alive_and_an_error_event_have_names_too(self) -> None:
        ping = ServerSentEvent(data=Sold(symbol="A"))
        assert encode(None, ping=ping) == SOLD
        control = control_frames(error_event=lambda _: Sold(symbol="A"))
        assert control.of_error(ValueError()) == SOLD

    def test_a_serializer_gets_the_data(self) -> None:
        assert encode(Sold(symbol="A"), serializer=repr) == (
            b"event: sold\ndata: Sold(symbol='A')\n\n"
        )
        assert encode(Special(symbol="A"), Priced | Sold, serializer=repr) == (
            b"event: price\ndata: {'symbol': 'A', 'thePrice': 1.0}\n\n"
        )

    def test_the_name_counts_towards_the_size_of_the_event(self) -> None:
        assert encode(Sold(symbol="A"), max_event_size=len(SOLD)) == SOLD
        with pytest.raises(EncodingError, match=f"takes {len(SOLD)} bytes"):
            encode(Sold(symbol="A"), max_event_size=len(SOLD) - 1)

    def test_a_model_is_not_mistaken_for_a_similar_one(self) -> None:
        class Bought(SSEModel, event="bought"):
            symbol: str

        for item in (Bought(symbol="A"), ServerSentEvent(data=Bought(symbol="A"))):
            with pytest.raises(EncodingError, match="instance of Sold"):
                encode(item, ServerSentEvent[Priced | Sold])

    def test_an_item_outside_of_the_union_is_refused(self) -> None:
        with pytest.raises(EncodingError, match="started"):
            encode({"type": "stopped"}, Job)
        with pytest.raises(EncodingError, match="symbol"):
            encode({"name": "n"}, Priced | Sold)

    def test_a_type_with_names_has_no_plain_items(self) -> None:
        encoder = encoder_of(Priced | Item)
        assert encoder.encode({"name": "n"}) == ITEM
        assert encoder.encode({"symbol": "A"}) == PRICE
        assert not encoder.plain

    def test_untyped_data_without_a_name_is_plain(self) -> None:
        encoder = encoder_of()
        assert encoder.encode(Sold(symbol="A")) == SOLD
        assert encoder.encode(Item(name="n")) == ITEM == encoder.encode(Item(name="n"))
        assert Item in encoder.plain
        assert Sold not in encoder.plain

    def test_a_subclass_has_the_name_of_its_base(self) -> None:
        class Resold(Sold):
            pass

        assert encode(Resold(symbol="A")) == SOLD

    def test_other_keywords_of_the_class_go_to_pydantic(self) -> None:
        class Strict(SSEModel, event="strict", extra="forbid"):
            pass

        assert Strict.model_config["extra"] == "forbid"
        assert encode(Strict()) == b"event: strict\ndata: {}\n\n"

    def test_a_generic_model(self) -> None:
        part = TypeVar("part")

        class Changed(SSEModel, Generic[part], event="changed"):
            to: part

        assert encode(Changed[int](to=1), Changed[int] | Sold) == (
            b'event: changed\ndata: {"to":1}\n\n'
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("a\nb", "single line"),
            ("a\rb", "single line"),
            ("a\0b", "NUL"),
            ("\ud800", "UTF-8"),
            ("", "must not be empty.*message"),
            (5, "must be a str, got 5"),
        ],
    )
    def test_an_invalid_name(self, name: Any, what: str) -> None:
        with pytest.raises(ConfigurationError, match=f"Bad.*event .*{what}"):

            class Bad(SSEModel, event=name):
                pass

    def test_a_missing_name(self) -> None:
        with pytest.raises(ConfigurationError, match=r'Unnamed has no name.*event="\.\.\."'):
            ItemType(Sold | Unnamed)
        for item in (Unnamed(), ServerSentEvent(data=Unnamed())):
            with pytest.raises(EncodingError, match="Unnamed has no name"):
                encode(item)
        named = ServerSentEvent(data=Unnamed(), event="m")
        assert encode(named) == b"event: m\ndata: {}\n\n"

    def test_a_name_that_two_models_share(self) -> None:
        class Resold(Sold):
            pass

        class Over(BaseModel):
            type: Literal["sold"] = "sold"

        with pytest.raises(ConfigurationError, match=r"Sold and .*Resold .*both.*'sold'"):
            ItemType(Sold | Resold)
        with pytest.raises(ConfigurationError, match=r"Sold and .*Over .*both.*'sold'"):
            ItemType.declared(Sold | Annotated[Over | Ended, EventDiscriminator("type")])

    def test_an_invalid_discriminator(self) -> None:
        class Numbered(BaseModel):
            type: Literal[1] = 1

        class Lines(BaseModel):
            type: Literal["a\nb"] = "a\nb"

        class Free(BaseModel):
            type: str

        def single(model: Any) -> Any:
            return Annotated[model, EventDiscriminator("type")]

        for model, what in [
            (Numbered, "Numbered: event must be a str, got 1"),
            (Lines, "Lines: event must be a single line"),
            (Free, r"'type' in .*Free that is a Literal, got <class 'str'>"),
            (Item, r"'type' in .*Item that is a Literal, got None"),
            (Sold, r"Sold names its event by its class and by EventDiscriminator\('type'\)"),
            (dict[str, int], r"needs models, got dict\[str, int\]"),
            (Free | Ended, "'type'.*Literal"),
        ]:
            with pytest.raises(ConfigurationError, match=what):
                ItemType(single(model))

    def test_the_error_names_the_endpoint(self) -> None:
        async def endpoint() -> AsyncIterator[Sold | Unnamed]:
            yield Sold(symbol="A")

        with pytest.raises(ConfigurationError, match=r"endpoint: .*Unnamed has no name"):
            ItemType.of_endpoint(endpoint)


class TestEndpoints:
    async def test_a_generator(self) -> None:
        @event_stream
        def endpoint(_request: Any) -> Iterator[Priced | Sold | None]:
            yield Priced(symbol="A")
            yield Sold(symbol="A")

        assert await body_of(Starlette(routes=[Route("/", endpoint)])) == PRICE + SOLD

    async def test_an_asynchronous_generator(self) -> None:
        @event_stream
        async def endpoint(_request: Any) -> AsyncIterator[Job | ServerSentEvent[Job] | None]:
            yield Started()
            yield ServerSentEvent(data=Ended(), id="1")
            try:
                yield Sold(symbol="A")  # type: ignore[misc]
            except EncodingError:
                yield Ended()

        frames = STARTED + ENDED[:-1] + b"id: 1\n\n" + ENDED
        assert await body_of(Starlette(routes=[Route("/", endpoint)])) == frames

    async def test_an_item_type_given_to_the_endpoint_or_the_response(self) -> None:
        def items(_request: Any) -> Iterator[dict[str, str]]:
            yield {"type": "restarted", "secret": "s"}

        def respond(request: Any) -> EventSourceResponse:
            return EventSourceResponse(items(request), item_type=Job)

        for endpoint in (event_stream(item_type=Job)(items), respond):
            assert await body_of(Starlette(routes=[Route("/", endpoint)])) == RESTARTED

    @pytest.mark.skipif(FASTAPI < (0, 135), reason="this FastAPI doesn't call generators")
    @pytest.mark.parametrize("annotation", [Job | Sold, ServerSentEvent[Job | Sold], Sold])
    async def test_the_response_class_of_fastapi(self, annotation: Any) -> None:
        app = FastAPI()
        app.add_middleware(SSEMiddleware)

        async def endpoint() -> Any:
            yield Sold(symbol="A")
            yield ServerSentEvent(data=Sold(symbol="A"), id="1")

        endpoint.__annotations__["return"] = AsyncIterator[annotation]
        app.get("/", response_class=EventSourceResponse)(endpoint)
        assert await body_of(app) == SOLD + SOLD[:-1] + b"id: 1\n\n"


def test_an_endpoint_has_its_item_type() -> None:
    def annotated() -> "Iterator[Later]":  # type: ignore[name-defined] # noqa: F821 - not there yet
        yield Sold(symbol="A")

    endpoint: Any = event_stream(annotated)
    with pytest.raises(ConfigurationError, match="Later"):
        endpoint.__sse_item_type__()
    annotated.__annotations__["return"] = Iterator[Sold]
    for _ in range(2):
        assert endpoint.__sse_item_type__().annotation is Sold
    given: Any = event_stream(item_type=Item)(annotated)
    assert given.__sse_item_type__().annotation is Item
    free: Any = event_stream(item_type=Any)(annotated)
    assert free.__sse_item_type__() is None


class Counts(SSEModel, event="counts"):
    counts: dict[Any, int]


def test_keys_of_a_named_model_are_pydantics_or_refused() -> None:
    declared = Counts | Sold
    assert encode(Counts(counts={1: 2}), declared) == b'event: counts\ndata: {"counts":{"1":2}}\n\n'
    for item in (
        Counts(counts={1: 2, "1": 3}),
        ServerSentEvent(data=Counts(counts={1: 2, "1": 3})),
    ):
        with pytest.raises(EncodingError, match="two keys of one object"):
            encode(item, declared)

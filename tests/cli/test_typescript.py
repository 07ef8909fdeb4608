"""Types for TypeScript: of each schema, of whole applications, and by the command."""

import runpy
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired
from uuid import UUID

import fastapi
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, computed_field
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Host, Mount, Route, Router
from typing_extensions import TypeAliasType, TypedDict

from sse_middleware import (
    EventDiscriminator,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    SSEModel,
    event_stream,
)
from sse_middleware.__main__ import main
from sse_middleware.cli.client_stream import ClientStream
from sse_middleware.cli.typescript import typescript_of
from sse_middleware.cli.typescript_types import TypeWriter
from sse_middleware.discovery import find_streams
from sse_middleware.introspection.starlette import routes_of
from sse_middleware.items.item_type import ItemType

FASTAPI = tuple(map(int, fastapi.__version__.split(".")[:2]))
ROOT = Path(__file__).parents[2]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Pair(NamedTuple):
    left: int
    right: str


class Record(TypedDict):
    needed: int
    extra: NotRequired[int]


@dataclass
class Point:
    x: float = 0.0


class Empty(BaseModel):
    pass


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int = 1


class MessageEvent(BaseModel):  # a name that the module needs itself
    text: str = ""


class Node(BaseModel):
    """A node of a tree.

    Nothing ends it */ here.
    """

    children: "list[Node]" = []
    parent: "Node | None" = None


Json = TypeAliasType("Json", "str | list[Json] | dict[str, Json] | None")


class Everything(BaseModel):
    text: str = Field(description="A text */ of\nlines.")
    aliased: int = Field(serialization_alias="with-dash", description="An alias.")
    number: int | float | None = None
    when: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    day: date | UUID | Decimal = date(2026, 1, 1)
    literal: Literal["a", 1, True] | None = "a"
    one: Literal["only"] = "only"
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    many: list[int | None] = []
    several: set[Colour] = set()
    pair: tuple[int, str] = (1, "a")
    none_of: tuple[()] = ()
    numbers: tuple[int, ...] = ()
    named: Pair = Pair(1, "a")
    mapping: dict[str, int] = {}
    colours: dict[Colour, int] = {}
    matching: dict[Annotated[str, Field(pattern="^a")], int] = {}
    anything: Any = None
    listed: list[Any] = []
    loose: dict[str, Any] = {}
    record: Record = {"needed": 1}
    point: Point = Point()
    empty: Empty = Empty()
    open: Open = Open()
    message: MessageEvent = MessageEvent()
    node: Node | None = None
    json_value: Json = None
    strange: InstanceOf[Exception] | None = None
    hidden: int = Field(default=1, exclude=True)
    default: Any = Field(default_factory=object)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2


EVERYTHING = """\
export interface Everything {
  /**
   * A text *\\/ of
   * lines.
   */
  text: string;
  /** An alias. */
  "with-dash": number;
  number: number | null;
  when: string;
  day: string;
  literal: "a" | 1 | true | null;
  one: "only";
  colour: Colour;
  level: Level;
  many: Array<number | null>;
  several: Array<Colour>;
  pair: [number, string];
  none_of: [];
  numbers: Array<number>;
  named: Pair;
  mapping: {
    [key: string]: number;
  };
  colours: {
    [Key in Colour]?: number;
  };
  matching: {
    [key: string]: number;
  };
  anything: unknown;
  listed: Array<unknown>;
  loose: {
    [key: string]: unknown;
  };
  record: Record_;
  point: Point;
  empty: Empty;
  open: Open;
  message: MessageEvent_;
  node: Node | null;
  json_value: Json;
  strange: unknown | null;
  default: unknown;
  double: number;
}
"""


def written(**streams: Any) -> str:
    """What is written of item types, without the code that is always the same."""
    text = typescript_of(
        {name: ClientStream(ItemType.declared(one)) for name, one in streams.items()}
    )
    head, code, _ = text.partition("\n/** What the request of each stream takes.")
    assert code
    return head.partition("\n\n")[2].rstrip("\n")


def streams_in(text: str) -> str:
    return text.partition("export interface Streams ")[2]


class Sold(SSEModel, event="sold"):
    symbol: str


class Message(SSEModel, event="message"):
    text: str


class Odd(SSEModel, event="it's odd"):
    pass


class Started(BaseModel):
    type: Literal["started", "restarted"] = "started"


class Ended(BaseModel):
    type: Literal["ended"] = "ended"


Job = Annotated[Started | Ended, EventDiscriminator("type")]


def test_each_kind_of_type_is_written() -> None:
    text = written(everything=Everything)
    # An old Pydantic doesn't say what keys there are.
    text = text.replace("colours: {\n    [key: string]", "colours: {\n    [Key in Colour]?")
    assert EVERYTHING in text
    for definition in (
        'export type Colour = "red" | "blue";',
        "export type Level = 1;",
        "export type Empty = Record<string, never>;",
        "export type Json = string | Array<Json> | {\n  [key: string]: Json;\n} | null;",
        "export interface MessageEvent_ {\n  text: string;\n}",
        "/**\n * A node of a tree.\n *\n * Nothing ends it *\\/ here.\n */\n",
        "\nexport interface Node {\n  children: Array<Node>;\n  parent: Node | null;\n}",
        "export interface Open {\n  known: number;\n  [key: string]: unknown;\n}",
        "export interface Record_ {\n  needed: number;\n  extra?: number;\n}",
        "export interface Point {\n  x: number;\n}",
    ):
        assert definition in text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (True, "unknown"),
        (False, "never"),
        ({}, "unknown"),
        ({"type": "strange"}, "unknown"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "object"}, "{\n  [key: string]: unknown;\n}"),
        ({"type": "object", "additionalProperties": False}, "Record<string, never>"),
        ({"type": "array"}, "Array<unknown>"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "[string, ...Array<unknown>]"),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, "[string]"),
        (
            {"allOf": [{"$ref": "#/$defs/a.b"}, {"anyOf": [{"const": 1}, {"const": 1.5}]}]},
            "a_b_ & (1 | 1.5)",
        ),
        ({"$ref": "#/$defs/1-2"}, "_1_2"),
        ({"enum": ["a\u2028", None]}, '"a\\u2028" | null'),
    ],
    ids=str,
)
def test_a_schema_is_a_type(schema: Any, text: str) -> None:
    assert TypeWriter({"a_b": {}, "a.b": {}, "1-2": {}}).of(schema) == text


@pytest.mark.parametrize(
    ("annotation", "lines"),
    [
        (Sold, ["sold: Sold;"]),
        (Sold | Odd | None, ["sold: Sold;", '"it\'s odd": Odd;']),
        (Job, ["started: Started;", "restarted: Started;", "ended: Ended;"]),
        (ServerSentEvent[Job], ["started: Started;", "restarted: Started;", "ended: Ended;"]),
        (int, ["message: number;"]),
        (int | str | ServerSentEvent | None, ["message: number | string;"]),
        (Sold | int | str, ["sold: Sold;", "message: number | string;"]),
        (Message | int, ["message: Message | number;"]),
        (ServerSentEvent[int], ["[key: string]: number;"]),
        (ServerSentEvent[Sold] | int, ["sold: Sold;", "[key: string]: unknown;"]),
        (Any, ["[key: string]: unknown;"]),
    ],
    ids=str,
)
def test_the_events_of_a_stream(annotation: Any, lines: list[str]) -> None:
    events = "".join(f"    {line}\n" for line in lines)
    assert streams_in(written(stream=annotation)) == f"{{\n  stream: {{\n{events}  }};\n}}"


def test_no_stream_is_an_empty_map() -> None:
    assert streams_in(written()) == "{}"


# The streams of an application


def sold() -> Iterator[Sold]:
    yield Sold(symbol="A")


async def numbers() -> AsyncIterator[int]:
    yield 1


def free() -> Any:
    yield 1


def found_in(app: Any) -> list[tuple[str, str, Any]]:
    routes = routes_of(app)
    assert routes is not None
    return [
        (one.method, one.path, one.item_type and one.item_type.annotation)
        for one in find_streams(routes)
    ]


def test_the_routes_of_starlette() -> None:
    class Endpoint(HTTPEndpoint):
        get = event_stream(numbers)
        post = event_stream(sold)

        async def put(self, _request: Any) -> JSONResponse:
            return JSONResponse({})

        async def patch(self, _request: Any) -> JSONResponse | EventSourceResponse:
            return JSONResponse({})

    def response(_request: Any) -> EventSourceResponse:
        return EventSourceResponse(numbers())

    def unknown(_request: Any) -> "Missing":  # type: ignore[name-defined] # noqa: F821 - so it is
        return EventSourceResponse(numbers())

    inner = Starlette(
        routes=[
            Route("/unknown", unknown),
            Route("/many/{number:int}", event_stream(numbers), methods=["POST", "DELETE"]),
            Route("/response", response),
        ]
    )
    app = SSEMiddleware(
        Starlette(
            routes=[
                Route("/sold", event_stream(sold)),
                Route("/partial", partial(event_stream(free))),
                Mount("/inner/{name}", SSEMiddleware(inner)),
                Mount("/listed", routes=[Route("/", Endpoint)]),
                Host("example.org", Router(routes=[Route("/hosted", event_stream(numbers))])),
                Mount("/static", JSONResponse({})),
            ]
        )
    )
    assert found_in(app) == [
        ("GET", "/sold", Sold),
        ("GET", "/partial", None),
        ("POST", "/inner/{name}/many/{number}", int),
        ("GET", "/inner/{name}/response", None),
        ("GET", "/listed/", int),
        ("POST", "/listed/", Sold),
        ("PATCH", "/listed/", None),
        ("GET", "/hosted", int),
    ]
    assert routes_of(JSONResponse({})) is None


def test_the_routes_of_fastapi() -> None:
    router = APIRouter(prefix="/router")
    router.post("/numbers/{number}")(event_stream(numbers))
    inner = APIRouter()
    inner.get("/inner")(event_stream(sold))
    router.include_router(inner, prefix="/included")
    app = FastAPI()
    app.add_middleware(SSEMiddleware)
    app.get("/sold")(event_stream(sold))
    app.get("/json")(lambda: 1)
    app.include_router(router)
    app.include_router(router, prefix="/again")

    @app.websocket("/socket")
    async def socket(_socket: WebSocket) -> None:
        pass

    assert found_in(app) == [
        ("GET", "/sold", Sold),
        ("POST", "/router/numbers/{number}", int),
        ("GET", "/router/included/inner", Sold),
        ("POST", "/again/router/numbers/{number}", int),
        ("GET", "/again/router/included/inner", Sold),
    ]


@pytest.mark.skipif(FASTAPI < (0, 135), reason="this FastAPI doesn't call generators")
def test_the_response_class_of_fastapi() -> None:
    app = FastAPI()
    app.get("/sold", response_class=EventSourceResponse)(sold)
    app.get("/free", response_class=EventSourceResponse)(lambda: EventSourceResponse([1]))
    app.get("/json", response_class=JSONResponse)(lambda: 1)
    assert found_in(app) == [("GET", "/sold", Sold), ("GET", "/free", None)]


# The command

app = Starlette(
    routes=[
        Route("/sold", event_stream(sold)),
        Route("/sold", event_stream(numbers)),
        Route("/numbers", event_stream(numbers), methods=["POST"]),
    ]
)
without_streams = Starlette(routes=[Route("/response", JSONResponse({}))])
endpoint = event_stream(sold)
Unknown = TypeAliasType("Unknown", "list[Nothing]")  # type: ignore[name-defined] # noqa: F821 - so it is


def test_the_command_writes_the_streams_of_an_application(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["typescript", f"{__name__}:app"])
    text = capsys.readouterr().out
    streams = streams_in(text)
    assert streams.startswith(
        '{\n  "/sold": {\n    sold: Sold;\n  };\n  '
        '"POST /numbers": {\n    message: number;\n  };\n}\n'
    )
    assert "export function subscribe<Events>(" in streams


@pytest.mark.parametrize("name", ["Sold", "endpoint", "Everything.Config"])
def test_the_command_writes_the_events_of_a_type_or_an_endpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Everything, "Config", Sold, raising=False)
    path = tmp_path / "streams.ts"
    main(["typescript", f"{__name__}:{name}", "--output", str(path)])
    key = f'"{name}"' if "." in name else name
    text = path.read_text("utf-8")
    assert streams_in(text).startswith(f"{{\n  {key}: {{\n    sold: Sold;")
    assert "export interface Requests {}\n" in text  # nobody knows its path


@pytest.mark.parametrize(
    ("name", "types"), [("streams.js", "streams.d.ts"), ("streams.mjs", "streams.d.mts")]
)
def test_the_command_writes_javascript_and_its_types(tmp_path: Path, name: str, types: str) -> None:
    path = tmp_path / name
    main(["typescript", f"{__name__}:app", "--js", "-o", str(path)])
    code = path.read_text("utf-8")
    assert '\nconst routes = {\n  "/sold": {"idle": 45000},\n' in code
    assert "export function stream(target, init = {}) {\n" in code
    assert streams_in((tmp_path / types).read_text("utf-8")).startswith(
        '{\n  "/sold": {\n    sold: Sold;\n  };\n'
    )


def test_javascript_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["typescript", f"{__name__}:app", "--js"])
    assert caught.value.code == 2
    assert "--js writes two files, so it needs --output streams.js" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("main", "the target must be module:name (main:app), got 'main'"),
        (":app", "got ':app'"),
        ("main:", "got 'main:'"),
        ("no_such_module:app", "there is no module 'no_such_module': run this where"),
        ("tests.missing:app", "there is no module 'tests.missing': run this where"),
        (f"{__name__}:application", f"the module {__name__!r} has no 'application'"),
        (f"{__name__}:without_streams", "has no streams: no endpoint uses @event_stream"),
        (f"{__name__}:FASTAPI", "can't be validated as"),
        (f"{__name__}:Unknown", "Nothing"),
    ],
)
def test_the_command_explains_an_invalid_target(
    target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["typescript", target])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_an_import_error_inside_of_a_module_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("import no_such_module", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        main(["typescript", "broken_module:app"])


def test_the_package_is_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sse_middleware", "typescript", f"{__name__}:app"])
    runpy.run_path(str(ROOT / "sse_middleware" / "__main__.py"), run_name="__main__")
    assert '"/sold": {' in capsys.readouterr().out

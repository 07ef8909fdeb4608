"""Writes a client for streams: the types of their events, and the code that reads them.

Rules of this file:
- A client is one module without a dependency: types of this application, a table of its routes, and
  code that is always the same. That code is in the folder `client`, as TypeScript and as what the
  compiler makes of it, because users of Python may have no compiler.
- Each path has a type that maps the names of its events to their data.
- Where a schema is open, the type is ``unknown``, never ``any``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sse_middleware.cli.client_stream import ClientStream
from sse_middleware.cli.event_types import event_maps
from sse_middleware.cli.request_types import request_maps
from sse_middleware.cli.typescript_types import Schema, TypeWriter

_HEAD = """\
// Written by `python -m sse_middleware typescript`. Changes here will be lost.
/* eslint-disable */
"""

_STREAMS = """\
/** Each stream with the names of its events and the types of their data. */
export interface Streams \
"""

_REQUESTS = """\
/** What the request of each stream takes. */
export interface Requests \
"""

_ROUTES = "{ [path: string]: { idle?: number; end?: readonly [string, string] } }"

_PARTS = ("stream", "subscribe")


def typescript_of(streams: Mapping[str, ClientStream]) -> str:
    """Return a TypeScript module that reads the streams.

    Args:
        streams: by their names, usually ``"/path"`` or ``"POST /path"``.
    """
    routes = f"const routes: {_ROUTES} = {_routes(streams)};\n"
    return "\n".join([_HEAD, *_types(streams), routes, *_code("ts")])


def javascript_of(streams: Mapping[str, ClientStream]) -> str:
    """Return the module of `typescript_of` as JavaScript."""
    return "\n".join([_HEAD, f"const routes = {_routes(streams)};\n", *_code("js")])


def declarations_of(streams: Mapping[str, ClientStream]) -> str:
    """Return the types of the module of `javascript_of`."""
    return "\n".join([_HEAD, *_types(streams), *_code("d.ts")])


def _types(streams: Mapping[str, ClientStream]) -> list[str]:
    events, of_events = event_maps(streams)
    requests, definitions = request_maps(streams, of_events)
    types = TypeWriter(definitions)
    return [
        *types.definitions(),
        _STREAMS + _interface(events, types),
        _REQUESTS + _interface(requests, types),
    ]


def _interface(schema: Schema, types: TypeWriter) -> str:
    return f"{types.of(schema) if schema['properties'] else '{}'}\n"


def _routes(streams: Mapping[str, ClientStream]) -> str:
    """Return what the code knows of each stream, as an expression."""
    known = {name: route for name, one in streams.items() if (route := _route(one))}
    lines = [f"  {json.dumps(name)}: {json.dumps(route)},\n" for name, route in known.items()]
    return f"{{\n{''.join(lines)}}}" if lines else "{}"


def _route(stream: ClientStream) -> dict[str, Any]:
    idle = stream.idle_timeout
    known = {"idle": None if idle is None else round(1000 * idle), "end": stream.last}
    return {name: value for name, value in known.items() if value is not None}


def _code(extension: str) -> list[str]:
    folder = Path(__file__).parent / "client"
    return [(folder / f"{part}.{extension}").read_text("utf-8") for part in _PARTS]

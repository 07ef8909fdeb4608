"""``python -m sse_middleware typescript main:app``: the types of an application's streams."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from sse_middleware.endpoint import ITEM_TYPE
from sse_middleware.errors import ConfigurationError
from sse_middleware.item_type import ItemType
from sse_middleware.routing import routes_of
from sse_middleware.tagged import tagged_streams
from sse_middleware.typescript import typescript_of


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What can't be done is said on stderr, with the exit code 2."""
    parser = ArgumentParser(prog="python -m sse_middleware")
    commands = parser.add_subparsers(required=True)
    typescript = commands.add_parser(
        "typescript", help="write the types of streams as a TypeScript module"
    )
    typescript.add_argument(
        "target",
        help="module:name of an application, of an endpoint made by @event_stream, or of a type of "
        "items",
    )
    typescript.add_argument("-o", "--output", type=Path, help="a file, in place of stdout")
    options = parser.parse_args(arguments)
    try:
        text = typescript_of(_streams_of(options.target))
    except ConfigurationError as error:
        typescript.error(str(error))
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text, "utf-8")


def _streams_of(target: str) -> dict[str, ItemType | None]:
    """Return the item types that a target is about, by their paths or its name."""
    found = _loaded(target)
    name = target.rpartition(":")[2]
    if hasattr(found, ITEM_TYPE):
        return {name: getattr(found, ITEM_TYPE)()}
    routes = None if isinstance(found, type) else routes_of(found)
    if routes is None:
        return {name: ItemType.declared(found)}
    streams: dict[str, ItemType | None] = {}
    for one in tagged_streams(routes):
        key = one.path if one.method == "GET" else f"{one.method} {one.path}"
        streams.setdefault(key, one.item_type)  # the first route answers
    if not streams:
        raise ConfigurationError(
            f"{target} has no streams: no endpoint is tagged by @event_stream or by "
            "response_class=EventSourceResponse"
        )
    return streams


def _loaded(target: str) -> Any:
    module_name, _, name = target.partition(":")
    if not (module_name and name):
        raise ConfigurationError(f"the target must be module:name, as main:app; got {target!r}")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"there is no module {error.name!r}: start this where `import {module_name}` works"
            ) from error
        raise
    try:
        return attrgetter(name)(module)
    except AttributeError as error:
        raise ConfigurationError(f"the module {module_name!r} has no {name!r}") from error


if __name__ == "__main__":
    main()

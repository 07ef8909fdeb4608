"""The command ``typescript``: its arguments, and where it writes."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sse_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_to(commands: "_SubParsersAction[Any]") -> None:
    """Add the command to those of a parser."""
    parser: ArgumentParser = commands.add_parser(
        "typescript", help="write a client for streams as a TypeScript module"
    )
    parser.add_argument(
        "target",
        help="module:name of an application, of an endpoint with @event_stream, or of an item type",
    )
    parser.add_argument("-o", "--output", type=Path, help="a file to write instead of stdout")
    parser.add_argument(
        "--js", action="store_true", help="write JavaScript, and its types beside it as .d.ts"
    )
    parser.set_defaults(run=lambda options: run(parser, options))


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Write the client. Returns the exit code. An error exits with the code 2."""
    # The other commands need neither Starlette nor Pydantic, which take some time to import.
    from sse_middleware.cli.targets import streams_of  # noqa: PLC0415 - as said
    from sse_middleware.cli.typescript import (  # noqa: PLC0415 - as said
        declarations_of,
        javascript_of,
        typescript_of,
    )

    if options.js and options.output is None:
        parser.error("--js writes two files, so it needs --output streams.js")
    try:
        streams = streams_of(options.target)
    except ConfigurationError as error:
        parser.error(str(error))
    if options.js:
        options.output.write_text(javascript_of(streams), "utf-8")
        types = ".d.mts" if options.output.suffix == ".mjs" else ".d.ts"  # as TypeScript looks
        options.output.with_suffix(types).write_text(declarations_of(streams), "utf-8")
    elif options.output is None:
        sys.stdout.write(typescript_of(streams))
    else:
        options.output.write_text(typescript_of(streams), "utf-8")
    return 0

"""``python -m sse_middleware typescript main:app`` writes the types of an application's streams."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from sse_middleware.cli.typescript import streams_of, typescript_of
from sse_middleware.errors import ConfigurationError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. It writes an error to stderr and exits with the code 2."""
    parser = ArgumentParser(prog="python -m sse_middleware")
    commands = parser.add_subparsers(required=True)
    typescript = commands.add_parser(
        "typescript", help="write the types of streams as a TypeScript module"
    )
    typescript.add_argument(
        "target",
        help="module:name of an application, of an endpoint with @event_stream, or of an item type",
    )
    typescript.add_argument("-o", "--output", type=Path, help="a file to write instead of stdout")
    options = parser.parse_args(arguments)
    try:
        text = typescript_of(streams_of(options.target))
    except ConfigurationError as error:
        typescript.error(str(error))
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

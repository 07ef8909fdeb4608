"""``python -m sse_middleware COMMAND``: each module of `sse_middleware.cli` adds its command."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from sse_middleware.cli import typescript_command
from sse_middleware.cli.tail import command as tail_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. It exits with the code of the command, unless that is 0."""
    parser = ArgumentParser(prog="python -m sse_middleware")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    typescript_command.add_to(commands)
    tail_command.add_to(commands)
    options = parser.parse_args(arguments)
    code = options.run(options)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()

"""The command ``tail``: puts the parts together, as its arguments say."""

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sse_middleware.cli.tail.arguments import add_arguments, check
from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.follow import RETRY_DELAY, Follow, Policy
from sse_middleware.cli.tail.formats import CopiedBytes, EventJson, EventText
from sse_middleware.cli.tail.measures import Measures
from sse_middleware.cli.tail.reading import Reading, Wanted
from sse_middleware.cli.tail.request import Request, request_of
from sse_middleware.cli.tail.terminal import Screen, columns_of
from sse_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from sse_middleware.cli.tail.descriptor import Descriptor
    from sse_middleware.cli.tail.session import Parts

SIGINT = 2
"""What Ctrl-C sends, on every system."""


def add_to(commands: "_SubParsersAction[Any]") -> None:
    """Add the command to those of a parser."""
    parser: ArgumentParser = commands.add_parser("tail", help="follow an event stream")
    add_arguments(parser)
    parser.set_defaults(run=partial(run, parser))


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Follow a stream as the arguments say. Returns the exit code."""
    try:
        ending, signal = _run(options)
    except (ConfigurationError, ImportError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:  # while a password or stdin was read
        ending, signal = Ending.ENDED, SIGINT
    if signal is not None:
        from sse_middleware.cli.tail.process import die_of  # noqa: PLC0415 - needs httpx

        return die_of(signal)
    return ending


def _run(options: Namespace) -> tuple[Ending, int | None]:
    """Returns how it ended, and the number of the signal that ended it, if one did."""
    try:  # without httpx there is still a help text
        from sse_middleware.cli.tail.client import client_of  # noqa: PLC0415 - as said
    except ImportError as error:
        raise ImportError("tail needs httpx: pip install 'sse_middleware[cli]'") from error
    import anyio  # noqa: PLC0415 - takes time, too

    from sse_middleware.cli.tail.process import run_command  # noqa: PLC0415 - imports httpx
    from sse_middleware.cli.tail.session import Session  # noqa: PLC0415 - imports httpx

    if problem := check(options):
        raise ConfigurationError(problem)
    parts = _parts_of(options)
    client = client_of(options.connect_timeout, insecure=options.insecure, cacert=options.cacert)
    session = Session(
        client, parts, compressed=options.compressed, idle_timeout=options.idle_timeout
    )
    run = partial(run_command, client, session, parts, options.timeout, has_stats=options.stats)
    return anyio.run(run)


def _parts_of(options: Namespace) -> "Parts[Descriptor]":
    from sse_middleware.cli.tail.descriptor import Descriptor  # noqa: PLC0415 - imports asyncio
    from sse_middleware.cli.tail.session import Parts  # noqa: PLC0415 - imports httpx

    if sys.stdout is None:
        raise ConfigurationError("stdout is closed: there is nowhere to print events")
    request, since = _request_of(options)
    follow = Follow(_policy_of(options, request.method), since)
    measures = Measures(time.monotonic())
    reading = Reading(_wanted_of(options), follow, measures, _local_time)
    screen, output = _screen_of(options), Descriptor(sys.stdout.buffer)
    return Parts(request, follow, reading, measures, screen, output)


def _request_of(options: Namespace) -> tuple[Request, str]:
    """Return the request without its ``Last-Event-ID``, and this id."""
    ids = [line for line in options.header if line.lower().startswith("last-event-id:")]
    since = options.since if options.since is not None else "".join(ids[-1:]).partition(":")[2]
    request = request_of(
        options.url,
        method=options.request,
        headers=[line for line in options.header if line not in ids],
        data=options.data,
        user=options.user,
        cookies=options.cookie,
        agent=options.user_agent,
    )
    return request, os.fsencode(since.strip()).decode("utf-8", "replace")


def _policy_of(options: Namespace, method: str) -> Policy:
    return Policy(
        method,
        options.reconnect or ("always" if method == "GET" else "on-error"),
        options.max_retries,
        options.retry_delay or min(RETRY_DELAY, options.max_retry_delay),
        options.max_retry_delay,
    )


def _wanted_of(options: Namespace) -> Wanted:
    form: CopiedBytes | EventJson | EventText
    if options.raw:
        form = CopiedBytes(on_terminal=sys.stdout.isatty())
    elif options.json:
        form = EventJson()
    else:
        form = EventText(coloured=_is_coloured(options.color))
    encoding = "utf-8" if options.json else sys.stdout.encoding or "utf-8"
    names = frozenset(options.event)
    return Wanted(form, encoding, names, options.count, options.max_event_size)


def _is_coloured(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and not _is_dumb()


def _is_dumb() -> bool:
    return os.environ.get("TERM") == "dumb"


def _screen_of(options: Namespace) -> Screen:
    file = sys.stderr
    if file is None:
        return Screen(None)
    has_status = sys.stdout.isatty() and file.isatty() and not _is_dumb() and not options.silent
    return Screen(file, has_status=has_status, silent=options.silent, columns=columns_of(file))


def _local_time() -> datetime:
    return datetime.now().astimezone()

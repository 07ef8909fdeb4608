"""The arguments of ``tail``. Those about the request are curl's."""

import math
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace, RawTextHelpFormatter
from functools import partial
from typing import TYPE_CHECKING, Any

from sse_middleware.cli.tail.follow import MAX_RETRY_DELAY, RETRY_DELAY
from sse_middleware.cli.tail.request import Data
from sse_middleware.wire.decoding import DEFAULT_MAX_EVENT_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_TIMEOUT = 30.0
"""Seconds that a connection may take by default."""

DESCRIPTION = """\
Follow an event stream. It reconnects and resumes as a browser's EventSource
does, and it also survives a server that is away. The options about the
request are curl's, except --json: here it is about the output.
"""

EPILOG = """\
examples:
  tail localhost:8000/events
  tail localhost:8000/chat --data-json '{"text": "hello"}'
  tail localhost:8000/jobs/7 --event done --count 1 --timeout 60 --json
  tail localhost:8000/prices --stats --timeout 10

exit codes:
  0  the stream ended, or --count is reached
  1  the stream broke off and isn't resumed, or can't be read
  2  the arguments can't work
  3  the answer is no event stream, or the certificate isn't trusted
  4  there was no connection, and there are no more retries
  5  --timeout is over
  130, 143  ended by Ctrl-C or by SIGTERM
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments to a parser."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = partial(RawTextHelpFormatter, max_help_position=30, width=88)
    parser.allow_abbrev = False  # or a new option could break a script
    parser.usage = "python -m sse_middleware tail [options] URL"
    parser.add_argument("url", metavar="URL", help="http:// may be left out")
    _add_request(parser)
    _add_following(parser)
    _add_output(parser)


def _add_request(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("the request, as with curl")
    add = group.add_argument
    add("-H", "--header", action="append", default=[], metavar="LINE", help="send 'Name: value'")
    add("-X", "--request", metavar="METHOD", help="GET, or POST if there is data")
    for name, kind, text in (
        ("--data", "data", "send a form; @FILE reads a file, @- stdin"),
        ("--data-raw", "raw", "the same, but @ means nothing"),
        ("--data-binary", "binary", "the same as -d, but a file keeps its line ends"),
        ("--data-json", "json", "send JSON (curl's --json); @FILE, @- as above"),
    ):
        names = ["-d", name] if kind == "data" else [name]
        made: Callable[[str], Any] = partial(Data, kind)  # type: ignore[arg-type]
        add(*names, dest="data", action="append", default=[], type=made, metavar="DATA", help=text)
    add("-u", "--user", metavar="NAME[:PASSWORD]", help="a password that is left out is asked for")
    add("-b", "--cookie", action="append", default=[], metavar="DATA", help="send 'name=value'")
    add("-A", "--user-agent", metavar="TEXT", help="send another User-Agent")
    add("-k", "--insecure", action="store_true", help="trust any certificate")
    add("--cacert", metavar="FILE", help="trust the authorities in this file")
    add("--compressed", action="store_true", help="let the server compress the stream")
    add(
        *("--connect-timeout",),
        type=seconds,
        default=CONNECT_TIMEOUT,
        metavar="SECONDS",
        help=f"for each connection ({CONNECT_TIMEOUT:g})",
    )
    add("-L", "--location", "-N", "--no-buffer", action=_Nothing, help="accepted: it is always so")


def _add_following(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("following").add_argument
    add("--since", metavar="ID", help="begin after the event with this id")
    add(
        *("--reconnect",),
        choices=("always", "on-error", "never"),
        help="always: also when the stream ends, the default of GET.\non-error: only when it "
        "breaks off, the default of other methods",
    )
    add("--max-retries", type=number, metavar="N", help="give up after N retries without an event")
    add(
        *("--retry-delay",),
        type=seconds,
        metavar="SECONDS",
        help=f"before the first retry, unless the server says it ({RETRY_DELAY:g});\n"
        "each further one takes twice as long",
    )
    add(
        *("--max-retry-delay",),
        type=seconds,
        default=MAX_RETRY_DELAY,
        metavar="SECONDS",
        help=f"but no longer than this ({MAX_RETRY_DELAY:g})",
    )
    add(
        *("--idle-timeout",),
        type=seconds,
        metavar="SECONDS",
        help="reconnect when nothing comes for so long, no keep-alive\neither (never)",
    )
    add(
        "-m", "--timeout", "--max-time", type=seconds, metavar="SECONDS", help="end after this time"
    )


def _add_output(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    add = group.add_argument
    form = group.add_mutually_exclusive_group()
    form.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per event: time, event, id, data",
    )
    form.add_argument("--raw", action="store_true", help="print the bytes as they come")
    add(
        *("--event",),
        action="append",
        default=[],
        metavar="NAME",
        help="print and count only events of this name. An event\nwithout a name is a 'message'",
    )
    add("-n", "--count", type=positive, metavar="N", help="end after N events")
    add("--stats", action="store_true", help="print figures to stderr at the end")
    add("-s", "--silent", action="store_true", help="print no messages but the last error")
    add(
        *("--color",),
        choices=("auto", "always", "never"),
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set",
    )
    add(
        *("--max-event-size",),
        type=positive,
        default=DEFAULT_MAX_EVENT_SIZE,
        metavar="BYTES",
        help=f"refuse a larger event ({DEFAULT_MAX_EVENT_SIZE})",
    )


class _Nothing(Action):
    """An option of curl that says what is done anyway."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, *_: object) -> None:
        """Do nothing."""


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return found


def number(text: str) -> int:
    """Return a whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"{text!r} is no whole number, 0 or more")
    return int(text)


def positive(text: str) -> int:
    """Return a whole number, 1 or more."""
    found = number(text)
    if not found:
        raise ArgumentTypeError("at least 1 is needed")
    return found


def check(options: Namespace) -> str:
    """Return what is wrong with arguments that don't go together, or the empty string."""
    if options.raw and options.event:
        return "--raw prints everything, so --event has no effect on it: use one of them"
    if options.insecure and options.cacert:
        return "-k trusts any certificate, so --cacert has no effect: use one of them"
    return ""

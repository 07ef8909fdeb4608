"""Runs a session as the process of a command: signals, the end of its reader, its time limit.

Rules of this file:
- The first SIGINT or SIGTERM ends the session in good order. A second one ends the process at once.
- A signal that is ignored stays so: a shell has background jobs ignore SIGINT.
- A process that a signal has ended dies of that signal. So a shell knows it, and a loop in a script
  ends with the command.
- A reader of the output that has had enough, such as ``head``, is no error.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import anyio
import httpx

from sse_middleware.cli.tail.descriptor import Descriptor
from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.session import Parts, Session


@dataclass
class Caught:
    """The signal that came, if one did."""

    number: int | None = None


async def run_command(
    client: httpx.AsyncClient,
    session: Session,
    parts: Parts[Descriptor],
    seconds: float | None,
    *,
    has_stats: bool,
) -> tuple[Ending, int | None]:
    """Run a session as `run_session`, close its client, and print its figures if wanted."""
    async with client:
        ending, number = await run_session(session, parts.output, seconds)
    parts.screen.status("")
    if has_stats:
        parts.screen.lines(parts.measures.summary(anyio.current_time()))
    if number is not None:  # now, since the event loop waits for a thread that looks up a name
        die_of(number)
    return ending, number


async def run_session(
    session: Session, output: Descriptor, seconds: float | None
) -> tuple[Ending, int | None]:
    """Run a session until it ends, or a signal, its reader or the time ends it.

    Returns:
        How it ended, and the number of the signal that ended it, if one did.
    """
    ending = Ending.TIMED_OUT

    async def until_reader_gone() -> None:
        nonlocal ending
        await output.reader_gone()
        ending = Ending.ENDED
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        with stopped_by_signals(tasks.cancel_scope.cancel) as caught:
            tasks.start_soon(session.show_status)
            tasks.start_soon(until_reader_gone)
            try:
                with anyio.move_on_after(seconds):
                    ending = await session.run()
            except BrokenPipeError:
                ending = Ending.ENDED
            tasks.cancel_scope.cancel()
    return ending, caught.number


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[Caught]:
    """Have the first SIGINT or SIGTERM of the block call `stop` in the running event loop."""
    loop = asyncio.get_running_loop()
    caught = Caught()

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.number = number
        signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop)

    before = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            if number != caught.number:
                signal.signal(number, handler)


def die_of(number: int) -> int:
    """End the process by a signal. Returns its exit code, should it survive that."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    return 128 + number

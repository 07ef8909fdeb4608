"""The table of docs/faults.md, row by row, where a fault can be produced in memory.

Each test shows what the client, the generator and observers see. Afterwards no task, no generator
and no slot is left.
"""

import re
from asyncio import CancelledError
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.background import BackgroundTask
from starlette.types import Message

from sse_middleware import CloseReason, EncodingError, EventSourceResponse, SSEMiddleware
from sse_middleware.observers import StreamRecord
from sse_middleware.testing import ProtocolError
from tests.served import ClosedStreams, OopsError, call, chunks_of, events_of

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "faults.md"


class Fault:
    """One stream, and what its generator and its observers see."""

    def __init__(self) -> None:
        self.closed_streams = ClosedStreams()
        self.seen: list[str] = []
        self.middleware: SSEMiddleware | None = None

    def app(self, content: Any, **options: Any) -> SSEMiddleware:
        observers = [self.closed_streams, *options.pop("observers", [])]
        self.middleware = SSEMiddleware(content, observers=observers, **options)
        return self.middleware

    async def items(self, error: Exception | None = None) -> AsyncIterator[int]:
        """Yield once, then wait or fail; note what is seen here."""
        try:
            yield 1
            if error is not None:
                raise error
            await anyio.sleep_forever()
            yield 0  # it could go on
        except anyio.get_cancelled_exc_class():
            self.seen.append("cancelled")
            raise
        finally:
            self.seen.append("finally")

    async def silent(self) -> AsyncIterator[int]:
        """Yield nothing; note the end."""
        try:
            await anyio.sleep_forever()
            yield 1
        finally:
            self.seen.append("finally")

    def check(self, reason: CloseReason, *seen: str, error: Any = None) -> None:
        (closed,) = self.closed_streams.records
        assert closed.reason == reason
        assert closed.error is error or isinstance(closed.error, error)
        assert self.seen == [*seen]
        assert self.middleware is not None
        assert self.middleware.stats().open == 0


async def count() -> AsyncIterator[int]:
    yield 1


@pytest.fixture
def fault(nothing_left_behind: None) -> Fault:
    return Fault()


async def test_fin_or_rst(fault: Fault) -> None:
    async with events_of(fault.app(EventSourceResponse(fault.items()))) as events:
        await events.next()
        await events.disconnect()
    fault.check(CloseReason.CLIENT_DISCONNECTED, "cancelled", "finally")


async def test_client_gone_before_the_first_event(fault: Fault) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    app = fault.app(EventSourceResponse(fault.silent(), commit_after=1000))
    await call(app, leave=partial(anyio.sleep, 1), send=send)
    assert [message.get("body") for message in sent] == [None, b""], "an answer that no one reads"
    fault.check(CloseReason.CLIENT_DISCONNECTED, "finally")


async def test_stalled_reader(fault: Fault) -> None:
    async def flow() -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 100_000
        finally:
            fault.seen.append("finally")

    app = fault.app(EventSourceResponse(flow()), send_timeout=5)
    async with chunks_of(app, window=1) as chunks:
        await fault.closed_streams.wait_for(1)
        await anext(chunks)
        with pytest.raises(ProtocolError, match="without its last"):
            await anext(chunks)
    fault.check(CloseReason.SEND_TIMEOUT, "finally")


async def test_exception_in_the_generator(fault: Fault) -> None:
    async with events_of(fault.app(EventSourceResponse(fault.items(OopsError())))) as events:
        await events.next()
        with pytest.raises(OopsError):
            await events.next()
    fault.check(CloseReason.ERROR, "finally", error=OopsError)


async def test_exception_in_the_generator_before_the_first_event(fault: Fault) -> None:
    async def items() -> AsyncIterator[int]:
        fault.seen.append("started")
        raise OopsError
        yield 1

    with pytest.raises(OopsError):
        async with events_of(fault.app(EventSourceResponse(items()))):
            pytest.fail("a status came")
    fault.check(CloseReason.ERROR, "started", error=OopsError)


async def test_exception_in_the_serializer(fault: Fault) -> None:
    def broken(item: Any) -> str:
        if item == 2:
            raise OopsError
        return str(item)

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        except EncodingError as error:
            fault.seen.append(type(error.__cause__).__name__)
            raise

    async with events_of(fault.app(EventSourceResponse(items()), serializer=broken)) as events:
        await events.next()
        with pytest.raises(EncodingError):
            await events.next()
    fault.check(CloseReason.ERROR, "OopsError", error=EncodingError)


@pytest.mark.parametrize("error", [OopsError, ConnectionRefusedError])
async def test_exception_in_the_ping(fault: Fault, error: type[Exception]) -> None:
    def broken() -> str:
        raise error

    app = fault.app(EventSourceResponse(fault.items()), ping=broken)
    async with events_of(app) as events:
        await events.next()
        with pytest.raises(error):
            await events.next()
    fault.check(CloseReason.ERROR, "cancelled", "finally", error=error)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError])
async def test_what_is_no_exception_in_the_ping(fault: Fault, error: type[BaseException]) -> None:
    def broken() -> str:
        raise error

    app = fault.app(EventSourceResponse(fault.items()), ping=broken)
    with pytest.raises(error):
        await call(app)
    fault.check(CloseReason.ERROR, "cancelled", "finally", error=error)


async def test_exception_in_an_observer(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: StreamRecord) -> None:
        raise OopsError

    app = fault.app(EventSourceResponse(fault.items()), observers=[broken])
    async with events_of(app) as events:
        await events.next()
    assert "OopsError" in caplog.text
    fault.check(CloseReason.CLIENT_DISCONNECTED, "cancelled", "finally")


async def test_exception_in_the_background_task(fault: Fault) -> None:
    async def broken() -> None:
        raise OopsError

    app = fault.app(EventSourceResponse([1], background=BackgroundTask(broken)))
    async with events_of(app) as events:
        await events.next()
        with pytest.raises(OopsError):
            await anext(events)
        assert events.body == b"data: 1\n\n"
    fault.check(CloseReason.FINISHED)


@pytest.mark.parametrize("what", ["send", "receive"])
async def test_exception_in_the_server(fault: Fault, what: str) -> None:
    async def fail() -> None:
        if what == "send":
            await anyio.sleep_forever()
        await anyio.sleep(1)
        raise OopsError

    async def send(message: Message) -> None:
        if what == "send" and b"ping" in message.get("body", b""):
            raise OopsError

    with pytest.raises(OopsError):
        await call(fault.app(EventSourceResponse(fault.items())), leave=fail, send=send)
    fault.check(CloseReason.ERROR, "cancelled", "finally", error=OopsError)


@pytest.mark.parametrize("last", [True, False])
async def test_send_says_that_the_client_is_gone(fault: Fault, last: bool) -> None:
    async def send(message: Message) -> None:
        is_last = message.get("more_body") is False
        if is_last if last else b"ping" in message.get("body", b""):
            raise ConnectionResetError

    content = count() if last else fault.items()
    await call(fault.app(EventSourceResponse(content)), send=send)
    fault.check(CloseReason.CLIENT_DISCONNECTED, *([] if last else ["cancelled", "finally"]))


async def test_cancelled_by_the_server(fault: Fault) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, fault.app(EventSourceResponse(fault.items())), send=send))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [message.get("more_body") for message in sent] == [None, True], "the body has no end"
    fault.check(CloseReason.CANCELLED, "cancelled", "finally")


async def test_drain_during_commit(fault: Fault) -> None:
    app = fault.app(EventSourceResponse(fault.silent(), commit_after=1000))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drain_soon, app)
        async with events_of(app) as events:
            assert [event async for event in events] == []
            assert events.response.status_code == 200
            assert events.reconnection_time is not None
    fault.check(CloseReason.DRAINED, "finally")


async def drain_soon(app: SSEMiddleware) -> None:
    await anyio.wait_all_tasks_blocked()
    await app.drain()


def test_every_row_names_tests_that_exist() -> None:
    served = [HERE.parent / "e2e/test_faults.py", *HERE.parent.glob("e2e/test_drain*.py")]
    sources = {path: path.read_text() for path in (*served, HERE / __file__)}
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 13
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row)
        assert names, row
        for name in names:
            assert any(f"def {name}(" in source for source in sources.values()), name

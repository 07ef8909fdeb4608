"""``on_disconnect="finish"``: a generator goes on to its end without its client."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from starlette.types import Message

from sse_middleware import CloseReason, ConfigurationError, EventSourceResponse, SSEMiddleware
from sse_middleware.presets import Preset
from sse_middleware.settings import StreamSettings
from tests.patience import PATIENCE
from tests.served import ClosedStreams, OopsError, call, events_of, observed

pytestmark = pytest.mark.anyio


class Work:
    """Generators that take their time, and how far they got."""

    def __init__(self) -> None:
        self.log: list[object] = []

    async def steps(self) -> AsyncIterator[str]:
        try:
            for number in range(3):
                yield "x" * 100
                await anyio.sleep(1)
                self.log.append(number)
        finally:
            self.log.append("finally")

    def blocking(self) -> Iterator[str]:
        for number in range(3):
            yield "x" * 100_000
            self.log.append(number)

    async def fast(self) -> AsyncIterator[str]:
        for _ in range(5_000):
            yield "x" * 100
        self.log.append("end")

    async def endless(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
                await anyio.sleep(1)
        finally:
            self.log.append("finally")

    async def busy(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 1_000
        finally:
            self.log.append("finally")

    async def failing(self) -> AsyncIterator[str]:
        yield "x"
        await anyio.sleep(1)
        raise OopsError

    async def late(self) -> AsyncIterator[str]:
        await anyio.sleep(1)
        yield "x"
        self.log.append("end")


def finishing(content: Any, **options: Any) -> tuple[SSEMiddleware, ClosedStreams]:
    return observed(EventSourceResponse(content, on_disconnect="finish", **options))


async def test_a_generator_goes_on_to_its_end() -> None:
    work = Work()
    app, closed_streams = finishing(work.steps())
    async with events_of(app) as events:
        await events.next()
        await events.disconnect()
    assert await closed_streams.wait_for(1) == [CloseReason.CLIENT_DISCONNECTED]
    assert work.log == [0, 1, 2, "finally"]
    assert closed_streams.records[0].events == 1, "events without a client are not sent"


async def test_its_stream_is_open_until_then() -> None:
    work = Work()
    app, _ = finishing(work.steps())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, leave=partial(anyio.sleep, 0.5)))
        await anyio.sleep(1.5)
        assert app.stats().open == 1
    assert app.stats().open == 0
    assert work.log == [0, 1, 2, "finally"]


@pytest.mark.parametrize("kind", ["blocking", "fast"])
async def test_the_buffer_does_not_limit_it(kind: str) -> None:
    work = Work()
    left = anyio.Event()

    async def send(message: Message) -> None:
        if message.get("body"):
            left.set()
            await anyio.lowlevel.checkpoint()

    app, closed_streams = finishing(getattr(work, kind)(), max_buffer=1000)
    await call(app, leave=left.wait, send=send)
    assert work.log[-1] == {"blocking": 2, "fast": "end"}[kind]
    assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_a_client_that_leaves_before_the_first_event_is_still_answered() -> None:
    work = Work()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    app, _ = finishing(work.late())
    await call(app, leave=partial(anyio.sleep, 0.1), send=send)
    assert work.log == ["end"]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("send_timeout", [None, 0.5])
async def test_a_send_that_fails_is_a_disconnect_too(send_timeout: float | None) -> None:
    work = Work()

    async def send(message: Message) -> None:
        if message.get("body"):
            raise ConnectionResetError

    app, closed_streams = finishing(work.steps(), send_timeout=send_timeout)
    await call(app, send=send)
    assert work.log == [0, 1, 2, "finally"]
    assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_its_error_is_raised() -> None:
    work = Work()
    app, closed_streams = finishing(work.failing())
    with pytest.raises(OopsError):
        await call(app, leave=partial(anyio.sleep, 0.5))
    assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]
    assert isinstance(closed_streams.records[0].error, OopsError)


async def test_a_drain_ends_it() -> None:
    work = Work()
    app, _ = finishing(work.endless())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, leave=partial(anyio.sleep, 0.5)))
        await anyio.sleep(5)
        assert work.log == []
        await app.drain()
    assert work.log == ["finally"]


@pytest.mark.parametrize(
    ("limit", "seconds"), [({"max_duration": 10}, 10), ({"idle_timeout": 0.7}, 1)]
)
async def test_a_limit_ends_it(limit: dict[str, float], seconds: float) -> None:
    work = Work()
    begin = anyio.current_time()
    app, _ = finishing(work.endless(), **limit)
    await call(app, leave=partial(anyio.sleep, 0.5))
    assert anyio.current_time() - begin <= seconds
    assert work.log == ["finally"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_limit_ends_one_that_never_waits(backend: str) -> None:
    """Run in real time: virtual time stands still while there is always something to do."""
    work = Work()
    app, closed_streams = finishing(work.busy(), max_duration=0.1)

    async def main() -> None:
        with anyio.fail_after(PATIENCE):
            await call(app, leave=anyio.lowlevel.checkpoint)

    anyio.run(main, backend=backend)
    assert work.log == ["finally"]
    assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_events_without_a_client_still_begin_the_idle_timeout_again() -> None:
    work = Work()
    options = {"idle_timeout": 1.5, "max_duration": 20.0}
    begin = anyio.current_time()
    app, _ = finishing(work.endless(), **options)
    await call(app, leave=partial(anyio.sleep, 0.5))
    assert anyio.current_time() - begin >= 18


async def test_a_disconnect_after_the_last_event_changes_nothing() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1

    app, closed_streams = finishing(items())
    async with events_of(app) as events:
        assert [event.json() async for event in events] == [1]
    assert closed_streams.reasons == [CloseReason.FINISHED]


@pytest.mark.parametrize(
    ("preset", "setting", "expected"),
    [("finish", None, True), ("finish", "cancel", False), (None, None, False)],
)
async def test_a_preset_may_set_it(preset: Any, setting: Any, expected: bool) -> None:
    work = Work()
    options: dict[str, Any] = {}
    if setting:
        options["on_disconnect"] = setting
    if preset:
        options["preset"] = Preset(on_disconnect=preset)
    app = SSEMiddleware(EventSourceResponse(work.steps(), **options))
    await call(app, leave=partial(anyio.sleep, 0.5))
    assert (2 in work.log) is expected


@pytest.mark.parametrize("make", [StreamSettings, Preset])
@pytest.mark.parametrize("value", [None, True, "detach"])
def test_a_bad_value_is_refused(make: Callable[..., Any], value: Any) -> None:
    with pytest.raises(ConfigurationError, match="on_disconnect must be 'cancel' or 'finish'"):
        make(on_disconnect=value)


async def test_it_goes_on_where_the_client_only_stops_reading() -> None:
    work = Work()
    app, closed_streams = finishing(work.steps(), send_timeout=0.5)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    with anyio.fail_after(60):
        await call(app, send=send)
    assert work.log == [0, 1, 2, "finally"]
    assert closed_streams.reasons == [CloseReason.SEND_TIMEOUT]


async def test_a_send_that_hangs_may_come_back_meanwhile() -> None:
    work = Work()
    app, closed_streams = finishing(work.steps(), send_timeout=0.5)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep(1)

    await call(app, send=send)
    assert work.log == [0, 1, 2, "finally"]
    assert closed_streams.reasons == [CloseReason.SEND_TIMEOUT]


async def test_a_limit_holds_where_the_client_has_left_before_the_first_step() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        """Send to nobody."""

    async def silent() -> AsyncIterator[str]:
        await anyio.sleep_forever()
        yield "x"

    app, closed = observed(
        EventSourceResponse(silent(), on_disconnect="finish", idle_timeout=5, commit_after=60)
    )
    begin = anyio.current_time()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert anyio.current_time() - begin == pytest.approx(5, abs=0.1)
    assert closed.reasons == [CloseReason.CLIENT_DISCONNECTED]

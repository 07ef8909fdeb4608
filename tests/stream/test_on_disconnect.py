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
from tests.served import Ends, OopsError, call, events_of

pytestmark = pytest.mark.anyio


class Work:
    """A generator that takes its time, and what it has come to."""

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

    async def failing(self) -> AsyncIterator[str]:
        yield "x"
        await anyio.sleep(1)
        raise OopsError

    async def late(self) -> AsyncIterator[str]:
        await anyio.sleep(1)
        yield "x"
        self.log.append("end")


def served(content: Any, ends: Ends, **options: Any) -> SSEMiddleware:
    response = EventSourceResponse(content, on_disconnect="finish", **options)
    return SSEMiddleware(response, observers=[ends])


async def test_a_generator_goes_on_to_its_end() -> None:
    work, ends = Work(), Ends()
    app = served(work.steps(), ends)
    async with events_of(app) as events:
        await events.next()
        await events.disconnect()
    assert await ends.until() == [CloseReason.CLIENT_DISCONNECTED]
    assert work.log == [0, 1, 2, "finally"]
    assert ends.records[0].events == 1, "what nobody read was not sent"


async def test_it_holds_its_place_meanwhile() -> None:
    work, ends = Work(), Ends()
    app = served(work.steps(), ends)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, leave=partial(anyio.sleep, 0.5)))
        await anyio.sleep(1.5)
        assert app.stats().open == 1
    assert app.stats().open == 0
    assert work.log == [0, 1, 2, "finally"]


@pytest.mark.parametrize("kind", ["blocking", "fast"])
async def test_the_buffer_is_no_bound(kind: str) -> None:
    work, ends = Work(), Ends()
    left = anyio.Event()

    async def send(message: Message) -> None:
        if message.get("body"):
            left.set()
            await anyio.lowlevel.checkpoint()

    await call(served(getattr(work, kind)(), ends, max_buffer=1000), leave=left.wait, send=send)
    assert work.log[-1] == {"blocking": 2, "fast": "end"}[kind]
    assert ends.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_before_the_first_event_somebody_above_still_has_an_answer() -> None:
    work, ends = Work(), Ends()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def leave() -> None:
        await anyio.sleep(0.1)

    await call(served(work.late(), ends), leave=leave, send=send)
    assert work.log == ["end"]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("send_timeout", [None, 0.5])
async def test_a_send_that_fails_says_so_too(send_timeout: float | None) -> None:
    work, ends = Work(), Ends()

    async def send(message: Message) -> None:
        if message.get("body"):
            raise ConnectionResetError

    await call(served(work.steps(), ends, send_timeout=send_timeout), send=send)
    assert work.log == [0, 1, 2, "finally"]
    assert ends.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_what_it_raises_goes_on() -> None:
    work, ends = Work(), Ends()
    with pytest.raises(OopsError):
        await call(served(work.failing(), ends), leave=partial(anyio.sleep, 0.5))
    assert ends.reasons == [CloseReason.CLIENT_DISCONNECTED]
    assert isinstance(ends.records[0].error, OopsError)


async def test_a_drain_ends_it() -> None:
    work, ends = Work(), Ends()
    app = served(work.endless(), ends)
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
    work, ends = Work(), Ends()
    begin = anyio.current_time()
    await call(served(work.endless(), ends, **limit), leave=partial(anyio.sleep, 0.5))
    assert anyio.current_time() - begin <= seconds
    assert work.log == ["finally"]


async def test_events_keep_the_idle_timeout_away() -> None:
    work, ends = Work(), Ends()
    options = {"idle_timeout": 1.5, "max_duration": 20.0}
    begin = anyio.current_time()
    await call(served(work.endless(), ends, **options), leave=partial(anyio.sleep, 0.5))
    assert anyio.current_time() - begin >= 18


async def test_after_the_last_event_nothing_is_left_to_finish() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1

    ends = Ends()
    async with events_of(served(items(), ends)) as events:
        assert [event.json() async for event in events] == [1]
    assert ends.reasons == [CloseReason.FINISHED]


@pytest.mark.parametrize(
    ("preset", "setting", "expected"),
    [("finish", None, True), ("finish", "cancel", False), (None, None, False)],
)
async def test_a_preset_may_say_so(preset: Any, setting: Any, expected: bool) -> None:
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

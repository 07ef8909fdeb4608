"""What stands around the items of a run: a preset's frames, errors, positions."""

import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from sse_middleware import EventSourceResponse, Hub, ServerSentEvent
from sse_middleware.hub.run import RunState, end_marker
from sse_middleware.presets import OPENAI, Preset
from tests.hub.runs.kit import (
    RUN,
    Workers,
    answer_to,
    asking,
    attaching,
    data_of,
    events_in,
    for_ever,
    joined,
    last_id,
    never_called,
    numbers,
    until_state,
    viewed,
)
from tests.served import OopsError, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

PRESET = Preset(
    first=ServerSentEvent(data="first"), last=ServerSentEvent(raw_data="[DONE]"), farewell=None
)


async def fail() -> AsyncIterator[int]:
    yield 1
    raise OopsError("a secret")


def with_preset(hub: Hub, preset: Preset = PRESET) -> Any:
    """Return an application whose viewers have a preset."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(await hub.attach("k"), preset=preset)(scope, receive, send)

    return app


def texts(body: bytes) -> list[str]:
    return [event.data for event in events_in(body)]


class TestPreset:
    async def test_for_whoever_asked_and_all_others(self, hub: Hub) -> None:
        body = (await answer_to(asking(hub, numbers(2, 1), preset=PRESET))).content
        assert texts(body) == ['"first"', "0", "1", "[DONE]"]
        for app in (with_preset(hub), asking(hub, numbers(9), preset=PRESET)):
            assert texts((await answer_to(app)).content) == texts(body)
        for number, event in enumerate(events_in(body)[:3], 1):
            resumed = (await answer_to(with_preset(hub), event.last_event_id)).content
            assert texts(resumed) == texts(body)[number:]
        last = events_in(body)[-1]
        assert last.last_event_id == last_id(body)  # the end comes before it, so this is 204
        assert (await answer_to(with_preset(hub), last.last_event_id)).status_code == 204
        assert texts((await answer_to(attaching(hub))).content) == ['"first"', "0", "1"]

    async def test_the_first_frame_is_kept_once(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub:
            for _ in range(3):
                await answer_to(asking(hub, numbers(2), preset=PRESET))
            log = joined(memory_workers.faults[0].appends_of())
            assert log == b'data: "first"\n\ndata: 0\n\ndata: 1\n\n' + end_marker(RunState.DONE)

    async def test_a_first_frame_with_an_id(self, hub: Hub) -> None:
        for key, own in (("k", "mine"), ("l", "")):
            preset = Preset(first=ServerSentEvent(data="first", id=own))
            await hub.resumable(key, numbers(1), preset=preset)
            body = (await answer_to(attaching(hub, key))).content
            assert data_of(body) == ["first", 0]
            assert {len(found) for found in re.findall(rb"^id: ?(.*)$", body, re.MULTILINE)} == {15}

    async def test_a_first_frame_of_nothing_but_an_id(self, hub: Hub) -> None:
        preset = Preset(first=ServerSentEvent(id="mine"))
        await hub.resumable("k", numbers(1), preset=preset)
        body = (await answer_to(attaching(hub))).content
        assert b"mine" not in body
        assert data_of(body) == [0]

    async def test_a_first_frame_that_can_not_be_made(self, hub: Hub) -> None:
        def first() -> ServerSentEvent:
            raise OopsError

        with pytest.raises(OopsError):
            await hub.resumable("k", never_called, preset=Preset(first=first))
        assert await hub.state("k") is RunState.ERROR
        assert await viewed(hub) == []

    @pytest.mark.parametrize("end", ["fail", "stop", "restart", "drain"])
    async def test_no_last_frame_unless_it_is_done(self, workers: Workers, end: str) -> None:
        async def view() -> None:
            async with events_of(with_preset(hub)) as events:
                assert (await events.next()).json() in (0, 1)
                viewing.set()
                assert [event.raw_data async for event in events] == []

        viewing = anyio.Event()
        async with (
            workers.hub() as hub,
            anyio.create_task_group() as tasks,
            workers.hub(drain_grace_resumable=0) as other,
        ):
            await other.resumable("k", fail if end == "fail" else for_ever)
            tasks.start_soon(view)
            await viewing.wait()
            if end == "stop":
                assert await hub.stop("k")
            if end == "restart":
                await hub.resumable("k", for_ever, restart=True)

    async def test_openai(self, hub: Hub) -> None:
        await hub.resumable("k", numbers(2), preset=OPENAI)
        assert texts((await answer_to(with_preset(hub, OPENAI))).content)[-1] == "[DONE]"


class TestError:
    async def test_it_is_the_last_event(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", fail, error_event=lambda error: type(error).__name__)
            for one in (hub, other):
                body = (await answer_to(attaching(one))).content
                assert data_of(body) == [1, "OopsError"]
                assert b"secret" not in body
                at = events_in(body)[0].last_event_id
                assert await viewed(one, at) == ["OopsError"]
                assert (await answer_to(attaching(one), last_id(body))).status_code == 204
                assert await one.state("k") is RunState.ERROR

    async def test_without_one_nothing_is_told(self, hub: Hub) -> None:
        body = (await answer_to(asking(hub, fail))).content
        assert data_of(body) == [1]
        assert b"secret" not in body

    @pytest.mark.parametrize("wrong", ["raises", "none", "type"])
    async def test_one_that_can_not_be_made(
        self, hub: Hub, wrong: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def error_event(_: Exception) -> Any:
            if wrong == "raises":
                raise LookupError("of its own")
            return object() if wrong == "type" else None

        await hub.resumable("k", fail, error_event=error_event)
        assert await viewed(hub) == [1]
        assert await hub.state("k") is RunState.ERROR
        told = "no event tells the error of a run: k" in caplog.text
        assert told == (wrong != "none")

    async def test_its_id_is_the_hub_s(self, hub: Hub) -> None:
        await hub.resumable("k", fail, error_event=lambda _: ServerSentEvent(data="x", id="mine"))
        body = (await answer_to(attaching(hub))).content
        assert data_of(body) == [1, "x"]
        assert b"mine" not in body

    async def test_the_traceback_is_logged(
        self, hub: Hub, caplog: pytest.LogCaptureFixture
    ) -> None:
        await hub.resumable("k", fail)
        await until_state(hub, RunState.ERROR)
        (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
        assert record.getMessage() == "a run failed: k"
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], OopsError)

    async def test_a_cleanup_that_fails(self, hub: Hub) -> None:
        async def generate() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                raise OopsError("while closing")

        await hub.resumable("k", generate, error_event=str)
        assert await viewed(hub) == [1, 2, "while closing"]
        assert await hub.state("k") is RunState.ERROR

    async def test_one_that_only_closing_shows(self, hub: Hub) -> None:
        class Closes:
            def __init__(self) -> None:
                self.items = iter([1])

            def __aiter__(self) -> "Closes":
                return self

            async def __anext__(self) -> int:
                for item in self.items:
                    return item
                raise StopAsyncIteration

            async def aclose(self) -> None:
                raise OopsError("while closing")

        await hub.resumable("k", Closes, error_event=str)
        assert await viewed(hub) == [1, "while closing"]


class TestPosition:
    async def test_silence_moves_it(self, workers: Workers) -> None:
        async with workers.hub() as hub:
            await hub.resumable("k", for_ever)
            async with events_of(attaching(hub)) as events:
                assert (await events.next()).json() == 0
                at = await hub.publish("other", 1)
                await anyio.sleep(31)
                ids = re.findall(rb"^id: (\w{15})$", events.body, re.MULTILINE)
                assert ids == sorted(ids)
                assert ids[-1] >= at.encode()
                assert b"ping" not in events.body
                last = ids[-1].decode()
            await hub.stop("k")
            assert await viewed(hub, last) == []

    async def test_before_the_first_event(self, hub: Hub) -> None:
        await hub.resumable("k", numbers(2, 100))
        async with events_of(attaching(hub)) as events:
            await events.next_id()
            await events.reconnect()
            assert (await events.next()).json() in (0, 1)

    async def test_a_run_that_says_nothing_at_first(self, hub: Hub) -> None:
        async def generate() -> AsyncIterator[int]:
            await anyio.sleep(100)
            yield 1

        await hub.resumable("k", generate)
        async with events_of(attaching(hub)) as events:
            at = await events.next_id()
            await anyio.sleep(40)
            assert len(re.findall(rb"^id: ", events.body, re.MULTILINE)) >= 3
            assert b"data" not in events.body
        assert await viewed(hub, at) == [1]


class TestGathering:
    async def test_the_first_event_is_written_at_once(self, memory_workers: Workers) -> None:
        async def generate() -> AsyncIterator[int]:
            yield 1
            began.append(anyio.current_time())
            await anyio.sleep(0.001)
            yield 2
            await anyio.sleep(1)
            yield 3
            await anyio.sleep_forever()

        began: list[float] = []
        async with memory_workers.hub() as hub:
            await hub.resumable("k", generate)
            async with events_of(attaching(hub)) as events:
                for within in (0, 0.011, 1.001):
                    await events.next()
                    assert anyio.current_time() - began[0] <= within + 0.0005
            await hub.stop("k")

    async def test_what_comes_within_10_ms_is_appended_together(
        self, memory_workers: Workers
    ) -> None:
        async with memory_workers.hub() as hub:
            await hub.resumable("k", numbers(1000, 0.001))
            assert await viewed(hub) == list(range(1000))
            assert 90 <= len(memory_workers.faults[0].appends_of()) <= 105

    async def test_4_kb_are_appended_at_once(self, memory_workers: Workers) -> None:
        async def generate() -> AsyncIterator[str]:
            for _ in range(100):
                yield "x" * 1000
                await anyio.sleep(0.0001)

        async with memory_workers.hub() as hub:
            began = anyio.current_time()
            await hub.resumable("k", generate)
            assert len(await viewed(hub)) == 100
            assert anyio.current_time() - began < 0.1
            sizes = [sum(map(len, blocks)) for blocks in memory_workers.faults[0].appends_of()]
            assert 20 <= len(sizes) <= 30
            assert max(sizes) < 6000

    async def test_a_slow_store_slows_the_generator(self, memory_workers: Workers) -> None:
        yielded: list[int] = []

        async def generate() -> AsyncIterator[str]:
            for number in range(300):
                yield "x" * 1000
                yielded.append(number)

        async with memory_workers.hub() as hub:
            memory_workers.faults[0].delays = {"append": 1}
            await hub.resumable("k", generate)
            await anyio.sleep(0.5)
            assert len(yielded) < 140
            memory_workers.faults[0].delays = {}
            assert len(await viewed(hub)) == 300
            assert all(
                sum(map(len, blocks)) < 70_000
                for topic, blocks in memory_workers.faults[0].appends
                if topic == RUN
            )

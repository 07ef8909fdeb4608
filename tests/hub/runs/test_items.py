"""What the generator of a run may yield, and what it gets if it yields anything else."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel

from sse_middleware import Hub, ServerSentEvent, SSEModel
from sse_middleware.errors import EncodingError
from sse_middleware.hub.run import RunState
from sse_middleware.hub.runs.plan import MAX_BYTES
from sse_middleware.presets import Preset
from tests.hub.runs.kit import (
    Workers,
    answer_to,
    attaching,
    data_of,
    events_in,
    until_state,
    viewed,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


class Token(SSEModel, event="token"):
    text: str


class Shown(BaseModel):
    text: str


class Secret(Shown):
    secret: str = "x"


async def body_of_run(hub: Hub, *items: Any, **options: Any) -> bytes:
    """Return what a viewer gets of a run that yields these items."""

    async def generate() -> AsyncIterator[Any]:
        for item in items:
            yield item

    await hub.resumable("k", generate, **options)
    return (await answer_to(attaching(hub))).content


class TestKinds:
    async def test_all_fields(self, hub: Hub) -> None:
        item = ServerSentEvent(data={"x": 1}, event="note", retry=7, comment="hello")
        body = await body_of_run(hub, item)
        assert re.search(
            rb"id: \w{15}\n: hello\nevent: note\ndata: \{\"x\":1\}\nretry: 7\n\n", body
        )

    async def test_several_lines(self, hub: Hub) -> None:
        text = "a\nrun: done\n\nrun: started\n"
        body = await body_of_run(hub, ServerSentEvent(raw_data=text, comment=text), 1)
        assert [event.data for event in events_in(body)] == [text, "1"]

    async def test_typed_events_are_named(self, hub: Hub) -> None:
        (event,) = events_in(await body_of_run(hub, Token(text="hi")))
        assert (event.type, event.data) == ("token", '{"text":"hi"}')

    async def test_what_a_preset_makes_of_them(self, hub: Hub) -> None:
        preset = Preset(to_event=lambda data: ServerSentEvent(data=data, event=data["kind"]))
        (event,) = events_in(await body_of_run(hub, {"kind": "a"}, preset=preset))
        assert (event.type, event.data) == ("a", '{"kind":"a"}')

    async def test_none_does_nothing(self, hub: Hub) -> None:
        body = await body_of_run(hub, None, 1, None, None, 2, None)
        assert data_of(body) == [1, 2]
        assert b"ping" not in body

    async def test_nothing_but_none_lets_others_run(self, hub: Hub) -> None:
        async def generate() -> AsyncIterator[None]:
            while True:
                yield None

        await hub.resumable("k", generate)
        with anyio.fail_after(5):
            assert await hub.stop("k")
            await until_state(hub, RunState.STOPPED)

    async def test_nothing_at_all(self, hub: Hub) -> None:
        body = await body_of_run(hub)
        assert data_of(body) == []
        assert await hub.state("k") is RunState.DONE

    @pytest.mark.parametrize("make", [list, tuple, iter, set, dict.fromkeys])
    async def test_any_iterable(self, hub: Hub, make: Any) -> None:
        content = make([1, 2, 3])
        if isinstance(content, dict):  # it is one item
            with pytest.raises(TypeError, match="content must be an iterable"):
                await hub.resumable("k", lambda: content)
            return
        await hub.resumable("k", lambda: content)
        assert await viewed(hub) == [1, 2, 3]

    async def test_an_iterator_of_a_class(self, hub: Hub) -> None:
        class Countdown:
            def __init__(self) -> None:
                self.left = 3

            def __aiter__(self) -> "Countdown":
                return self

            async def __anext__(self) -> int:
                if not self.left:
                    raise StopAsyncIteration
                self.left -= 1
                return self.left

        await hub.resumable("k", Countdown)
        assert await viewed(hub) == [2, 1, 0]

    async def test_a_synchronous_generator(self, workers: Workers) -> None:
        closed: list[str] = []

        def generate() -> Iterator[Any]:
            try:
                for number in range(2000):
                    yield {"number": number, "text": "x" * 100}
                yield None
            finally:
                closed.append("closed")

        async with workers.hub() as hub:
            await hub.resumable("k", generate)
            assert [one["number"] for one in await viewed(hub)] == list(range(2000))
            assert closed == ["closed"]

    async def test_others_run_while_a_generator_never_waits(self, hub: Hub) -> None:
        passes: list[int] = []

        async def generate() -> AsyncIterator[int]:
            began = len(passes)
            number = 0
            while len(passes) < began + 3:  # it ends only if others run
                number += 1
                yield number

        async def run() -> None:
            while True:
                passes.append(1)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await hub.resumable("k", generate, max_bytes=2**40)
            await viewed(hub)
            tasks.cancel_scope.cancel()
        assert await hub.state("k") is RunState.DONE

    async def test_others_run_while_a_generator_computes(self, hub: Hub) -> None:
        passes: list[int] = []

        async def generate() -> AsyncIterator[int]:
            for _ in range(20):
                time.sleep(0.002)  # noqa: ASYNC251 - it computes, and never waits
                yield len(passes)

        async def run() -> None:
            while True:
                passes.append(1)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await hub.resumable("k", generate)
            first, *_, last = await viewed(hub)
            tasks.cancel_scope.cancel()
        assert last > first + 2


class TestRefused:
    @pytest.mark.parametrize("id", ["mine", ""])
    @pytest.mark.parametrize("data", [2, None])
    async def test_an_id(self, hub: Hub, id: str, data: Any) -> None:
        caught: list[str] = []

        async def generate() -> AsyncIterator[Any]:
            yield 1
            for _ in range(2):
                try:
                    yield ServerSentEvent(data=data, id=id)
                except EncodingError as error:
                    caught.append(str(error))
            yield 3

        await hub.resumable("k", generate)
        body = (await answer_to(attaching(hub))).content
        assert data_of(body) == [1, 3]
        assert [len(value) for value in re.findall(rb"^id: ?(.*)$", body, re.MULTILINE)] == [15] * 4
        assert len(caught) == 2
        assert "with an id" in caught[0]
        assert "generate" in caught[0]

    @pytest.mark.parametrize("id", ["mine", ""])
    async def test_an_id_that_a_preset_gives(self, hub: Hub, id: str) -> None:
        preset = Preset(to_event=lambda data: ServerSentEvent(data=data, id=id))
        assert data_of(await body_of_run(hub, {"a": 1}, preset=preset)) == []
        assert await hub.state("k") is RunState.ERROR

    async def test_an_id_that_nobody_catches(self, hub: Hub) -> None:
        body = await body_of_run(hub, 1, ServerSentEvent(data=2, id="x"), 3)
        assert data_of(body) == [1]
        assert await hub.state("k") is RunState.ERROR

    async def test_what_can_not_be_encoded(self, hub: Hub) -> None:
        raised: list[BaseException] = []

        async def generate() -> AsyncIterator[Any]:
            yield 1
            try:
                yield object()
            except EncodingError as error:
                raised.append(error)
                yield 2
            yield lambda: None

        await hub.resumable("k", generate)
        assert await viewed(hub) == [1, 2]
        assert await hub.state("k") is RunState.ERROR
        assert "type object" in str(raised.pop())

    async def test_an_event_that_is_too_large(self, hub: Hub) -> None:
        raised: list[str] = []

        async def generate() -> AsyncIterator[Any]:
            for item in ("a" * 200, ServerSentEvent(data="b" * 200), "c"):
                try:
                    yield item
                except EncodingError as error:
                    raised.append(str(error))
            yield "d"

        await hub.resumable("k", generate, max_event_size=100)
        assert await viewed(hub) == ["c", "d"]
        assert len(raised) == 2

    async def test_a_synchronous_generator_catches_it(self, hub: Hub) -> None:
        def generate() -> Iterator[Any]:
            try:
                yield ServerSentEvent(data=1, id="x")
            except EncodingError:
                yield 2

        await hub.resumable("k", generate)
        assert await viewed(hub) == [2]


class TestItemType:
    async def test_data_is_validated_and_filtered(self, hub: Hub) -> None:
        body = await body_of_run(hub, Secret(text="a"), {"text": "b"}, {"text": 3}, item_type=Shown)
        assert data_of(body) == [{"text": "a"}, {"text": "b"}]
        assert await hub.state("k") is RunState.ERROR

    async def test_it_is_not_that_of_the_viewer(self, hub: Hub) -> None:
        body = await body_of_run(hub, Secret(text="a"))
        assert data_of(body) == [{"text": "a", "secret": "x"}]


class TestMaxBytes:
    @pytest.mark.parametrize("wrapped", [False, True])
    @pytest.mark.parametrize("synchronous", [False, True])
    async def test_at_the_bound(self, hub: Hub, wrapped: bool, synchronous: bool) -> None:
        size = len(b"data: 1\n\n")
        closed: list[int] = []

        def generate() -> Iterator[Any]:
            try:
                for number in range(1, 10):
                    yield ServerSentEvent(data=number) if wrapped else number
            finally:
                closed.append(1)

        async def generate_async() -> AsyncIterator[Any]:
            try:
                for number in range(1, 10):
                    yield ServerSentEvent(data=number) if wrapped else number
            finally:
                closed.append(1)

        factory: Any = generate if synchronous else generate_async
        for key, most in (("exact", 9 * size), ("over", 9 * size - 1), ("none", 1)):
            await hub.resumable(key, factory, max_bytes=most, error_event=repr)
        assert await viewed(hub, key="exact") == list(range(1, 10))
        assert await hub.state("exact") is RunState.DONE
        *taken, error = await viewed(hub, key="over")
        assert taken == list(range(1, 9))
        assert error.startswith("RunTooLargeError(")
        assert f"take more than max_bytes={9 * size - 1}" in error
        assert len(await viewed(hub, key="none")) == 1
        assert await hub.state("over") is await hub.state("none") is RunState.ERROR
        assert len(closed) == 3

    async def test_a_large_event_in_between_is_the_end(self, hub: Hub) -> None:
        assert data_of(await body_of_run(hub, 1, "x" * 1000, 2, max_bytes=500)) == [1]

    async def test_the_first_frame_counts(self, hub: Hub) -> None:
        preset = Preset(first=ServerSentEvent(data="x" * 1000))
        assert data_of(await body_of_run(hub, 1, max_bytes=500, preset=preset)) == []
        assert await hub.state("k") is RunState.ERROR

    async def test_what_the_generator_raises_after_it(self, hub: Hub) -> None:
        async def generate() -> AsyncIterator[str]:
            try:
                yield "x" * 100
            finally:
                raise ValueError("in the cleanup")

        await hub.resumable("k", generate, max_bytes=10, error_event=lambda error: str(error)[:3])
        assert await viewed(hub) == ["the"]

    async def test_the_default(self, hub: Hub) -> None:
        await hub.resumable("k", lambda: ["x" * (MAX_BYTES // 20)] * 20)
        assert len(await viewed(hub)) == 19

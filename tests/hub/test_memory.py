"""What a store in memory costs."""

import anyio
import pytest

from sse_middleware.hub.abc import DAY
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def test_a_topic_that_has_expired_is_forgotten_but_for_its_last_clock() -> None:
    store = MemoryStore()
    for number in range(100):
        await store.append(f"t{number}", (b"x",), Keep(seconds=10))
    await anyio.sleep(11)
    for _ in range(60):
        await store.append("other", (b"x",), Keep(seconds=20))
    assert list(store._topics) == ["other"]
    assert len(store._last) == 100
    await anyio.sleep(DAY / 1e6)
    for _ in range(60):
        await store.append("other", (b"x",), Keep(seconds=20))
    assert not store._last


async def test_an_append_removes_a_few_topics_only() -> None:
    store = MemoryStore()
    for number in range(100):
        await store.append(f"t{number}", (b"x",), Keep(seconds=10))
    await anyio.sleep(11)
    await store.append("other", (b"x",), Keep(seconds=10))
    assert len(store._topics) == 99


async def test_nothing_is_remembered_of_once_for_long() -> None:
    store = MemoryStore()
    for number in range(100):
        await store.append("a", (b"x",), Keep(), once=str(number))
    await anyio.sleep(61)
    await store.append("a", (b"x",), Keep())
    assert not store._once


async def test_no_listener_is_left() -> None:
    store = MemoryStore()
    listener = store.listen(lambda *_: None, lambda *_: None, lambda: None)
    await listener.add(("a", "b"))
    listener.close()
    assert not store._listeners


async def test_a_topic_that_never_keeps_anything() -> None:
    store = MemoryStore()
    for _ in range(3):
        await store.append("a", (b"x",), Keep(count=0))
    assert list(store._last) == ["a"]
    assert not store._topics

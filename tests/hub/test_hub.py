"""What an application does with a hub."""

from collections.abc import Sequence

import anyio
import pytest
from pydantic import BaseModel

from sse_middleware.errors import (
    ConfigurationError,
    EncodingError,
    FieldError,
    HubError,
    StoreError,
    TopicError,
)
from sse_middleware.events import ServerSentEvent
from sse_middleware.hub.abc import Snapshot
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.items.item_encoding import LOOKED_AT
from sse_middleware.items.typed_events import SSEModel
from tests.hub.subscribers import passed, subscribed

pytestmark = pytest.mark.anyio


class Note(BaseModel):
    text: str


class Typing(SSEModel, event="typing"):
    user: str


class Unfit(MemoryStore):
    """A store that can't work as it is set up."""

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        raise ConfigurationError("set it up in another way")


async def test_a_store_that_cannot_work_is_told_at_once() -> None:
    hub = Hub(store=Unfit)
    with pytest.raises(ConfigurationError, match="in another way"):
        await hub.open()
    assert not hub.is_open


class Silent(MemoryStore):
    """A store that doesn't answer."""

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_store_that_does_not_answer_is_away() -> None:
    async with Hub(store=Silent) as hub:
        with pytest.raises(StoreError, match="no answer in 5 s"):
            await hub.publish("a", 1)
        with pytest.raises(StoreError, match="no answer in 5 s"):
            await hub.position()


class TestPublish:
    async def test_everybody_gets_it(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as one, subscribed(hub, "a", "b") as other:
            await hub.publish("a", {"n": 1})
            await hub.publish("b", {"n": 2})
            await passed()
            assert one.data() == [{"n": 1}]
            assert other.data() == [{"n": 1}, {"n": 2}]

    async def test_its_id_is_returned(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            published = [await hub.publish("a", number) for number in range(3)]
            await passed()
            assert [event.last_event_id for event in taken.events()] == published
            assert published == sorted(published)

    async def test_items(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            await hub.publish("a", Note(text="x"))
            await hub.publish("a", "two\nlines", event="text")
            await hub.publish("a", Typing(user="u"))
            await hub.publish("a", Typing(user="u"), event="typing")
            await hub.publish("a", ServerSentEvent(raw_data="1\n2", event="raw"))
            await passed()
            found = [(event.type, event.data) for event in taken.events()]
            assert found == [
                ("message", '{"text":"x"}'),
                ("text", '"two\\nlines"'),
                ("typing", '{"user":"u"}'),
                ("typing", '{"user":"u"}'),
                ("raw", "1\n2"),
            ]

    async def test_an_event_with_other_fields(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            event = ServerSentEvent(data=1, retry=5, comment="c")
            at = await hub.publish("a", event, event="x")
            await passed()
            expected = f"id: {at}\nevent: x\n: c\ndata: 1\nretry: 5\n\n"
            assert taken.wire.endswith(expected.encode())

    @pytest.mark.parametrize(
        ("item", "event", "message"),
        [
            (None, None, "raw_data='null'"),
            (ServerSentEvent(data=1, id="x"), None, "put yours into the data"),
            (ServerSentEvent(data=1, id=""), None, "put yours into the data"),
            (ServerSentEvent(data=1, event="x"), "y", "leave out event="),
            (Typing(user="u"), "y", "leave out event="),
            (object(), None, "publish gave an item of type object"),
        ],
    )
    async def test_what_is_refused(self, item: object, event: str | None, message: str) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            with pytest.raises(EncodingError, match=message):
                await hub.publish("a", item, event=event)
            await passed()
            assert taken.data() == []
            assert (await hub.history("a")).events == ()

    async def test_keys_are_looked_at_however_many_items_there_were(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            for number in range(LOOKED_AT + 1):
                await hub.publish("other", {"number": number})
            with pytest.raises(EncodingError, match="two keys of one object"):
                await hub.publish("a", {1: 2, "1": 3})
            await hub.publish("a", {None: 1})
            await passed()
            assert taken.data() == [{"null": 1}]

    async def test_a_name_must_be_one_line(self) -> None:
        async with Hub() as hub:
            with pytest.raises(FieldError, match="single line"):
                await hub.publish("a", 1, event="x\ny")

    async def test_once(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            first = await hub.publish("a", 1, once="order-42")
            assert await hub.publish("a", 2, once="order-42") == first
            await passed()
            assert taken.data() == [1]
            for wrong in ("", 5):
                with pytest.raises(ConfigurationError, match="once must be a text"):
                    await hub.publish("a", 1, once=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["", "a\n", "\0disconnect", "x" * 256, "\ud800", 5, None, ["a"]])
async def test_a_topic_that_can_not_be(topic: str) -> None:
    async with Hub() as hub:
        for call in (hub.publish(topic, 1), hub.history(topic)):
            with pytest.raises(TopicError, match="a topic must be a str of 1 to 255 characters"):
                await call
        with pytest.raises(TopicError, match=r"a topic must be|an argument of its own"):
            hub.subscribe("a", topic)


@pytest.mark.parametrize("topics", [["a", "b"], ("a",), {"a"}, frozenset("a")])
def test_topics_in_one_argument(topics: str) -> None:
    with pytest.raises(TopicError, match=r"each topic is an argument.*subscribe\(\*topics\), got"):
        Hub().subscribe(topics)


async def test_names_are_checked_however_many_there_are() -> None:
    async with Hub() as hub:
        for number in range(3000):
            await hub.publish(f"user:{number}", 1)
        assert len(hub._keeps) <= 1024


class TestWrongUse:
    async def test_nothing_to_subscribe_to(self) -> None:
        with pytest.raises(ConfigurationError, match="one topic at least"):
            Hub().subscribe()

    async def test_an_id_that_is_none(self) -> None:
        for wrong in ({"after": "begin"}, {"since": "x"}, {"after": 5}):
            what = r'^(since must be|after must be "start", or) an id of a hub.*got'
            with pytest.raises(ConfigurationError, match=what):
                Hub().subscribe("a", **wrong)

    async def test_a_history_after_what_is_no_text(self) -> None:
        async with Hub() as hub:
            with pytest.raises(ConfigurationError, match="after must be an id, or None, got 5"):
                await hub.history("a", after=5)  # type: ignore[arg-type]

    async def test_a_filter_that_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="where must be a function"):
            Hub().subscribe("a", where=5)  # type: ignore[arg-type]

    async def test_nobody_to_disconnect(self) -> None:
        async with Hub() as hub:
            for wrong in (None, ""):
                with pytest.raises(ConfigurationError, match="subject must be what identifies"):
                    await hub.disconnect(wrong)
            with pytest.raises(ConfigurationError, match="subject must be"):
                hub.subscribe("a", subject="")

    async def test_a_hub_that_is_not_open(self) -> None:
        hub = Hub()
        for call in (
            hub.publish("a", 1),
            hub.history("a"),
            hub.position(),
            hub.disconnect("u"),
            hub.subscribe("a").open(bool),
        ):
            with pytest.raises(HubError, match=r"is not open: SSEMiddleware\(hub=hub\)"):
                await call
        async with hub:
            await hub.publish("a", 1)
        with pytest.raises(HubError, match="the hub is not open"):
            await hub.publish("a", 1)

    async def test_a_hub_that_is_open_already(self) -> None:
        async with Hub() as hub:
            with pytest.raises(HubError, match="open already"):
                await hub.open()

    async def test_another_event_loop(self) -> None:
        async with Hub() as hub:

            def elsewhere() -> None:
                anyio.run(hub.publish, "a", 1)

            with pytest.raises(HubError, match=r"another event loop or thread.*publish_sync"):
                await anyio.to_thread.run_sync(elsewhere)

    async def test_a_thread_without_an_event_loop(self) -> None:
        async with Hub() as hub:

            def elsewhere() -> None:
                with pytest.raises(HubError, match="another event loop or thread"):
                    hub.publish("a", 1).send(None)

            await anyio.to_thread.run_sync(elsewhere)

    async def test_what_topics_keep(self) -> None:
        for wrong in (5, {"a": 5}, {5: Keep()}):
            with pytest.raises(ConfigurationError, match="keep must be a Keep, or a dict"):
                Hub(keep=wrong)  # type: ignore[arg-type]


class TestHistory:
    async def test_all_that_is_kept(self) -> None:
        async with Hub(keep={"x*": Keep(count=2)}) as hub:
            for number in range(3):
                await hub.publish("a", number, event="n")
                await hub.publish("x1", number)
            history = await hub.history("a")
            assert [(event.topic, event.event) for event in history.events] == [("a", "n")] * 3
            assert [event.json() for event in history.events] == [0, 1, 2]
            assert history.gap is None
            assert [event.json() for event in (await hub.history("x1")).events] == [1, 2]

    async def test_in_pages(self) -> None:
        async with Hub() as hub:
            ids = [await hub.publish("a", number) for number in range(5)]
            first = await hub.history("a", limit=2)
            assert [event.id for event in first.events] == ids[:2]
            assert first.position == ids[1]
            rest = await hub.history("a", after=first.position)
            assert [event.id for event in rest.events] == ids[2:]
            assert (await hub.history("a", after=rest.position)).events == ()
            with pytest.raises(ConfigurationError, match="limit must be a number of events"):
                await hub.history("a", limit=0)

    async def test_gaps_are_told(self) -> None:
        async with Hub(keep=Keep(count=2)) as hub:
            ids = [await hub.publish("a", number) for number in range(4)]
            assert (await hub.history("a", after=ids[0])).gap == "expired"
            assert (await hub.history("a", after=ids[1])).gap is None
            unknown = await hub.history("a", after="what?")
            assert unknown.gap == "reset"
            assert [event.json() for event in unknown.events] == [2, 3]
            later = f"Z{ids[0][1:]}"
            assert (await hub.history("a", after=later)).gap == "reset"


class TestPosition:
    async def test_what_comes_after_it_is_replayed(self) -> None:
        async with Hub() as hub:
            await hub.publish("job", 1)
            at = await hub.position()
            await hub.publish("job", 2)
            async with subscribed(hub, "job", last_id=at) as taken:
                assert taken.data() == [2]

    async def test_it_exists_before_the_first_event(self) -> None:
        async with Hub() as hub:
            at = await hub.position()
            assert await hub.publish("a", 1) > at


async def test_a_hub_that_is_closed_ends_its_subscriptions() -> None:
    hub = Hub()
    await hub.open()
    async with subscribed(hub, "a") as taken:
        assert not taken.subscription.ended
        wakes = taken.wakes
        await hub.close()
        await hub.close()
        assert taken.subscription.ended
        assert taken.wakes == wakes + 1
        assert taken.subscription.take(100) == b""


async def test_a_hub_can_be_opened_again() -> None:
    hub = Hub()
    ids = []
    for _ in range(2):
        async with hub:
            ids.append(await hub.publish("a", 1))
    async with hub, subscribed(hub, "a", last_id=ids[0]) as taken:
        assert taken.data() == [("reset", "a")]

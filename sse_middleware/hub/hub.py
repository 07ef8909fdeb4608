"""`Hub`: publish to topics, and subscribe to them.

Rules of this file:
- What an application passes is checked where it passes it. What a client sends is never an error.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sse_middleware.errors import ConfigurationError, TopicError, printable
from sse_middleware.guarded import Authorize
from sse_middleware.hub.abc import Store
from sse_middleware.hub.history import History, read_history
from sse_middleware.hub.http_publisher import MAX_SIZE, HTTPPublisher
from sse_middleware.hub.hub_runs import HubRuns
from sse_middleware.hub.ids import Position, format_position, parse_position
from sse_middleware.hub.keep import Keep, KeepRules
from sse_middleware.hub.publishing import EventEncoder, check_once, check_topic
from sse_middleware.hub.revocations import KEEP, TOPIC
from sse_middleware.hub.stores import store_maker
from sse_middleware.hub.subscription import Subscription
from sse_middleware.hub.wanted import Wanted, Where, checked_subject, named_subject
from sse_middleware.validation import check, check_count, check_function, check_seconds

_TOPICS_REMEMBERED = 1024
"""How many topics' names are not checked again."""


class Hub(HubRuns):
    """Sends events to the subscribers of topics, and replays what they missed.

    Without a URL it keeps events in the memory of its process. The processes of one machine share
    them in a file (``sqlite:///events.db``), those of many machines in Redis (``redis://host``).
    ``async with hub:`` opens it.

    Ids are positions in all topics of the hub. They reveal when something was last published.

    Args:
        url: where events are, ``None`` for the memory of this process.
        keep: what topics keep, for all of them, or by pattern: ``{"chat:*": Keep(500)}``. The
            first pattern that matches counts.
        prefix: of all names in Redis, ``"sse"`` by default. Hubs that share it share their topics.
        durable: whether a restart of the store loses nothing that it has acknowledged. Otherwise
            each restart is told as a gap.
        client: the application's own client of Redis, in place of a URL. The hub makes connections
            of its own, with the same arguments.
        store: makes a store of the application's own.
        drain_grace_resumable: seconds that runs have to end by themselves when the hub is closed.

    Raises:
        ConfigurationError: one of them can't work.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        keep: Keep | Mapping[str, Keep] | None = None,
        prefix: str | None = None,
        durable: bool = False,
        client: Any = None,
        store: Callable[[], Store] | None = None,
        drain_grace_resumable: float = 1.0,
    ) -> None:
        check_seconds("drain_grace_resumable", drain_grace_resumable, "0 ends them", zero=True)
        make_store = store or store_maker(url, prefix=prefix, durable=durable, client=client)
        super().__init__(make_store, drain_grace_resumable)
        self._keep_rules = KeepRules(Keep() if keep is None else keep)
        self._keeps: dict[str, Keep] = {}
        self._encoder = EventEncoder()
        self._wanted = Wanted(())  # the latest, which most subscribers share

    async def publish(
        self, topic: str, item: Any, *, event: str | None = None, once: str | None = None
    ) -> str:
        """Send an event to all subscribers of a topic.

        Two events are in order if the first call was awaited before the second began.

        Args:
            topic: its name, 1 to 255 characters without control characters.
            item: a `ServerSentEvent` without an id, or data.
            event: the event's name.
            once: publishes nothing if the topic had an event with this text within a minute.

        Returns:
            The event's id, or the id of that event.

        Raises:
            TopicError: the topic can't have this name.
            EncodingError: the item can't be sent.
            StoreError: the store is away, and nothing was published.
            PublishUnknownError: the store may have published it. Publish it again with `once`.
            HubError: the hub is not open, or in another event loop.
        """
        running = self._here()
        keep = self._keep_of(topic)
        block = self._encoder.encode(item, event)
        check_once(once)
        return await running.append(topic, block, keep, once)

    def publish_sync(
        self, topic: str, item: Any, *, event: str | None = None, once: str | None = None
    ) -> str:
        """Publish like `publish`, from any thread but the event loop's own.

        Raises:
            HubError: the hub is not open, was closed meanwhile, or this is its event loop's thread.
        """
        running = self._opened()
        return running.calls.run(lambda: self.publish(topic, item, event=event, once=once))

    def publisher(
        self, *, authorize: Authorize | None = None, max_size: int = MAX_SIZE
    ) -> HTTPPublisher:
        """Return an ASGI application by which other languages publish.

        ``app.mount("/publish", hub.publisher(authorize=check))``. Then ``POST /publish/<topic>``
        publishes its body, and ``?event=`` and ``?once=`` mean what they do in `publish`.

        Args:
            authorize: needed. Gets the request, with the topic as ``request.path_params["topic"]``,
                and returns True if it may publish, or raises Starlette's ``HTTPException``. It runs
                in the event loop, and may be async.
            max_size: bytes of a body.

        Raises:
            ConfigurationError: there is no `authorize`, or another argument can't work.
        """
        return HTTPPublisher(self.publish, authorize, max_size)

    def subscribe(
        self,
        *topics: str,
        after: str | None = None,
        since: str | None = None,
        where: Where | None = None,
        subject: object = None,
    ) -> Subscription:
        """Subscribe to topics. Nothing happens before the subscription is opened.

        Args:
            topics: their names.
            after: where a client begins that has no id: ``"start"`` with all that is kept, an id
                after that event, ``None`` with what is published from now on.
            since: an id before which no client begins, whatever its own id.
            where: returns whether the subscriber wants a `PublishedEvent`.
            subject: whose stream it is, for `disconnect`.

        Raises:
            TopicError: a topic can't have this name.
            ConfigurationError: there is no topic, or another argument can't work.
        """
        names = _checked_topics(topics)
        check_function("where", where)
        kept = min(self._keep_of(name).count for name in names)
        wanted = Wanted(
            names,
            None if after in (None, "start") else _position('after must be "start", or', after),
            after == "start",
            None if since is None else _position("since must be", since),
            where=where,
            dropped_in_a_row=max(1, kept // 4),
            subject=checked_subject(subject),
        )
        if wanted == self._wanted:
            wanted = self._wanted
        elif where is None:  # a filter may hold much
            self._wanted = wanted
        return Subscription(self._find_running, wanted, self._clock())

    async def history(self, topic: str, *, after: str | None = None, limit: int = 100) -> History:
        """Return what is kept of a topic, without a stream.

        Args:
            topic: its name.
            after: an id. ``None`` for all that is kept.
            limit: how many events, from the oldest on.

        Raises:
            TopicError: the topic can't have this name.
            ConfigurationError: `after` is no text, or `limit` is not over 0.
            HubError: the hub is not open, or in another event loop.
        """
        check_topic(topic)
        check("after", after, after is None or isinstance(after, str), "an id, or None")
        check_count("limit", limit, "events")
        return await read_history(self._here().read, topic, after, limit)

    async def position(self) -> str:
        """Return an id: everything that is published from now on comes after it.

        Raises:
            HubError: the hub is not open, or in another event loop.
        """
        state = (await self._here().read((), 0, 0)).state
        return format_position(Position(state.clock, state.mark))

    async def disconnect(self, subject: object) -> None:
        """End all streams of a subject, on every worker.

        A stream ends if its subscription was made before this call. The client comes back, and it
        is for the application to refuse it.

        Args:
            subject: what `subscribe` got.

        Raises:
            ConfigurationError: it is ``None`` or an empty text.
            HubError: the hub is not open, or in another event loop.
        """
        block = self._encoder.encode(named_subject(subject), None)
        await self._here().append(TOPIC, block, KEEP, None)

    def _keep_of(self, topic: str) -> Keep:
        keep = self._keeps.get(topic) if isinstance(topic, str) else None
        if keep is None:
            check_topic(topic)
            if len(self._keeps) >= _TOPICS_REMEMBERED:
                self._keeps.clear()
            keep = self._keeps[topic] = self._keep_rules.of(topic)
        return keep


def _checked_topics(topics: tuple[object, ...]) -> tuple[str, ...]:
    """Return the names of topics, each once."""
    if not topics:
        raise ConfigurationError("subscribe needs one topic at least: hub.subscribe('news')")
    if any(isinstance(topic, list | tuple | set | frozenset) for topic in topics):
        raise TopicError(
            "each topic is an argument of its own: hub.subscribe(*topics), "
            f"got {printable(repr(topics))}"
        )
    return tuple(dict.fromkeys(map(check_topic, topics)))


def _position(must_be: str, value: object) -> Position:
    position = parse_position(value) if isinstance(value, str) else None
    if position is None:
        raise ConfigurationError(
            f"{must_be} an id of a hub, as publish and position return it, "
            f"got {printable(repr(value))}"
        )
    return position

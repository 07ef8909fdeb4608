"""`Publisher`: publishes from any thread, without an event loop.

Rules of this file:
- It publishes to the store of hubs that run elsewhere. So it needs a URL.
- It checks and encodes as a hub does.
"""

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

from sse_middleware.hub.ids import Position, format_position
from sse_middleware.hub.keep import Keep, KeepRules
from sse_middleware.hub.publishing import EventEncoder, check_once, check_topic
from sse_middleware.hub.revocations import KEEP as KEEP_REVOCATIONS
from sse_middleware.hub.revocations import TOPIC as REVOCATIONS
from sse_middleware.hub.stores import REDIS_SCHEMES, imported_for
from sse_middleware.hub.wanted import named_subject

_SENDERS = MappingProxyType(
    dict.fromkeys(REDIS_SCHEMES, "sse_middleware.hub.redis.sender:redis_sender")
)
"""By scheme: a function that returns what appends, from a URL, `prefix` and `durable`."""


class Publisher:
    """Publishes to the subscribers of hubs, from a task queue, a script or a framework of threads.

    It connects at the first publish. Threads may share it, and so may processes that are forked.
    Hubs in a file have none: to publish to them, open a `Hub` with their URL.

    Args:
        url: of the hubs, which are in Redis.
        keep: as the hubs have it. Who publishes to a topic says how much of it is kept.
        prefix: of the hubs.
        durable: of the hubs.

    Raises:
        ConfigurationError: one of them can't work.
    """

    def __init__(
        self,
        url: str,
        *,
        keep: Keep | Mapping[str, Keep] | None = None,
        prefix: str = "sse",
        durable: bool = False,
    ) -> None:
        self._keep_rules = KeepRules(Keep() if keep is None else keep)
        self._encoder = EventEncoder()
        make = imported_for(
            url,
            _SENDERS,
            "a Publisher is for hubs in Redis, and for hubs in a file open a Hub with their URL: "
            "the URL must",
        )
        self._sender = make(url, prefix=prefix, durable=durable)

    def publish(
        self, topic: str, item: Any, *, event: str | None = None, once: str | None = None
    ) -> str:
        """Publish like `Hub.publish`. Returns the event's id.

        Raises:
            TopicError: the topic can't have this name.
            EncodingError: the item can't be sent.
            StoreError: the store is away, and nothing was published.
            PublishUnknownError: the store may have published it. Publish it again with `once`.
        """
        check_topic(topic)
        block = self._encoder.encode(item, event)
        check_once(once)
        appended = self._sender.append(topic, (block,), self._keep_rules.of(topic), once)
        return format_position(Position(appended.clocks[0], appended.mark))

    def disconnect(self, subject: object) -> None:
        """End all streams of a subject, like `Hub.disconnect`.

        Raises:
            ConfigurationError: it is ``None`` or an empty text.
            StoreError: the store is away, and no stream ends.
            PublishUnknownError: they may end. Disconnect it again.
        """
        block = self._encoder.encode(named_subject(subject), None)
        self._sender.append(REVOCATIONS, (block,), KEEP_REVOCATIONS, None)

    def close(self) -> None:
        """Close the connection. The next publish makes another one."""
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

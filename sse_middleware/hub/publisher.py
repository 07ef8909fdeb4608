"""`Publisher`: publishes from any thread, without an event loop.

Rules of this file:
- It publishes to the store of hubs that run elsewhere. So memory is none for it.
- It checks and encodes as a hub does.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType, TracebackType
from typing import Any, Self

from sse_middleware.errors import ConfigurationError, printable
from sse_middleware.hub.ids import Position, format_position
from sse_middleware.hub.keep import Keep, KeepRules
from sse_middleware.hub.publishing import EventEncoder, check_topic
from sse_middleware.validation import check

_REDIS = "sse_middleware.hub.redis.sender:redis_sender"

_SENDERS = MappingProxyType(
    {
        "redis": _REDIS,
        "rediss": _REDIS,
        "redis+sentinel": _REDIS,
        "rediss+sentinel": _REDIS,
        "unix": _REDIS,
    }
)
"""By scheme: a function that returns what appends, from a URL, `prefix` and `durable`."""


class Publisher:
    """Publishes to the subscribers of hubs, from a task queue, a script or a framework of threads.

    It connects at the first publish. Threads may share it, and so may processes that are forked.

    Args:
        url: of the hubs.
        keep: of the hubs. What publishes says how much is kept.
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
        self._sender = _sender_of(url)(url, prefix=prefix, durable=durable)

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
        if once is not None:
            check("once", once, isinstance(once, str) and once != "", "a text that names the event")
        appended = self._sender.append(topic, (block,), self._keep_rules.of(topic), once)
        return format_position(Position(appended.clocks[0], appended.mark))

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


def _sender_of(url: str) -> Callable[..., Any]:
    scheme = url.partition(":")[0] if isinstance(url, str) else ""
    if scheme not in _SENDERS:
        schemes = ", ".join(f"{known}://" for known in _SENDERS)
        raise ConfigurationError(
            f"a Publisher needs the URL of its hubs, one of {schemes}, got {printable(scheme)!r}"
        )
    module, _, name = _SENDERS[scheme].partition(":")
    sender: Callable[..., Any] = getattr(import_module(module), name)
    return sender

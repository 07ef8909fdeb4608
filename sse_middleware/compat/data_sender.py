"""The data sender of sse-starlette: a function of the user's that runs during a stream."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio

from sse_middleware.event_loop.raised_again import raise_again
from sse_middleware.introspection.generators import Stage
from sse_middleware.stream.abc import Producer


class DataSender:
    """Runs the data sender of a stream. Its failure cancels the stream's scope."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self._own_scope = anyio.CancelScope()
        self._failure: Exception | None = None

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run the user's function, and keep what it raises."""
        try:
            with self._own_scope:
                await work()
        except Exception as error:
            self._failure = error
            self.scope.cancel()

    def cancel(self) -> None:
        """Cancel the data sender: the stream ends."""
        self._own_scope.cancel()

    def raise_failure(self) -> None:
        """Raise what the user's function raised."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise_again(failure)


class ProducerWithSender:
    """The producer of a stream with a data sender, which is cancelled first.

    Most generators close the channel that the sender feeds, and a sender that still waited there
    would get an error.
    """

    __slots__ = ("_producer", "_sender", "produce", "when_idle")

    def __init__(self, producer: Producer, sender: DataSender) -> None:
        self._producer = producer
        self._sender = sender
        self.produce = producer.produce
        self.when_idle = producer.when_idle

    def __repr__(self) -> str:
        return repr(self._producer)

    def stage(self) -> Stage:
        """As of the producer. This is asked before a producer is cancelled, and only then."""
        self._sender.cancel()
        return self._producer.stage()

    def close(self, within: float) -> Coroutine[Any, Any, None] | None:
        """Return what closes the producer."""
        self._sender.cancel()
        return self._producer.close(within)

"""`AsyncProducer`: pulls the items of an asynchronous iterable in the endpoint's own task.

Rules of this file:
- It pulls an item, encodes it and puts the frame. If the sink is full, it waits for room.
- It is always closed, even if it never produced anything.
- An item that can't be encoded raises its error at the ``yield`` that it came from.
- It keeps no item while it waits for the next one. By then the item would be out of the processor's
  caches, and freeing it would take longer than framing it.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from types import AsyncGeneratorType
from typing import Any

from anyio import move_on_after
from anyio.lowlevel import checkpoint

from sse_middleware.events import ServerSentEvent
from sse_middleware.introspection.generators import Stage, stage_of
from sse_middleware.stream.abc import Encoder, FrameSink
from sse_middleware.wire.encoding import FRAMING


class AsyncProducer:
    """Pulls the items of an asynchronous iterable in the running task."""

    __slots__ = ("_encoder", "_items")

    def __init__(self, content: AsyncIterable[Any], encoder: Encoder) -> None:
        self._items: AsyncIterator[Any] = aiter(content)
        self._encoder = encoder

    async def produce(self, sink: FrameSink) -> None:
        """Pull items until the end, or until the sink wants no more."""
        encoder, texts = self._encoder, sink.texts
        plain, to_text = encoder.plain, encoder.to_text
        sink.frame_texts = encoder.frame_texts
        sink.put_in_steps()
        async for item in self._items:
            try:
                if type(item) in plain:
                    texts.append(encoded := to_text(item, by_alias=True))
                    sink.size += len(encoded) + FRAMING
                    full = sink.size >= sink.look_at and sink.is_full()
                else:
                    usual = type(item) is ServerSentEvent
                    encoded = encoder.encode_event(item) if usual else encoder.encode(item)
                    full = sink.put(encoded, item is not None) or not encoded  # so that it suspends
                    if plain is not encoder.plain:
                        plain, to_text = encoder.plain, encoder.to_text
            except Exception as error:
                full = sink.put(*await self._throw_at_yield(encoder.refusal(item, error), sink))
            del item
            encoded = b""
            if full:
                if not await sink.room():
                    return
                to_text = encoder.to_text

    def stage(self) -> Stage:
        """Return what a generator does. Any other iterator may always yield again."""
        items = self._items
        return stage_of(items) if isinstance(items, AsyncGeneratorType) else Stage.PRODUCING

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back at once: nothing runs after `close`."""
        callback()

    def close(self, within: float) -> Coroutine[Any, Any, None] | None:
        """Return what closes the iterator, unless it is a generator that has ended."""
        ended = isinstance(self._items, AsyncGeneratorType) and self._items.ag_frame is None
        return None if ended else self._close(within)

    async def _close(self, within: float) -> None:
        """Close the iterator, if it can be closed.

        A generator may be suspended inside cancel scopes of its own. Those must be left in order,
        so no scope surrounds its ``aclose``.
        """
        aclose = getattr(self._items, "aclose", None)
        if isinstance(self._items, AsyncGeneratorType):
            await self._items.aclose()
        elif aclose is not None:
            with move_on_after(within, shield=True):
                await aclose()

    async def _throw_at_yield(self, error: Exception, sink: FrameSink) -> tuple[bytes, bool]:
        """Throw `error` at the ``yield``. A generator that catches it yields its next item.

        Returns the frame of that item, and whether the frame is an event.
        """
        athrow = getattr(self._items, "athrow", None)
        if athrow is None:
            raise error
        while not sink.closed:
            await checkpoint()  # it may go on for ever yielding what can't be encoded
            try:
                item = await athrow(error)
            except StopAsyncIteration:
                break
            try:
                return self._encoder.encode(item), item is not None
            except Exception as another:
                error = self._encoder.refusal(item, another)
        return b"", False

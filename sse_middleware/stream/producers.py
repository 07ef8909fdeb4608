"""`producer_of`: how the items of any iterable are pulled. `close_producer` closes it anywhere."""

from collections.abc import AsyncIterable, Iterable
from types import AsyncGeneratorType
from typing import Any

from sse_middleware.introspection.fastapi import unwrapped
from sse_middleware.stream.abc import Encoder, Producer
from sse_middleware.stream.async_producer import AsyncProducer
from sse_middleware.stream.thread_producer import ThreadProducer

_ASYNC = (AsyncGeneratorType, AsyncIterable)
"""What is asynchronous. The usual type comes first, because to ask an abstract one is slower."""


def producer_of(content: AsyncIterable[Any] | Iterable[Any], encoder: Encoder) -> Producer:
    """Make the producer of an iterable's items."""
    if isinstance(content, _ASYNC):
        return AsyncProducer(unwrapped(content), encoder)
    return ThreadProducer(content, encoder)


async def close_producer(producer: Producer, within: float) -> None:
    """Close a producer outside of a stream, in this many seconds."""
    closing = producer.close(within)
    if closing is not None:
        await closing

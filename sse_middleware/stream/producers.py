"""`producer_of`: how the items of any iterable are pulled."""

from collections.abc import AsyncIterable, Iterable
from typing import Any

from sse_middleware.introspection.fastapi import unwrapped
from sse_middleware.stream.abc import Encoder, Producer
from sse_middleware.stream.async_producer import AsyncProducer
from sse_middleware.stream.thread_producer import ThreadProducer


def producer_of(content: AsyncIterable[Any] | Iterable[Any], encoder: Encoder) -> Producer:
    """Make the producer of an iterable's items."""
    if isinstance(content, AsyncIterable):
        return AsyncProducer(unwrapped(content), encoder)
    return ThreadProducer(content, encoder)

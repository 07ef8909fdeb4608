"""Generators of items that end, go on, or fail."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio

from tests.served import OopsError


async def finite(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def endless(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item
    await anyio.sleep_forever()
    yield None  # it could go on


async def failing(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item
    raise OopsError


def finite_sync(*items: Any) -> Iterator[Any]:
    yield from items

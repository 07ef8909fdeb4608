"""What applications send: bytes, where their framework takes those, or the data of events."""

from collections.abc import AsyncIterator

import anyio

from tests.frameworks.journal import heard, tell


async def frames(count: int) -> AsyncIterator[bytes]:
    """Yield events with everything that a parser ignores and the middleware must not change."""
    for number in range(count):
        yield b': comment\r\nid: %d\nevent: n\nunknown: x\ndata:{"n":%d}\r\n\n' % (number, number)


async def quiet_frames() -> AsyncIterator[bytes]:
    try:
        yield b"data: first\n\n"
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def endless_frames() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"data: first\n\n"
    finally:
        tell("closed")


async def broken_frames() -> AsyncIterator[bytes]:
    yield b"data: first\n\n"
    yield b"data: second\n\n"
    await heard()
    raise RuntimeError("broken")


async def abrupt_frames() -> AsyncIterator[bytes]:
    yield b"data: first\n\n"
    yield b"data: second\n\n"
    raise RuntimeError("broken")


async def json_lines(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b'{"n": %d}\n' % number


async def quiet_lines() -> AsyncIterator[bytes]:
    try:
        yield b'"first"\n'
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def endless_lines() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b'"first"\n'
    finally:
        tell("closed")


async def broken_lines() -> AsyncIterator[bytes]:
    yield b'"first"\n'
    yield b'"second"\n'
    await heard()
    raise RuntimeError("broken")


async def quiet_texts() -> AsyncIterator[str]:
    try:
        yield "first"
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def endless_texts() -> AsyncIterator[str]:
    try:
        while True:
            yield "first"
    finally:
        tell("closed")


async def broken_texts() -> AsyncIterator[str]:
    yield "first"
    yield "second"
    await heard()
    raise RuntimeError("broken")


async def abrupt_texts() -> AsyncIterator[str]:
    yield "first"
    yield "second"
    raise RuntimeError("broken")

"""Writing to pipes, files and terminals without blocking the event loop."""

import asyncio
import os
import select
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sse_middleware.cli.tail.descriptor import PIECE, Descriptor
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes block there")

MANY = bytes(range(256)) * 4096
"""More than a pipe holds."""

PASSES = 10
"""Passes of the loop, each of which looks at all files: more than a file takes to wake a task."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, Any]]:
    """The number to read from, and the file to write to."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", buffering=0) as file:
        yield reader, file
    with suppress(OSError):
        os.close(reader)


def test_all_of_it_is_written_while_the_loop_goes_on(pipe: tuple[int, Any]) -> None:
    reader, file = pipe

    async def main() -> bytes:
        writing = asyncio.create_task(Descriptor(file).write(MANY))
        found = b""
        while len(found) < len(MANY):
            await asyncio.sleep(0)  # the writer's turn: nothing here waits in the system
            found += os.read(reader, PIECE)
        await writing
        return found

    assert asyncio.run(main()) == MANY


def test_a_blocked_write_can_be_cancelled(pipe: tuple[int, Any]) -> None:
    async def main() -> None:
        writing = await blocked(pipe[1])
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    asyncio.run(main())


def test_a_reader_that_goes_ends_a_blocked_write(pipe: tuple[int, Any]) -> None:
    async def main() -> None:
        writing = await blocked(pipe[1])
        os.close(pipe[0])
        with pytest.raises(BrokenPipeError):
            await asyncio.wait_for(writing, PATIENCE)

    asyncio.run(main())


async def blocked(file: Any) -> "asyncio.Task[None]":
    """Return a write that has filled the pipe, and waits."""
    writing = asyncio.create_task(Descriptor(file).write(MANY))
    while select.select((), (file,), (), 0)[1]:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)  # the writer's turn
    await looked()
    assert not writing.done()
    return writing


async def looked() -> None:
    """Let the loop look at its files, and call the tasks that wait for one."""
    for _ in range(PASSES):
        await asyncio.sleep(0)


def test_a_reader_that_goes_is_noticed_in_silence(pipe: tuple[int, Any]) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(Descriptor(pipe[1]).reader_gone())
        await looked()
        assert not waiting.done()
        os.close(pipe[0])
        await asyncio.wait_for(waiting, PATIENCE)

    asyncio.run(main())


def test_a_file_is_always_ready_and_has_no_reader(tmp_path: Path) -> None:
    async def main() -> None:
        with (tmp_path / "file").open("wb") as file:
            descriptor = Descriptor(file)
            await descriptor.write(MANY)
            assert (tmp_path / "file").read_bytes() == MANY
            waiting = asyncio.create_task(descriptor.reader_gone())
            await looked()
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(main())


def test_a_terminal_is_written_to() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()

    async def main() -> None:
        with os.fdopen(theirs, "wb", buffering=0) as file:
            await Descriptor(file).write(b"hello\n")
            assert os.read(ours, 100) == b"hello\r\n"

    asyncio.run(main())
    os.close(ours)

"""Writing to pipes, files and terminals without blocking the event loop."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sse_middleware.cli.tail.descriptor import PIECE, Descriptor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes block there")

MANY = bytes(range(256)) * 4096
"""More than a pipe holds."""


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
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await Descriptor(pipe[1]).write(MANY)
            raise AssertionError("nobody reads, so it blocks")

    asyncio.run(main())


def test_a_reader_that_goes_ends_a_blocked_write(pipe: tuple[int, Any]) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(0.01, os.close, pipe[0])
        with pytest.raises(BrokenPipeError):
            await Descriptor(pipe[1]).write(MANY)

    asyncio.run(main())


def test_a_reader_that_goes_is_noticed_in_silence(pipe: tuple[int, Any]) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(Descriptor(pipe[1]).reader_gone())
        await asyncio.wait([waiting], timeout=0.01)
        assert not waiting.done()
        os.close(pipe[0])
        await asyncio.wait_for(waiting, 5)

    asyncio.run(main())


def test_a_file_is_always_ready_and_has_no_reader(tmp_path: Path) -> None:
    async def main() -> None:
        with (tmp_path / "file").open("wb") as file:
            descriptor = Descriptor(file)
            await descriptor.write(MANY)
            assert (tmp_path / "file").read_bytes() == MANY
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(descriptor.reader_gone(), 0.01)

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

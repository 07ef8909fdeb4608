"""Generators and applications whose cleanup takes its time, and a log of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio

LARGE = "x" * 100_000


def running_asyncio() -> bool:
    return anyio.get_cancelled_exc_class() is asyncio.CancelledError


async def wait_for_ever(_receive: Any) -> None:
    await anyio.sleep_forever()


class Trace:
    """How the cleanup of a generator or an application went."""

    def __init__(self, seconds: float = 1) -> None:
        self.log: list[str] = []
        self._seconds = seconds

    async def clean_up(self) -> None:
        self.log.append("begin")
        await anyio.sleep(self._seconds)
        self.log.append("end")

    def was_cleaned_up(self, *, cancelled: bool = True) -> bool:
        """Whether it went as promised: on trio, no `await` of a cancelled block completes."""
        whole = not cancelled or running_asyncio()
        return self.log == (["begin", "end"] if whole else ["begin"])

    async def idle(self) -> AsyncIterator[int]:
        try:
            yield 0
            await anyio.sleep_forever()
            yield 1  # it could go on
        finally:
            await self.clean_up()

    async def silent(self) -> AsyncIterator[int]:
        try:
            await anyio.sleep_forever()
            yield 0
        finally:
            await self.clean_up()

    async def endless(self) -> AsyncIterator[str]:
        try:
            while True:
                yield LARGE
        finally:
            await self.clean_up()

    async def ticking(self, pause: float) -> AsyncIterator[None]:
        try:
            while True:
                yield None
                await anyio.sleep(pause)
        finally:
            await self.clean_up()

    def application(
        self, body: bytes = b"1\n", then: Callable[[Any], Awaitable[None]] = wait_for_ever
    ) -> Any:
        """Return an application that sends lines of JSON, and then does something else."""

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            try:
                headers = [(b"content-type", b"application/x-ndjson")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": body, "more_body": True})
                await then(receive)
            finally:
                await self.clean_up()

        return app

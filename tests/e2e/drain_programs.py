"""``python -m tests.e2e.drain_programs <name> <port> <other port>``: programs that serve."""

import asyncio
import signal
import sys
from functools import partial
from threading import Thread
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn

from .client import HOST
from .drain_app import made, tell


def of_hypercorn(port: int) -> hypercorn.config.Config:
    config = hypercorn.config.Config()
    config.bind = [f"{HOST}:{port}"]
    return config


def application() -> Any:
    """Make an application; hypercorn has types of its own for them."""
    return made()


def of_uvicorn(port: int) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(made(), host=HOST, port=port, log_level="warning"))


async def hypercorn_on_asyncio(port: int) -> None:
    await hypercorn.asyncio.serve(application(), of_hypercorn(port))


async def hypercorn_on_asyncio_with_trigger(port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def stopped() -> None:
        await stop.wait()

    await hypercorn.asyncio.serve(application(), of_hypercorn(port), shutdown_trigger=stopped)


async def hypercorn_on_trio(port: int) -> None:
    from hypercorn.trio import serve  # noqa: PLC0415 - only where trio is

    await serve(application(), of_hypercorn(port))


async def hypercorn_on_trio_with_trigger(port: int) -> None:
    import trio  # noqa: PLC0415 - only where it is
    from hypercorn.trio import serve  # noqa: PLC0415 - as above

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:

        async def stopped() -> None:
            await anext(signals)

        await serve(application(), of_hypercorn(port), shutdown_trigger=stopped)


def one_after_the_other(first: int, second: int) -> None:
    """Serve twice; the first server is not the end of the process."""

    def outlive(number: int, frame: Any) -> None:
        """Take what uvicorn raises when it has stopped."""

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, outlive)
    for port in (first, second):
        of_uvicorn(port).run()
        for number in (signal.SIGTERM, signal.SIGINT):
            assert signal.getsignal(number) is outlive
        tell("stopped")


def in_two_threads(main: int, other: int) -> None:
    """Serve in the main thread, and in another until a line is read."""

    async def until_a_line_is_read() -> None:
        async def line() -> None:
            await asyncio.to_thread(sys.stdin.readline)

        await hypercorn.asyncio.serve(application(), of_hypercorn(other), shutdown_trigger=line)
        tell("stopped")

    thread = Thread(target=partial(asyncio.run, until_a_line_is_read()))
    thread.start()
    of_uvicorn(main).run()


def run(name: str, port: int, other: int) -> None:
    match name:
        case "one-after-the-other":
            one_after_the_other(port, other)
        case "in-two-threads":
            in_two_threads(port, other)
        case "hypercorn-on-asyncio":
            asyncio.run(hypercorn_on_asyncio(port))
        case "hypercorn-on-asyncio-with-trigger":
            asyncio.run(hypercorn_on_asyncio_with_trigger(port))
        case "hypercorn-on-trio":
            run_trio(hypercorn_on_trio, port)
        case "hypercorn-on-trio-with-trigger":
            run_trio(hypercorn_on_trio_with_trigger, port)


def run_trio(serve: Any, port: int) -> None:
    import trio  # noqa: PLC0415 - only where it is

    trio.run(serve, port)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""``python -m tests.e2e.drain_programs <name> <port> <other port>``: programs that serve."""

import asyncio
import signal
import sys
from contextlib import suppress
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
    config.graceful_timeout = 60.0  # so that a test sees that it doesn't wait for that long
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


async def line() -> None:
    """Wait until a line can be read from stdin."""
    await asyncio.to_thread(sys.stdin.readline)


def told_to_exit_in_a_thread(port: int) -> None:
    """Serve in a thread, where no signal is heard, until a line is read."""
    server = of_uvicorn(port)
    thread = Thread(target=server.run)
    thread.start()
    sys.stdin.readline()
    server.should_exit = True
    thread.join()


async def told_to_exit(port: int) -> None:
    """Serve until a line is read."""
    server = of_uvicorn(port)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        await line()
        server.should_exit = True


async def cancelled(port: int) -> None:
    """Serve until a line is read, cancel the server, and wait for its requests."""
    server = of_uvicorn(port)
    serving = asyncio.create_task(server.serve())
    await line()
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
    await asyncio.wait(server.server_state.tasks)


async def hypercorn_cancelled(port: int) -> None:
    """Serve by hypercorn until a line is read, and cancel it."""
    serving = asyncio.create_task(hypercorn.asyncio.serve(application(), of_hypercorn(port)))
    await line()
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def left_alone(port: int) -> None:
    """Serve until a line is read, and end the program with the server still running."""
    serving = asyncio.create_task(of_uvicorn(port).serve())
    await line()
    assert not serving.done()


async def two_servers(port: int, other: int, *, same: bool, lifespan: Any = "on") -> None:
    """Serve on two ports in one event loop, and stop one of them for each line."""
    first, second = of_uvicorn(port), of_uvicorn(other)
    if same:
        second.config.app = first.config.app
    first.config.lifespan = second.config.lifespan = lifespan
    async with asyncio.TaskGroup() as tasks:
        for server in (first, second):
            tasks.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        if lifespan == "off":
            tell("started")
        for server in (first, second):
            await line()
            server.should_exit = True


async def one_after_another_in_one_loop(port: int, other: int) -> None:
    """Serve one application twice, without a lifespan."""
    first, second = of_uvicorn(port), of_uvicorn(other)
    second.config.app = first.config.app
    first.config.lifespan = second.config.lifespan = "off"
    tell("started")
    for server in (first, second):
        serving = asyncio.create_task(server.serve())
        await line()
        server.should_exit = True
        await serving
        tell("stopped")


async def two_hypercorns(port: int, other: int) -> None:
    """Serve one application on two ports in one event loop, and stop one of them for each line."""
    served, events = application(), [asyncio.Event(), asyncio.Event()]
    async with asyncio.TaskGroup() as tasks:
        for number, event in zip((port, other), events, strict=True):
            config = of_hypercorn(number)
            serving = hypercorn.asyncio.serve(served, config, shutdown_trigger=event.wait)
            tasks.create_task(serving)
        for event in events:
            await line()
            event.set()


async def one_after_another_by_signals(port: int, other: int) -> None:
    """Serve one application twice, without a lifespan. A signal stops each server."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again
    served = made()
    tell("started")
    for number in (port, other):
        server = of_uvicorn(number)
        server.config.app, server.config.lifespan = served, "off"
        await server.serve()
        tell("stopped")


def run(name: str, port: int, other: int) -> None:
    match name:
        case "should-exit":
            asyncio.run(told_to_exit(port))
        case "should-exit-in-a-thread":
            told_to_exit_in_a_thread(port)
        case "serve-cancelled":
            asyncio.run(cancelled(port))
        case "hypercorn-cancelled":
            asyncio.run(hypercorn_cancelled(port))
        case "serve-left-alone":
            asyncio.run(left_alone(port))
        case "two-servers":
            asyncio.run(two_servers(port, other, same=True))
        case "two-servers-without-lifespan":
            asyncio.run(two_servers(port, other, same=True, lifespan="off"))
        case "two-applications":
            asyncio.run(two_servers(port, other, same=False))
        case "one-after-another-in-one-loop":
            asyncio.run(one_after_another_in_one_loop(port, other))
        case "two-hypercorns":
            asyncio.run(two_hypercorns(port, other))
        case "one-after-another-by-signals":
            asyncio.run(one_after_another_by_signals(port, other))
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

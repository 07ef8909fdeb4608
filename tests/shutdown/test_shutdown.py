"""Hearing that the server is told to stop: by signals, and in hypercorn's way.

The signals are real, and sent to this process; before each test, somebody handles them who only
takes them down. What would end the process runs in one of its own.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import Thread
from types import FrameType
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from sse_middleware.event_loop.loop import running_asyncio_task
from sse_middleware.shutdown.listener import listen

SIGNALS = [signal.SIGTERM, signal.SIGINT]

PATIENCE = 10.0
"""Real seconds that a thread or a process has to end."""


class Server:
    """Handles both signals, as a server does that lets its requests end."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def handle(self, number: int, frame: FrameType | None) -> None:
        assert frame is not None
        self.got.append(number)


class Handlers:
    """What handles the signals."""

    @staticmethod
    def now() -> list[Any]:
        return [signal.getsignal(number) for number in SIGNALS]

    @staticmethod
    def put(handlers: list[Any]) -> None:
        for number, handler in zip(SIGNALS, handlers, strict=True):
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = Handlers.now()
    yield
    Handlers.put(before)


@pytest.fixture
def server(_handlers: None) -> Iterator[Server]:
    """Serve during the test, and find the handlers as they were left."""
    server = Server()
    own = [server.handle, server.handle]
    Handlers.put(own)
    mine = Handlers.now()
    yield server
    assert all(now is then for now, then in zip(Handlers.now(), mine, strict=True))


class Told:
    """Counts how often it is told, in the event loop, and waits for it."""

    def __init__(self) -> None:
        self.times = 0
        self._event = anyio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._event.set()  # fails on trio if it is not called in its loop

    async def wait(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self._event.wait()
        assert self.times == 1

    async def wait_for_all(self) -> None:
        """As `wait`, in virtual time: whatever else is on its way arrives."""
        await self.wait()
        await anyio.sleep(1)
        assert self.times == 1


async def nothing_is_told(told: Told) -> None:
    await anyio.sleep(1)  # virtual, as above
    assert told.times == 0


@pytest.mark.anyio
class TestSignals:
    @pytest.mark.parametrize("number", SIGNALS)
    async def test_tells_once_and_leaves_the_rest_to_the_server(
        self, server: Server, number: int
    ) -> None:
        told = Told()
        end = listen(told)

        signal.raise_signal(number)

        assert server.got == [number]
        assert told.times == 0  # not where the signal has interrupted
        await told.wait_for_all()
        for again in SIGNALS:
            signal.raise_signal(again)
        assert server.got == [number, *SIGNALS]
        end()
        await told.wait_for_all()

    async def test_a_second_signal_is_the_servers_alone_before_the_first_is_told(
        self, server: Server
    ) -> None:
        told = Told()
        listen(told)

        signal.raise_signal(signal.SIGTERM)
        assert Handlers.now() == [server.handle, server.handle]
        signal.raise_signal(signal.SIGINT)

        assert server.got == [signal.SIGTERM, signal.SIGINT]
        await told.wait_for_all()

    async def test_is_not_told_when_the_listening_has_ended(self, server: Server) -> None:
        told = Told()
        end = listen(told)
        end()
        end()
        for number in SIGNALS:
            signal.raise_signal(number)
        assert server.got == SIGNALS
        await nothing_is_told(told)

    async def test_is_not_told_when_the_listening_ends_before_the_loop_is_reached(
        self, server: Server
    ) -> None:
        told = Told()
        end = listen(told)
        signal.raise_signal(signal.SIGTERM)
        end()
        await nothing_is_told(told)

    async def test_leaves_a_signal_alone_that_is_ignored(self) -> None:
        Handlers.put([signal.SIG_IGN, signal.SIG_IGN])
        end = listen(Told())
        assert Handlers.now() == [signal.SIG_IGN, signal.SIG_IGN]
        end()
        assert Handlers.now() == [signal.SIG_IGN, signal.SIG_IGN]

    async def test_puts_the_default_back(self) -> None:
        Handlers.put([signal.SIG_DFL, signal.SIG_DFL])
        end = listen(Told())
        assert signal.SIG_DFL not in Handlers.now()
        end()
        assert Handlers.now() == [signal.SIG_DFL, signal.SIG_DFL]

    async def test_an_ignored_signal_tells_nothing(self) -> None:
        Handlers.put([signal.SIG_IGN, signal.SIG_IGN])
        told = Told()
        end = listen(told)
        for number in SIGNALS:
            signal.raise_signal(number)
        await nothing_is_told(told)
        end()

    async def test_a_keyboard_interrupt_is_raised_and_told(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        told = Told()
        listen(told)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        await told.wait_for_all()

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_what_the_loop_calls_back_goes_on_to_work(self) -> None:
        loop = asyncio.get_running_loop()
        called_back = [asyncio.Event(), asyncio.Event()]
        for number, event in zip(SIGNALS, called_back, strict=True):
            loop.add_signal_handler(number, event.set)
        told = Told()
        listen(told)

        for number, event in zip(SIGNALS, called_back, strict=True):
            signal.raise_signal(number)
            async with asyncio.timeout(PATIENCE):
                await event.wait()

        await told.wait_for_all()
        assert all(loop.remove_signal_handler(number) for number in SIGNALS)


@pytest.mark.anyio
class TestSeveralListeners:
    """Two applications in one process."""

    async def test_all_are_told(self, server: Server) -> None:
        several = [Told(), Told(), Told()]
        for told in several:
            listen(told)
        signal.raise_signal(signal.SIGTERM)
        for told in several:
            await told.wait_for_all()
        assert server.got == [signal.SIGTERM]

    @pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 1, 0)])
    async def test_they_end_in_any_order(self, server: Server, order: tuple[int, ...]) -> None:
        ends = [listen(Told()) for _ in order]
        for number in order:
            ends[number]()
        assert Handlers.now() == [server.handle, server.handle]

    @pytest.mark.parametrize("ended", [0, 1])
    async def test_who_stays_is_told(self, server: Server, ended: int) -> None:
        several = [Told(), Told()]
        ends = [listen(told) for told in several]
        ends[ended]()
        signal.raise_signal(signal.SIGINT)
        await several[1 - ended].wait_for_all()
        await nothing_is_told(several[ended])
        assert server.got == [signal.SIGINT]

    async def test_who_ended_under_another_handler_lets_pass_and_goes(self, server: Server) -> None:
        told = Told()
        end = listen(told)
        below = Handlers.now()
        Handlers.put([Server().handle, Server().handle])  # a server inside of the server
        end()
        Handlers.put(below)  # and it has stopped

        for number in SIGNALS:
            signal.raise_signal(number)

        assert server.got == SIGNALS
        await nothing_is_told(told)


class TestLoopsThatEnd:
    """Who doesn't end the listening: its handlers stay until the next signal, and do no harm."""

    async def forget(self) -> Callable[[], None]:
        return listen(lambda: None)

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_signals_pass_when_the_loop_has_ended(self, server: Server, backend: str) -> None:
        end = anyio.run(self.forget, backend=backend)
        signal.raise_signal(signal.SIGTERM)
        assert server.got == [signal.SIGTERM]
        end()

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_the_next_server_of_the_process_is_heard(self, server: Server, backend: str) -> None:
        anyio.run(self.forget, backend=backend)

        async def serve() -> None:
            told = Told()
            listen(told)
            signal.raise_signal(signal.SIGTERM)
            await told.wait()

        anyio.run(serve, backend=backend)
        assert server.got == [signal.SIGTERM]

    def test_what_asyncio_does_with_an_interrupt_is_done(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        told: Told

        async def serve() -> None:
            nonlocal told
            told = Told()
            listen(told)
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(PATIENCE)
            finally:
                await told.wait()

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(serve())
        assert told.times == 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class TestDefaultAction:
    """It ends the process, so the process is another one."""

    def run(self, *lines: str, after: str = "") -> str:
        """Run the body of a coroutine, and a line after it; return what it printed."""
        body = "".join(f"    {line}\n" for line in lines)
        program = (
            "import anyio, signal\n"
            "from sse_middleware.shutdown.listener import listen\n"
            "def signalled():\n"
            "    signal.raise_signal(signal.SIGTERM)\n"
            "def say(what):\n"
            "    print(what, flush=True)\n"
            f"async def main():\n{body}"
            f"anyio.run(main)\n{after}\n"
            "print('survived')\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program],
            timeout=PATIENCE,
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert ended.returncode == -signal.SIGTERM
        return ended.stdout

    def test_waits_until_the_listening_ends(self) -> None:
        told = self.run(
            "told = anyio.Event()",
            "end = listen(told.set)",
            "signalled()",
            "await told.wait()",
            "say('told')",
            "end()",
        )
        assert told == "told\n"

    def test_does_not_wait_for_a_second_signal(self) -> None:
        told = self.run(
            "listen(lambda: say('told'))",
            "signalled()",
            "await anyio.sleep(0)",
            "await anyio.sleep(0)",
            "signalled()",
        )
        assert told == "told\n"

    def test_does_not_wait_where_the_loop_has_ended(self) -> None:
        assert self.run("listen(lambda: say('told'))", after="signalled()") == ""

    @pytest.mark.anyio
    async def test_is_asked_for_once_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As above, in this process: what would end it is only noted."""
        Handlers.put([signal.SIG_DFL, signal.SIG_DFL])
        told = Told()
        listen(told)
        handler: Any = signal.getsignal(signal.SIGTERM)
        asked: list[int] = []
        monkeypatch.setattr(signal, "raise_signal", asked.append)
        handler(signal.SIGTERM, None)
        assert asked == []
        handler(signal.SIGTERM, None)
        assert asked == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        await told.wait_for_all()

    @pytest.mark.anyio
    async def test_is_taken_down_where_the_server_stops_by_itself(self) -> None:
        """hypercorn sends two of them to its other workers when the first one has stopped."""
        Handlers.put([signal.SIG_DFL, signal.SIG_DFL])
        ended: list[Callable[[], None]] = []

        async def request() -> None:
            told = Told()
            ended.append(listen(told))
            stopped.set()
            await told.wait()
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

        stopped = anyio.Event()
        await serve_like_hypercorn(request, stopped)
        ended[0]()
        assert Handlers.now() == [signal.SIG_DFL, signal.SIG_DFL]


class TestThreads:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_another_thread_hears_no_signals(self, server: Server, backend: str) -> None:
        passed = []

        async def serve() -> None:
            before = Handlers.now()
            end = listen(Told())
            passed.append(Handlers.now() == before)
            end()

        in_thread(partial(anyio.run, serve, backend=backend))
        assert passed == [True]

    @pytest.mark.anyio
    async def test_may_be_ended_by_another_thread(self, server: Server) -> None:
        told = Told()
        end = listen(told)
        in_thread(end)  # which may not change handlers
        for number in SIGNALS:
            signal.raise_signal(number)
        assert server.got == SIGNALS
        await nothing_is_told(told)

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_loops_in_two_threads_are_told_apart(self, backend: str) -> None:
        """The one in the inner thread is told while the outer one listens, and goes on to."""
        times: list[int] = []

        async def outer() -> None:
            stop, told = anyio.Event(), Told()

            async def request() -> None:
                listen(told)
                await anyio.to_thread.run_sync(in_thread, partial(anyio.run, inner))
                times.append(told.times)
                stop.set()
                await told.wait()

            await serve_like_hypercorn(request, stop)

        async def inner() -> None:
            stop, told = anyio.Event(), Told()

            async def request() -> None:
                listen(told)
                stop.set()
                await told.wait()
                times.append(told.times)

            await serve_like_hypercorn(request, stop)

        in_thread(partial(anyio.run, outer, backend=backend))
        assert times == [1, 0]


def in_thread(function: Callable[[], object]) -> None:
    thread = Thread(target=function)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


# --- hypercorn --------------------------------------------------------------------------------


class ShutdownError(Exception):
    """What hypercorn's task raises."""


RAISE_SHUTDOWN = """
async def raise_shutdown(wait):
    await wait()
    raise ShutdownError
"""


def raise_shutdown_of(module: str) -> Any:
    """Define hypercorn's function in a module of a name."""
    names: dict[str, Any] = {"__name__": module, "ShutdownError": ShutdownError}
    exec(RAISE_SHUTDOWN, names)
    return names["raise_shutdown"]


async def serve_like_hypercorn(
    request: Callable[[], Awaitable[None]],
    stop: anyio.Event,
    module: str = "hypercorn.utils",
) -> None:
    """Run a request until it ends, with the tasks beside it that hypercorn has."""
    raise_shutdown = raise_shutdown_of(module)
    waits = [stop.wait, anyio.Event().wait]
    if running_asyncio_task() is None:
        await _serve_on_trio(request, partial(raise_shutdown, waits[0]), raise_shutdown, waits[1])
        return
    serving = asyncio.ensure_future(request())
    with suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            for wait in waits:
                tasks.create_task(raise_shutdown(wait))
    await serving


async def _serve_on_trio(request: Any, first: Any, second: Any, never: Any) -> None:
    import trio  # noqa: PLC0415 - as in the package

    async with trio.open_nursery() as requests:
        with suppress(BaseExceptionGroup):
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(first)
                nursery.start_soon(second, never)
                requests.start_soon(request)
                await trio.sleep_forever()


@pytest.mark.anyio
class TestHypercorn:
    async def test_tells_when_it_stops_serving(self) -> None:
        stop, told = anyio.Event(), Told()

        async def request() -> None:
            end = listen(told)
            await nothing_is_told(told)
            stop.set()
            await told.wait_for_all()
            end()

        await serve_like_hypercorn(request, stop)

    async def test_tells_from_tasks_below_that_of_the_request(self) -> None:
        stop, told = anyio.Event(), Told()

        async def request() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(below)

        async def below() -> None:
            listen(told)
            stop.set()
            await told.wait_for_all()

        await serve_like_hypercorn(request, stop)

    async def test_is_told_once_where_there_is_a_signal_too(self, server: Server) -> None:
        stop, told = anyio.Event(), Told()

        async def request() -> None:
            listen(told)
            signal.raise_signal(signal.SIGTERM)
            stop.set()
            await told.wait_for_all()

        await serve_like_hypercorn(request, stop)
        assert server.got == [signal.SIGTERM]

    async def test_is_not_told_when_the_listening_has_ended(self, server: Server) -> None:
        stop, told = anyio.Event(), Told()

        async def request() -> None:
            end = listen(told)
            await anyio.lowlevel.checkpoint()
            end()
            end()
            listen(told)()  # at once, too
            stop.set()
            await nothing_is_told(told)

        await serve_like_hypercorn(request, stop)

    async def test_heeds_nobody_elses_tasks(self) -> None:
        stop, told = anyio.Event(), Told()

        async def request() -> None:
            listen(told)
            stop.set()
            await nothing_is_told(told)

        await serve_like_hypercorn(request, stop, "an_application.of_hypercorn")

"""Listening in several ways, several times, and in several threads and event loops."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial

import anyio
import pytest

from sse_middleware.shutdown.listener import listen
from tests.patience import PATIENCE
from tests.shutdown.servers import (
    SIGNALS,
    Callback,
    Server,
    handlers,
    in_thread,
    serve_like_hypercorn,
    set_handlers,
)

each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.mark.anyio
async def test_a_signal_and_hypercorn_together_call_back_once(server: Server) -> None:
    stop, callback = anyio.Event(), Callback()

    async def request() -> None:
        listen(callback)
        signal.raise_signal(signal.SIGTERM)
        stop.set()
        await callback.is_called_once()

    await serve_like_hypercorn(request, stop)
    assert server.received == [signal.SIGTERM]


@pytest.mark.anyio
class TestSeveralListeners:
    """Several applications in one process."""

    async def test_are_all_called_back(self, server: Server) -> None:
        callbacks = [Callback(), Callback(), Callback()]
        for callback in callbacks:
            listen(callback)
        signal.raise_signal(signal.SIGTERM)
        for callback in callbacks:
            await callback.is_called_once()
        assert server.received == [signal.SIGTERM]

    @pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 1, 0)])
    async def test_end_in_any_order(self, server: Server, order: tuple[int, ...]) -> None:
        ends = [listen(Callback()).end for _ in order]
        for number in order:
            ends[number]()
        assert handlers() == [server.handle, server.handle]

    @pytest.mark.parametrize("ended", [0, 1])
    async def test_that_stay_are_called_back(self, server: Server, ended: int) -> None:
        callbacks = [Callback(), Callback()]
        ends = [listen(callback).end for callback in callbacks]
        ends[ended]()
        signal.raise_signal(signal.SIGINT)
        await callbacks[1 - ended].is_called_once()
        await callbacks[ended].is_not_called()
        assert server.received == [signal.SIGINT]

    async def test_that_end_under_another_handler_let_signals_pass(self, server: Server) -> None:
        callback = Callback()
        end = listen(callback).end
        below = handlers()
        set_handlers([Server().handle, Server().handle])  # a server inside of the server
        end()
        set_handlers(below)  # the inner server has stopped

        for number in SIGNALS:
            signal.raise_signal(number)

        assert server.received == SIGNALS
        await callback.is_not_called()


class TestLoopsThatEnd:
    """Without an end of the listening: the handlers stay until the next signal, and do no harm."""

    async def forget(self) -> Callable[[], None]:
        return listen(lambda: None).end

    @each_backend
    def test_let_signals_pass(self, server: Server, backend: str) -> None:
        end = anyio.run(self.forget, backend=backend)
        signal.raise_signal(signal.SIGTERM)
        assert server.received == [signal.SIGTERM]
        end()

    @each_backend
    def test_do_not_keep_the_next_server_from_listening(self, server: Server, backend: str) -> None:
        anyio.run(self.forget, backend=backend)

        async def serve() -> None:
            callback = Callback()
            listen(callback)
            signal.raise_signal(signal.SIGTERM)
            await callback.wait()

        anyio.run(serve, backend=backend)
        assert server.received == [signal.SIGTERM]

    def test_by_a_keyboard_interrupt_call_back_before(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        callback: Callback

        async def serve() -> None:
            nonlocal callback
            callback = Callback()
            listen(callback)
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(PATIENCE)
            finally:
                await callback.wait()

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(serve())
        assert callback.calls == 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class TestThreads:
    @each_backend
    def test_another_thread_hears_no_signals(self, server: Server, backend: str) -> None:
        unchanged = []

        async def serve() -> None:
            before = handlers()
            end = listen(Callback()).end
            unchanged.append(handlers() == before)
            end()

        in_thread(partial(anyio.run, serve, backend=backend))
        assert unchanged == [True]

    @pytest.mark.anyio
    async def test_another_thread_may_end_the_listening(self, server: Server) -> None:
        callback = Callback()
        end = listen(callback).end
        in_thread(end)  # which may not change handlers
        for number in SIGNALS:
            signal.raise_signal(number)
        assert server.received == SIGNALS
        await callback.is_not_called()

    @each_backend
    def test_the_loops_of_two_threads_are_distinguished(self, backend: str) -> None:
        """The inner loop is called back while the outer one listens, and the outer one later."""
        calls: list[int] = []

        async def outer() -> None:
            stop, callback = anyio.Event(), Callback()

            async def request() -> None:
                listen(callback)
                await anyio.to_thread.run_sync(in_thread, partial(anyio.run, inner))
                calls.append(callback.calls)
                stop.set()
                await callback.wait()

            await serve_like_hypercorn(request, stop)

        async def inner() -> None:
            stop, callback = anyio.Event(), Callback()

            async def request() -> None:
                listen(callback)
                stop.set()
                await callback.wait()
                calls.append(callback.calls)

            await serve_like_hypercorn(request, stop)

        in_thread(partial(anyio.run, outer, backend=backend))
        assert calls == [1, 0]

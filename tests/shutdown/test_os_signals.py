"""Signals that stop a server: heard once, and otherwise handled as without us.

What would end the process runs in a process of its own.
"""

import asyncio
import signal
import subprocess
import sys
from typing import Any

import anyio
import pytest

from sse_middleware.shutdown.listener import listen
from tests.patience import PATIENCE
from tests.shutdown.servers import (
    SIGNALS,
    Callback,
    Server,
    handlers,
    serve_like_hypercorn,
    set_handlers,
)

pytestmark = pytest.mark.anyio


class TestSignals:
    @pytest.mark.parametrize("number", SIGNALS)
    async def test_call_back_once_and_are_otherwise_the_servers(
        self, server: Server, number: int
    ) -> None:
        callback = Callback()
        end = listen(callback).end

        signal.raise_signal(number)

        assert server.received == [number]
        assert callback.calls == 0  # not where the signal interrupted
        await callback.is_called_once()
        for again in SIGNALS:
            signal.raise_signal(again)
        assert server.received == [number, *SIGNALS]
        end()
        await callback.is_called_once()

    async def test_are_the_servers_alone_after_the_first_also_before_the_callback(
        self, server: Server
    ) -> None:
        callback = Callback()
        listen(callback)

        signal.raise_signal(signal.SIGTERM)
        assert handlers() == [server.handle, server.handle]
        signal.raise_signal(signal.SIGINT)

        assert server.received == [signal.SIGTERM, signal.SIGINT]
        await callback.is_called_once()

    async def test_do_not_call_back_once_the_listening_has_ended(self, server: Server) -> None:
        callback = Callback()
        end = listen(callback).end
        end()
        end()
        for number in SIGNALS:
            signal.raise_signal(number)
        assert server.received == SIGNALS
        await callback.is_not_called()

    async def test_do_not_call_back_if_the_listening_ends_before_the_loop_is_reached(
        self, server: Server
    ) -> None:
        callback = Callback()
        end = listen(callback).end
        signal.raise_signal(signal.SIGTERM)
        end()
        await callback.is_not_called()

    async def test_that_are_ignored_stay_ignored(self) -> None:
        ignored = [signal.SIG_IGN, signal.SIG_IGN]
        set_handlers(ignored)
        callback = Callback()
        end = listen(callback).end
        assert handlers() == ignored
        for number in SIGNALS:
            signal.raise_signal(number)
        await callback.is_not_called()
        end()
        assert handlers() == ignored

    async def test_have_their_default_action_back_when_the_listening_ends(self) -> None:
        set_handlers([signal.SIG_DFL, signal.SIG_DFL])
        end = listen(Callback()).end
        assert signal.SIG_DFL not in handlers()
        end()
        assert handlers() == [signal.SIG_DFL, signal.SIG_DFL]

    async def test_raise_a_keyboard_interrupt_and_call_back(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        callback = Callback()
        listen(callback)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        await callback.is_called_once()

    @pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
    async def test_reach_the_handlers_of_an_asyncio_loop(self) -> None:
        loop = asyncio.get_running_loop()
        called_back = [asyncio.Event(), asyncio.Event()]
        for number, event in zip(SIGNALS, called_back, strict=True):
            loop.add_signal_handler(number, event.set)
        callback = Callback()
        listen(callback)

        for number, event in zip(SIGNALS, called_back, strict=True):
            signal.raise_signal(number)
            async with asyncio.timeout(PATIENCE):
                await event.wait()

        await callback.is_called_once()
        assert all(loop.remove_signal_handler(number) for number in SIGNALS)


class TestDefaultAction:
    """It ends the process, so most of these run in a process of their own."""

    PROGRAM = """
import anyio, signal
from sse_middleware.shutdown.listener import listen

def stop():
    signal.raise_signal(signal.SIGTERM)

def say(what):
    print(what, flush=True)

async def main():
    {}

anyio.run(main)
{}
print("survived")
"""

    @pytest.mark.parametrize(
        ("main", "after", "printed"),
        [
            pytest.param(
                [
                    "told = anyio.Event()",
                    "end = listen(told.set).end",
                    "stop()",
                    "await told.wait()",
                    "say('told')",
                    "end()",
                ],
                "",
                "told\n",
                id="waits until the listening ends",
            ),
            pytest.param(
                [
                    "listen(lambda: say('told'))",
                    "stop()",
                    "await anyio.sleep(0)",
                    "await anyio.sleep(0)",
                    "stop()",
                ],
                "",
                "told\n",
                id="does not wait after a second signal",
            ),
            pytest.param(
                ["listen(lambda: say('told'))"],
                "stop()",
                "",
                id="does not wait where the loop has ended",
            ),
        ],
    )
    def test_ends_the_process(self, main: list[str], after: str, printed: str) -> None:
        program = self.PROGRAM.format("\n    ".join(main), after)
        ended = subprocess.run(
            [sys.executable, "-c", program],
            timeout=PATIENCE,
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert ended.returncode == -signal.SIGTERM
        assert ended.stdout == printed

    async def test_comes_with_the_second_signal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In this process: the signal that would end it is only noted."""
        set_handlers([signal.SIG_DFL, signal.SIG_DFL])
        callback = Callback()
        listen(callback)
        handler: Any = signal.getsignal(signal.SIGTERM)
        raised: list[int] = []
        monkeypatch.setattr(signal, "raise_signal", raised.append)
        handler(signal.SIGTERM, None)
        assert raised == []
        handler(signal.SIGTERM, None)
        assert raised == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        await callback.is_called_once()

    async def test_is_dropped_where_the_server_stops_by_itself(self) -> None:
        """hypercorn sends two of them to its other workers when the first one has stopped."""
        set_handlers([signal.SIG_DFL, signal.SIG_DFL])
        ends: list[Any] = []

        async def request() -> None:
            callback = Callback()
            ends.append(listen(callback).end)
            stopped.set()
            await callback.wait()
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

        stopped = anyio.Event()
        await serve_like_hypercorn(request, stopped)
        ends[0]()
        assert handlers() == [signal.SIG_DFL, signal.SIG_DFL]

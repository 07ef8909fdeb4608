"""`RedisStore`: keeps events in Redis or Valkey.

Rules of this file:
- It works on asyncio, with redis-py. All its connections are its own.
- An append that may have been made is a `PublishUnknownError`. It is never made again here. A run
  that may have begun is one, too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import ResponseError

from sse_middleware.errors import ConfigurationError, PublishUnknownError
from sse_middleware.event_loop.loop import running_asyncio_task
from sse_middleware.hub.abc import Appended, Listener, OnEvent, OnTick, Snapshot
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.redis.calls import (
    adding_arguments,
    append_arguments,
    append_keys,
    appended,
    read_keys,
    snapshot,
)
from sse_middleware.hub.redis.checks import getting_ready, name_of_server
from sse_middleware.hub.redis.commands import AnswerLostError, Call, Commands, Session
from sse_middleware.hub.redis.connecting import Connector, connector_of
from sse_middleware.hub.redis.keys import Keys
from sse_middleware.hub.redis.listener import RedisListener
from sse_middleware.hub.redis.run_calls import (
    appended_to_run,
    begin_arguments,
    renew_arguments,
    run_append_arguments,
    run_if_any,
    run_keys,
    run_now,
)
from sse_middleware.hub.redis.run_scripts import (
    APPEND_TO_RUN,
    BEGIN_RUN,
    FIND_RUN,
    RENEW_RUN,
    RUN_SCRIPTS,
    STOP_RUN,
)
from sse_middleware.hub.redis.scripts import APPEND, READ, TICK
from sse_middleware.hub.redis.urls import CONNECT_SECONDS
from sse_middleware.hub.run import NewRun, Run, RunAppend

_PREFIX = "sse"

_CALLS_REMEMBERED = 1024
"""Of how many topics the calls are not made again."""


def redis_maker(
    url: str | None, *, prefix: str | None, durable: bool, client: Any
) -> Callable[[], "RedisStore"]:
    """Return what makes the store of a URL, or of a client. See `store_maker`."""
    connector = connector_of(url or "", client)
    keys = Keys(_PREFIX if prefix is None else prefix, connector.database)
    return lambda: RedisStore(connector, keys, durable=durable)


class RedisStore:
    """Keeps events in Redis. Make it in the event loop that uses it.

    Args:
        connector: makes its connections.
        keys: names of keys and channels.
        durable: whether a restart of Redis loses nothing that it has acknowledged.

    Raises:
        ConfigurationError: the event loop isn't asyncio's.
    """

    def __init__(self, connector: Connector, keys: Keys, *, durable: bool) -> None:
        if running_asyncio_task() is None:
            raise ConfigurationError(
                "a hub in Redis runs on asyncio, because redis-py does: on trio use another store"
            )
        self._connector = connector
        self._keys = keys
        self._durable = durable
        self._commands = Commands(self._open_session)
        self._listeners = set[RedisListener]()
        self._append_calls = dict[tuple[str, Keep], Call]()

    async def append(
        self,
        topic: str,
        events: Sequence[bytes],
        keep: Keep,
        *,
        once: str | None = None,
        run: RunAppend | None = None,
    ) -> Appended:
        """Number events, keep them and announce them. See `Store`.

        Raises:
            StoreError: nothing was appended.
            PublishUnknownError: they may be appended.
        """
        if not events:
            return Appended([], (await self.read((), 0, 0)).state.mark)
        if run is not None:
            return await self._append_to_run(topic.encode(), events, keep, run)
        try:
            reply = await self._commands.run(self._append_call(topic, keep, once), events)
        except AnswerLostError as error:
            raise PublishUnknownError(
                f"Redis may have published to the topic, and {error}: publish it again with "
                "once= to have it once"
            ) from error
        return appended(reply)

    async def _append_to_run(
        self, topic: bytes, events: Sequence[bytes], keep: Keep, run: RunAppend
    ) -> Appended:
        names = run_keys(self._keys, topic)
        adding = adding_arguments(self._keys, topic, keep)
        arguments = run_append_arguments(adding, events, run)
        try:
            reply = await self._run(APPEND_TO_RUN, names, arguments)
        except AnswerLostError as error:
            raise PublishUnknownError(
                f"Redis may have appended to the run, and {error}: append it again with the same "
                "number to have it once"
            ) from error
        return appended_to_run(reply, run)

    async def begin_run(self, topic: str, new: NewRun) -> Run:
        """Begin a run, unless there is one. See `Store`.

        Raises:
            StoreError: none has begun.
            PublishUnknownError: it may have begun.
        """
        name = topic.encode()
        arguments = begin_arguments(adding_arguments(self._keys, name, new.keep), new)
        try:
            reply = await self._run(BEGIN_RUN, run_keys(self._keys, name), arguments)
        except AnswerLostError as error:
            raise PublishUnknownError(
                f"Redis may have begun the run, and {error}: begin it again with the same token to "
                "begin it once"
            ) from error
        return run_now(reply)

    async def find_run(self, topic: str, *, watched: bool = False) -> Run | None:
        """Return a run. See `Store`."""
        return await self._run_after(FIND_RUN, topic, [b"%d" % watched])

    async def renew_run(self, topic: str, token: str, keep: Keep, seconds: float) -> Run | None:
        """Make a lease last. See `Store`."""
        return await self._run_after(RENEW_RUN, topic, renew_arguments(token, keep, seconds))

    async def stop_run(self, topic: str) -> Run | None:
        """Note that a run is to stop. See `Store`."""
        return await self._run_after(STOP_RUN, topic, [])

    async def _run_after(self, script: str, topic: str, arguments: list[bytes]) -> Run | None:
        """Return what a run is after a script. It may be called again if its answer is lost."""
        names = run_keys(self._keys, topic.encode())
        return run_if_any(await self._run(script, names, arguments))

    async def _run(self, script: str, keys: list[bytes], arguments: list[bytes]) -> Any:
        return await self._commands.run(self._commands.call(script, keys, arguments))

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        """Return what is kept. See `Store`."""
        numbers = [b"%d" % after, b"%d" % limit]
        return snapshot(topics, await self._run(READ, read_keys(self._keys, topics), numbers))

    def listen(
        self, on_event: OnEvent, on_tick: OnTick, on_broken: Callable[[], object]
    ) -> Listener:
        """Return a new listener. See `Store`."""
        done = {one for one in self._listeners if one.is_over}
        self._listeners -= done
        listener = RedisListener(
            self._connect_listener, self._keys, self._tick, on_event, on_tick, on_broken
        )
        self._listeners.add(listener)
        return listener

    async def aclose(self) -> None:
        """Close all connections. See `Store`."""
        for listener in self._listeners:
            listener.close()
        await asyncio.gather(*(listener.wait_closed() for listener in self._listeners))
        await self._commands.aclose()

    def _append_call(self, topic: str, keep: Keep, once: str | None) -> Call:
        """Return the call of an append. To make one takes as long as the rest of an append."""
        call = None if once is not None else self._append_calls.get((topic, keep))
        if call is None:
            name = topic.encode()
            arguments = append_arguments(self._keys, name, keep)
            call = self._commands.call(APPEND, append_keys(self._keys, name, once), arguments)
            if once is None:
                if len(self._append_calls) >= _CALLS_REMEMBERED:
                    self._append_calls.clear()
                self._append_calls[topic, keep] = call
        return call

    async def _tick(self, channel: bytes) -> None:
        await self._run(TICK, [self._keys.clock], [channel])

    async def _connect_listener(self) -> tuple[Any, bytes]:
        """Return a new connection, and how messages name its server."""
        async with self._connected() as connection:
            await connection.send_command("INFO", "server", check_health=False)
            return connection, name_of_server(await connection.read_response())

    async def _open_session(self) -> Session:
        async with self._connected() as connection:
            return Session(connection, await self._get_ready(connection))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """Make a connection. If something fails in the block, it is closed again."""
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await self._connector.connect()
            try:
                yield connection
            except BaseException:
                await connection.disconnect(nowait=True)
                raise

    async def _get_ready(self, connection: Any) -> bytes:
        """Check a connection. Returns what scripts get as ``ARGV[1]``."""
        scripts = (APPEND, READ, TICK, *RUN_SCRIPTS)
        steps = getting_ready(self._keys, scripts, durable=self._durable, listens=True)
        command = next(steps)
        while True:
            await connection.send_command(*command, check_health=False)
            try:
                reply = await connection.read_response()
                command = steps.send(reply)
            except ResponseError as error:
                command = steps.throw(error)
            except StopIteration as end:
                server: bytes = end.value
                return server

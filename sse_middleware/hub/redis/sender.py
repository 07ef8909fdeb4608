"""`RedisSender`: appends events from any thread, without an event loop.

Rules of this file:
- It has one connection, which threads take in turn. A process that is forked makes its own.
- It connects when something is appended. A connection that the server has closed meanwhile is
  replaced before anything is written.
- It repeats nothing. What was written without an answer has an unknown outcome.
"""

import os
import threading
from collections.abc import Generator, Sequence
from hashlib import sha1
from random import Random
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from sse_middleware.errors import PublishUnknownError, StoreError, printable
from sse_middleware.hub.abc import MARK_BITS, Appended
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.redis.calls import append_arguments, append_keys, appended
from sse_middleware.hub.redis.checks import Command, described, getting_ready, refused
from sse_middleware.hub.redis.keys import Keys
from sse_middleware.hub.redis.scripts import APPEND
from sse_middleware.hub.redis.urls import Address, address_of

ANSWER_SECONDS = 5.0
"""Seconds for an answer."""


def redis_sender(url: str, *, prefix: str, durable: bool) -> "RedisSender":
    """Return what appends to the store of a URL."""
    address = address_of(url)
    return RedisSender(address, Keys(prefix, address.database), durable=durable)


class RedisSender:
    """Appends to a store.

    Args:
        address: where Redis is.
        keys: names of keys and channels.
        durable: whether a restart of Redis loses nothing that it has acknowledged.
    """

    def __init__(self, address: Address, keys: Keys, *, durable: bool) -> None:
        self._address = address
        self._keys = keys
        self._durable = durable
        self._random = Random()  # noqa: S311 - it tells incarnations apart
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._connection: Any = None
        self._server = b""
        self._script = sha1(APPEND.encode(), usedforsecurity=False).hexdigest()

    def append(self, topic: str, events: Sequence[bytes], keep: Keep, once: str | None) -> Appended:
        """Append events. See `Store.append`.

        Raises:
            StoreError: nothing was appended.
            PublishUnknownError: they may be appended.
        """
        name = topic.encode()
        keys = append_keys(self._keys, name, once)
        arguments = [*append_arguments(self._keys, name, keep), *events]
        self._follow_fork()
        with self._lock:
            try:
                reply = self._run(keys, arguments)
            except NoScriptError:
                self._close()  # the next connection loads it
                reply = self._run(keys, arguments)
        return appended(reply)

    def close(self) -> None:
        """Close the connection. The next append makes another one."""
        self._follow_fork()
        with self._lock:
            self._close()

    def _follow_fork(self) -> None:
        """Leave the connection and the lock to the process that this one was forked from."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._lock, self._connection = threading.Lock(), None

    def _run(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        connection = self._connected()
        mark = b"%d" % self._random.getrandbits(MARK_BITS)
        try:
            connection.send_command(
                *("EVALSHA", self._script, len(keys), *keys, self._server, mark, *arguments),
                check_health=False,
            )
            reply: bytes = connection.read_response()
        except NoScriptError:
            raise
        except ResponseError as error:
            self._close()  # a server that refuses may be a replica now
            raise refused(error, keys) from error
        except BaseException as error:
            self._close()
            if not isinstance(error, RedisError | OSError):
                raise
            raise PublishUnknownError(
                f"Redis may have published to the topic, and the answer was lost: "
                f"{printable(described(error))}: publish it again with once= to have it once"
            ) from error
        return reply

    def _connected(self) -> Any:
        """Return a connection that works, as far as one can know."""
        try:
            if self._connection is not None and _is_closed(self._connection):
                self._close()
            if self._connection is None:
                self._connect()
        except (RedisError, OSError) as error:
            self._close()
            raise StoreError(
                f"Redis is away, and nothing was done: {printable(described(error))}"
            ) from error
        except BaseException:
            self._close()
            raise
        return self._connection

    def _connect(self) -> None:
        arguments = {**self._address.arguments, "socket_timeout": ANSWER_SECONDS}
        if self._address.sentinels:
            arguments["host"], arguments["port"] = self._find_master()
        kinds = {"tls": SSLConnection, "unix": UnixDomainSocketConnection, "tcp": Connection}
        kind: Any = kinds[self._address.kind]
        self._connection = connection = kind(retry=Retry(NoBackoff(), 0), **arguments)
        connection.connect()
        steps = getting_ready(self._keys, (APPEND,), durable=self._durable, listens=False)
        self._server = _get_ready(connection, steps)

    def _find_master(self) -> tuple[str, int]:
        options = {**self._address.sentinel_arguments, "retry": Retry(NoBackoff(), 0)}
        sentinel: Any = Sentinel(self._address.sentinels, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        try:
            found: tuple[str, int] = sentinel.discover_master(self._address.service)
        finally:
            for one in sentinel.sentinels:
                one.close()
        return found

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


def _is_closed(connection: Any) -> bool:
    """Whether the server has closed a connection: nothing else comes unasked."""
    try:
        return bool(connection.can_read(0))
    except (RedisError, OSError):
        return True


def _get_ready(connection: Any, steps: Generator[Command, Any, bytes]) -> bytes:
    """Check a connection. Returns which server it leads to, as scripts get it."""
    command = next(steps)
    while True:
        connection.send_command(*command, check_health=False)
        try:
            command = steps.send(connection.read_response())
        except ResponseError as error:
            command = steps.throw(error)
        except StopIteration as end:
            result: bytes = end.value
            return result

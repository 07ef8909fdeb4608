"""What each new connection is checked for, before it is used.

Rules of this file:
- It does no I/O: it yields commands, and is sent their replies. So it serves asyncio and threads.
- What can't work is a `ConfigurationError`, whose message says what to change. What may change by
  itself, as a replica does that becomes a primary, is not.
- Every command is tried under the rights that the user has. An event that was stored and couldn't
  be announced would be lost in silence.
- Each connection listens on a channel that only it knows. A message of somebody else would be taken
  for an answer.
- Eviction takes the oldest keys, or those that expire. Both are the hub's.
"""

import os
from collections.abc import Generator, Sequence
from typing import Any

from redis.exceptions import ReadOnlyError, ResponseError

from sse_middleware.errors import ConfigurationError, StoreError, printable
from sse_middleware.hub.redis.keys import Keys
from sse_middleware.hub.redis.scripts import PROBE

LOWEST = (6, 2)
"""The version of Redis. Valkey says one of Redis that it is compatible with."""

_SECTIONS = ("server", "memory", "replication")
"""Of INFO. Only Redis 7 sends several at once."""

_PASSING = (
    *("OOM", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "MISCONF"),
    *("OutOfMemoryError", "ReadOnlyError", "MasterDownError"),
)
"""Errors of a server that may do it later: codes, and what redis-py makes of them."""

NAME_LENGTH = 8
"""How much of a server's ``run_id`` is in each message."""

Command = Sequence[Any]
"""A command and its arguments."""


def described(error: Exception) -> str:
    """Return an error with its kind, because redis-py takes the code out of the text."""
    return f"{type(error).__name__}: {error}"


def refused(error: Exception, keys: Sequence[bytes]) -> StoreError:
    """Return why a script with these keys has done nothing."""
    said = printable(described(error))
    if "WRONGTYPE" not in said:
        return StoreError(f"Redis refused it: {said}")
    names = printable(b" ".join(keys).decode(errors="replace"))
    return StoreError(
        f"Redis has something that is not the hub's in one of the keys {names}: "
        f"give the hub another prefix, or remove it: {said}"
    )


def is_replica(error: Exception) -> bool:
    """Whether a server refuses to write because it has become a replica.

    Before Redis 7, the code of an error in a script stands in the middle of its text.
    """
    return isinstance(error, ReadOnlyError) or "READONLY" in str(error)


def getting_ready(
    keys: Keys, scripts: Sequence[str], *, durable: bool, listens: bool
) -> Generator[Command, Any, bytes]:
    """Check a connection, and load scripts. Errors of the server are thrown in.

    Args:
        keys: names of keys and channels.
        scripts: to be loaded.
        durable: whether it doesn't matter which server it is.
        listens: whether the right to listen is needed.

    Returns:
        What scripts get as ``ARGV[1]``.
    """
    info = yield from _info()
    _check_server(info)
    yield from _check_rights(keys, listens=listens)
    for script in scripts:
        yield "SCRIPT LOAD", script
    run_id = info.get("run_id", "").encode()
    if durable:
        return b"%b durable" % run_id
    if not run_id:
        raise ConfigurationError(
            "this Redis doesn't say its run_id, so a loss after a restart couldn't be told: "
            "use durable=True if it loses nothing that it has acknowledged"
        )
    return run_id


def name_of_server(info: bytes) -> bytes:
    """Return how messages name a server, from its answer to INFO. ``b""`` if it doesn't say."""
    return _parsed(info).get("run_id", "").encode()[:NAME_LENGTH]


def _info() -> Generator[Command, Any, dict[str, str]]:
    """Return what the server says about itself."""
    found = b""
    try:
        for section in _SECTIONS:
            found += yield "INFO", section
    except ResponseError as error:
        raise ConfigurationError(
            f"the user of Redis needs the command INFO: {printable(described(error))}"
        ) from error
    return _parsed(found)


def _parsed(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _check_server(info: dict[str, str]) -> None:
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < LOWEST:
        raise ConfigurationError(
            f"the hub needs Redis 6.2 or later, or Valkey, and this is {printable(version)}"
        )
    mode = info.get("redis_mode", info.get("server_mode"))  # Valkey's name is the second one
    if mode == "sentinel":
        raise ConfigurationError(
            "this is a sentinel, not a server: use redis+sentinel://host:port/service"
        )
    if mode == "cluster":
        raise ConfigurationError(
            "the hub needs one Redis, not a cluster: use a server of its own, or sentinels"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", "0") != "0" and policy != "noeviction":
        raise ConfigurationError(
            f"Redis evicts keys (maxmemory-policy {printable(policy)}), so the hub would lose "
            "events without knowing: set maxmemory-policy to noeviction, or use another Redis"
        )
    if info.get("role", "master") != "master":
        raise StoreError("the server is a replica: connect to the primary")


def _check_rights(keys: Keys, *, listens: bool) -> Generator[Command, Any, None]:
    """Try all commands, and to listen."""
    channel = keys.probe_channel(os.urandom(8).hex())
    try:
        tried = yield "EVAL", PROBE, 1, keys.probe, b"", b"", channel
        failure = tried.decode(errors="replace")
        if listens and not failure:
            yield "SUBSCRIBE", channel
            yield "UNSUBSCRIBE", channel
    except ResponseError as error:
        failure = described(error)
    if any(word in failure for word in _PASSING):
        raise StoreError(f"Redis refuses what the hub needs: {printable(failure)}")
    if failure:
        raise ConfigurationError(
            f"the user of Redis needs rights to keys ~{keys.pattern}, channels &{keys.pattern} "
            f"and the commands of the hub: {printable(failure)}"
        )

"""The arguments and replies of the scripts for runs, as the rest of the hub knows them."""

from collections.abc import Sequence
from typing import Any

from sse_middleware.hub.abc import Appended
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.redis.calls import append_keys, appended, kept_ms
from sse_middleware.hub.redis.keys import Keys
from sse_middleware.hub.run import NewRun, Run, RunAppend, RunState, StoredRun, fenced, start_marker


def run_keys(keys: Keys, topic: bytes) -> list[bytes]:
    """Return the keys of all scripts for runs."""
    return [*append_keys(keys, topic, None), keys.run(topic)]


def begin_arguments(adding: Sequence[bytes], new: NewRun) -> list[bytes]:
    """Return the arguments of the beginning of a run, from those of all that add events."""
    limit = b"" if new.unwatched_limit is None else repr(float(new.unwatched_limit)).encode()
    own = (new.token.encode(), _microseconds(new.seconds), limit, b"%d" % new.restart)
    return [*adding, *own, start_marker(new.token)]


def run_append_arguments(
    adding: Sequence[bytes], events: Sequence[bytes], run: RunAppend
) -> list[bytes]:
    """Return the arguments of an append to a run, from those of all that add events."""
    end = b"" if run.end is None else run.end.value.encode()
    own = (run.token.encode(), b"%d" % run.number, _microseconds(run.seconds), end)
    return [*adding, *own, *events]


def renew_arguments(token: str, keep: Keep, seconds: float) -> list[bytes]:
    """Return the arguments of a renewal."""
    return [token.encode(), _microseconds(seconds), *kept_ms(keep)]


def appended_to_run(reply: Any, run: RunAppend) -> Appended:
    """Return what was appended. Raises `FencedError` if the run refuses it."""
    if isinstance(reply, bytes):
        return appended(reply)
    now, stored = (0, None) if reply is None else _stored(reply)
    raise fenced(stored, run, now)


def run_now(reply: Sequence[Any]) -> Run:
    """Return a run that there is."""
    now, stored = _stored(reply)
    return stored.at(now)


def run_if_any(reply: Sequence[Any] | None) -> Run | None:
    """Return a run that there may be."""
    return None if reply is None else run_now(reply)


def _stored(reply: Sequence[Any]) -> tuple[int, StoredRun]:
    """Return Redis's time, and a run."""
    now, token, start, until, watched, limit, number, state, end, stop = reply
    run = StoredRun(
        token.decode(),
        int(start),
        int(until),
        int(watched),
        float(limit) if limit else None,
        int(number),
        RunState(state.decode()),
        int(end),
        stop == b"1",
    )
    return int(now), run


def _microseconds(seconds: float) -> bytes:
    return b"%d" % int(seconds * 1_000_000)

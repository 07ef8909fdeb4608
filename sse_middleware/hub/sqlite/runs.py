"""Runs in a file: what each of the store's methods about them does in its transaction.

Rules of this file:
- An append that is refused has written nothing. So it can be answered within a transaction that it
  shares with others.
"""

from collections.abc import Sequence

from sse_middleware.hub.abc import Appended
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import NewRun, Run, RunAppend, StoredRun, fenced, start_marker
from sse_middleware.hub.sqlite.tables import Tables


def begin_run(tables: Tables, topic: str, new: NewRun, now: int) -> Run:
    """Begin a run, unless there is one. See `Store`."""
    present = tables.runs.find(topic, now)
    if present is not None and present.stays(new):
        return present.at(now)
    tables.drop(topic, now)
    marker = start_marker(new.token)
    (start,) = tables.append(topic, (marker,), new.keep, None, now).clocks
    run = StoredRun.begun(new, start, now)
    tables.runs.write(topic, run)
    return run.at(now)


def append_to_run(
    tables: Tables, topic: str, events: Sequence[bytes], keep: Keep, append: RunAppend, now: int
) -> Appended:
    """Append to a run. See `Store`."""
    if not events:
        return _nothing_appended(tables)
    run = tables.runs.find(topic, now)
    if run is None:
        raise fenced(None, append, now)
    if not run.takes(append, now):
        return _nothing_appended(tables)
    appended = tables.append(topic, events, keep, None, now)
    run.note(append, appended.clocks[-1], now)
    tables.runs.write(topic, run)
    return appended


def _nothing_appended(tables: Tables) -> Appended:
    """Return the answer to an append that adds nothing."""
    return Appended([], tables.reach()[2])


def find_run(tables: Tables, topic: str, now: int) -> Run | None:
    """Return a run. This is the work of a job that reads. See `Store`."""
    run = tables.runs.find(topic, now)
    return None if run is None else run.at(now)


def watch_run(tables: Tables, topic: str, now: int) -> Run | None:
    """Note that somebody watches a run, and return it."""
    run = tables.runs.find(topic, now)
    if run is None:
        return None
    run.watched = now
    tables.runs.write(topic, run)
    return run.at(now)


def renew_run(
    tables: Tables, topic: str, token: str, keep: Keep, seconds: float, now: int
) -> Run | None:
    """Make a lease last. See `Store`."""
    run = tables.runs.find(topic, now)
    if run is None:
        return None
    if run.renew(token, seconds, now):
        tables.runs.write(topic, run)
        tables.expire_later(topic, keep, now)
    return run.at(now)


def stop_run(tables: Tables, topic: str, now: int) -> Run | None:
    """Note that a run is to stop. See `Store`."""
    run = tables.runs.find(topic, now)
    if run is None:
        return None
    run.stop()
    tables.runs.write(topic, run)
    return run.at(now)

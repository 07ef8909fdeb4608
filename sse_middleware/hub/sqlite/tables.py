"""`Tables`: what lies in the file, and how it is read and written.

Rules of this file:
- Each method runs within a transaction of its caller.
- Events lie in the order of their clocks, so a listener reads what is new in one go. A topic knows
  the first event that it keeps. Those before it stay for `LAG`, for listeners that are a little
  late. They are no longer replayed.
- `pruned` is the highest clock of an event that was removed. A listener that had not come so far
  may have missed it, and must begin anew.
- A topic is `due` when something of it may have to be removed. An append looks at a few of these
  topics, and removes a few events of each. So neither can pile up.
- A topic's run goes when nothing of the topic is kept any more, or what was kept has expired.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from sse_middleware.hub.abc import (
    DAY,
    ONCE_SECONDS,
    Appended,
    Entry,
    Incarnation,
    Kept,
    Snapshot,
    State,
)
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.sqlite.run_table import RUN_SCHEMA, RunTable

SECOND = 1_000_000
"""Microseconds."""

LAG = 5 * SECOND
"""How long an event stays for listeners, at least."""

_TOPICS_AT_ONCE = 2
_EVENTS_AT_ONCE = 16
"""What an append looks at and removes, at most."""

_NEVER = 1 << 62
"""A time that doesn't come."""

NEWS_AT_ONCE = 256
"""How many new events are read at once."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS hub_store (
    id INTEGER PRIMARY KEY, version INTEGER, clock INTEGER, pruned INTEGER, mark INTEGER);
CREATE TABLE IF NOT EXISTS hub_incarnations (
    id INTEGER PRIMARY KEY, mark INTEGER, start INTEGER, boot TEXT, inode INTEGER);
CREATE TABLE IF NOT EXISTS hub_topics (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE, last INTEGER, first INTEGER, kept INTEGER,
    expires INTEGER, due INTEGER);
CREATE INDEX IF NOT EXISTS hub_topics_due ON hub_topics (due);
CREATE TABLE IF NOT EXISTS hub_events (
    clock INTEGER PRIMARY KEY, topic INTEGER, before INTEGER, block BLOB);
CREATE INDEX IF NOT EXISTS hub_events_topic ON hub_events (topic);
CREATE TABLE IF NOT EXISTS hub_once (
    id INTEGER PRIMARY KEY, topic TEXT, text TEXT, expires INTEGER, clocks TEXT,
    UNIQUE (topic, text));
CREATE INDEX IF NOT EXISTS hub_once_expires ON hub_once (expires);
{RUN_SCHEMA};
CREATE TABLE IF NOT EXISTS hub_bells (path TEXT PRIMARY KEY)
"""


class Tables:
    """The tables of a store.

    Args:
        connection: to the file. It has a function ``heard``, which says of a topic's name whether
            anybody listens to it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._execute_many = connection.executemany
        self.appended: list[tuple[str, Entry]] = []
        """What the transaction has appended."""
        self.runs = RunTable(connection)
        self._incarnations: tuple[Incarnation, ...] = ()

    def clock(self) -> int:
        """Return the clock of the last event."""
        clock: int = self._execute("SELECT clock FROM hub_store").fetchone()[0]
        return clock

    def state(self, now: int) -> State:
        """Return what the store is."""
        clock, mark = self._execute("SELECT clock, mark FROM hub_store").fetchone()
        if not self._incarnations or self._incarnations[-1].mark != mark:
            rows = self._execute("SELECT mark, start FROM hub_incarnations ORDER BY id")
            self._incarnations = tuple(Incarnation(*row) for row in rows)
        return State(clock, now, self._incarnations)

    def append(
        self, topic: str, events: Sequence[bytes], keep: Keep, once: str | None, now: int
    ) -> Appended:
        """Number events and keep them. See `Store`."""
        clock, pruned, mark = self.reach()
        pruned = max(pruned, self._prune(now))
        clocks = [] if once is None else self._remembered(topic, once, now)
        if events and not clocks:
            clocks, removed = self._add(topic, events, keep, clock, now)
            clock, pruned = clocks[-1], max(pruned, removed)
            if once is not None:
                self._remember(topic, once, clocks, now)
        self._execute("UPDATE hub_store SET clock = ?, pruned = ?", (clock, pruned))
        return Appended(clocks, mark)

    def _add(
        self, topic: str, events: Sequence[bytes], keep: Keep, clock: int, now: int
    ) -> tuple[list[int], int]:
        """Return the clocks of new events, and the highest one that was removed."""
        number, before, first, kept, expires, due = self._topic(topic)
        entries: list[Entry] = []
        for block in events:
            clock = max(now, clock + 1)
            entries.append(Entry(clock, before, block))
            before = clock
        self._execute_many(
            "INSERT INTO hub_events VALUES (?, ?, ?, ?)",
            [(entry.clock, number, entry.before, entry.block) for entry in entries],
        )
        self.appended += [(topic, entry) for entry in entries]
        if first is not None and (expires <= now or not keep.count):
            self.runs.remove(number)
        if first is None or expires <= now:
            first, kept = entries[0].clock, 0
        kept += len(entries)
        ends = _end_of(keep, now)
        removed = 0
        if kept > keep.count:
            first = self._first_of(number, first, kept - keep.count) if keep.count else None
            kept = keep.count
            removed = self._remove(number, first, now, 2 * len(entries))
            due = min(due, now + LAG)
        self._execute(
            "UPDATE hub_topics SET last = ?, first = ?, kept = ?, expires = ?, due = ? "
            "WHERE id = ?",
            (clock, first, kept, ends, min(due, ends), number),
        )
        return [entry.clock for entry in entries], removed

    def drop(self, topic: str, now: int) -> None:
        """Keep nothing of a topic any more."""
        row = self._execute("SELECT id FROM hub_topics WHERE name = ?", (topic,)).fetchone()
        if row is not None:
            self.runs.remove(row[0])
            self._execute(
                "UPDATE hub_topics SET first = NULL, due = min(due, ?) WHERE id = ?",
                (now + LAG, row[0]),
            )

    def expire_later(self, topic: str, keep: Keep, now: int) -> None:
        """Keep what a topic has for as long as if something were appended now."""
        ends = _end_of(keep, now)
        self._execute(
            "UPDATE hub_topics SET expires = ?, due = min(due, ?) WHERE name = ?",
            (ends, ends, topic),
        )

    def _topic(self, name: str) -> tuple[int, int, int | None, int, int, int]:
        """Return a topic's number, last clock, first kept clock, count, end, and when it is due."""
        row: tuple[int, int, int | None, int, int, int] | None = self._execute(
            "SELECT id, last, first, kept, expires, due FROM hub_topics WHERE name = ?", (name,)
        ).fetchone()
        if row is not None:
            return row
        added = self._execute("INSERT INTO hub_topics (name) VALUES (?)", (name,))
        return added.lastrowid or 0, 0, None, 0, 0, _NEVER

    def _first_of(self, number: int, first: int, skipped: int) -> int:
        """Return the clock of the event that is some events after another one."""
        clock: int = self._execute(
            "SELECT clock FROM hub_events WHERE topic = ? AND clock >= ? ORDER BY clock "
            "LIMIT 1 OFFSET ?",
            (number, first, skipped),
        ).fetchone()[0]
        return clock

    def _remove(self, number: int, first: int | None, now: int, limit: int) -> int:
        """Remove events that are no longer kept. Returns the highest of their clocks."""
        below = now - LAG if first is None else min(first, now - LAG)
        clocks = self._execute(
            "SELECT clock FROM hub_events WHERE topic = ? AND clock < ? ORDER BY clock LIMIT ?",
            (number, below, limit),
        ).fetchall()
        self._execute_many("DELETE FROM hub_events WHERE clock = ?", clocks)
        return clocks[-1][0] if clocks else 0

    def _prune(self, now: int) -> int:
        """Look at topics that are due. Returns the highest clock that was removed."""
        due = self._execute(
            "SELECT id, last, first, expires FROM hub_topics WHERE due <= ? ORDER BY due LIMIT ?",
            (now, _TOPICS_AT_ONCE),
        ).fetchall()
        return max((self._look_at(*row, now=now) for row in due), default=0)

    def _look_at(self, number: int, last: int, first: int | None, expires: int, *, now: int) -> int:
        if first is not None and expires <= now:
            first = None
            self.runs.remove(number)
        removed = self._remove(number, first, now, _EVENTS_AT_ONCE)
        oldest = self._execute(
            "SELECT min(clock) FROM hub_events WHERE topic = ?", (number,)
        ).fetchone()[0]
        if oldest is None and last + DAY <= now:
            self._execute("DELETE FROM hub_topics WHERE id = ?", (number,))
            return removed
        due = expires if oldest == first else (oldest or now) + LAG
        if oldest is None:
            due = last + DAY
        self._execute("UPDATE hub_topics SET first = ?, due = ? WHERE id = ?", (first, due, number))
        return removed

    def _remembered(self, topic: str, once: str, now: int) -> list[int]:
        """Return the clocks of an append with this text. Forget some that are old."""
        self._execute(
            "DELETE FROM hub_once WHERE id IN "
            "(SELECT id FROM hub_once WHERE expires <= ? ORDER BY expires LIMIT ?)",
            (now, _TOPICS_AT_ONCE),
        )
        row = self._execute(
            "SELECT clocks FROM hub_once WHERE topic = ? AND text = ? AND expires > ?",
            (topic, once, now),
        ).fetchone()
        return [] if row is None else [int(clock) for clock in row[0].split()]

    def _remember(self, topic: str, once: str, clocks: list[int], now: int) -> None:
        self._execute(
            "INSERT OR REPLACE INTO hub_once (topic, text, expires, clocks) VALUES (?, ?, ?, ?)",
            (topic, once, now + ONCE_SECONDS * SECOND, " ".join(map(str, clocks))),
        )

    def read(self, topics: Sequence[str], after: int, limit: int, now: int) -> Snapshot:
        """Return what is kept. See `Store`."""
        found = {topic: self._kept(topic, after, limit, now) for topic in topics}
        return Snapshot(self.state(now), found)

    def _kept(self, topic: str, after: int, limit: int, now: int) -> Kept:
        row = self._execute(
            "SELECT id, last, first, expires FROM hub_topics WHERE name = ?", (topic,)
        ).fetchone()
        if row is None:
            return Kept(None, (), more=False, last=None)
        number, last, first, expires = row
        if first is None or expires <= now:
            return Kept(None, (), more=False, last=last)
        before = self._execute("SELECT before FROM hub_events WHERE clock = ?", (first,))
        oldest = Entry(first, before.fetchone()[0], b"")
        rows = self._execute(
            "SELECT clock, before, block FROM hub_events WHERE topic = ? AND clock > ? "
            "ORDER BY clock LIMIT ?",
            (number, max(after, first - 1), limit),
        )
        entries = tuple(Entry(*row) for row in rows)
        reach = entries[-1].clock if entries else after
        return Kept(oldest, entries, more=last > reach and len(entries) == limit, last=last)

    def news(self, after: int) -> Iterator[tuple[int, str, int, bytes]]:
        """Yield clock, topic, clock before and block of events that somebody listens to."""
        return self._execute(
            "SELECT e.clock, t.name, e.before, e.block FROM hub_events e "
            "CROSS JOIN hub_topics t ON t.id = e.topic WHERE e.clock > ? AND heard(t.name) "
            "ORDER BY e.clock LIMIT ?",
            (after, NEWS_AT_ONCE),
        )

    def reach(self) -> tuple[int, int, int]:
        """Return the clock, the highest clock that was removed, and the mark."""
        row: tuple[int, int, int] = self._execute(
            "SELECT clock, pruned, mark FROM hub_store"
        ).fetchone()
        return row

    def add_bell(self, path: str) -> None:
        """Have a doorbell rung when something is appended."""
        self._execute("INSERT OR IGNORE INTO hub_bells VALUES (?)", (path,))

    def remove_bell(self, path: str) -> None:
        """Have a doorbell rung no more."""
        self._execute("DELETE FROM hub_bells WHERE path = ?", (path,))

    def bells(self) -> list[str]:
        """Return all doorbells."""
        return [row[0] for row in self._execute("SELECT path FROM hub_bells")]


def _end_of(keep: Keep, now: int) -> int:
    """Return when a topic expires if nothing is appended from now on."""
    return min(_NEVER, now + int(min(keep.seconds, _NEVER) * SECOND))

"""`RunTable`: how runs lie in the file.

Rules of this file:
- Each method runs within a transaction of its caller.
- A row belongs to a topic that keeps something. It is removed when the topic keeps nothing any
  more. So a later run of the topic finds no trace of it.
- A row whose topic has expired is no longer found, even if it is not removed yet.
- The rules of a run are in `StoredRun`. It is read from a row, asked, and written back.
"""

import sqlite3
from operator import attrgetter

from sse_middleware.hub.run import RunState, StoredRun

RUN_SCHEMA = """
CREATE TABLE IF NOT EXISTS hub_runs (
    topic INTEGER PRIMARY KEY, token TEXT, start INTEGER, until INTEGER, watched INTEGER,
    unwatched_limit REAL, number INTEGER, state TEXT, "end" INTEGER, stopping INTEGER)
"""
"""The columns after the first are the fields of `StoredRun`, in their order."""

_values_of = attrgetter(
    *("token", "start", "until", "watched", "unwatched_limit", "number", "state", "end", "stopping")
)
"""Copies nothing, as ``astuple`` does."""


class RunTable:
    """The table of runs.

    Args:
        connection: to the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def find(self, topic: str, now: int) -> StoredRun | None:
        """Return the run of a topic that has not expired."""
        row = self._execute(
            "SELECT r.* FROM hub_topics t JOIN hub_runs r ON r.topic = t.id "
            "WHERE t.name = ? AND t.expires > ?",
            (topic, now),
        ).fetchone()
        if row is None:
            return None
        _, token, start, until, watched, limit, number, state, end, stopping = row
        state, stopping = RunState(state), bool(stopping)
        return StoredRun(token, start, until, watched, limit, number, state, end, stopping)

    def write(self, topic: str, run: StoredRun) -> None:
        """Write the run of a topic, in place of the one before, if the topic keeps something."""
        self._execute(
            "INSERT OR REPLACE INTO hub_runs "
            "SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM hub_topics "
            "WHERE name = ? AND first IS NOT NULL",
            (*_values_of(run), topic),
        )

    def remove(self, number: int) -> None:
        """Remove the run of the topic with this number."""
        self._execute("DELETE FROM hub_runs WHERE topic = ?", (number,))

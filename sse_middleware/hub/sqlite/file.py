"""`OpenFile`: the file of a store, while it is open.

Rules of this file:
- A directory beside the file, ``events.db-hub``, has a lock. A process holds it while it opens the
  file. So the tables are made once, and no process removes what another one has just made.
- A file that is not there has no log. What SQLite left of one, ``-wal`` and ``-shm``, is removed
  before it is made. If the file was replaced, the log of the old one is removed.
- Without `durable`, what was written last may be lost if the machine loses power. So each boot of
  the machine begins an incarnation. Where the boot can't be told, all is written as if `durable`.
- A file with another inode than before is a copy, which may be older. That begins one, too.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sse_middleware.errors import StoreError, printable
from sse_middleware.hub.abc import MARK_BITS
from sse_middleware.hub.sqlite.tables import SCHEMA, Tables

VERSION = 1
"""Of the tables."""

_LOCK_SECONDS = 0.05
"""How long SQLite waits for a lock. Meanwhile the thread does nothing else."""

_INCARNATIONS = 32
"""How many are remembered. Positions of older ones are those of another store."""

_BOOT = "/proc/sys/kernel/random/boot_id"

Inode = tuple[int, int]


class OpenFile:
    """An open file.

    Args:
        path: of the file.
        durable: whether nothing may be lost if the machine loses power.
        heard: says of a topic's name whether anybody listens to it.
        now: the time, in microseconds.
        before: an open file at the same path that was replaced. It is closed.

    Raises:
        sqlite3.Error: it can't be opened, or is no database.
        OSError: its directory can't be used.
        StoreError: it is another version's.
    """

    def __init__(
        self,
        path: str,
        *,
        durable: bool,
        heard: Callable[[str], bool],
        now: int,
        before: "OpenFile | None",
    ) -> None:
        self.path = path
        with _lock(directory_of(path)):
            if before is not None:
                before.remove_log()
                before.close()
            if inode_of(path) is None:
                _remove_log(path, None)
            elif not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise _unusable(path, "it is read-only")  # SQLite would make a read-only log
            self.connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
            self.tables = Tables(self.connection)
            try:
                self.connection.create_function("heard", 1, heard)
                self._prepare(now, durable=durable)
            except BaseException:
                self.close()
                raise

    def _prepare(self, now: int, *, durable: bool) -> None:
        execute = self.connection.execute
        boot = boot_id()
        synced = durable or not boot
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
        execute("PRAGMA fullfsync = 1")
        execute("PRAGMA journal_size_limit = 16777216")
        with self.transaction():
            for statement in SCHEMA.split(";"):
                execute(statement)
            self._inode = inode_of(self.path)
            self._begin(now, boot, synced=synced)
        self._logs = {suffix: inode_of(self.path + suffix) for suffix in _LOGS}

    def _begin(self, now: int, boot: str, *, synced: bool) -> None:
        """Begin an incarnation, unless the last one goes on."""
        execute = self.connection.execute
        inode = self._inode[1] if self._inode is not None else 0
        stored = execute("SELECT version, clock FROM hub_store").fetchone()
        if stored is None:
            stored = (VERSION, now)
            execute("INSERT INTO hub_store VALUES (1, ?, ?, 0, 0)", stored)
        version, clock = stored
        if version != VERSION:
            raise _unusable(self.path, "it is of another version of this package")
        own = "" if synced else boot
        query = "SELECT id, boot, inode FROM hub_incarnations ORDER BY id DESC LIMIT 1"
        number, old_boot, old_inode = execute(query).fetchone() or (0, None, 0)
        if old_inode != inode or old_boot not in {"", boot}:
            self._add_incarnation(number + 1, (clock, own, inode))
        elif own and not old_boot:
            execute("UPDATE hub_incarnations SET boot = ? WHERE id = ?", (own, number))

    def _add_incarnation(self, number: int, values: tuple[int, str, int]) -> None:
        execute = self.connection.execute
        mark = int.from_bytes(os.urandom(3)) >> 24 - MARK_BITS
        execute("INSERT INTO hub_incarnations VALUES (?, ?, ?, ?, ?)", (number, mark, *values))
        execute("DELETE FROM hub_incarnations WHERE id <= ?", (number - _INCARNATIONS,))
        execute("UPDATE hub_store SET mark = ?", (mark,))

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[Tables]:
        """Do all that the block does, or nothing of it."""
        self.connection.execute(f"BEGIN {kind}")
        try:
            self.tables.appended = []
            yield self.tables
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
            raise

    @property
    def is_moved(self) -> bool:
        """Whether the file was deleted or replaced, as far as is known."""
        with suppress(OSError):
            return inode_of(self.path) != self._inode
        return False

    def remove_log(self) -> None:
        """Remove what this file has left beside the one that replaces it.

        What was only in there goes into the file, which may live on in another place.
        """
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint")
        _remove_log(self.path, self._logs)

    def close(self) -> None:
        """Close it."""
        with suppress(sqlite3.Error):
            self.connection.close()


def _unusable(path: str, reason: str) -> StoreError:
    return StoreError(f"the hub's file {printable(path)} can't be used: {reason}")


_LOGS = ("-wal", "-shm")


def _remove_log(path: str, only: Mapping[str, Inode | None] | None) -> None:
    """Remove SQLite's files beside a file: those with certain inodes, or any."""
    for suffix in _LOGS:
        inode = inode_of(path + suffix)
        if inode is not None and (only is None or only[suffix] == inode):
            Path(path + suffix).unlink()


def directory_of(path: str) -> Path:
    """Return the directory beside a file."""
    return Path(f"{path}-hub")


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def inode_of(path: str) -> Inode | None:
    """Return what tells a file from another one at the same path, ``None`` without a file.

    Raises:
        OSError: nobody knows.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - at each transaction, so it must be quick
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def boot_id() -> str:
    """Return what tells this boot of the machine from others, ``""`` if the system doesn't."""
    try:
        return Path(_BOOT).read_text("ascii").strip()
    except OSError:
        return ""

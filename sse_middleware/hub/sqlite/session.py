"""`Session`: what the thread of a store does with the file.

Rules of this file:
- Jobs that write share a transaction. If it fails, each has one of its own, so that only those fail
  that can't be done.
- An append that is fenced has its answer. It is no failure of the transaction.
- A job is done once its transaction is, and the file is still in its place. If the file was deleted
  or replaced meanwhile, the job is done again in the new one.
- What a listener hears is read from the file, from the last clock on. What this process has
  appended itself need not be read, if no other process has appended something before.
- The news come before the answers. So a listener has heard the news up to then when a tick or an
  append is answered.
- A file that is locked holds jobs up for a while. Reads go on.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from sse_middleware.hub.abc import Entry
from sse_middleware.hub.sqlite.bells import Bell, Ringer, remove
from sse_middleware.hub.sqlite.failures import as_store_error, breaks_connection, is_locked
from sse_middleware.hub.sqlite.file import OpenFile, directory_of
from sse_middleware.hub.sqlite.jobs import Delivery, Job
from sse_middleware.hub.sqlite.tables import NEWS_AT_ONCE, Tables

WRITES_AT_ONCE = 256
"""How many jobs share a transaction. Other processes have to wait for it."""


class Session:
    """Does the jobs of one process. All of it happens in one thread.

    Args:
        path: of the file.
        durable: whether nothing may be lost if the machine loses power.
        heard: has the topics that somebody listens to. The event loop changes it.
        now: returns the time, in microseconds.
    """

    def __init__(
        self, path: str, *, durable: bool, heard: Mapping[str, object], now: Callable[[], int]
    ) -> None:
        self._path = path
        self._durable = durable
        self._heard = heard
        self._now = now
        self._file: OpenFile | None = None
        self._ringer = Ringer()
        self._stale: list[str] = []
        self._clock: int | None = None  # up to which the news were told, None without listeners
        self.bell: Bell | None = None
        """What others ring, if anybody listens."""
        self.held: list[Job] = []
        """Jobs that wait because the file is locked."""
        self.closing = False
        """Whether jobs don't wait any more."""

    def do(self, jobs: Sequence[Job], delivery: Delivery) -> None:
        """Do jobs, and tell the news."""
        try:
            self._open(delivery)
        except Exception as error:
            self._fail(jobs, error, delivery)
            return
        writes = [job for job in jobs if job.writes]
        for begin in range(0, len(writes), WRITES_AT_ONCE):
            self._write(writes[begin : begin + WRITES_AT_ONCE], delivery)
        self._tell_news(delivery)
        for job in jobs:
            if not job.writes:
                self._read(job, delivery)

    def _open(self, delivery: Delivery) -> OpenFile:
        """Return the open file. Open it if it isn't, or if another one is in its place."""
        file = self._file
        if file is not None and not file.is_moved:
            return file
        self._file = None
        if file is not None:
            delivery.broken = True
            self._clock = None
            self._close_bell()
        self._file = opened = OpenFile(
            self._path,
            durable=self._durable,
            heard=self._heard.__contains__,
            now=self._now(),
            before=file,
        )
        return opened

    def _write(self, jobs: Sequence[Job], delivery: Delivery) -> None:
        try:
            self._commit(jobs, delivery)
        except Exception as error:
            if len(jobs) == 1 or is_locked(error):
                self._fail(jobs, error, delivery)
            else:
                for job in jobs:
                    self._write((job,), delivery)

    def _commit(self, jobs: Sequence[Job], delivery: Delivery) -> None:
        """Do jobs in one transaction, again if the file is not in its place after it."""
        file, failure = self._open(delivery), None
        before, bells = 0, list[str]()
        try:
            with file.transaction() as tables:
                before = tables.clock()
                for job in jobs:
                    job.do(tables, self._now())
                bells = self._bells_of_others(tables)
        except Exception as error:
            failure = error
        if file.is_moved:
            self._commit(jobs, delivery)
        elif failure is not None:
            raise failure
        else:
            self._tell_own(file.tables, before, delivery)
            if file.tables.appended:
                self._stale = self._ringer.ring(bells)
            delivery.jobs += jobs

    def _bells_of_others(self, tables: Tables) -> list[str]:
        """Return the doorbells to ring, and remove those that nobody answered."""
        stale, self._stale = self._stale, []
        for path in stale:
            tables.remove_bell(path)
            remove(path)
        own = self.bell.path if self.bell is not None else ""
        return [path for path in tables.bells() if path != own]

    def _tell_own(self, tables: Tables, before: int, delivery: Delivery) -> None:
        """Tell what was appended, if nothing else is new."""
        if self._clock != before or not tables.appended:
            return
        mark = tables.reach()[2]
        for topic, entry in tables.appended:
            if topic in self._heard:
                delivery.news.append((topic, entry, mark))
        self._clock = tables.appended[-1][1].clock

    def _tell_news(self, delivery: Delivery) -> None:
        """Tell what others have appended."""
        if self.bell is not None and not self.bell.exists:  # nobody finds it
            self._close_bell()
            delivery.broken = True
        try:
            while self._clock is not None and self._tell_some(self._clock, delivery):
                pass
        except Exception as error:
            self._note(error)
            delivery.broken = True

    def _tell_some(self, after: int, delivery: Delivery) -> bool:
        """Tell some news. Returns whether there may be more."""
        with self._open(delivery).transaction("DEFERRED") as tables:
            clock, pruned, mark = tables.reach()
            rows = list(tables.news(after)) if clock > after else []
        if not after <= clock or pruned > after:
            delivery.broken = True
            self._clock = clock
            return False
        for at, topic, before, block in rows:
            delivery.news.append((topic, Entry(at, before, block), mark))
        more = len(rows) == NEWS_AT_ONCE
        self._clock = rows[-1][0] if more else clock
        return more

    def _read(self, job: Job, delivery: Delivery) -> None:
        try:
            with self._open(delivery).transaction("DEFERRED") as tables:
                job.do(tables, self._now())
            delivery.jobs.append(job)
        except Exception as error:
            self._fail((job,), error, delivery)

    def _fail(self, jobs: Sequence[Job], error: Exception, delivery: Delivery) -> None:
        """Answer with an error, or hold the jobs up."""
        self._note(error)
        for job in jobs:
            waits = is_locked(error) and not self.closing and time.monotonic() < job.deadline
            if waits:
                self.held.append(job)
            else:
                job.error = as_store_error(error, self._path)
                delivery.jobs.append(job)

    def _note(self, error: Exception) -> None:
        """Close the file, if the error may be of the connection."""
        if self._file is not None and breaks_connection(error):
            self._file.close()
            self._file = None

    def listens(self, _tables: Tables, _now: int) -> bool:
        """Whether what is appended from now on is heard. This is the work of a job that reads."""
        return self.bell is not None and self._clock is not None

    def listen(self, tables: Tables, _now: int) -> None:
        """Hear what is appended from now on. This is the work of a job that writes."""
        self.bell = self.bell or Bell(directory_of(self._path))
        tables.add_bell(self.bell.path)
        if self._clock is None:
            self._clock = tables.clock()

    def tick(self, tables: Tables, _now: int) -> tuple[int, int]:
        """Return the clock up to which the news were told, and the mark."""
        clock, _, mark = tables.reach()
        return clock if self._clock is None else self._clock, mark

    def deafen(self) -> None:
        """Hear nothing any more."""
        self._clock = None
        if self.bell is None or self._file is None:
            return
        try:
            with self._file.transaction() as tables:
                tables.remove_bell(self.bell.path)
        except Exception as error:  # the next process that rings it removes it
            self._note(error)
        self._close_bell()

    def _close_bell(self) -> None:
        bell, self.bell = self.bell, None
        if bell is not None:
            bell.close()

    def close(self) -> None:
        """Let go of everything."""
        self.deafen()
        self._close_bell()
        self._ringer.close()
        if self._file is not None:
            self._file.close()

"""Two processes share runs in Redis, and either of them, Redis, or a connection fails.

Where a bound is part of the contract, it is measured from the fault on.
"""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from time import monotonic

import anyio
import pytest
from anyio.to_thread import run_sync

from sse_middleware.hub.run import RUN_TOPIC, STARTED, RunState, end_marker
from sse_middleware.hub.runs.plan import LEASE
from tests.e2e.pages import Browser, Page, browser
from tests.e2e.run_scene import APP, LONGEST, Journal, a_long_answer, chat, text
from tests.e2e.workers import Worker, started
from tests.hub.test_contract import blocks

from .server import RedisServer
from .test_store import opened

pytestmark = [pytest.mark.anyio, pytest.mark.e2e, pytest.mark.timeout(120)]

PAUSE = 2.0
"""Seconds for which Redis does nothing."""

PROMPT = LEASE
"""Seconds within which viewers know how a run has ended, once that is decided. It is wide, since
others use the machine too, but who waits for the end of a lease takes longer."""

_numbers = count()


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal(tmp_path_factory.mktemp("runs"))


def start(
    number: int, server: RedisServer, journal: Journal, directory: Path
) -> AbstractContextManager[list[Worker]]:
    environment = {"HUB_URL": server.url, "JOURNAL": str(journal.path)}
    return started(number, APP, environment, directory)


@pytest.fixture(scope="module")
def workers(
    shared_server: RedisServer, journal: Journal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Worker]]:
    """Two workers of all tests. They stay alive."""
    with start(2, shared_server, journal, tmp_path_factory.mktemp("workers")) as workers:
        yield workers


@pytest.fixture
def mortal(shared_server: RedisServer, journal: Journal, tmp_path: Path) -> Iterator[Worker]:
    """A worker that the test ends."""
    with start(1, shared_server, journal, tmp_path) as [worker]:
        yield worker


@pytest.fixture
def key() -> str:
    """Return a key that no other test has."""
    return f"key{next(_numbers)}"


@asynccontextmanager
async def viewed(workers: list[Worker], key: str) -> AsyncIterator[tuple[Browser, Page, Page]]:
    """View a run without an end at the worker that produces it, and at the other one."""
    one, other = workers
    async with browser(LONGEST) as pages:
        ann = pages.open(one, chat(key, "t"))
        await ann.has(50)
        bob = pages.open(other, f"/view/{key}")
        await bob.has(50)
        yield pages, ann, bob


async def until_noted(journal: Journal, line: str) -> None:
    """Wait until a generator has noted something. Nothing tells that but its journal."""
    while not journal.count(line):  # noqa: ASYNC110
        await anyio.sleep(0.01)


async def log_of(server: RedisServer, key: str) -> list[bytes]:
    """Return the blocks of a run as they are in Redis."""
    async with opened(server.url, "sse") as store:
        snapshot = await store.read((topic := f"{RUN_TOPIC}{key}",), 0, 100_000)
    return blocks(snapshot.topics[topic].entries)


async def test_a_long_answer_through_all_that_its_viewers_survive(
    workers: list[Worker], shared_server: RedisServer, journal: Journal, key: str
) -> None:
    async def pause() -> None:
        shared_server.pause()
        try:
            await anyio.sleep(PAUSE)  # the fault itself
        finally:
            shared_server.resume()

    async def kill_listeners() -> None:
        killed = await run_sync(shared_server.ask, "CLIENT", "KILL", "TYPE", "pubsub")
        assert killed >= len(workers)

    await a_long_answer(workers, journal, key, {7: pause, 13: kill_listeners})


async def test_pages_come_while_the_connections_to_redis_are_killed(
    workers: list[Worker], shared_server: RedisServer, key: str
) -> None:
    """Each gets the run: after any other answer than 200, an ``EventSource`` never comes back."""

    async def kill() -> None:
        while True:
            began = monotonic()
            await run_sync(shared_server.ask, "CLIENT", "KILL", "TYPE", "normal")
            # Some commands have to come through: on a slow machine each takes longer.
            await anyio.sleep(max(0.02, 4 * (monotonic() - began)))

    async with browser(LONGEST) as pages, anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        for number in range(30):
            page = await pages.whole(workers[number % 2], chat(key, "t", 10))
            assert page.tokens == text("t", 10)
            assert (page.failures, page.gaps) == ([], [])
        tasks.cancel_scope.cancel()


async def test_a_run_is_stopped_at_the_other_worker(
    workers: list[Worker], journal: Journal, key: str
) -> None:
    one, other = workers
    async with viewed(workers, key) as (pages, ann, bob):
        began = monotonic()
        assert await pages.post(other, f"/stop/{key}") is True
        for page in (ann, bob):
            await page.over.wait()
        assert monotonic() - began < PROMPT
        assert journal.count(f"closed {key} t") == 1
        assert ann.tokens == bob.tokens == text("t", len(ann.tokens))
        assert ann.failures == bob.failures == []
        for worker in (one, other):
            assert await pages.get(worker, f"/state/{key}") == "stopped"
            assert await pages.post(worker, f"/stop/{key}") is False


async def test_a_run_makes_way_for_one_at_the_other_worker(
    workers: list[Worker], journal: Journal, key: str
) -> None:
    one, other = workers
    async with viewed(workers, key) as (pages, ann, bob):
        new = await pages.whole(other, chat(key, "n", 200, restart=True))
        assert new.tokens == text("n", 200)
        await until_noted(journal, f"closed {key} t")
        for page in (ann, bob):
            await page.over.wait()
            old = len(page.tokens) - 200
            assert page.tokens == text("t", old) + new.tokens
            assert page.failures == []
            assert set(page.gaps) <= {old}, "more than the rest of the old run is gone"
        for worker in (one, other):
            assert await pages.get(worker, f"/state/{key}") == "done"
    for label in "tn":
        assert journal.count(f"began {key} {label}") == 1
        assert journal.count(f"closed {key} {label}") == 1


async def test_a_paused_producer_is_fenced_when_it_goes_on(
    workers: list[Worker], shared_server: RedisServer, journal: Journal, key: str
) -> None:
    one, other = workers
    left, again, soon = f"{key}-left", f"{key}-again", f"{key}-soon"
    async with browser(LONGEST) as pages:
        stalled = [pages.open(one, chat(run, "t")) for run in (left, again, soon)]
        for page in stalled:
            await page.has(50)
        ann, bob = (pages.open(other, f"/view/{run}") for run in (left, again))
        await ann.has(50)
        await bob.has(50)
        one.pause()
        try:
            began = monotonic()
            at_once = pages.open(other, chat(soon, "n", restart=True))
            for page in (ann, bob):
                await page.over.wait()
                assert page.told_at - began < LEASE + PROMPT
                assert page.tokens == text("t", len(page.tokens))
                assert page.failures == ["RunAbortedError"]
            later = pages.open(other, chat(again, "n", restart=True))
            await later.has(50)
        finally:
            one.resume()
        for run in (left, again, soon):
            await until_noted(journal, f"closed {run} t")

        for page, run in ((at_once, soon), (later, again)):
            await page.has(len(page.tokens) + 50)
            assert await pages.post(one, f"/stop/{run}") is True
            await page.over.wait()
            assert page.tokens == text("n", len(page.tokens))
            assert (page.failures, page.gaps) == ([], [])
            assert await pages.get(one, f"/state/{run}") == "stopped"
        for page in stalled:
            await page.over.wait()
        assert stalled[0].tokens == ann.tokens
        assert (stalled[0].failures, stalled[0].gaps) == (ann.failures, [])
        for page, new in zip(stalled[1:], (later, at_once), strict=True):
            old = len(page.tokens) - len(new.tokens)  # it may have missed some, and their end
            assert page.tokens == text("t", old) + new.tokens
        assert len(stalled[1].tokens) - len(later.tokens) <= len(bob.tokens)
        for worker in (one, other):
            cat = await pages.whole(worker, f"/view/{left}")
            assert (cat.tokens, cat.failures) == (ann.tokens, ann.failures)
            assert await pages.get(worker, f"/state/{left}") == "aborted"
    blocks = [b"data: %b\n\n" % token.encode() for token in ann.tokens]
    started, *rest = await log_of(shared_server, left)
    assert started.startswith(STARTED)
    assert rest == [*blocks, end_marker(RunState.ABORTED)]


async def test_a_killed_worker_s_run_is_aborted(
    mortal: Worker, workers: list[Worker], journal: Journal, key: str
) -> None:
    other = workers[0]
    async with viewed([mortal, other], key) as (pages, ann, bob):
        await bob.has(len(bob.tokens) + 100)  # so that its worker looked at the run a while ago
        began = monotonic()
        mortal.kill()
        ann.worker = other
        for page in (ann, bob):
            await page.over.wait()
            assert page.told_at - began < LEASE + PROMPT
            assert page.tokens == text("t", len(page.tokens))
            assert page.failures == ["RunAbortedError"]
        assert ann.tokens == bob.tokens
        assert await pages.get(other, f"/state/{key}") == "aborted"
        cat = await pages.whole(other, chat(key, "t"))
        assert (cat.tokens, cat.failures) == (ann.tokens, ann.failures)
    assert journal.count(f"began {key} t") == 1
    assert journal.count(f"closed {key} t") == 0


async def test_a_worker_that_is_told_to_stop_drains_its_run(
    mortal: Worker, workers: list[Worker], journal: Journal, key: str
) -> None:
    other = workers[0]
    async with viewed([mortal, other], key) as (pages, ann, bob):
        ann.worker = other
        mortal.process.terminate()
        for page in (ann, bob):
            await page.over.wait()
            assert page.tokens == text("t", len(page.tokens))
            assert (page.failures, page.gaps) == ([], [])
        assert ann.tokens == bob.tokens
        assert journal.count(f"closed {key} t") == 1
        assert await pages.get(other, f"/state/{key}") == "drained"
        assert await run_sync(mortal.process.wait, LONGEST) in {0, -signal.SIGTERM}

"""The fixtures, in a pytest of their own."""

from collections.abc import Callable
from importlib.metadata import entry_points

import pytest

from tests.testing.portals import forgets_options

pytest_plugins = ["pytester"]

INSTALLED = entry_points(group="pytest11", name="sse_middleware")
LOADED = ["-p", "anyio", "-p", "sse_middleware.pytest_plugin"]

CONFTEST = """
import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from sse_middleware import event_stream

log = []

@event_stream
async def ticks(request):
    try:
        number = 0
        while True:
            yield (number := number + 1)
            await anyio.sleep(3600)
    finally:
        log.append("closed")

@pytest.fixture
def app():
    return Starlette(routes=[Route("/", ticks)])

@pytest.fixture
def anyio_backend(virtual_time):
    return virtual_time.anyio_backend

@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    return (yield)
"""


INI = """
[pytest]
addopts = -v -p no:cacheprovider
filterwarnings =
    error
    # This process has imported what the plugin is in.
    ignore::pytest.PytestAssertRewriteWarning
"""

Run = Callable[..., str]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return how to run a test file in this process; it returns what pytest prints."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makeini(INI)

    def run(source: str, **outcomes: int) -> str:
        pytester.makepyfile(source)
        result = pytester.runpytest_inprocess(*LOADED)
        result.assert_outcomes(**outcomes)
        return str(result.stdout)

    return run


def test_asynchronous_tests_run_on_both_event_loops_in_virtual_time(run: Run) -> None:
    shown = run(
        """
        import pytest

        pytestmark = pytest.mark.anyio

        async def test_ticks(event_client, app, virtual_time, nothing_left_behind):
            async with event_client(app, timeout=3601) as client:
                async with client.stream("GET", "/") as events:
                    assert [event.json() for event in await events.take(25)] == [*range(1, 26)]
            assert virtual_time.elapsed == 24 * 3600
        """,
        passed=2,
    )
    assert "test_ticks[asyncio]" in shown
    assert "test_ticks[trio]" in shown


@forgets_options
def test_a_synchronous_client_ends_with_the_test(run: Run) -> None:
    run(
        """
        from conftest import log

        def test_ticks(sync_event_client, app, virtual_time, nothing_left_behind):
            client = sync_event_client(app, time=virtual_time)
            with client.stream("GET", "/") as events:
                assert events.next().json() == 1
                client.sleep(3600)
                assert events.next().json() == 2
            assert log.pop() == "closed"

        def test_in_real_time(sync_event_client, app):
            with sync_event_client(app).stream("GET", "/") as events:
                assert events.next().json() == 1
        """,
        passed=3,
    )


def test_what_is_left_behind_fails_its_test_and_no_other(run: Run) -> None:
    shown = run(
        """
        import pytest

        kept = []

        def numbers():
            yield 1

        def test_leaves(nothing_left_behind):
            kept.append(numbers())
            next(kept[0])

        def test_after_it(nothing_left_behind):
            pass

        def test_without_it():
            kept.append(numbers())
            next(kept[-1])
        """,
        passed=3,
        errors=1,
    )
    assert "LeftBehindError: left behind:" in shown
    assert "generator numbers at" in shown


def test_fixtures_of_the_tests_are_not_left_behind(run: Run) -> None:
    run(
        """
        import anyio
        import pytest

        @pytest.fixture(scope="module")
        def module():
            yield

        @pytest.fixture
        def before(nothing_left_behind):
            yield

        @pytest.fixture
        async def asynchronous(anyio_backend, nothing_left_behind):
            yield

        @pytest.fixture
        async def around(anyio_backend):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                yield
                tasks.cancel_scope.cancel()

        def test_sync(module, before, nothing_left_behind):
            pass

        @pytest.mark.anyio
        async def test_async(module, before, asynchronous, nothing_left_behind):
            await anyio.sleep(1)

        @pytest.mark.anyio
        async def test_within(around, nothing_left_behind):
            await anyio.sleep(1)
        """,
        passed=5,
    )


def test_an_asynchronous_test_that_leaves_a_task(run: Run) -> None:
    shown = run(
        """
        import anyio
        import pytest

        async def forgotten():
            await anyio.sleep_forever()

        @pytest.fixture
        async def tasks(anyio_backend):
            async with anyio.create_task_group() as tasks:
                yield tasks
                tasks.cancel_scope.cancel()

        @pytest.mark.anyio
        async def test_leaves(tasks, nothing_left_behind):
            tasks.start_soon(forgotten)
            await anyio.wait_all_tasks_blocked()
        """,
        passed=2,
        errors=2,
    )
    assert shown.count("LeftBehindError: left behind:") >= 2
    assert "forgotten" in shown


def test_in_a_process_of_its_own_the_kit_is_imported_when_it_is_used(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            assert "sse_middleware.pytest_plugin" in sys.modules
            assert not [name for name in sys.modules if name.startswith("sse_middleware.testing")]
            assert "httpx" not in sys.modules

        def test_ticks(sync_event_client, app):
            with sync_event_client(app).stream("GET", "/") as events:
                assert events.next().json() == 1
        """
    )
    pytester.makeconftest(CONFTEST)
    pytester.makeini(INI)
    loaded = [] if INSTALLED else ["-p", "sse_middleware.pytest_plugin"]
    pytester.runpytest_subprocess(*loaded).assert_outcomes(passed=2)

"""The fixtures of the plugin, in a pytest of their own."""

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
    # This process has imported the plugin already.
    ignore::pytest.PytestAssertRewriteWarning
"""

Run = Callable[..., str]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return how to run a test file in this process; it returns what pytest prints."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makeini(INI)

    def run(source: str, *options: str, **outcomes: int) -> str:
        pytester.makepyfile(source)
        result = pytester.runpytest_inprocess(*LOADED, *options)
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
                    assert [event.json() for event in await events.take(3)] == [1, 2, 3]
            assert virtual_time.elapsed == 2 * 3600
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


@forgets_options
def test_a_synchronous_client_ends_with_its_own_block_if_it_has_one(run: Run) -> None:
    run(
        """
        import pytest
        from conftest import log
        from sse_middleware.testing import SyncEventClient, UsageError

        def test_ticks(sync_event_client, app, virtual_time, nothing_left_behind):
            with sync_event_client(app, time=virtual_time) as client:
                assert isinstance(client, SyncEventClient)
                with client.stream("GET", "/") as events:
                    assert events.next().json() == 1
                    assert log == []
            assert log.pop() == "closed"
            with pytest.raises(UsageError):
                client.get("/")

        def test_two(sync_event_client, app):
            alone = sync_event_client(app)
            with sync_event_client(app) as one, sync_event_client(app) as other:
                for client in (alone, one, other):
                    with client.stream("GET", "/") as events:
                        assert events.next().json() == 1
            with alone.stream("GET", "/") as events:
                assert events.next().json() == 1

        def test_the_block_raises_what_its_end_raises(sync_event_client):
            async def app(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.failed", "message": "no way"})

            with pytest.raises(AssertionError, match="no way"):
                with sync_event_client(app):
                    pass

        def test_an_error_in_the_block_comes_out_as_it_is(sync_event_client, app):
            with pytest.raises(LookupError, match="of the test"):
                with sync_event_client(app) as client, client.stream("GET", "/"):
                    raise LookupError("of the test")
        """,
        passed=5,
    )


REAL_TIME = """
    import anyio
    import pytest

    @pytest.mark.{marker}
    async def test_direct(virtual_time):
        await anyio.sleep(0)

    @pytest.mark.{marker}
    async def test_by_another_fixture(anyio_backend):
        await anyio.sleep(0)

    @pytest.mark.anyio
    @pytest.mark.{marker}
    async def test_of_both(virtual_time):
        await anyio.sleep(0)

    def test_that_is_synchronous_runs_its_own_loop(virtual_time):
        virtual_time.run(anyio.sleep, 3600)
        assert virtual_time.elapsed == 3600

    @pytest.mark.{marker}
    async def test_without_it():
        await anyio.sleep(0)
"""


ASYNCIO = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")
TRIO = ("-p", "pytest_trio.plugin")


@pytest.mark.parametrize(("marker", "options"), [("asyncio", ASYNCIO), ("trio", TRIO)])
def test_another_plugins_asynchronous_test_gets_no_virtual_time(
    run: Run, marker: str, options: tuple[str, ...]
) -> None:
    pytest.importorskip(options[1])
    shown = run(REAL_TIME.format(marker=marker), *options, passed=3, errors=6)
    assert shown.count("E   ") >= 6
    assert (
        "UsageError: this test would run in real time: mark it with pytest.mark.anyio and not with "
        "another plugin's marker, and let the fixture anyio_backend return "
        "virtual_time.anyio_backend"
    ) in shown


def test_where_another_plugin_marks_every_test(run: Run) -> None:
    pytest.importorskip("pytest_asyncio")
    source = """
        async def test_direct(virtual_time):
            pass

        async def test_without_it():
            pass
        """
    run(source, *ASYNCIO, "-o", "asyncio_mode=auto", passed=1, errors=2)


def test_an_asynchronous_test_that_nobody_runs_gets_no_virtual_time(run: Run) -> None:
    shown = run("async def test_direct(virtual_time): pass", errors=2)
    assert "UsageError: this test would run in real time" in shown


def test_anyio_runs_it_in_another_time(run: Run) -> None:
    shown = run(
        """
        import pytest

        pytestmark = pytest.mark.anyio

        class TestForgets:
            @pytest.fixture(params=["asyncio", ("asyncio", {"use_uvloop": False})])
            def anyio_backend(self, request):
                return request.param

            async def test_it(self, virtual_time):
                pass

        class TestOtherTime:
            @pytest.fixture
            def anyio_backend(self):
                from sse_middleware.testing import VirtualTime
                return VirtualTime("asyncio").anyio_backend

            async def test_it(self, virtual_time):
                pass

        class TestAddsAnOption:
            @pytest.fixture
            def anyio_backend(self, virtual_time):
                return virtual_time.backend, {"debug": False, **virtual_time.backend_options}

            @pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
            async def test_it(self, virtual_time):
                pass
        """,
        passed=1,
        failed=6,
    )
    assert "UsageError: this test would run in real time, with the backend 'asyncio': " in shown


def test_something_left_behind_fails_its_test_and_no_other(run: Run) -> None:
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


def test_fixtures_are_not_left_behind(run: Run) -> None:
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


def test_an_asynchronous_test_that_leaves_a_task_behind_fails(run: Run) -> None:
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


def test_the_plugin_imports_the_kit_when_it_is_used(
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
    loaded += ["-p", "no:asyncio", "-p", "no:trio"]
    pytester.runpytest_subprocess(*loaded).assert_outcomes(passed=2)

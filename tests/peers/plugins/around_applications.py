"""A plugin for the pytest of a framework's own suite: the middleware around every application.

It is loaded with ``-p around_applications``. Two variables say what it does:

- ``PEER_PLACE``: where the middleware goes, one of `PLACES`.
- ``PEER_OUTCOMES``: the file that gets the outcome of each test, as JSON.

It replaces two methods of the framework, and only in the process of that suite. The package itself
patches nothing.
"""

import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from asgiref.compatibility import guarantee_single_callable
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware import SSEMiddleware

OFFER = (b"accept", b"text/event-stream;q=0.001")
SENT = "the headers as they were sent"

Build = Callable[[Any], ASGIApp]
Surround = Callable[[ASGIApp], ASGIApp]


class Offer:
    """Makes each request accept events, so that its response is a candidate for adoption."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = scope.get("headers")  # servers send them, some tests don't
            scope[SENT] = (headers, scope.get(SENT))
            scope["headers"] = [*(headers or ()), OFFER]
        await self.app(scope, receive, send)


class NoOffer:
    """Gives the application the headers as they were sent."""

    def __init__(self, app: ASGIApp) -> None:
        is_endpoint = hasattr(app, "__await__")  # such a class isn't ASGI 2
        self.app = app if is_endpoint else guarantee_single_callable(app)  # type: ignore[no-untyped-call]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers, outer = scope.pop(SENT)
            if outer is not None:  # an application within another
                scope[SENT] = outer
            scope["headers"] = headers
            if headers is None:
                del scope["headers"]
        await self.app(scope, receive, send)


def nowhere(app: ASGIApp) -> ASGIApp:
    return app


def outermost(app: ASGIApp) -> ASGIApp:
    return SSEMiddleware(app)


def offered(app: ASGIApp) -> ASGIApp:
    return Offer(SSEMiddleware(NoOffer(app)))


def around_the_stack(build: Build, surround: Surround) -> Build:
    @wraps(build)
    def build_middleware_stack(app: Starlette) -> ASGIApp:
        return surround(build(app))

    return build_middleware_stack


def last_in_the_stack(build: Build, _: Surround) -> Build:
    @wraps(build)
    def build_middleware_stack(app: Starlette) -> ASGIApp:
        own = app.user_middleware
        app.user_middleware = [*own, Middleware(SSEMiddleware)]
        try:
            return build(app)
        finally:
            app.user_middleware = own

    return build_middleware_stack


PLACES = MappingProxyType(
    {
        "nowhere": (around_the_stack, nowhere),
        "outermost": (around_the_stack, outermost),
        "innermost": (last_in_the_stack, outermost),
        "offered": (around_the_stack, offered),
    }
)
"""How the middleware gets into a Starlette application, and around any other."""


def surround_applications(place: str) -> None:
    into_stack, surround = PLACES[place]
    kinds: tuple[Any, ...] = (Starlette, FastAPI)
    for kind in kinds:
        kind.build_middleware_stack = into_stack(kind.build_middleware_stack, surround)
    original = TestClient.__init__

    @wraps(original)
    def initialize(self: TestClient, app: Any, *args: Any, **options: Any) -> None:
        app = app if isinstance(app, Starlette) else surround(app)
        original(self, app, *args, **options)

    TestClient.__init__ = initialize  # type: ignore[method-assign]


FROM_BEST = ("passed", "skipped", "failed")


class Outcomes:
    """Keeps the outcome of each test: the worst of its setup, call and teardown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = max(before, report.outcome, key=FROM_BEST.index)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._outcomes), "utf-8")


def has_own_process(item: pytest.Item) -> bool:
    """Whether FastAPI's own decorator runs a test in a new interpreter, without this plugin."""
    code = getattr(getattr(item, "function", None), "__code__", None)
    return code is not None and Path(code.co_filename).name == "_subprocess.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that can't have the middleware."""
    left_out = [item for item in items if has_own_process(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_configure(config: pytest.Config) -> None:
    surround_applications(os.environ["PEER_PLACE"])
    if not hasattr(config, "workerinput"):  # the workers of xdist report to its controller
        config.pluginmanager.register(Outcomes(Path(os.environ["PEER_OUTCOMES"])))

"""Each call of a polled endpoint has a scope of its own."""

from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from sse_middleware import LegacyRoute, SSEMiddleware
from sse_middleware.legacy.polling.call_scope import scope_of_calls, scope_of_one_call
from sse_middleware.testing import EventClient
from tests.legacy.apps import reading
from tests.legacy.polling.polled import Guarded, asked, served

# ruff: noqa: SIM117 - a request within its client
pytestmark = pytest.mark.anyio

BIG_SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/status",
    "raw_path": b"/status",
    "root_path": "",
    "query_string": b"a=b",
    "headers": [(b"host", b"a.test"), (b"x-own", b"1")],
    "client": ["1.2.3.4", 5],
    "server": ["a.test", 80],
    "state": {"pool": ["shared"], "of_outside": 1},
    "extensions": {"tls": {"client_cert_chain": ["cert"]}, "http.response.pathsend": {}},
    "path_params": {"of": "outside"},
    "session": {"user": {"name": "a"}},
    "custom": {"set": {1}, "list": [[1]]},
}


def spoil(value: Any) -> None:
    """Change all that can be changed in a value, at any depth."""
    if isinstance(value, dict):
        for inner in list(value.values()):
            spoil(inner)
        value.clear()
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append("spoilt")
    elif isinstance(value, set):
        value.add("spoilt")


class TestCopies:
    def test_what_one_call_spoils_the_next_one_has_unspoilt(self) -> None:
        common = scope_of_calls(BIG_SCOPE)
        first = scope_of_one_call(common, '"1"')
        before = repr(first)
        del first["state"]["pool"]  # the objects in it are the application's
        spoil(first)
        assert repr(scope_of_one_call(common, '"1"')) == before
        assert BIG_SCOPE["headers"] == [(b"host", b"a.test"), (b"x-own", b"1")]
        assert BIG_SCOPE["session"] == {"user": {"name": "a"}}

    def test_what_the_subscribers_own_scope_gets_later_is_not_in_a_call(self) -> None:
        arrived: dict[str, Any] = {**BIG_SCOPE, "state": {}, "session": {}}
        common = scope_of_calls(arrived)
        arrived["state"]["user"] = arrived["session"]["user"] = arrived["endpoint"] = 1
        call = scope_of_one_call(common, "")
        assert (call["state"], call["session"]) == ({}, {})
        assert "endpoint" not in call

    def test_the_objects_of_the_state_are_the_applications(self) -> None:
        call = scope_of_one_call(scope_of_calls(BIG_SCOPE), "")
        assert call["state"] is not BIG_SCOPE["state"]
        assert call["state"]["pool"] is BIG_SCOPE["state"]["pool"]

    def test_extensions_are_kept_unless_they_are_about_the_body(self) -> None:
        call = scope_of_one_call(scope_of_calls(BIG_SCOPE), "")
        assert call["extensions"] == {"tls": {"client_cert_chain": ["cert"]}}

    @pytest.mark.parametrize("extensions", [None, {}])
    def test_there_may_be_none(self, extensions: Any) -> None:
        minimal = {"type": "http", "method": "GET", "path": "/", "extensions": extensions}
        call = scope_of_one_call(scope_of_calls(minimal), '"1"')
        assert call["extensions"] == {}
        assert call["headers"] == [(b"accept", b"*/*"), (b"if-none-match", b'"1"')]
        assert "state" not in call

    def test_a_container_may_hold_itself(self) -> None:
        round_and_round: dict[str, Any] = {}
        round_and_round["list"] = [round_and_round]
        arrived = {**BIG_SCOPE, "custom": round_and_round}
        copied = scope_of_one_call(scope_of_calls(arrived), "")["custom"]
        assert copied is copied["list"][0]
        assert copied is not round_and_round

    def test_other_objects_are_the_same(self) -> None:
        class Bag(dict[str, Any]):
            label = "own"

        user, bag = object(), Bag(a=[1])
        call = scope_of_one_call(scope_of_calls({**BIG_SCOPE, "user": user, "bag": bag}), "")
        assert call["user"] is user
        assert (type(call["bag"]), call["bag"]) == (Bag, bag)
        assert call["bag"] is not bag


class Rights:
    """Who may read, and how often that was looked up."""

    def __init__(self) -> None:
        self.granted = True
        self.looked_up = 0

    def check(self, request: Request) -> None:
        """Look the rights up once for each request."""
        if not hasattr(request.state, "granted"):
            self.looked_up += 1
            request.state.granted = self.granted
        if not request.state.granted:
            raise HTTPException(403)


async def test_an_authorisation_in_the_state_is_looked_up_at_each_call() -> None:
    rights = Rights()
    app = FastAPI()

    @app.get("/status")
    async def status(_: Annotated[None, Depends(rights.check)]) -> int:
        return rights.looked_up

    app.add_middleware(SSEMiddleware, legacy=[LegacyRoute("/status", poll=2.0)])
    async with EventClient(app) as client, client.stream("GET", "/status") as stream:
        assert [(await stream.next()).json() for _ in range(3)] == [1, 2, 3]
        rights.granted = False
        assert [event async for event in stream] == []
        assert (await asked(client)).status_code == 403


async def test_the_state_is_that_of_the_lifespan() -> None:
    pool = object()

    @asynccontextmanager
    async def lifespan(_app: Any) -> Any:
        yield {"pool": pool, "calls": calls}

    async def status(request: Request) -> Response:
        assert request.state.pool is pool
        assert not hasattr(request.state, "own")
        request.state.own = 1
        request.state.calls.append(1)
        return PlainTextResponse(str(len(request.state.calls)))

    calls: list[int] = []
    app = Starlette(routes=[Route("/status", status)], lifespan=lifespan)
    app.add_middleware(SSEMiddleware, legacy=[LegacyRoute("/status", poll=2.0)])
    async with EventClient(app) as client, client.stream("GET", "/status") as stream:
        assert [event.raw_data for event in await stream.take(3)] == ["1", "2", "3"]


async def test_a_key_may_write_into_the_state_of_its_request() -> None:
    def key(request: Request) -> str:
        request.state.own = "of the key"
        return "all"

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        text = getattr(Request(scope).state, "own", "none")
        await PlainTextResponse(text)(scope, receive, send)

    async with reading(served(endpoint, key=key)) as client:
        async with client.stream("GET", "/status") as stream:
            assert (await stream.next()).raw_data == "none"


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> Any:
        return AuthCredentials(["read"]), SimpleUser(conn.headers["authorization"])


async def test_what_middlewares_outside_have_set_is_there_at_each_call() -> None:
    async def status(request: Any) -> Response:
        known = [request.user.display_name, *request.auth.scopes, request.state.tenant]
        known += [request.session.get("visits", "none"), request.path_params["of"]]
        assert request.app.state.name == "inner"
        assert request.scope["endpoint"] is status
        request.session["visits"] = request.state.tenant = "spoilt"
        request.path_params["of"] = "spoilt"
        times.append(anyio.current_time())
        return PlainTextResponse(" ".join(known))

    class Tenant:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                Request(scope).state.tenant = "t"
            await self.app(scope, receive, send)

    times: list[float] = []
    inner = Starlette(routes=[Route("/status", status)])
    inner.state.name = "inner"
    polled = LegacyRoute("/status", poll=2.0)
    inner.add_middleware(SSEMiddleware, legacy=[polled])
    outside = [
        Middleware(SessionMiddleware, secret_key="x"),
        Middleware(AuthenticationMiddleware, backend=Backend()),
        Middleware(Tenant),
    ]
    app = Starlette(routes=[Mount("/{of}", inner)], middleware=outside)
    async with EventClient(app, headers={"authorization": "a"}) as client:
        async with client.stream("GET", "/mount/status") as stream:
            assert (await stream.next()).raw_data == "a read t none mount"
            await anyio.sleep(10)
            assert len(times) in (5, 6)
            assert len(stream.received) == 1  # nothing of a call is left for the next one


async def test_a_cookie_of_a_session_inside_goes_with_the_stream() -> None:
    async def status(request: Request) -> Response:
        request.session["visited"] = True
        return PlainTextResponse("one")

    app = Starlette(routes=[Route("/status", status)])
    app.add_middleware(SessionMiddleware, secret_key="x")
    app.add_middleware(SSEMiddleware, legacy=[LegacyRoute("/status", poll=2.0)])
    async with EventClient(app) as client, client.stream("GET", "/status") as stream:
        assert stream.response.headers["set-cookie"].startswith("session=")
        said = (await client.http.get("/status", headers={"accept": "text/plain"})).headers
        assert ("Cookie" in said["vary"]) == ("Cookie" in stream.response.headers["vary"])


async def test_credentials_of_the_request_go_with_each_call() -> None:
    guarded = Guarded()
    async with reading(served(guarded)) as client:
        async with client.stream("GET", "/status", headers={"authorization": "a"}) as stream:
            await stream.next()
            await anyio.sleep(5)
    assert set(guarded.callers) == {"a"}

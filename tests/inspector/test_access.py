"""Who may look: everything is refused to everybody else."""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from sse_middleware import ConfigurationError, Hub, Inspector, SSEMiddleware
from tests.inspector.kit import ACT, anybody, application, page_of
from tests.served import call, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

PATHS = [
    *("", "inspector.js", "inspector.css", "icon.svg", "stream", "topic?name=a", "run?key=a"),
    *("control", "page.html", "nothing", "..%2fnumbers"),
]
each_path = pytest.mark.parametrize("path", PATHS)


def nobody(_request: Request) -> bool:
    return False


async def nobody_later(_request: Request) -> bool:
    return False


class TestAuthorize:
    def test_is_needed(self) -> None:
        with pytest.raises(ConfigurationError, match=r"needs authorize=.*authorize=None shows"):
            Inspector()

    @pytest.mark.parametrize("value", [True, "yes", 1])
    def test_must_be_a_function(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"for development; got {value!r}"):
            Inspector(authorize=value)

    @each_path
    @pytest.mark.parametrize("authorize", [nobody, nobody_later])
    async def test_refuses_everything(self, path: str, authorize: Any) -> None:
        app = application(Hub(), authorize=authorize, control=True)
        async with client_of(app) as client:
            for method in ("GET", "POST", "HEAD"):
                answer = await client.http.request(method, f"/_sse/{path}", headers=ACT, json={})
                assert answer.status_code == 403
                assert "may not look" in answer.text or method == "HEAD"
                assert answer.headers["cache-control"] == "no-store"

    async def test_is_asked_about_the_request(self) -> None:
        asked: list[str] = []

        async def authorize(request: Request) -> bool:
            asked.append(request.url.path)
            return request.cookies.get("operator") == "yes"

        async with client_of(application(authorize=authorize)) as client:
            assert (await client.http.get("/_sse/")).status_code == 403
            answer = await client.http.get("/_sse/", headers={"cookie": "operator=yes"})
            assert answer.status_code == 200
        assert asked == ["/_sse/", "/_sse/"]

    async def test_may_ask_for_a_password(self) -> None:
        def authorize(_request: Request) -> bool:
            raise HTTPException(401, "who are you?", {"www-authenticate": "Basic"})

        async with client_of(application(authorize=authorize)) as client:
            answer = await client.http.get("/_sse/")
            assert (answer.status_code, answer.text) == (401, "who are you?")
            assert answer.headers["www-authenticate"] == "Basic"

    @each_path
    async def test_one_that_fails_lets_nobody_look(self, path: str) -> None:
        def authorize(_request: Request) -> bool:
            raise KeyError("session")

        app = application(Hub(), authorize=authorize, control=True)
        async with client_of(app) as client:
            with pytest.raises(KeyError):
                await client.http.get(f"/_sse/{path}")

    @pytest.mark.parametrize("answer", [None, 1, "yes", PlainTextResponse("yes")])
    async def test_must_say_yes_or_no(self, answer: Any) -> None:
        app = application(authorize=lambda _request: answer)
        async with client_of(app) as client:
            with pytest.raises(ConfigurationError, match="authorize must return True or False"):
                await client.http.get("/_sse/")

    @pytest.mark.parametrize(
        ("url", "client", "status"),
        [
            ("http://localhost:8000", "127.0.0.1", 200),
            ("http://app.localhost", "127.0.0.1", 200),
            ("http://127.0.0.2:8000", "::1", 200),
            ("http://[::1]:8000", "::1", 200),
            ("http://localhost", "192.168.0.7", 403),
            ("http://localhost", "", 403),
            ("http://attacker.example", "127.0.0.1", 403),  # a name that now points here
            ("http://localhost.attacker.example", "127.0.0.1", 403),
            ("http://192.168.0.7", "127.0.0.1", 403),
        ],
    )
    async def test_none_is_for_this_machine(self, url: str, client: str, status: int) -> None:
        app = application(authorize=None)
        async with client_of(app, base_url=url, client=(client, 50000)) as here:
            assert (await here.http.get("/_sse/")).status_code == status

    @pytest.mark.parametrize(
        "header", ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"]
    )
    async def test_none_is_not_for_the_clients_of_a_proxy(self, header: str) -> None:
        """A proxy on this machine is a client of this machine, whoever asks it."""
        app = application(authorize=None)
        async with client_of(app, base_url="http://localhost", client=("127.0.0.1", 1)) as client:
            answer = await client.http.get("/_sse/", headers={header: "127.0.0.1"})
            assert (answer.status_code, "without a proxy" in answer.text) == (403, True)

    async def test_none_is_not_for_nginx_where_nothing_is_set(self) -> None:
        async def served(scope: Any, receive: Any, send: Any) -> None:
            await application(authorize=None)({**scope, "http_version": "1.0"}, receive, send)

        async with client_of(served, base_url="http://127.0.0.1", client=("::1", 1)) as client:
            assert (await client.http.get("/_sse/")).status_code == 403

    async def test_none_needs_to_know_the_client(self) -> None:
        async def unknown(scope: Any, receive: Any, send: Any) -> None:
            await application(authorize=None)({**scope, "client": None}, receive, send)

        async with client_of(unknown, base_url="http://localhost") as client:
            assert (await client.http.get("/_sse/")).status_code == 403


class TestArguments:
    @pytest.mark.parametrize(
        "argument",
        [{"control": "all"}, {"hub": "redis://"}, {"interval": 0}, {"limit": 0}, {"limit": None}],
    )
    def test_bad_ones_are_refused(self, argument: Any) -> None:
        (name,) = argument
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            Inspector(authorize=anybody, **argument)

    async def test_the_middleware_is_needed(self) -> None:
        with pytest.raises(ConfigurationError, match="needs SSEMiddleware"):
            await call(Inspector(authorize=anybody))

    async def test_a_websocket_is_closed(self) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError

        await Inspector(authorize=None)({"type": "websocket"}, receive, send)
        assert [message["type"] for message in sent] == ["websocket.close"]


class TestPage:
    @pytest.mark.parametrize(
        ("path", "media_type"),
        [
            ("", "text/html; charset=utf-8"),
            ("page.html", "text/html; charset=utf-8"),
            ("inspector.js", "text/javascript; charset=utf-8"),
            ("inspector.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
        ],
    )
    async def test_nothing_else_runs_and_nobody_frames_it(self, path: str, media_type: str) -> None:
        async with client_of(application()) as client:
            answer = await client.http.get(f"/_sse/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"

    async def test_it_has_nothing_from_elsewhere_and_nothing_inline(self) -> None:
        async with client_of(application()) as client:
            page = (await client.http.get("/_sse/")).text
            script = (await client.http.get("/_sse/inspector.js")).text
            style = (await client.http.get("/_sse/inspector.css")).text
        for text in (page, script.replace("http://www.w3.org/2000/svg", ""), style):
            assert "http:" not in text
            assert "https:" not in text
        assert " style=" not in page
        assert " on" not in page.replace(" on<", "").partition("<body>")[2].replace(" on ", "")
        assert "innerHTML" not in script

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    async def test_it_is_only_read(self, method: str) -> None:
        async with client_of(application()) as client:
            answer = await client.http.request(method, "/_sse/")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
            assert (await client.http.get("/_sse/control")).headers["allow"] == "POST"
            assert (await client.http.head("/_sse/")).status_code == 200
            assert (await client.http.head("/_sse/stream")).status_code == 200
            assert (await client.http.get("/_sse/nothing")).status_code == 404

    @each_path
    async def test_other_sites_get_nothing_but_a_link_to_it(self, path: str) -> None:
        """Whatever CORS allows in the application."""
        async with client_of(application(Hub())) as client:
            for site in ("cross-site", "same-site"):
                answer = await client.http.get(f"/_sse/{path}", headers={"sec-fetch-site": site})
                expected = {"": 200, "control": 405}.get(path, 403)
                assert answer.status_code == expected


class TestPaths:
    async def test_links_begin_at_a_slash(self) -> None:
        """Some frameworks mount an application at its path without one, too."""
        app = SSEMiddleware(Inspector(authorize=anybody))

        async def mounted(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "root_path": "/an app/_sse?"}, receive, send)

        async with client_of(mounted) as client:
            answer = await client.http.get("/an%20app/_sse%3F")
            assert (answer.status_code, answer.headers["location"]) == (307, "_sse%3F/")

    @pytest.mark.parametrize("root_path", ["", "/behind/proxy"])
    @pytest.mark.parametrize("inner", [Starlette, FastAPI])
    @pytest.mark.parametrize("outer", [Starlette, FastAPI])
    async def test_in_applications_in_applications(
        self, outer: Any, inner: Any, root_path: str
    ) -> None:
        inside = inner(routes=[Mount("/_sse", Inspector(authorize=anybody))])
        app = outer(routes=[Mount("/tenants/{id}", inside)], middleware=[Middleware(SSEMiddleware)])

        async def served(scope: Any, receive: Any, send: Any) -> None:
            path = root_path + scope["path"]
            await app({**scope, "root_path": root_path, "path": path}, receive, send)

        async with client_of(served) as client:
            assert "<title>" in (await client.http.get("/tenants/7/_sse/")).text
            assert (await client.http.get("/tenants/7/_sse/icon.svg")).status_code == 200
            async with client.stream("GET", "/tenants/7/_sse/stream") as events:
                assert (await events.next()).event == "hello"

    async def test_inside_of_a_middleware_with_a_task_of_its_own(self) -> None:
        async def passed(request: Request, call_next: Any) -> Any:
            return await call_next(request)

        hub = Hub()
        app = Starlette(routes=[Mount("/_sse", Inspector(authorize=anybody))])
        app.add_middleware(BaseHTTPMiddleware, dispatch=passed)
        async with hub, client_of(SSEMiddleware(app, hub=hub)) as client, page_of(client) as page:
            assert page.latest["hub"] is True

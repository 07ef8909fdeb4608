"""What the page can do, and which clients are refused."""

from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sse_middleware import ConfigurationError, Hub, RunState
from sse_middleware.errors import StoreError
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.inspector.access import ACTIONS
from sse_middleware.testing import EventClient
from tests.inspector.kit import ACT, application, page_of
from tests.served import ClosedStreams, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def act(
    client: EventClient, action: Any, target: Any = "", process: Any = None, **options: Any
) -> httpx.Response:
    """Act as the page does it."""
    body = {"action": action, "target": target, "process": process}
    return await client.post("/_sse/control", **{"json": body, "headers": ACT, **options})


class TestActions:
    async def test_a_stream_is_closed_in_good_order(self) -> None:
        closed = ClosedStreams()
        app = application(control=True, settings={"observers": [closed]})
        async with (
            client_of(app) as client,
            client.stream("GET", "/numbers") as events,
            client.stream("GET", "/numbers") as others,
            page_of(client) as page,
        ):
            await events.next()
            await others.next()
            assert page.hello["actions"] == list(ACTIONS)
            first = page.shown("streams")[1]["id"]
            assert (await act(client, "close", first)).json() == {"done": True}
            assert [event async for event in events] == []
            assert closed.reasons == ["drained"]
            assert (await act(client, "close", first)).json() == {"done": False}
            await page.until(lambda page: page.paths == ["/numbers"])

    async def test_a_run_is_stopped(self) -> None:
        hub = Hub()
        async with EventClient(application(hub, control=True)) as client:
            async with client.stream("GET", "/runs/chat:1") as events:
                await events.next()
                assert (await act(client, "stop", "chat:1")).json() == {"done": True}
                assert [event async for event in events] == []
            assert await hub.state("chat:1") is RunState.STOPPED
            for key in ("chat:1", "nothing", "\0run:", ""):
                assert (await act(client, "stop", key)).json() == {"done": False}

    async def test_without_a_hub_there_is_no_run(self) -> None:
        async with client_of(application(control=True)) as client:
            assert (await act(client, "stop", "chat:1")).json() == {"done": False}

    async def test_the_application_drains(self) -> None:
        async with (
            client_of(application(control=True)) as client,
            client.stream("GET", "/numbers") as events,
            page_of(client) as page,
        ):
            await events.next()
            assert (await act(client, "drain")).json() == {"done": True}
            await page.next()
            assert page.latest["totals"]["draining"] is True
            assert [event async for event in events] == []
            assert (await client.http.get("/numbers")).status_code == 503
            await page.until(lambda page: page.closes != [])
            assert page.closes[0]["reason"] == "drained"

    async def test_a_store_that_is_away(self) -> None:
        class Away(MemoryStore):
            async def stop_run(self, topic: str) -> Any:
                raise StoreError(f"no way to {topic}")

        hub = Hub(store=Away)
        async with EventClient(application(hub, control=True), timeout=100) as client:
            answer = await act(client, "stop", "a")
            assert (answer.status_code, "no way" in answer.text) == (503, False)


class TestProcesses:
    """Several workers share a port, and a request reaches any of them."""

    @pytest.mark.parametrize("action", ["close", "drain"])
    @pytest.mark.parametrize("process", ["host 1 2.5", "", 1, []])
    async def test_another_one_does_nothing(self, action: str, process: Any) -> None:
        async with (
            client_of(application(control=True)) as client,
            client.stream("GET", "/numbers") as events,
            page_of(client) as page,
        ):
            await events.next()
            stream = page.shown("streams")[0]["id"]
            answer = await act(client, action, stream, process)
            assert (answer.status_code, answer.headers["connection"]) == (409, "close")
            assert "another process" in answer.text
            await page.next()
            assert page.latest["totals"]["open"] == 1
            assert page.latest["totals"]["draining"] is False

    async def test_the_one_that_the_page_shows_acts(self) -> None:
        async with (
            client_of(application(control=True)) as client,
            client.stream("GET", "/numbers") as events,
            page_of(client) as page,
        ):
            await events.next()
            stream, process = page.shown("streams")[0]["id"], page.hello["name"]
            assert (await act(client, "close", stream, process)).json() == {"done": True}
            assert [event async for event in events] == []

    async def test_a_run_is_stopped_from_each(self) -> None:
        hub = Hub()
        async with (
            EventClient(application(hub, control=True)) as client,
            client.stream("GET", "/runs/chat:1") as events,
        ):
            await events.next()
            answer = await act(client, "stop", "chat:1", "another")
            assert answer.json() == {"done": True}

    async def test_http_2_has_no_header_of_a_connection(self) -> None:
        async def served(scope: Any, receive: Any, send: Any) -> None:
            await application(control=True)({**scope, "http_version": "2"}, receive, send)

        async with client_of(served) as client:
            answer = await act(client, "drain", "", "another")
            assert (answer.status_code, "connection" in answer.headers) == (409, False)


class TestControl:
    @pytest.mark.parametrize("action", ACTIONS)
    async def test_nothing_is_allowed_by_default(self, action: str) -> None:
        hub = Hub()
        async with (
            EventClient(application(hub)) as client,
            client.stream("GET", "/runs/chat:1") as events,
            page_of(client) as page,
        ):
            await events.next()
            assert page.hello["actions"] == []
            target = {"close": page.shown("streams")[0]["id"], "stop": "chat:1"}.get(action, "")
            answer = await act(client, action, target)
            assert (answer.status_code, answer.text) == (403, f"this request may not {action}")
            assert await hub.state("chat:1") is RunState.RUNNING
            await page.next()
            assert page.latest["totals"]["open"] == 1
            assert page.latest["totals"]["draining"] is False

    @pytest.mark.parametrize("later", [False, True])
    async def test_is_decided_for_each_request_and_action(self, later: bool) -> None:
        def control(request: Request, action: str) -> bool:
            return action == "close" or request.headers.get("x-role") == "chief"

        async def control_later(request: Request, action: str) -> bool:
            await anyio.lowlevel.checkpoint()
            return control(request, action)

        app = application(control=control_later if later else control)
        async with client_of(app) as client, page_of(client) as page:
            assert page.hello["actions"] == ["close"]
            assert (await act(client, "close")).status_code == 200
            assert (await act(client, "drain")).status_code == 403
            headers = {**ACT, "x-role": "chief"}
            assert (await act(client, "drain", headers=headers)).status_code == 200

    async def test_must_say_yes_or_no(self) -> None:
        async with client_of(application(control=lambda *_: None)) as client:
            with pytest.raises(ConfigurationError, match="control must return True or False"):
                await act(client, "close")

    async def test_may_raise_its_own_refusal(self) -> None:
        def control(_request: Request, action: str) -> bool:
            raise HTTPException(423, f"not {action} now")

        async with client_of(application(control=control)) as client:
            answer = await act(client, "stop")
            assert (answer.status_code, answer.text) == (423, "not stop now")

    async def test_who_may_not_do_one_thing_may_look_and_do_another(self) -> None:
        def control(_request: Request, action: str) -> bool:
            if action == "drain":
                raise HTTPException(403, "ask the chief")
            return True

        async with client_of(application(control=control)) as client, page_of(client) as page:
            assert page.hello["actions"] == ["close", "stop"]


class TestOtherSites:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"sec-fetch-site": "same-origin"}, 200),
            ({"sec-fetch-site": "same-origin", "origin": "https://behind.proxy"}, 200),
            ({"origin": "http://testserver"}, 200),
            ({"origin": "https://testserver"}, 200),  # the proxy has the certificate
            ({}, 403),
            ({"origin": "null"}, 403),
            ({"origin": "http://testserver:8000"}, 403),
            ({"origin": "http://testserver.attacker.example"}, 403),
            ({"origin": "http://attacker.example"}, 403),
            ({"sec-fetch-site": "none"}, 403),
            ({"sec-fetch-site": "same-site"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, 403),
        ],
    )
    async def test_only_the_page_may_act(self, headers: dict[str, str], status: int) -> None:
        async with client_of(application(control=True)) as client:
            with_header = {"x-sse-inspector": "1", **headers}
            assert (await act(client, "close", headers=with_header)).status_code == status
            assert (await act(client, "close", headers=headers)).status_code == 403

    async def test_without_a_host_nobody_is_from_here(self) -> None:
        async def served(scope: Any, receive: Any, send: Any) -> None:
            headers = [header for header in scope["headers"] if header[0] != b"host"]
            await application(control=True)({**scope, "headers": headers}, receive, send)

        async with client_of(served) as client:
            headers = {"x-sse-inspector": "1", "origin": ""}
            assert (await act(client, "close", headers=headers)).status_code == 403

    @pytest.mark.parametrize(
        "media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"]
    )
    async def test_a_form_can_not_act(self, media_type: str) -> None:
        async with client_of(application(control=True)) as client:
            headers = {**ACT, "content-type": media_type}
            body = b'{"action": "close"}'
            answer = await client.post("/_sse/control", content=body, headers=headers)
            assert answer.status_code == 415


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"{", b"[]", b'"close"', b"null", b"{}", b'{"action": "restart"}'),
            *(b'{"action": 1}', b'{"action": []}', b'{"action": "close", "target": 1}'),
            *(b"\xff", b"[" * 4000),
        ],
    )
    async def test_what_is_no_action_is_refused(self, body: bytes) -> None:
        async with client_of(application(control=True)) as client:
            headers = {**ACT, "content-type": "application/json"}
            answer = await client.post("/_sse/control", content=body, headers=headers)
            assert answer.status_code == 400

    async def test_what_is_too_large_is_not_read(self) -> None:
        async with client_of(application(control=True)) as client:
            assert (await act(client, "close", "x" * 5000)).status_code == 413

    async def test_a_client_that_leaves_meanwhile(self) -> None:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(name.encode(), value.encode()) for name, value in ACT.items()]
        headers.append((b"content-type", b"application/json"))
        scope = {"type": "http", "method": "POST", "path": "/_sse/control", "headers": headers}
        await application(control=True)({**scope, "query_string": b""}, receive, send)
        assert sent[0]["status"] == 400

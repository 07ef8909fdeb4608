"""A page of another origin: what the server must allow, and what is when it doesn't."""

from typing import Any

import pytest

from tests.client.fault_server import (
    STOP,
    Answer,
    FaultServer,
    Step,
    head,
    hold,
    send,
    status,
    stream,
)
from tests.client.places import Page

pytestmark = pytest.mark.e2e

EVENT = b"id: %d\ndata: %d\n\n"

ALLOWED: dict[str, Any] = {"Access_Control_Allow_Origin": "*"}


def preflight(headers: str) -> Answer:
    return status(204, Access_Control_Allow_Headers=headers, **ALLOWED)


def allowed(number: int, *then: Step) -> Answer:
    return (head(200, **ALLOWED), send(EVENT % (number, number)), *then)


def test_without_an_id_nothing_is_asked_beforehand(in_page: Page, server: FaultServer) -> None:
    shown = server.show(allowed(1, hold))
    reading = in_page.read(shown, baseUrl=server.other, call={"leave": 1})
    reading.finish()
    assert reading.data == [1]
    assert shown.preflights == []


def test_a_preflight_is_granted(in_page: Page, server: FaultServer) -> None:
    shown = server.show(
        allowed(1), allowed(2), status(204, **ALLOWED), preflight=preflight("last-event-id")
    )
    reading = in_page.read(shown, baseUrl=server.other)
    assert reading.finish()[-1]["what"] == "end"
    assert reading.data == [1, 2]
    assert shown.ids == [None, "1", "2"]
    asked = shown.preflights[0].headers
    assert asked["access-control-request-method"] == "GET"
    assert asked["access-control-request-headers"] == "last-event-id"


@pytest.mark.parametrize(
    "answer", [preflight("authorization"), status(204), status(404)], ids=["other", "none", "404"]
)
def test_a_preflight_is_denied(in_page: Page, server: FaultServer, answer: Answer) -> None:
    """A page isn't told why, so it is a network error. What was read stays read."""
    shown = server.show(allowed(1), preflight=answer)
    reading = in_page.read(shown, baseUrl=server.other, maxRetries=2)
    reading.finish()
    assert reading.data == [1]
    assert (reading.last["what"], reading.last["cause"]) == ("error", "TypeError")
    assert len(reading.of("wait")) == 2
    assert len(shown.asked) == 1
    assert len(shown.preflights) == 2


def test_a_post_with_json_asks_for_its_type(in_page: Page, server: FaultServer) -> None:
    shown = server.show(allowed(1), preflight=preflight("content-type, last-event-id"))
    reading = in_page.read(shown, "POST", baseUrl=server.other, json={"a": 1})
    assert reading.finish()[-1]["what"] == "end"
    asked = shown.preflights[0].headers
    assert asked["access-control-request-headers"] == "content-type"


@pytest.mark.parametrize("exposed", [True, False])
def test_retry_after_must_be_exposed(in_page: Page, server: FaultServer, exposed: bool) -> None:
    headers = {**ALLOWED, **({"Access_Control_Expose_Headers": "retry-after"} if exposed else {})}
    shown = server.show(status(503, Retry_After="1", **headers), status(204, **ALLOWED))
    reading = in_page.read(shown, baseUrl=server.other)
    assert reading.finish()[-1]["what"] == "end"
    assert (reading.of("wait")[0]["delay"] == 1000) == exposed


def test_back_online_is_no_time_to_wait(in_page: Page, server: FaultServer) -> None:
    shown = server.show(stream(EVENT % (1, 1)), STOP)
    reading = in_page.read(shown, retryDelay=60_000, maxRetryDelay=60_000)
    reading.until("wait")
    in_page.page.context.set_offline(True)
    in_page.page.context.set_offline(False)
    assert reading.finish()[-1]["what"] == "end"
    assert shown.ids == [None, "1"]


def test_back_online_is_no_excuse(in_page: Page, server: FaultServer) -> None:
    """A server that has named a time is not asked before it."""
    shown = server.show(status(503, Retry_After="60"), STOP)
    reading = in_page.read(shown)
    reading.until("wait")
    in_page.page.context.set_offline(True)
    in_page.page.context.set_offline(False)
    other = in_page.read(server.show(stream(), stream(), STOP))
    other.finish()
    assert len(shown.asked) == 1
    reading.abort()
    reading.finish()

"""Many tabs of a browser, each with a stream of the hub, over one connection of HTTP/2."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.chromium import chromium
from tests.e2e.certificate import self_signed
from tests.e2e.hub_browser_app import TABS
from tests.e2e.servers import KINDS, Server, running

pytestmark = pytest.mark.e2e

EVENTS = 20

READ = """
(count) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error("read " + JSON.stringify(read))), 40000)
  const look = () => (read.length < count ? setTimeout(look, 20) : resolve(read))
  opened.then(look)
})
"""
"""Waits until a tab has read a number of events, and returns their data."""

FETCH = "(target) => fetch(target).then((response) => response.json())"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("tabs")
    certificate, key = self_signed(directory)
    (hypercorn,) = (kind for kind in KINDS if kind.name == "hypercorn-asyncio-h2")
    command = tuple(part.replace("app:app", "hub_browser_app:app") for part in hypercorn.command)
    tls = ("--certfile", str(certificate), "--keyfile", str(key))
    with running(replace(hypercorn, command=command + tls), directory / "output") as server:
        yield server


@pytest.fixture
def context(server: Server) -> Iterator[Any]:
    """Give a browser that trusts every certificate, and closes before the server ends."""
    with chromium() as browser:
        yield browser.new_context(
            base_url=f"https://127.0.0.1:{server.port}", ignore_https_errors=True
        )


def test_twelve_tabs_have_a_stream_each_and_lose_nothing(context: Any) -> None:
    """Twelve tabs read the same events, reload, and go on where they were.

    All streams are on one connection. Over HTTP/1.1 only six would connect: a browser opens no
    more connections to a host, and the other tabs, their pages included, would wait for ever.

    A page that reloads begins with nothing. So these pages keep what they have read, and the last
    id, in the tab's `sessionStorage`. For each tab that comes back an event is published before it
    subscribes, so all of them miss some.
    """
    tabs = [context.new_page() for _ in range(12)]
    for tab in tabs:
        tab.goto("/tab")
        assert tab.evaluate(READ, 0) == []
    control = context.new_page()
    control.goto("/page")

    control.evaluate(FETCH, f"/publish/{TABS}?count={EVENTS}")
    for tab in tabs:
        assert tab.evaluate(READ, EVENTS) == list(range(1, EVENTS + 1))

    for tab in tabs:
        tab.reload()
    after = [tab.evaluate(READ, EVENTS + len(tabs)) for tab in tabs]

    assert sorted(after[0]) == list(range(1, EVENTS + len(tabs) + 1))
    assert all(read == after[0] for read in after)
    ((version, _port), *others) = control.evaluate(FETCH, f"/connections/{TABS}")
    assert version == "2"
    assert others == []
    assert control.evaluate(FETCH, f"/visits/{TABS}") == 2 * len(tabs)

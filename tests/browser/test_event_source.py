"""A browser's ``EventSource`` reads what servers send: it is the judge of the wire."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.certificate import self_signed
from tests.e2e.servers import KINDS, free_port, started, stop, wait_until_it_accepts

from .wire_app import CASES, LONG, MANY, STRANGE_IDS

pytestmark = pytest.mark.e2e

READ = """([target, credentials, types]) => new Promise((resolve, reject) => {
  const source = new EventSource(target, { withCredentials: credentials })
  const read = []
  for (const type of types) source.addEventListener(type, (event) => {
    read.push([event.type, event.data, event.lastEventId, event.origin])
  })
  source.addEventListener("last", () => { source.close(); resolve(read) })
  source.onerror = () => { source.close(); reject(new Error("state " + source.readyState)) }
})"""
"""Reads events of some types up to the last one."""

DIGESTS = """(target) => new Promise((resolve, reject) => {
  const source = new EventSource(target)
  const digests = []
  source.onmessage = ({ data }) => digests.push(digest(data))
  source.addEventListener("last", async () => {
    source.close()
    resolve(await Promise.all(digests))
  })
  source.onerror = () => reject(new Error("cut off"))
  const digest = async (text) => {
    const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))
    return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("")
  }
})"""
"""Returns the SHA-256 of the data of each event."""

UNTIL_CLOSED = """(target) => new Promise((resolve) => {
  const source = new EventSource(target)
  const [ids, states, times] = [[], [], []]
  source.onopen = () => times.push(["open", performance.now()])
  source.onmessage = (event) => ids.push(event.lastEventId)
  source.onerror = () => {
    states.push(source.readyState)
    times.push(["error", performance.now()])
    if (source.readyState === EventSource.CLOSED) resolve({ ids, states, times })
  }
})"""
"""Reads a stream that ends and comes back, until there is nothing more."""

PROTOCOLS = "(url) => performance.getEntriesByName(url).map((entry) => entry.nextHopProtocol)"

NAMES = ["uvicorn-h11-asyncio", "hypercorn-asyncio-h1", "hypercorn-asyncio-h2"]


@contextmanager
def wire(name: str, folder: Path, **variables: str) -> Iterator[str]:
    """Serve the application on a kind of server, and give its address. HTTP/2 is over TLS."""
    (kind,) = (kind for kind in KINDS if kind.name == name)
    command = tuple(part.replace("app:app", "tests.browser.wire_app:app") for part in kind.command)
    scheme = "http"
    if kind.http2:
        certificate, key = self_signed(folder)
        command += ("--certfile", str(certificate), "--keyfile", str(key))
        scheme = "https"
    port, output = free_port(), folder / "output"
    with output.open("wb") as file:
        process = started(replace(kind, command=command), port, file.fileno(), variables)
    try:
        wait_until_it_accepts(process, port, output)
        yield f"{scheme}://127.0.0.1:{port}"
    finally:
        stop(process)


@pytest.fixture(scope="module", params=NAMES)
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with wire(request.param, tmp_path_factory.mktemp("wire")) as address:
        yield address


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(base_url=address, ignore_https_errors=True)
    page = context.new_page()
    page.goto("/page")
    yield page
    context.close()


def read(page: Any, target: str, *, credentials: bool = False) -> list[list[str]]:
    types = sorted({event.event for event, _ in CASES if event.event} | {"message"})
    events: list[list[str]] = page.evaluate(READ, [target, credentials, types])
    return events


@pytest.mark.parametrize("target", ["/fields", "/fields?slowly"])
def test_all_fields(page: Any, address: str, target: str) -> None:
    expected = [[*dispatched, address] for _, dispatched in CASES if dispatched]
    assert read(page, target) == expected


def test_events_of_a_megabyte(page: Any) -> None:
    digests = [
        sha256(text.encode()).hexdigest() for text in (LONG, json.dumps(LONG, ensure_ascii=False))
    ]
    assert page.evaluate(DIGESTS, "/long") == digests


def test_ten_thousand_events(page: Any, address: str) -> None:
    events = read(page, "/many")
    assert events == [["message", str(n), str(n), address] for n in range(1, MANY + 1)]


def test_it_comes_back_with_the_last_id_until_204(page: Any) -> None:
    told = page.evaluate(UNTIL_CLOSED, "/come-back/ids?retry=10")
    assert told["ids"] == STRANGE_IDS
    assert told["states"] == [0] * len(STRANGE_IDS) + [2]  # connecting; closed
    visits = page.evaluate("() => fetch('/visits/ids').then((answer) => answer.json())")
    assert visits == ["", *STRANGE_IDS]


def test_it_waits_for_as_long_as_retry_says(page: Any) -> None:
    told = page.evaluate(UNTIL_CLOSED, "/come-back/retry?retry=300")
    times = told["times"]
    waits = [
        after - before
        for (kind, before), (next_kind, after) in pairwise(times)
        if (kind, next_kind) == ("error", "open")
    ]
    assert len(waits) == len(STRANGE_IDS) - 1
    assert min(waits) >= 300


def test_http2_is_what_the_browser_speaks(page: Any, address: str) -> None:
    read(page, "/fields")
    protocols = page.evaluate(PROTOCOLS, f"{address}/fields")
    assert set(protocols) == {"h2" if address.startswith("https") else "http/1.1"}


@pytest.mark.parametrize("name", NAMES)
def test_credentials_cross_origins_only_where_both_sides_allow_it(
    browser: Any, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    version = "2" if name.endswith("h2") else "1.1"
    with ExitStack() as stack:
        page, other = [
            stack.enter_context(wire(name, tmp_path_factory.mktemp("page"))) for _ in range(2)
        ]
        streams = stack.enter_context(wire(name, tmp_path_factory.mktemp("api"), ORIGINS=page))
        context = browser.new_context(ignore_https_errors=True)
        stack.callback(context.close)
        tab = context.new_page()
        tab.goto(f"{streams}/sign-in")
        tab.goto(f"{page}/page")
        for credentials, user in ((True, "ann"), (False, "nobody")):
            (event,) = read(tab, f"{streams}/who", credentials=credentials)
            assert event == ["message", f"{user} over HTTP/{version}", "", streams]
        told = tab.evaluate(UNTIL_CLOSED, f"{streams}/come-back/{version}?retry=10")
        assert told["ids"] == STRANGE_IDS
        tab.goto(f"{other}/page")
        for credentials in (True, False):
            with pytest.raises(Exception, match="state 2"):
                read(tab, f"{streams}/who", credentials=credentials)

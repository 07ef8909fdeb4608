"""Keep-alives and ids with clients that read events of any kind.

Some take a blank line for the end of an event once an id has come, fetch-event-source always does.
"""

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.npm import node
from tests.presets.clients.conftest import Served, client_library

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).with_name("fetch_event_source.mjs")

IDS = ["7", "ü", "€ 日本語😀", "a\u2028b", "Ã¼", "%C3%BC"]


@pytest.mark.parametrize("path", ["/ids", "/bare"])
def test_httpx_sse(troubled: Served, path: str) -> None:
    httpx_sse: Any = client_library("httpx_sse")
    with (
        httpx.Client(timeout=20) as client,
        httpx_sse.connect_sse(client, "GET", troubled.url + path) as source,
    ):
        events = list(source.iter_sse())
    assert [event.id for event in events] == ["", "7", "7", "7"]
    assert all(event.data for event in events)


def test_fetch_event_source(troubled: Served, npm_packages: Path) -> None:
    command = [node(), str(SCRIPT), str(npm_packages), f"{troubled.url}/bare"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert len(data) == 4
    assert all(data)
    assert data[-1] == "[DONE]"


READ = """url => new Promise((resolve, reject) => {
  const source = new EventSource(url), got = []
  source.onmessage = event => {
    got.push([event.data, event.lastEventId])
    if (event.data === "[DONE]" || got.length === 2 && url.startsWith("/back")) {
      source.close()
      resolve(got)
    }
  }
  setTimeout(() => reject(JSON.stringify(got)), 15000)
})"""


@pytest.mark.parametrize("path", ["/ids", "/bare"])
def test_event_source(troubled: Served, visit: Any, path: str) -> None:
    got = visit(troubled.url, {}).evaluate(READ, path)
    assert [id_ for _, id_ in got] == ["", "7", "7", "7"]
    assert got[-1][0] == "[DONE]"


@pytest.mark.parametrize("id_", IDS)
def test_an_id_comes_back_from_a_browser_as_it_was(troubled: Served, visit: Any, id_: str) -> None:
    got = visit(troubled.url, {}).evaluate(READ, f"/back/{quote(id_)}")
    assert [got_id for _, got_id in got] == [id_, id_]
    assert [json.loads(data) for data, _ in got] == ["first", id_]

"""The JavaScript of the pages runs: in Chromium or node, against the application of the same page.

Rules of this file:
- A block runs as it is shown. A test may call a function that the block defines.
- What the reader has, such as a function `show`, is here a function that notes how it was called.
- A `gap` is the server's own: the browser's request has an id that no hub knows.
- `RUN` has each block that a test of this file runs. `test_blocks.py` compares it with the pages.
"""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import javascript_of
from tests.chromium import chromium
from tests.docs.pages import DOCS, ROOT, Block, blocks_of, run_page
from tests.docs.reader import Reader
from tests.docs.serving import served
from tests.npm import node

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RUN: set[str] = set()
"""The blocks that tests run."""


def runs(name: str, number: int = 0) -> pytest.MarkDecorator:
    """Give a test a block of JavaScript or HTML of a page."""
    block = blocks_of(ROOT / name, "javascript", "html")[number]
    RUN.add(str(block))
    return pytest.mark.parametrize("block", [block], ids=str)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def reader(browser: Any) -> Iterator[Reader]:
    context = browser.new_context()
    reader = Reader(context.new_page())
    yield reader
    context.close()
    assert reader.failed == []


Page = Callable[[str], dict[str, Any]]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Page:
    """Return a function that runs the Python of a page and returns its names."""
    monkeypatch.chdir(tmp_path)  # for the files of the page
    return lambda name: run_page(ROOT / name, monkeypatch, without=("anthropic", "openai"))


@runs("README.md")
def test_the_quickstart_is_read(block: Block, reader: Reader) -> None:
    names: dict[str, Any] = {}
    exec(blocks_of(block.page, "python")[0].code, names)
    with reader.at(names["app"]):
        reader.run(block.code)
        assert reader.noted(2)[:2] == [[1], [2]]


@runs("docs/what-is-sse.md")
def test_the_fields_of_the_first_page_are_read(block: Block, reader: Reader) -> None:
    [shown] = blocks_of(block.page, "text")
    head, _, body = shown.code.partition("\n\n")
    status, *headers = head.splitlines()
    assert status == "HTTP/1.1 200 OK"
    answer = Response(body, headers=dict(line.split(": ") for line in headers))
    with reader.at(Starlette(routes=[Route("/prices", answer)])):
        reader.run(block.code)
        assert reader.noted(3)[:3] == [
            [{"symbol": "ACME", "price": 10.5}, "17"],
            ["two lines of\none event"],
            ["coming back"],
        ]


def with_its_first_hub(names: dict[str, Any]) -> dict[str, Any]:
    """Undo that a later block of the page takes another store, which nobody has opened."""
    names["hub"] = names["app"].user_middleware[0].kwargs["hub"]
    return names


@runs("docs/hub.md", 0)
def test_a_room_is_heard(block: Block, page: Page, reader: Reader) -> None:
    names = with_its_first_hub(page("docs/hub.md"))
    with reader.at(names["app"], "show", "reload") as server:
        reader.forget_position("/rooms/lobby/events")
        with reader.is_subscribed("/rooms/lobby/events"):
            reader.run(block.code)
        server.call(names["say"], "lobby", {"text": "hello"})
        assert reader.noted(2) == [["reload"], ["show", {"text": "hello"}]]


def check_dashboard(reader: Reader, block: Block, names: dict[str, Any], change: str) -> None:
    """A page whose position is unknown loads its state anew, and then loses no change."""
    with reader.at(names["app"], "show") as server:
        reader.forget_position("/events")
        reader.run(block.code)
        before = reader.noted(2)
        server.call(names[change])
        name, shown = reader.noted(3)[2]
        assert before == [["show", {**shown, "orders": 0}]] * 2
        assert (name, shown["orders"]) == ("show", 1)


@runs("docs/hub.md", 1)
def test_figures_are_shown(block: Block, page: Page, reader: Reader) -> None:
    check_dashboard(reader, block, with_its_first_hub(page("docs/hub.md")), "count_order")


@runs("docs/recipes/dashboards.md")
def test_a_dashboard_is_shown(block: Block, page: Page, reader: Reader) -> None:
    check_dashboard(reader, block, page("docs/recipes/dashboards.md"), "order")


@runs("docs/recipes/notifications.md")
def test_a_notification_is_shown(block: Block, page: Page, reader: Reader) -> None:
    names = page("docs/recipes/notifications.md")
    with reader.at(names["app"], "show", "loadNotifications") as server:
        cookie = {"name": "session", "value": "secret-of-ann", "url": server.url}
        reader.tab.context.add_cookies([cookie])
        reader.forget_position("/notifications")
        with reader.is_subscribed("/notifications"):
            reader.run(block.code)
        server.call(names["ship"], 7)
        assert reader.noted(2) == [
            ["loadNotifications"],
            ["show", "Order 7 is on its way", "/orders/7"],
        ]


@runs("docs/recipes/authentication.md")
def test_a_ticket_is_exchanged_again(block: Block, page: Page, reader: Reader) -> None:
    names = page("docs/recipes/authentication.md")
    hub, tickets = names["hub"], names["tickets"]
    with reader.at(names["app"], "show") as server:
        with reader.is_subscribed("/streams"):
            reader.run(f"{block.code}\nopen('token-of-ann');")
        server.call(hub.publish, "user:ann", "first")
        reader.noted(1)
        tickets.clear()
        server.call(hub.disconnect, "ann")
        server.call(hub.publish, "user:ann", "while it is away")
        assert reader.noted(2) == [["show", "first"], ["show", "while it is away"]]
        assert len(tickets) == 1


@runs("docs/runs.md")
def test_an_answer_is_read_to_its_end(block: Block, page: Page, reader: Reader) -> None:
    with reader.at(page("docs/runs.md")["app"], "show", "showState"):
        reader.tab.evaluate("globalThis.text = 'one two'")
        reader.run(block.code)
        assert reader.noted(3) == [["show", "one "], ["show", "two "], ["showState", "done"]]


async def failing_model(_question: str) -> AsyncIterator[str]:
    yield "Well,"
    raise TimeoutError


@runs("docs/recipes/llm-chat.md", 0)
def test_a_chat_says_that_its_model_has_failed(
    block: Block, page: Page, reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / block.title).write_text(block.code, "utf-8")
    names = page("docs/recipes/llm-chat.md")
    names["model"] = failing_model
    with reader.at(names["app"]) as server:
        reader.tab.goto(server.url)
        reader.tab.locator("[name=text]").fill("why?")
        reader.tab.get_by_role("button", name="Ask").click()
        reader.tab.get_by_text("Well, (It has failed.)").wait_for()


@runs("docs/recipes/rooms.md")
def test_a_room_is_loaded_anew_after_a_gap(
    block: Block, page: Page, reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / block.title).write_text(block.code, "utf-8")
    with reader.at(page("docs/recipes/rooms.md")["app"]) as server:
        reader.forget_position("/rooms/lobby/events")
        reader.tab.goto(server.url, wait_until="commit")  # it may reload before it is loaded
        reader.tab.wait_for_function(
            "performance.getEntriesByType('navigation')[0].type === 'reload'"
        )


@runs("docs/recipes/llm-chat.md", 1)
def test_a_chat_is_read_with_the_written_client(block: Block, page: Page, reader: Reader) -> None:
    app = page("docs/recipes/llm-chat.md")["app"]
    client = javascript_of(streams_of_application(app))
    with reader.at(app, "show"):
        fulfilled = {"body": client, "content_type": "text/javascript"}
        reader.tab.route("**/streams.js", lambda route: route.fulfill(**fulfilled))
        reader.tab.evaluate("globalThis.text = 'why?'")
        reader.run(f'{block.code}show("over");')
        words = [["show", "message", word] for word in ("You ", "asked: ", "why? ")]
        assert reader.noted(4) == [*words, ["show", "over"]]


@runs("docs/client.md")
def test_the_written_client_is_used_in_node(block: Block, page: Page, tmp_path: Path) -> None:
    code = "".join(one.code for one in blocks_of(block.page, "python"))
    (tmp_path / "main.py").write_text(code, "utf-8")
    [command] = {
        line
        for shown in blocks_of(block.page, "sh")
        for line in shown.code.splitlines()
        if "--js" in line
    }
    words = command.split()
    assert words[0] == "python"
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, env=path, check=True)
    (tmp_path / "package.json").write_text('{"type": "module"}', "utf-8")
    with served(page("docs/client.md")["app"]) as server:
        program = block.code.replace("http://localhost:8000", server.url)
        (tmp_path / block.title).write_text(program, "utf-8")
        done = subprocess.run(
            [node(), block.title],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "price { symbol: 'ACME', price: 10.5 }",
        "sold { symbol: 'ACME', shares: 3 }",
    ]


@runs("docs/recipes/htmx.md")
def test_htmx_shows_the_news(
    block: Block, page: Page, reader: Reader, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    (tmp_path / block.title).write_text(block.code, "utf-8")
    reader.load_from_npm(block.code, pytestconfig)
    with reader.at(page("docs/recipes/htmx.md")["app"]) as server:
        reader.tab.goto(server.url)
        reader.tab.get_by_text("That was all.").wait_for()
        assert reader.tab.locator("li").all_inner_texts() == ["One", "<Two>"]


@runs("docs/presets.md")
def test_htmx_shows_what_its_preset_sends(
    block: Block, page: Page, reader: Reader, pytestconfig: pytest.Config
) -> None:
    [whole] = blocks_of(DOCS / "recipes" / "htmx.md", "html")
    scripts = "".join(re.findall(r"<script.*\n", whole.code))
    reader.load_from_npm(scripts, pytestconfig)
    html = f"<!doctype html>\n{scripts}{block.code}"
    with reader.at(page("docs/presets.md")["app"], html=html):
        reader.tab.get_by_text("Done").wait_for()
        assert reader.tab.locator("li").all_inner_texts() == ["One"]

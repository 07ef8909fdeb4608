"""The inspector, used by a person in a real browser."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.servers import free_port
from tests.examples.test_app import wait_for
from tests.patience import PATIENCE
from tests.sight import VIOLATIONS, WIDER

pytestmark = pytest.mark.e2e

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

ATTACK = "<img src=x onerror=\"document.body.dataset.attacked='yes'\"><script>attack()</script>"
"""What a client may say in each place where it can say something."""

STOPPED = """async () => {
  const stopped = []
  const heard = new Promise((resolve) => {
    document.addEventListener("securitypolicyviolation", (event) => {
      if (stopped.push(event.violatedDirective) === 2) resolve(stopped)
    })
  })
  document.createElement("img").src = "http://127.0.0.1:9/seen"
  fetch("http://127.0.0.1:9/sent").catch(() => 0)
  return heard
}"""
"""Asks another server, and returns what the policy says of that."""

ASK_FROM_ELSEWHERE = """async (url) => {
  const ask = (path, options) => fetch(url + path, { credentials: "include", ...options })
    .then((answer) => answer.type, (error) => error.name)
  const body = JSON.stringify({ action: "drain" })
  const headers = { "X-SSE-Inspector": "1", "Content-Type": "application/json" }
  return [
    await ask("/_sse/stream"),
    await ask("/_sse/control", { method: "POST", body, headers }),
    await ask("/_sse/control", { method: "POST", body, mode: "no-cors" }),
  ]
}"""

ACT = """(action) => fetch("control", {
  method: "POST", headers: HEADERS, body: JSON.stringify({ action, target: "safe" }),
}).then((answer) => answer.status)"""

TABS = ["streams", "closes", "topics", "runs", "console"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.browser.inspected_app", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield wait_for(port, process)
        finally:
            process.kill()


Open = Callable[..., None]


def publish(url: str, said: dict[str, str]) -> None:
    httpx.get(f"{url}/publish", params=said, timeout=PATIENCE).raise_for_status()


@pytest.fixture
def open_stream(url: str) -> Iterator[Open]:
    """Return a function that opens a stream which stays open, and waits for its first bytes."""
    bodies = []
    with ExitStack() as streams:

        def open_stream(path: str, client: str = "10.0.0.7", **parameters: str) -> None:
            headers = {"x-client": client}
            opened = httpx.stream(
                "GET", f"{url}{path}", params=parameters, headers=headers, timeout=PATIENCE
            )
            body = streams.enter_context(opened).iter_raw()
            next(body)
            bodies.append(body)  # without it, the response would be closed

        yield open_stream


class Inspected:
    """A page of the inspector."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        """What the browser says of the page: errors, and what the policy has stopped."""
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def visit(self, path: str = "/_sse/") -> None:
        self.page.goto(f"{self.url}/sign-in?to={path}")
        self.page.wait_for_selector("#state[data-state=live]")

    def show(self, tab: str) -> None:
        self.page.click(f"#tab-{tab}")

    def row(self, table: str, text: str) -> Any:
        return self.page.locator(f"#{table} tbody tr", has_text=text)

    def first_row(self, text: str) -> Any:
        return self.page.locator("#streams tbody tr:first-child", has_text=text)

    def fact(self, name: str, value: int) -> Any:
        return self.page.locator(f"#fact-{name}", has_text=re.compile(f"^{value}$"))

    def watch(self, kind: str, target: str) -> None:
        self.show("console")
        self.page.select_option("#kind", kind)
        self.page.fill("#target", target)
        self.page.click("text=Watch >> visible=true")

    def log(self, kind: str, text: str) -> Any:
        return self.page.locator(f"#log li[data-kind={kind}]", has_text=text)


@pytest.fixture
def inspected(browser: Any, url: str, request: pytest.FixtureRequest) -> Iterator[Inspected]:
    options = getattr(request, "param", {"viewport": DESKTOP})
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE * 1000)
    yield Inspected(context.new_page(), url)
    context.close()


class TestLooking:
    def test_streams_come_and_go(self, inspected: Inspected, open_stream: Open) -> None:
        inspected.visit()
        open_stream("/quiet/a/b", "192.0.2.1")
        row = inspected.row("streams", "192.0.2.1")
        row.wait_for()
        assert row.locator("td").all_inner_texts()[0] == "/quiet/{name}\n/quiet/a/b"
        assert inspected.page.inner_text("#open") != "0"
        row.get_by_role("button", name="Close this stream").click()
        row.wait_for(state="detached")
        inspected.show("closes")
        closed = inspected.row("closes", "192.0.2.1").first
        closed.wait_for()
        assert "drained" in closed.inner_text()
        assert "drained" in inspected.page.inner_text("#reasons")
        assert "drained" in inspected.page.text_content("#said")
        assert inspected.complaints == []

    def test_what_has_most_comes_first(self, inspected: Inspected, open_stream: Open) -> None:
        open_stream("/plot", "busy")
        open_stream("/quiet/x", "idle")
        inspected.visit()
        inspected.page.select_option("#order", "events")
        inspected.first_row("busy").wait_for()
        inspected.page.select_option("#order", "newest")
        inspected.first_row("idle").wait_for()

    def test_an_error_shows_its_type_alone(self, inspected: Inspected, url: str) -> None:
        inspected.visit()
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url}/failing", timeout=PATIENCE)
        inspected.show("closes")
        inspected.row("closes", "error: RuntimeError").first.wait_for()
        assert "secret" not in inspected.page.content()

    def test_topics_and_runs(self, inspected: Inspected, open_stream: Open, url: str) -> None:
        open_stream("/room", topic="room:1")
        open_stream("/run", key="chat:1")
        for said in "ab":
            publish(url, {"topic": "room:1", "said": said})
        inspected.visit()
        inspected.show("topics")
        cells = inspected.row("topics", "room:1").locator("td").all_inner_texts()
        assert cells[:3] == ["room:1", "1", "2"]
        inspected.show("runs")
        run = inspected.row("runs", "chat:1")
        assert run.locator("td").all_inner_texts()[1:3] == ["running", "1"]
        run.get_by_role("button", name="Stop this run").click()
        inspected.page.get_by_role("button", name="Cancel").click()
        assert "running" in run.inner_text()
        run.get_by_role("button", name="Stop this run").click()
        inspected.page.locator("#ask-yes").click()
        inspected.row("runs", "stopped").first.wait_for()
        assert run.get_by_role("button", name="Stop this run").is_hidden()

    def test_a_hidden_page_asks_for_nothing(self, inspected: Inspected) -> None:
        inspected.visit()
        inspected.page.evaluate("""() => {
          Object.defineProperty(document, "hidden", { value: true, configurable: true })
          document.dispatchEvent(new Event("visibilitychange"))
        }""")
        assert inspected.page.inner_text("#state") == "Paused"
        assert inspected.page.evaluate("source") is None
        inspected.page.evaluate("""() => {
          Object.defineProperty(document, "hidden", { value: false, configurable: true })
          document.dispatchEvent(new Event("visibilitychange"))
        }""")
        inspected.page.wait_for_selector("#state[data-state=live]")


class TestConsole:
    def test_a_route_is_read_again_after_its_end(self, inspected: Inspected) -> None:
        inspected.visit()
        inspected.watch("route", "/clock")
        inspected.log("event", '"number":12').wait_for()
        assert inspected.log("connection", "reconnects in 200 ms, after the id 5").count() == 1
        assert inspected.log("connection", "200 text/event-stream").count() >= 3
        numbers = inspected.page.locator("#log li[data-kind=event] .id").all_inner_texts()
        assert numbers == [str(number) for number in range(len(numbers), 0, -1)]
        assert "größer ✓" in inspected.log("event", '"number":12').inner_text()
        inspected.page.click("#show-raw")
        raw = inspected.log("event", 'data: {"number":12').locator("pre").inner_text()
        assert raw.splitlines()[0] == "event: tick"
        assert "id: 12" in raw
        inspected.page.click("#halt")
        inspected.log("connection", "watching has ended").wait_for()

    def test_keep_alives_and_a_cut(self, inspected: Inspected) -> None:
        inspected.visit()
        inspected.watch("route", "/quiet/x")
        inspected.log("ping", "ping").first.wait_for()
        assert inspected.page.inner_text("#fact-events") == "1"
        inspected.page.click("#cut")
        inspected.log("connection", "you have cut the connection").wait_for()
        inspected.fact("reconnects", 1).wait_for()
        inspected.fact("events", 2).wait_for()

    def test_a_topic_with_what_it_keeps(
        self, inspected: Inspected, open_stream: Open, url: str
    ) -> None:
        open_stream("/room", topic="kept")
        for said in ("one", "two"):
            publish(url, {"topic": "kept", "said": said})
        inspected.visit()
        inspected.show("topics")
        inspected.row("topics", "kept").get_by_role("button").click()
        inspected.page.select_option("#after", "start")
        inspected.page.click("#watch button[type=submit]")
        inspected.log("event", "two").wait_for()
        publish(url, {"topic": "kept", "said": "three"})
        inspected.log("event", "three").wait_for()
        badges = inspected.page.locator("#log li[data-kind=event] .badge").all_inner_texts()
        assert badges == ["message"] * 3

    def test_a_run(self, inspected: Inspected, open_stream: Open) -> None:
        open_stream("/run", key="watched")
        inspected.visit()
        inspected.watch("run", "watched")
        inspected.log("event", "token").first.wait_for()

    @pytest.mark.parametrize(
        "target", ["http://127.0.0.1:9/", "//127.0.0.1:9/x", "events", "\\\\127.0.0.1:9/"]
    )
    def test_only_paths_of_this_site(self, inspected: Inspected, target: str) -> None:
        inspected.visit()
        inspected.watch("route", target)
        assert "a path of this site" in inspected.page.inner_text("#watched")
        assert inspected.page.locator("#log li").count() == 0

    @pytest.mark.parametrize(
        ("target", "told"),
        [("/publish?topic=a&said=b", "200 application"), ("/nothing", "404 text")],
    )
    def test_what_is_no_stream(self, inspected: Inspected, target: str, told: str) -> None:
        inspected.visit()
        inspected.watch("route", target)
        inspected.log("connection", told).wait_for()
        inspected.log("connection", "an EventSource would give up").wait_for()

    def test_more_than_it_can_show(self, inspected: Inspected) -> None:
        inspected.visit()
        inspected.watch("route", "/many")
        left_out = inspected.page.locator("#left-out", has_text="702 before them are not shown")
        left_out.wait_for()  # 1001 events and what is said of the connection, and 300 of them
        assert inspected.page.inner_text("#fact-events") == "1,001"
        assert inspected.page.locator("#log li").count() == 300
        assert len(inspected.log("event", "(5,000,002 characters)").inner_text()) < 5000
        inspected.page.click("#show-raw")
        inspected.log("event", "(5,000,010 characters)").wait_for()

    def test_an_event_without_an_end(self, inspected: Inspected) -> None:
        inspected.visit()
        inspected.watch("route", "/endless")
        inspected.log("connection", "an event is larger than 16 MiB").wait_for()
        inspected.log("connection", "watching has ended").wait_for()

    @pytest.mark.parametrize(("after", "told"), [("0", "100 ms"), ("9" * 30, "24 d 20 h")])
    def test_it_never_comes_back_without_a_pause(
        self, inspected: Inspected, after: str, told: str
    ) -> None:
        inspected.visit()
        inspected.watch("route", f"/retrying?after={after}")
        inspected.log("connection", f"reconnects in {told}, after the id 1").first.wait_for()

    def test_behind_a_proxy_that_cuts_off_a_prefix(
        self, inspected: Inspected, open_stream: Open
    ) -> None:
        open_stream("/quiet/a b?", "192.0.2.80")
        inspected.visit("/behind/_sse/")
        inspected.row("streams", "192.0.2.80").get_by_role("button", name="Watch").click()
        assert inspected.page.input_value("#target") == "/behind/quiet/a%20b"
        inspected.page.click("#watch button[type=submit]")
        inspected.log("event", "I am quiet").wait_for()


class TestServers:
    def test_a_proxy_that_answers_while_the_server_restarts(self, inspected: Inspected) -> None:
        """An EventSource gives up then. The page doesn't."""
        inspected.visit()
        inspected.page.route("**/stream*", lambda route: route.fulfill(status=502))
        inspected.page.evaluate("connect()")
        inspected.page.wait_for_selector("#state[data-state=waiting]:has-text('Reconnecting')")
        inspected.page.wait_for_function("again !== 0")
        inspected.page.unroute("**/stream*")
        inspected.page.wait_for_selector("#state[data-state=live]")

    def test_another_worker_has_the_connection(
        self, inspected: Inspected, open_stream: Open
    ) -> None:
        """The page asks again until the process that it shows has the request."""
        open_stream("/quiet/worker", "192.0.2.90")
        inspected.visit()
        answers = iter([409, 409])

        def answer(route: Any) -> None:
            status = next(answers, None)
            route.continue_() if status is None else route.fulfill(status=status)

        inspected.page.route("**/control", answer)
        row = inspected.row("streams", "192.0.2.90")
        row.get_by_role("button", name="Close this stream").click()
        row.wait_for(state="detached")


class TestAttacks:
    def test_what_clients_say_is_text(
        self, inspected: Inspected, open_stream: Open, url: str
    ) -> None:
        """A path, an address, a topic, a key, an event's name, data, id and comment."""
        open_stream(f"/quiet/{ATTACK}", ATTACK)
        open_stream("/room", ATTACK, topic=ATTACK)
        open_stream("/run", ATTACK, key=ATTACK)
        publish(url, {"topic": ATTACK, "said": ATTACK})
        headers = {"x-client": ATTACK, "last-event-id": ATTACK}
        address = f"{url}/quiet/{ATTACK}"
        with httpx.stream("GET", address, headers=headers, timeout=PATIENCE) as stream:
            next(stream.iter_raw())
            inspected.visit()
            inspected.row("streams", f"came after {ATTACK}").wait_for()
            for tab in TABS:
                inspected.show(tab)
            inspected.watch("topic", ATTACK)
            inspected.log("ping", "id ").first.wait_for()
            publish(url, {"topic": ATTACK, "said": ATTACK})
            inspected.log("event", "attack()").first.wait_for()
            inspected.page.evaluate("said => location.hash = said", ATTACK)
        inspected.show("closes")
        inspected.row("closes", ATTACK).first.wait_for()
        inspected.watch("route", f"/named?said={httpx.QueryParams({'a': ATTACK})}")
        inspected.log("event", "onerror").first.wait_for()
        inspected.page.click("#show-raw")
        assert inspected.page.locator("img").count() == 1  # the icon
        assert inspected.page.locator("script").count() == 1
        assert inspected.page.evaluate("document.body.dataset.attacked") is None
        assert inspected.complaints == []

    def test_nothing_hides_or_reorders_what_is_shown(
        self, inspected: Inspected, open_stream: Open
    ) -> None:
        said = "\u202egpj\x1b[2J\u200b"
        open_stream("/named", "192.0.2.70", said=said)
        inspected.visit()
        shown = "\\u202egpj\\u001b[2J\\u200b"
        last = inspected.row("streams", "192.0.2.70").locator("td.id span")
        assert last.inner_text() == shown
        inspected.watch("route", f"/named?{httpx.QueryParams({'said': said})}")
        event = inspected.log("event", "gpj")
        event.wait_for()
        assert [event.locator(one).inner_text() for one in (".badge", ".id")] == [shown, shown]
        assert "\u202e" not in inspected.page.inner_text("body")

    def test_the_policy_would_stop_what_became_markup(self, inspected: Inspected) -> None:
        inspected.visit()
        for script in (
            "document.body.innerHTML = '<p>'",
            "document.body.setAttribute('onclick', 'attack()')",
            "document.createElement('script').text = 'attack()'",
        ):
            attempt = f"() => {{ try {{ {script} }} catch (error) {{ return error.name }} }}"
            assert inspected.page.evaluate(attempt) == "TypeError"
        stopped = inspected.page.evaluate(STOPPED)
        assert sorted(stopped) == ["connect-src", "img-src"]
        assert inspected.page.evaluate("document.body.dataset.attacked") is None

    def test_another_site_can_not_act_nor_read_nor_frame(
        self, inspected: Inspected, open_stream: Open, url: str
    ) -> None:
        """Not with the cookies of who may: ``localhost`` is another site than ``127.0.0.1``."""
        open_stream("/quiet/attacked", "192.0.2.99")
        inspected.visit()
        foreign = url.replace("127.0.0.1", "localhost")
        inspected.page.goto(f"{foreign}/foreign?of={url}")
        answers = inspected.page.evaluate(ASK_FROM_ELSEWHERE, url)
        assert answers == ["TypeError", "TypeError", "TypeError"]  # the last by its resource policy
        (frame,) = inspected.page.frames[1:]
        assert not frame.url.startswith("http"), "it shows the browser's own error"
        inspected.visit()
        inspected.row("streams", "192.0.2.99").wait_for()
        assert inspected.page.inner_text("#state") == "Live"


class TestRights:
    @pytest.mark.parametrize("path", ["", "stream", "inspector.js", "inspector.css", "icon.svg"])
    def test_nothing_without_a_cookie(self, inspected: Inspected, path: str) -> None:
        answer = inspected.page.goto(f"{inspected.url}/_sse/{path}")
        assert answer.status == 403
        assert "may not look" in inspected.page.content()

    def test_a_page_whose_right_has_ended(self, inspected: Inspected) -> None:
        inspected.visit()
        inspected.page.context.clear_cookies()
        inspected.page.evaluate("connect()")
        inspected.page.locator("#notice", has_text="refuses this page").wait_for()

    def test_who_may_only_look_has_no_buttons(
        self, inspected: Inspected, open_stream: Open, url: str
    ) -> None:
        open_stream("/run", "192.0.2.50", key="safe")
        inspected.visit("/only-look/_sse/")
        inspected.row("streams", "192.0.2.50").wait_for()
        names = inspected.page.locator("button").all_text_contents()
        assert not {"Close", "Stop…"} & set(names)
        assert inspected.page.locator("#drain").is_hidden()
        for action in ("close", "stop", "drain"):
            answered = inspected.page.evaluate(ACT, action)
            assert answered == 403


@pytest.mark.parametrize(
    "inspected",
    [
        pytest.param({"viewport": size, "color_scheme": scheme}, id=f"{name}-{scheme}")
        for name, size in (("desktop", DESKTOP), ("phone", PHONE))
        for scheme in ("light", "dark")
    ],
    indirect=True,
)
class TestSight:
    def test_each_list_is_readable(
        self,
        inspected: Inspected,
        open_stream: Open,
        url: str,
        screenshots: Path,
        axe: str,
        request: Any,
    ) -> None:
        case = request.node.callspec.id
        with ThreadPoolExecutor(4) as opening:
            list(opening.map(open_stream, ["/plot", "/quiet/orders/1742"] * 2, ["10.0.4.17"] * 4))
        open_stream("/room", topic="room:lobby")
        open_stream("/run", key="chat:91")
        publish(url, {"topic": "room:lobby", "said": "hello"})
        inspected.visit()
        httpx.get(f"{url}/clock", timeout=PATIENCE)
        inspected.page.evaluate(axe)
        for tab in TABS:
            inspected.show(tab)
            if tab == "console":
                inspected.watch("route", "/clock")
                inspected.log("event", '"number":7').wait_for()
            inspected.page.screenshot(path=screenshots / f"inspector-{case}-{tab}.png")
            assert inspected.page.evaluate(VIOLATIONS) == []
            assert not inspected.page.evaluate(WIDER)

    def test_with_the_keyboard_alone(self, inspected: Inspected) -> None:
        inspected.visit()
        page = inspected.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "tab-streams"
        for tab in [*TABS[1:], TABS[0], TABS[1]]:
            page.keyboard.press("ArrowRight")
            assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
            assert page.locator(f"#panel-{tab}").is_visible()
        page.keyboard.press("End")
        page.locator("#target").focus()
        page.keyboard.type("/clock")
        page.keyboard.press("Enter")
        inspected.log("event", "number").first.wait_for()
        page.keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid"
        assert page.locator("th:not([scope=col])").count() == 0

"""The places where the client runs: a process of Node, and a page in Chromium.

Both run `read.mjs`, which tells what it sees. One place is used for many readings.
"""

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

from tests.client.fault_server import FaultServer, Shown
from tests.npm import node
from tests.patience import PATIENCE

HERE = Path(__file__).parent

FAST = {"retryDelay": 10, "maxRetryDelay": 40}
"""Milliseconds, so that a test needn't wait."""

LAST = ("end", "error")
"""What is told when a reading is over."""

ATTEMPTS = 10
"""How many readings a test may need whose idle timeout is short."""

Report = dict[str, Any]


def attempts() -> Iterator[int]:
    """Yield until the caller breaks: a machine that stops for a moment is silent for a client."""
    yield from range(ATTEMPTS)
    raise AssertionError("each reading was disturbed")


class Reading:
    """A loop over the events of a stream."""

    def __init__(self, place: "Place", number: int) -> None:
        self.told: list[Report] = []
        self._place = place
        self._number = number

    def until(self, *whats: str, times: int = 1) -> Report:
        """Wait until something is told so often. Return the last of it."""
        while True:
            met = [one for one in self.told if one["what"] in whats]
            if len(met) >= times:
                return met[times - 1]
            reports = self._place.next(self._number)
            assert reports, f"waiting for {whats}, told only {self.told}"
            self.told += reports

    def finish(self) -> list[Report]:
        """Wait until it is over, and return all that was told."""
        self.until(*LAST)
        return self.told

    def of(self, what: str) -> list[Report]:
        return [one for one in self.told if one["what"] == what]

    @property
    def data(self) -> list[Any]:
        return [one["data"] for one in self.of("event")]

    @property
    def last(self) -> Report:
        return self.told[-1]

    def abort(self) -> None:
        self._place.command("abort", self._number)

    def go(self) -> None:
        """Let a slow reader take the next event."""
        self._place.command("go", self._number)

    def ask(self, what: str) -> Report:
        """Ask for something of the process itself."""
        self._place.command(what, self._number)
        return self.until(what, times=len(self.of(what)) + 1)


class Place(ABC):
    """Where readings run."""

    def __init__(self, server: FaultServer, name: str) -> None:
        self.server = server
        self.name = name
        self._numbers = count()

    def read(
        self, shown: Shown, method: str = "", *, call: Report | None = None, **init: Any
    ) -> Reading:
        """Begin to read what a server shows.

        Args:
            shown: the script.
            method: of the request, unless it is GET.
            call: what `read.mjs` takes besides.
            init: what `stream` takes.
        """
        return self.read_at(self.server.url, shown.path, method, call=call, **init)

    def read_at(
        self, base: str, path: str, method: str = "", *, call: Report | None = None, **init: Any
    ) -> Reading:
        """Begin to read what any server has at a path."""
        request = f"{method} {path}".strip()
        options = {"baseUrl": base, **FAST, **init}
        number = next(self._numbers)
        self.begin(number, {**(call or {}), "request": request, "init": options})
        return Reading(self, number)

    @abstractmethod
    def begin(self, number: int, call: Report) -> None:
        """Begin a reading."""

    @abstractmethod
    def command(self, what: str, number: int) -> None:
        """Have something done to a reading."""

    @abstractmethod
    def next(self, number: int) -> list[Report]:
        """Wait until a reading tells more, and return it. If nothing comes in time, it is empty."""


class Node(Place):
    """A process of Node."""

    def __init__(self, server: FaultServer, process: "subprocess.Popen[str]") -> None:
        super().__init__(server, "node")
        self.warnings: list[Report] = []
        self._process = process
        self._told: dict[int, Queue[Report]] = {}
        self._ready: Queue[Report] = Queue()
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            report = json.loads(line)
            if report["what"] == "warning":
                self.warnings.append(report)
            else:
                self._told.get(report["number"], self._ready).put(report)

    def wait_until_ready(self) -> None:
        self._ready.get(timeout=PATIENCE)

    def begin(self, number: int, call: Report) -> None:
        self._told[number] = Queue()
        self._write({"do": "read", "number": number, "call": call})

    def command(self, what: str, number: int) -> None:
        self._write({"do": what, "number": number})

    def next(self, number: int) -> list[Report]:
        told, found = self._told[number], []
        with suppress(Empty):
            found.append(told.get(timeout=PATIENCE))
            while True:
                found.append(told.get_nowait())
        return found

    def close(self) -> int:
        """End it as a program that has nothing more to do, and return its exit code."""
        assert self._process.stdin
        self._process.stdin.close()
        code = self._process.wait(PATIENCE)
        self._thread.join()
        return code

    def _write(self, command: Report) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()


@contextmanager
def node_process(server: FaultServer, client: Path) -> Iterator[Node]:
    """Run Node as long as the block lasts. An error that nobody handles ends it."""
    options = ("--unhandled-rejections=strict", "--expose-gc")
    command = [node(), *options, str(HERE / "run.mjs"), str(client)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            place = Node(server, process)
            place.wait_until_ready()
            yield place
        finally:
            process.kill()


PAGE = """async () => {
  const [{ stream }, reading] = await Promise.all([import("/client.js"), import("/read.mjs")])
  const queues = new Map()
  const queue = number => queues.get(number) ?? queues.set(number, []).get(number)
  let wake = () => {}
  addEventListener("unhandledrejection", event => { window.unhandled = String(event.reason) })
  Object.assign(window, reading, {
    begin(number, call) {
      const tell = report => { queue(number).push(report); wake() }
      void reading.read(stream, number, call, tell)
    },
    async next(number, patience) {
      const late = performance.now() + patience
      while (!queue(number).length && performance.now() < late)
        await new Promise(resolve => { wake = resolve; setTimeout(resolve, patience) })
      return queue(number).splice(0)
    },
  })
}"""


class Page(Place):
    """A page in Chromium. It has the origin of the server."""

    def __init__(self, server: FaultServer, page: Any) -> None:
        super().__init__(server, "chromium")
        self.page = page

    def open(self) -> None:
        self.page.goto(f"{self.server.url}/page")
        self.page.evaluate(PAGE)

    def begin(self, number: int, call: Report) -> None:
        self.page.evaluate("([number, call]) => begin(number, call)", [number, call])

    def command(self, what: str, number: int) -> None:
        self.page.evaluate(f"number => {what}(number)", number)

    def next(self, number: int) -> list[Report]:
        found: list[Report] = self.page.evaluate(
            "([number, patience]) => next(number, patience)", [number, PATIENCE * 1000]
        )
        return found

    def unhandled(self) -> str | None:
        """Return an error that nobody has handled."""
        found: str | None = self.page.evaluate("window.unhandled ?? null")
        return found


@contextmanager
def page_of(server: FaultServer, browser: Any, client: Path) -> Iterator[Page]:
    """Open a page as long as the block lasts."""
    for path in (client, HERE / "read.mjs"):
        name = "/client.js" if path == client else "/read.mjs"
        server.files[name] = ("text/javascript", path.read_bytes())
    page = browser.new_page(ignore_https_errors=True)
    place = Page(server, page)
    place.open()
    try:
        yield place
    finally:
        page.close()
